//! Dubbo: a fixed header of 16 bytes, then the body. Everything is big-endian.
//!
//! | field | at |
//! |---|---|
//! | magic: `da bb` | 0 |
//! | flags: `80` request, `40` two-way, `20` event; low five bits: serialization, 2 is hessian2 | 2 |
//! | status of a response; 0 in a request | 3 |
//! | id u64 | 4 |
//! | length of the body u32 | 12 |
//!
//! The body of a call begins with four strings: version of Dubbo, service, version of the service,
//! method. They are read for routes only, and only when they are in hessian2.
//!
//! A two-way event is a heartbeat; its body is null (`4e`). An event of the one string `R` is what a
//! server sends before it goes: no further calls on this connection.

mod encode;
mod hessian;

use super::bytes::{u32_at, u64_at};
use super::{Codec, CodecError, Decoded, Frame, FrameLimits, Kind, LocalReply, Origin};
use super::{Problem, Span};
use crate::ids::IdWidth;

pub use encode::{Request, Response, push_call, push_go_away, push_heartbeat, push_string};

/// Length of the fixed header.
pub const HEADER_BYTES: usize = 16;
/// The serialization that names can be read from.
pub const HESSIAN2: u8 = 2;

const MAGIC: [u8; 2] = [0xDA, 0xBB];
const FLAG_REQUEST: u8 = 0x80;
const FLAG_TWO_WAY: u8 = 0x40;
const FLAG_EVENT: u8 = 0x20;
const SERIALIZATION_MASK: u8 = 0x1F;
const ID_AT: usize = 4;
const LENGTH_AT: usize = 12;
/// Null in hessian2.
const NULL: u8 = b'N';
/// The body of the event "no further calls", in hessian2.
const READ_ONLY: [u8; 2] = [1, b'R'];

/// The status codes of a response.
pub mod status {
    /// The call was served; whether it succeeded the body says.
    pub const OK: u8 = 20;
    /// The client's time-out passed.
    pub const CLIENT_TIMEOUT: u8 = 30;
    /// The request cannot be read, or a limit of the proxy is reached.
    pub const BAD_REQUEST: u8 = 40;
    /// Nobody serves this call.
    pub const SERVICE_NOT_FOUND: u8 = 60;
    /// The service failed, or the connection to it was lost.
    pub const SERVICE_ERROR: u8 = 70;
    /// The server failed, or refused.
    pub const SERVER_ERROR: u8 = 80;
}

/// The codec for Dubbo.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dubbo;

impl Codec for Dubbo {
    fn name(&self) -> &'static str {
        "dubbo"
    }

    fn id_width(&self) -> IdWidth {
        IdWidth::Bits46
    }

    fn signature_bytes(&self) -> usize {
        MAGIC.len()
    }

    fn decode(&self, bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError> {
        check_magic(bytes)?;
        if bytes.len() < HEADER_BYTES {
            return Ok(Decoded::Incomplete { need_bytes: HEADER_BYTES });
        }
        let body_bytes = u32_at(bytes, LENGTH_AT);
        let total_bytes =
            limits.frame_bytes(HEADER_BYTES as u64 + u64::from(body_bytes), LENGTH_AT)?;
        if bytes.len() < total_bytes {
            return Ok(Decoded::Incomplete { need_bytes: total_bytes });
        }
        Ok(Decoded::Frame(frame(&bytes[..total_bytes])))
    }

    fn set_id(&self, frame: &mut [u8], id: u64) {
        frame[ID_AT..ID_AT + 8].copy_from_slice(&id.to_be_bytes());
    }

    fn header<'a>(
        &self,
        frame: &Frame,
        bytes: &'a [u8],
        name: &[u8],
    ) -> Result<Option<&'a [u8]>, CodecError> {
        if frame.origin.serialization != HESSIAN2 {
            let found = frame.origin.serialization;
            let problem = Problem::Serialization { found, expected: "2 (hessian2)" };
            return Err(CodecError { at_byte: 2, problem });
        }
        let call = Call::read(bytes, frame.content.start)?;
        Ok(match name {
            b"dubbo" => call.dubbo,
            b"service" => call.service,
            b"version" => call.version,
            b"method" => call.method,
            _ => None,
        })
    }

    fn heartbeat_ack(&self, origin: Origin, out: &mut Vec<u8>) {
        encode::push(FLAG_EVENT | HESSIAN2, status::OK, origin.id, &[NULL], out);
    }

    /// The body is [`LocalReply::text`], always in hessian2: a response names its own serialization.
    fn local_reply(&self, origin: Origin, _repeated: &[u8], reply: LocalReply, out: &mut Vec<u8>) {
        let mut body = [0; 64];
        let body = encode::short_string(reply.text(), &mut body);
        encode::push(HESSIAN2, status_of(reply), origin.id, body, out);
    }
}

/// The status with which the proxy answers itself.
pub fn status_of(reply: LocalReply) -> u8 {
    match reply {
        LocalReply::NoRoute | LocalReply::NoProcessor | LocalReply::NoUpstream => {
            status::SERVICE_NOT_FOUND
        }
        LocalReply::UpstreamLost | LocalReply::ClientLost => status::SERVICE_ERROR,
        LocalReply::Timeout => status::CLIENT_TIMEOUT,
        LocalReply::Overflow | LocalReply::BadHeader => status::BAD_REQUEST,
        LocalReply::Denied => status::SERVER_ERROR,
    }
}

fn check_magic(bytes: &[u8]) -> Result<(), CodecError> {
    for (at_byte, (&found, expected)) in bytes.iter().zip(MAGIC).enumerate() {
        if found != expected {
            let expected = if at_byte == 0 { "0xda" } else { "0xbb" };
            return Err(CodecError { at_byte, problem: Problem::Protocol { found, expected } });
        }
    }
    Ok(())
}

/// A whole frame.
fn frame(bytes: &[u8]) -> Frame {
    let flags = bytes[2];
    let is_request = flags & FLAG_REQUEST != 0;
    let content = Span { start: HEADER_BYTES, bytes: bytes.len() - HEADER_BYTES };
    Frame {
        kind: kind(flags, &bytes[content.range()]),
        origin: Origin {
            id: u64_at(bytes, ID_AT),
            serialization: flags & SERIALIZATION_MASK,
            ..Origin::default()
        },
        timeout_ms: 0,
        status: if is_request { 0 } else { bytes[3].into() },
        class: Span::default(),
        header: Span::default(),
        content,
        total_bytes: bytes.len(),
    }
}

fn kind(flags: u8, body: &[u8]) -> Kind {
    let has = |flag| flags & flag != 0;
    match (has(FLAG_REQUEST), has(FLAG_EVENT), has(FLAG_TWO_WAY)) {
        (true, true, _) if body == READ_ONLY => Kind::GoAway,
        (true, true, true) => Kind::Heartbeat,
        (true, true, false) => Kind::Notice,
        (true, false, true) => Kind::Request,
        (true, false, false) => Kind::Oneway,
        (false, true, _) => Kind::HeartbeatAck,
        (false, false, _) => Kind::Response,
    }
}

/// What the body of a call begins with.
struct Call<'a> {
    dubbo: Option<&'a [u8]>,
    service: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
}

impl<'a> Call<'a> {
    fn read(frame: &'a [u8], at: usize) -> Result<Self, CodecError> {
        let mut strings = hessian::Strings { bytes: frame, at };
        Ok(Call {
            dubbo: strings.next("version of Dubbo")?,
            service: strings.next("service")?,
            version: strings.next("version of the service")?,
            method: strings.next("method")?,
        })
    }
}

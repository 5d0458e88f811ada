//! Bolt, version 1: SOFA's RPC protocol.
//!
//! Everything is big-endian. A request's fixed header has 22 bytes, a response's 20; class name,
//! header map and content follow it in this order.
//!
//! | field | request | response |
//! |---|---|---|
//! | protocol code, 1 | 0 | 0 |
//! | type: 0 response, 1 request, 2 oneway | 1 | 1 |
//! | command u16: 0 heartbeat, 1 request, 2 response, 100 go away | 2 | 2 |
//! | version of the command | 4 | 4 |
//! | id u32 | 5 | 5 |
//! | serialization: 1 hessian2, 11 protobuf | 9 | 9 |
//! | time-out i32 in ms | 10 | - |
//! | status u16 | - | 10 |
//! | class length u16 | 14 | 12 |
//! | header length u16 | 16 | 14 |
//! | content length u32 | 18 | 16 |

mod encode;

use super::{Codec, CodecError, Decoded, Frame, FrameLimits, Kind, LocalReply, Origin};
use super::{Problem, Span};

pub use encode::{Request, Response, TooLong, push_header, push_heartbeat};

/// The protocol code, first byte of every frame.
pub const PROTOCOL: u8 = 1;
/// Length of a request's fixed header.
pub const REQUEST_HEADER_BYTES: usize = 22;
/// Length of a response's fixed header.
pub const RESPONSE_HEADER_BYTES: usize = 20;
/// Longest class name or header map that every known peer reads: they take the length as signed.
pub const SECTION_BYTES_MAX: usize = i16::MAX as usize;
/// The serialization to name when there is no content to serialize.
pub const HESSIAN2: u8 = 1;

const TYPE_RESPONSE: u8 = 0;
const TYPE_REQUEST: u8 = 1;
const TYPE_ONEWAY: u8 = 2;
const COMMAND_HEARTBEAT: u16 = 0;
const COMMAND_REQUEST: u16 = 1;
const COMMAND_RESPONSE: u16 = 2;
const COMMAND_GO_AWAY: u16 = 100;
const ID_AT: usize = 5;
/// Length that stands for "null" in the header map.
const NULL: u32 = u32::MAX;

/// The status codes of a response.
pub mod status {
    /// The call succeeded.
    pub const SUCCESS: u16 = 0;
    /// The call failed.
    pub const ERROR: u16 = 1;
    /// The server too busy, or a limit of the proxy is reached.
    pub const SERVER_THREADPOOL_BUSY: u16 = 4;
    /// Nobody serves this call.
    pub const NO_PROCESSOR: u16 = 6;
    /// The time-out passed.
    pub const TIMEOUT: u16 = 7;
    /// The frame could not be read.
    pub const CODEC_EXCEPTION: u16 = 9;
    /// There is no connection to the server, or it was lost.
    pub const CONNECTION_CLOSED: u16 = 0x10;
}

/// The codec for Bolt version 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bolt;

/// The same codec where a `'static` one is wanted.
pub static BOLT: Bolt = Bolt;

impl Codec for Bolt {
    fn name(&self) -> &'static str {
        "bolt"
    }

    fn decode(&self, bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError> {
        let Some((kind, fixed_bytes)) = kind(bytes)? else {
            return Ok(Decoded::Incomplete { need_bytes: RESPONSE_HEADER_BYTES });
        };
        if bytes.len() < fixed_bytes {
            return Ok(Decoded::Incomplete { need_bytes: fixed_bytes });
        }
        let frame = frame(kind, fixed_bytes, bytes, limits)?;
        if bytes.len() < frame.total_bytes {
            return Ok(Decoded::Incomplete { need_bytes: frame.total_bytes });
        }
        Ok(Decoded::Frame(frame))
    }

    fn set_id(&self, frame: &mut [u8], id: u64) {
        // The ids of a Bolt peer fit: they came from a Bolt frame, or from the id table.
        frame[ID_AT..ID_AT + 4].copy_from_slice(&(id as u32).to_be_bytes());
    }

    fn header<'a>(
        &self,
        frame: &Frame,
        bytes: &'a [u8],
        name: &[u8],
    ) -> Result<Option<&'a [u8]>, CodecError> {
        let mut found = None;
        let mut map = HeaderMap { bytes: &bytes[frame.header.range()], at: 0 };
        while let Some((key, value)) = map.next().map_err(|e| shifted(e, frame.header.start))? {
            if found.is_none() && key == Some(name) {
                found = Some(value);
            }
        }
        Ok(found.flatten())
    }

    fn heartbeat_ack(&self, origin: Origin, out: &mut Vec<u8>) {
        empty_response(COMMAND_HEARTBEAT, origin, status::SUCCESS, out);
    }

    fn local_reply(&self, origin: Origin, reply: LocalReply, out: &mut Vec<u8>) {
        empty_response(COMMAND_RESPONSE, origin, status_of(reply), out);
    }
}

/// The status with which the proxy answers itself.
pub fn status_of(reply: LocalReply) -> u16 {
    match reply {
        LocalReply::NoRoute | LocalReply::NoProcessor => status::NO_PROCESSOR,
        LocalReply::NoUpstream | LocalReply::UpstreamLost => status::CONNECTION_CLOSED,
        LocalReply::Timeout => status::TIMEOUT,
        LocalReply::Overflow => status::SERVER_THREADPOOL_BUSY,
        LocalReply::BadHeader => status::CODEC_EXCEPTION,
    }
}

/// Kind and fixed header length, as soon as the first four bytes are there. What is wrong already
/// in fewer bytes is refused at once.
fn kind(bytes: &[u8]) -> Result<Option<(Kind, usize)>, CodecError> {
    let Some(&protocol) = bytes.first() else { return Ok(None) };
    if protocol != PROTOCOL {
        return Err(at(0, Problem::Protocol { found: protocol, expected: PROTOCOL }));
    }
    let Some(&frame_type) = bytes.get(1) else { return Ok(None) };
    if frame_type > TYPE_ONEWAY {
        return Err(at(1, Problem::FrameType { found: frame_type }));
    }
    if bytes.len() < 4 {
        return Ok(None);
    }
    let command = u16_at(bytes, 2);
    let kind = match (frame_type, command) {
        (TYPE_REQUEST, COMMAND_REQUEST) => Kind::Request,
        (TYPE_ONEWAY, COMMAND_REQUEST) => Kind::Oneway,
        (TYPE_RESPONSE, COMMAND_RESPONSE) => Kind::Response,
        (TYPE_REQUEST, COMMAND_HEARTBEAT) => Kind::Heartbeat,
        (TYPE_RESPONSE, COMMAND_HEARTBEAT) => Kind::HeartbeatAck,
        (TYPE_REQUEST | TYPE_ONEWAY, COMMAND_GO_AWAY) => Kind::GoAway,
        (_, found) => return Err(at(2, Problem::Command { found, frame_type })),
    };
    let fixed_bytes =
        if frame_type == TYPE_RESPONSE { RESPONSE_HEADER_BYTES } else { REQUEST_HEADER_BYTES };
    Ok(Some((kind, fixed_bytes)))
}

/// Reads the fixed header and holds its lengths against the limits.
fn frame(
    kind: Kind,
    fixed_bytes: usize,
    bytes: &[u8],
    limits: &FrameLimits,
) -> Result<Frame, CodecError> {
    let is_response = fixed_bytes == RESPONSE_HEADER_BYTES;
    let lengths_at = if is_response { 12 } else { 14 };
    let class_bytes = usize::from(u16_at(bytes, lengths_at));
    let header_bytes = usize::from(u16_at(bytes, lengths_at + 2));
    let content_bytes = u32_at(bytes, lengths_at + 4);
    section_fits("class name", class_bytes, lengths_at, limits)?;
    section_fits("header map", header_bytes, lengths_at + 2, limits)?;
    // Summed in 64 bits: four bytes of length cannot overflow it.
    let total = (fixed_bytes + class_bytes + header_bytes) as u64 + u64::from(content_bytes);
    if total > limits.frame_bytes_max as u64 {
        let problem = Problem::FrameTooLong { bytes: total, bytes_max: limits.frame_bytes_max };
        return Err(at(lengths_at + 4, problem));
    }
    let class = Span { start: fixed_bytes, bytes: class_bytes };
    let header = Span { start: class.range().end, bytes: header_bytes };
    let content = Span { start: header.range().end, bytes: content_bytes as usize };
    Ok(Frame {
        kind,
        origin: Origin {
            id: u64::from(u32_at(bytes, ID_AT)),
            version: PROTOCOL,
            serialization: bytes[9],
        },
        timeout_ms: if is_response { 0 } else { u32_at(bytes, 10) as i32 },
        status: if is_response { u16_at(bytes, 10) } else { 0 },
        class,
        header,
        content,
        total_bytes: content.range().end,
    })
}

fn section_fits(
    section: &'static str,
    bytes: usize,
    at_byte: usize,
    limits: &FrameLimits,
) -> Result<(), CodecError> {
    let bytes_max = limits.header_bytes_max;
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(at(at_byte, Problem::SectionTooLong { section, bytes, bytes_max }))
}

fn empty_response(command: u16, origin: Origin, status: u16, out: &mut Vec<u8>) {
    let mut fixed = [0; RESPONSE_HEADER_BYTES];
    fixed[0] = PROTOCOL;
    fixed[1] = TYPE_RESPONSE;
    fixed[2..4].copy_from_slice(&command.to_be_bytes());
    fixed[4] = 1;
    fixed[5..9].copy_from_slice(&(origin.id as u32).to_be_bytes());
    fixed[9] = origin.serialization;
    fixed[10..12].copy_from_slice(&status.to_be_bytes());
    out.extend_from_slice(&fixed);
}

/// A key and its value; `None` is the protocol's null.
type Entry<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Walks `u32 key length, key, u32 value length, value` until the map's last byte.
struct HeaderMap<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HeaderMap<'a> {
    fn next(&mut self) -> Result<Option<Entry<'a>>, CodecError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let key = self.string("key")?;
        let value = self.string("value")?;
        Ok(Some((key, value)))
    }

    fn string(&mut self, part: &'static str) -> Result<Option<&'a [u8]>, CodecError> {
        let rest = &self.bytes[self.at..];
        let too_long =
            |bytes, left_bytes| Err(at(self.at, Problem::HeaderMap { part, bytes, left_bytes }));
        let Some((length, rest)) = rest.split_at_checked(4) else {
            return too_long(4, rest.len());
        };
        let length = u32_at(length, 0);
        if length == NULL {
            self.at += 4;
            return Ok(None);
        }
        let Some((string, _)) = rest.split_at_checked(length as usize) else {
            return too_long(length, rest.len());
        };
        self.at += 4 + string.len();
        Ok(Some(string))
    }
}

fn shifted(error: CodecError, by: usize) -> CodecError {
    CodecError { at_byte: error.at_byte + by, ..error }
}

fn at(at_byte: usize, problem: Problem) -> CodecError {
    CodecError { at_byte, problem }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

//! Thrift's strict binary protocol in frames. Everything is big-endian.
//!
//! | field | at |
//! |---|---|
//! | length of what follows, u32 | 0 |
//! | version: `80 01 00` | 4 |
//! | type: 1 call, 2 reply, 3 exception, 4 oneway | 7 |
//! | length of the name u32 | 8 |
//! | name: `method`, or `service:method` of a multiplexed call | 12 |
//! | id (`seqid`) i32 | 12 + length of the name |
//!
//! The body, a struct, goes on to the end of the frame. A frame names no time-out, and there are no
//! heartbeats.
//!
//! An answer carries the method's name again, and there are clients that find the waiting call by
//! it. So the proxy keeps the name of every call in flight, for the exception it may have to answer
//! with: that is why names are limited to [`METHOD_BYTES_MAX`].
//!
//! The compact protocol, its `THeader` and unframed connections are refused by their first bytes.

mod encode;

use super::bytes::u32_at;
use super::{Codec, CodecError, Decoded, Frame, FrameLimits, Kind, LocalReply, Origin};
use super::{Problem, Span};
use crate::ids::IdWidth;

pub use encode::{Message, MessageType};

/// Longest name of a call, service included.
pub const METHOD_BYTES_MAX: usize = 1024;

const VERSION: [u8; 2] = [0x80, 0x01];
const VERSION_AT: usize = 4;
const TYPE_AT: usize = 7;
const NAME_LENGTH_AT: usize = 8;
const NAME_AT: usize = 12;
/// Length of a frame with an empty name and no body.
const FRAME_BYTES_MIN: usize = NAME_AT + 4;

/// Types of a `TApplicationException`.
pub mod exception {
    /// None of the others.
    pub const UNKNOWN: i32 = 0;
    /// Nobody serves this call.
    pub const UNKNOWN_METHOD: i32 = 1;
    /// The call could not be carried out.
    pub const INTERNAL_ERROR: i32 = 6;
    /// The frame could not be read.
    pub const PROTOCOL_ERROR: i32 = 7;
}

/// The codec for Thrift.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thrift;

impl Codec for Thrift {
    fn name(&self) -> &'static str {
        "thrift"
    }

    fn id_width(&self) -> IdWidth {
        IdWidth::Bits31
    }

    fn signature_bytes(&self) -> usize {
        TYPE_AT + 1
    }

    fn decode(&self, bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError> {
        let Some(kind) = kind(bytes)? else {
            return Ok(Decoded::Incomplete { need_bytes: TYPE_AT + 1 });
        };
        let total_bytes = total_bytes(bytes, limits)?;
        if bytes.len() < NAME_AT {
            return Ok(Decoded::Incomplete { need_bytes: NAME_AT });
        }
        check_name(u32_at(bytes, NAME_LENGTH_AT), total_bytes)?;
        if bytes.len() < total_bytes {
            return Ok(Decoded::Incomplete { need_bytes: total_bytes });
        }
        Ok(Decoded::Frame(frame(kind, &bytes[..total_bytes])))
    }

    fn set_id(&self, frame: &mut [u8], id: u64) {
        let id_at = id_at(frame);
        // The ids of a Thrift peer fit: they came from a Thrift frame, or from the id table.
        frame[id_at..id_at + 4].copy_from_slice(&(id as u32).to_be_bytes());
    }

    fn header<'a>(
        &self,
        frame: &Frame,
        bytes: &'a [u8],
        name: &[u8],
    ) -> Result<Option<&'a [u8]>, CodecError> {
        Ok(match name {
            b"method" => Some(&bytes[frame.class.range()]),
            b"service" if frame.header.bytes > 0 => Some(&bytes[frame.header.range()]),
            _ => None,
        })
    }

    fn repeated(&self, frame: &Frame) -> Span {
        frame.class
    }

    /// There are no heartbeats: nothing is appended.
    fn heartbeat_ack(&self, _origin: Origin, _out: &mut Vec<u8>) {}

    fn local_reply(&self, origin: Origin, repeated: &[u8], reply: LocalReply, out: &mut Vec<u8>) {
        encode::push_exception(origin.id as u32, repeated, exception_of(reply), reply.text(), out);
    }
}

/// The exception with which the proxy answers itself.
pub fn exception_of(reply: LocalReply) -> i32 {
    match reply {
        LocalReply::NoRoute | LocalReply::NoProcessor => exception::UNKNOWN_METHOD,
        LocalReply::NoUpstream | LocalReply::Overflow => exception::UNKNOWN,
        LocalReply::UpstreamLost
        | LocalReply::ClientLost
        | LocalReply::Timeout
        | LocalReply::Denied => exception::INTERNAL_ERROR,
        LocalReply::BadHeader => exception::PROTOCOL_ERROR,
    }
}

/// The kind, as soon as the type is there. What is wrong already in fewer bytes is refused at once.
fn kind(bytes: &[u8]) -> Result<Option<Kind>, CodecError> {
    let version = bytes.get(VERSION_AT..).unwrap_or_default();
    for (n, (&found, expected)) in version.iter().zip(VERSION).enumerate() {
        if found != expected {
            let expected = if n == 0 { "0x80 (strict binary protocol)" } else { "0x01" };
            return Err(at(VERSION_AT + n, Problem::Protocol { found, expected }));
        }
    }
    let Some(&found) = bytes.get(TYPE_AT) else { return Ok(None) };
    match found {
        1 => Ok(Some(Kind::Request)),
        2 | 3 => Ok(Some(Kind::Response)),
        4 => Ok(Some(Kind::Oneway)),
        _ => {
            let expected = "1 (call), 2 (reply), 3 (exception) or 4 (oneway)";
            Err(at(TYPE_AT, Problem::FrameType { found, expected }))
        }
    }
}

fn total_bytes(bytes: &[u8], limits: &FrameLimits) -> Result<usize, CodecError> {
    let total_bytes = limits.frame_bytes(4 + u64::from(u32_at(bytes, 0)), 0)?;
    if total_bytes < FRAME_BYTES_MIN {
        let need_bytes = FRAME_BYTES_MIN as u64;
        return Err(at(0, Problem::FrameTooShort { bytes: total_bytes, need_bytes }));
    }
    Ok(total_bytes)
}

fn check_name(name_bytes: u32, total_bytes: usize) -> Result<(), CodecError> {
    let need_bytes = FRAME_BYTES_MIN as u64 + u64::from(name_bytes);
    if need_bytes > total_bytes as u64 {
        return Err(at(NAME_LENGTH_AT, Problem::FrameTooShort { bytes: total_bytes, need_bytes }));
    }
    let (bytes, bytes_max) = (name_bytes as usize, METHOD_BYTES_MAX);
    if bytes > bytes_max {
        let section = "method name";
        return Err(at(NAME_LENGTH_AT, Problem::SectionTooLong { section, bytes, bytes_max }));
    }
    Ok(())
}

/// A whole frame, whose name lies within it.
fn frame(kind: Kind, bytes: &[u8]) -> Frame {
    let id_at = id_at(bytes);
    let name = &bytes[NAME_AT..id_at];
    let colon = name.iter().position(|&byte| byte == b':');
    let method_at = NAME_AT + colon.map_or(0, |at| at + 1);
    let content_at = id_at + 4;
    Frame {
        kind,
        origin: Origin { id: u64::from(u32_at(bytes, id_at)), ..Origin::default() },
        timeout_ms: 0,
        status: if kind == Kind::Response { bytes[TYPE_AT].into() } else { 0 },
        class: Span { start: method_at, bytes: id_at - method_at },
        header: Span { start: NAME_AT, bytes: colon.unwrap_or(0) },
        content: Span { start: content_at, bytes: bytes.len() - content_at },
        total_bytes: bytes.len(),
    }
}

fn id_at(frame: &[u8]) -> usize {
    NAME_AT + u32_at(frame, NAME_LENGTH_AT) as usize
}

fn at(at_byte: usize, problem: Problem) -> CodecError {
    CodecError { at_byte, problem }
}

//! Bolt, versions 1 and 2: SOFA's RPC protocol.
//!
//! Everything is big-endian. Class name, header map and content follow the fixed header in this
//! order. Version 2 has two bytes more, in front and behind the codec, so that all other fields move
//! by one or two:
//!
//! | field | v1 request | v1 response | v2 request | v2 response |
//! |---|---|---|---|---|
//! | protocol code: 1, 2 | 0 | 0 | 0 | 0 |
//! | revision (`ver1`) | - | - | 1 | 1 |
//! | type: 0 response, 1 request, 2 oneway | 1 | 1 | 2 | 2 |
//! | command u16: 0 heartbeat, 1 request, 2 response, 100 go away | 2 | 2 | 3 | 3 |
//! | version of the command (`ver2`) | 4 | 4 | 5 | 5 |
//! | id u32 | 5 | 5 | 6 | 6 |
//! | serialization: 1 hessian2, 11 protobuf | 9 | 9 | 10 | 10 |
//! | switches: bit 0 checksum | - | - | 11 | 11 |
//! | time-out i32 in ms | 10 | - | 12 | - |
//! | status u16 | - | 10 | - | 12 |
//! | class length u16 | 14 | 12 | 16 | 14 |
//! | header length u16 | 16 | 14 | 18 | 16 |
//! | content length u32 | 18 | 16 | 20 | 18 |
//! | fixed header's length | 22 | 20 | 24 | 22 |
//!
//! In version 2, and only with revision 2 and the checksum's switch, four bytes follow the content:
//! the CRC32 of the whole frame before them, id included. So a new id means a new checksum.
//!
//! One connection may carry both versions; every frame says which it is.

mod encode;
mod header_map;

use super::bytes::{u16_at, u32_at};
use super::{Codec, CodecError, Decoded, Frame, FrameLimits, HeaderError, Kind, LocalReply};
use super::{Origin, Problem, Span};
use crate::ids::IdWidth;

pub use encode::{Request, Response, TooLong, Version, push_go_away, push_header, push_heartbeat};

/// Length of a request's fixed header in version 1.
pub const REQUEST_HEADER_BYTES: usize = 22;
/// Length of a response's fixed header in version 1.
pub const RESPONSE_HEADER_BYTES: usize = 20;
/// Longest class name or header map that every known peer reads: they take the length as signed.
pub const SECTION_BYTES_MAX: usize = i16::MAX as usize;
/// The serialization to name when there is no content to serialize.
pub const HESSIAN2: u8 = 1;
/// Length of the checksum.
pub const CHECKSUM_BYTES: usize = 4;

const V1: u8 = 1;
const V2: u8 = 2;
/// The revision of version 2 that knows the checksum.
const REVISION_CHECKSUM: u8 = 2;
const SWITCH_CHECKSUM: u8 = 1;
/// Where version 2 has the two bytes that version 1 has not.
const REVISION_AT: usize = 1;
const SWITCHES_AT: usize = 11;

const TYPE_RESPONSE: u8 = 0;
const TYPE_REQUEST: u8 = 1;
const TYPE_ONEWAY: u8 = 2;
const COMMAND_HEARTBEAT: u16 = 0;
const COMMAND_REQUEST: u16 = 1;
const COMMAND_RESPONSE: u16 = 2;
const COMMAND_GO_AWAY: u16 = 100;

/// The status codes of a response.
pub mod status {
    /// The call succeeded.
    pub const SUCCESS: u16 = 0;
    /// The call failed.
    pub const ERROR: u16 = 1;
    /// The server failed, or refused.
    pub const SERVER_EXCEPTION: u16 = 2;
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

/// The codec for Bolt, both versions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bolt;

impl Codec for Bolt {
    fn name(&self) -> &'static str {
        "bolt"
    }

    fn id_width(&self) -> IdWidth {
        IdWidth::Bits31
    }

    fn signature_bytes(&self) -> usize {
        Layout::<1>::COMMAND_AT + 2
    }

    fn decode(&self, bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError> {
        match bytes.first() {
            None => Ok(Decoded::Incomplete { need_bytes: RESPONSE_HEADER_BYTES }),
            Some(&V1) => Layout::<0>::decode(bytes, limits),
            Some(&V2) => Layout::<1>::decode(bytes, limits),
            Some(&found) => Err(at(0, Problem::Protocol { found, expected: "0x01 or 0x02" })),
        }
    }

    fn set_id(&self, frame: &mut [u8], id: u64) {
        // The ids of a Bolt peer fit: they came from a Bolt frame, or from the id table.
        let id = (id as u32).to_be_bytes();
        if frame[0] == V2 {
            frame[Layout::<1>::ID_AT..][..4].copy_from_slice(&id);
            write_sum(frame);
        } else {
            frame[Layout::<0>::ID_AT..][..4].copy_from_slice(&id);
        }
    }

    fn header<'a>(
        &self,
        frame: &Frame,
        bytes: &'a [u8],
        name: &[u8],
    ) -> Result<Option<&'a [u8]>, CodecError> {
        header_map::find(&bytes[frame.header.range()], frame.header.start, name)
    }

    fn set_header(
        &self,
        frame: &Frame,
        bytes: &[u8],
        header: (&[u8], Option<&[u8]>),
        out: &mut Vec<u8>,
    ) -> Result<(), HeaderError> {
        let map = header_map::with(&bytes[frame.header.range()], frame.header.start, header)
            .map_err(HeaderError::Unreadable)?;
        if map.len() > SECTION_BYTES_MAX {
            return Err(HeaderError::TooLong { bytes: map.len(), bytes_max: SECTION_BYTES_MAX });
        }
        let (start, length) = (out.len(), map.len() as u16);
        let is_response = frame.kind == Kind::Response;
        let lengths_at = match bytes[0] {
            V2 => Layout::<1>::lengths_at(is_response),
            _ => Layout::<0>::lengths_at(is_response),
        };
        out.extend_from_slice(&bytes[..frame.header.start]);
        out.extend_from_slice(&map);
        out.extend_from_slice(&bytes[frame.header.range().end..]);
        let length_at = start + lengths_at + 2;
        out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        write_sum(&mut out[start..]);
        Ok(())
    }

    fn heartbeat_ack(&self, origin: Origin, out: &mut Vec<u8>) {
        encode::empty_response(COMMAND_HEARTBEAT, origin, status::SUCCESS, out);
    }

    fn local_reply(&self, origin: Origin, _repeated: &[u8], reply: LocalReply, out: &mut Vec<u8>) {
        encode::empty_response(COMMAND_RESPONSE, origin, status_of(reply), out);
    }
}

/// The status with which the proxy answers itself.
pub fn status_of(reply: LocalReply) -> u16 {
    match reply {
        LocalReply::NoRoute | LocalReply::NoProcessor => status::NO_PROCESSOR,
        LocalReply::NoUpstream | LocalReply::UpstreamLost | LocalReply::ClientLost => {
            status::CONNECTION_CLOSED
        }
        LocalReply::Timeout => status::TIMEOUT,
        LocalReply::Overflow => status::SERVER_THREADPOOL_BUSY,
        LocalReply::BadHeader => status::CODEC_EXCEPTION,
        LocalReply::Denied => status::SERVER_EXCEPTION,
    }
}

/// Where the fields of a frame lie, and what is read there. `V` is 0 in version 1 and 1 in version
/// 2, which moves the fields in front of its switches by one byte and those behind them by two.
struct Layout<const V: usize>;

impl<const V: usize> Layout<V> {
    const TYPE_AT: usize = 1 + V;
    const COMMAND_AT: usize = 2 + V;
    const ID_AT: usize = 5 + V;
    const SERIALIZATION_AT: usize = 9 + V;
    /// Where the time-out of a request and the status of a response stand.
    const WORD_AT: usize = 10 + 2 * V;

    const fn lengths_at(is_response: bool) -> usize {
        Self::WORD_AT + if is_response { 2 } else { 4 }
    }

    const fn fixed_bytes(is_response: bool) -> usize {
        Self::lengths_at(is_response) + 8
    }

    fn decode(bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError> {
        let Some(kind) = Self::kind(bytes)? else {
            return Ok(Decoded::Incomplete { need_bytes: Self::fixed_bytes(true) });
        };
        let is_response = matches!(kind, Kind::Response | Kind::HeartbeatAck);
        let fixed_bytes = Self::fixed_bytes(is_response);
        if bytes.len() < fixed_bytes {
            return Ok(Decoded::Incomplete { need_bytes: fixed_bytes });
        }
        let frame = Self::frame(kind, is_response, &bytes[..fixed_bytes], limits)?;
        if bytes.len() < frame.total_bytes {
            return Ok(Decoded::Incomplete { need_bytes: frame.total_bytes });
        }
        if V == 1 {
            check_sum(&bytes[..frame.total_bytes])?;
        }
        Ok(Decoded::Frame(frame))
    }

    /// The kind, as soon as the command is there. What is wrong already in fewer bytes is refused
    /// at once.
    fn kind(bytes: &[u8]) -> Result<Option<Kind>, CodecError> {
        let Some(&frame_type) = bytes.get(Self::TYPE_AT) else { return Ok(None) };
        if frame_type > TYPE_ONEWAY {
            let expected = "0 (response), 1 (request) or 2 (oneway)";
            let problem = Problem::FrameType { found: frame_type, expected };
            return Err(at(Self::TYPE_AT, problem));
        }
        if bytes.len() < Self::COMMAND_AT + 2 {
            return Ok(None);
        }
        match (frame_type, u16_at(bytes, Self::COMMAND_AT)) {
            (TYPE_REQUEST, COMMAND_REQUEST) => Ok(Some(Kind::Request)),
            (TYPE_ONEWAY, COMMAND_REQUEST) => Ok(Some(Kind::Oneway)),
            (TYPE_RESPONSE, COMMAND_RESPONSE) => Ok(Some(Kind::Response)),
            (TYPE_REQUEST, COMMAND_HEARTBEAT) => Ok(Some(Kind::Heartbeat)),
            (TYPE_RESPONSE, COMMAND_HEARTBEAT) => Ok(Some(Kind::HeartbeatAck)),
            (TYPE_REQUEST | TYPE_ONEWAY, COMMAND_GO_AWAY) => Ok(Some(Kind::GoAway)),
            (_, found) => Err(at(Self::COMMAND_AT, Problem::Command { found, frame_type })),
        }
    }

    /// Reads the fixed header and holds its lengths against the limits.
    fn frame(
        kind: Kind,
        is_response: bool,
        fixed: &[u8],
        limits: &FrameLimits,
    ) -> Result<Frame, CodecError> {
        let lengths_at = Self::lengths_at(is_response);
        let class_bytes = usize::from(u16_at(fixed, lengths_at));
        let header_bytes = usize::from(u16_at(fixed, lengths_at + 2));
        let content_bytes = u32_at(fixed, lengths_at + 4);
        section_fits("class name", class_bytes, lengths_at, limits)?;
        section_fits("header map", header_bytes, lengths_at + 2, limits)?;
        let checksum_bytes = if V == 1 { checksum_bytes(fixed) } else { 0 };
        // Summed in 64 bits: four bytes of length cannot overflow it.
        let total = (fixed.len() + class_bytes + header_bytes + checksum_bytes) as u64
            + u64::from(content_bytes);
        let total_bytes = limits.frame_bytes(total, lengths_at + 4)?;
        let class = Span { start: fixed.len(), bytes: class_bytes };
        let header = Span { start: class.range().end, bytes: header_bytes };
        let content = Span { start: header.range().end, bytes: content_bytes as usize };
        let (timeout_ms, status) = if is_response {
            (0, u16_at(fixed, Self::WORD_AT))
        } else {
            (u32_at(fixed, Self::WORD_AT) as i32, 0)
        };
        let origin = Self::origin(fixed);
        Ok(Frame { kind, origin, timeout_ms, status, class, header, content, total_bytes })
    }

    fn origin(fixed: &[u8]) -> Origin {
        Origin {
            id: u64::from(u32_at(fixed, Self::ID_AT)),
            version: fixed[0],
            revision: if V == 1 { fixed[REVISION_AT] } else { 0 },
            switches: if V == 1 { fixed[SWITCHES_AT] } else { 0 },
            serialization: fixed[Self::SERIALIZATION_AT],
        }
    }
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

/// Length of the checksum behind the content of this frame of version 2, by its fixed header.
fn checksum_bytes(fixed: &[u8]) -> usize {
    let has = fixed[REVISION_AT] == REVISION_CHECKSUM && fixed[SWITCHES_AT] & SWITCH_CHECKSUM != 0;
    if has { CHECKSUM_BYTES } else { 0 }
}

fn check_sum(frame: &[u8]) -> Result<(), CodecError> {
    if checksum_bytes(frame) == 0 {
        return Ok(());
    }
    let at_byte = frame.len() - CHECKSUM_BYTES;
    let (found, computed) = (u32_at(frame, at_byte), crc32fast::hash(&frame[..at_byte]));
    if found != computed {
        return Err(at(at_byte, Problem::Checksum { found, computed }));
    }
    Ok(())
}

/// Writes the checksum of a frame of version 2, if it has one.
fn write_sum(frame: &mut [u8]) {
    if checksum_bytes(frame) != 0 {
        let at = frame.len() - CHECKSUM_BYTES;
        let sum = crc32fast::hash(&frame[..at]);
        frame[at..].copy_from_slice(&sum.to_be_bytes());
    }
}

fn at(at_byte: usize, problem: Problem) -> CodecError {
    CodecError { at_byte, problem }
}

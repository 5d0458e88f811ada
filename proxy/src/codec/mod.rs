//! Protocols as pure functions over bytes.
//!
//! A [`Codec`] finds where a frame begins and ends, says what kind of frame it is and which id it
//! carries, rewrites that id in place, and builds the few frames that the proxy says itself. It does
//! no I/O, reads no clock and keeps no state between calls: the same bytes give the same answer.
//!
//! **The driver's contract:** hand over the bytes from the start of a frame; on
//! [`Decoded::Incomplete`] call again when at least `need_bytes` are there; on [`Decoded::Frame`]
//! go on behind `total_bytes`; on an error close the connection, for the next frame cannot be found.

pub mod bolt;

use std::fmt;
use std::ops::Range;

/// What a frame is, seen from whoever receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call that wants an answer.
    Request,
    /// A call that wants none.
    Oneway,
    /// The answer to a call.
    Response,
    /// A sign of life that wants an acknowledgement.
    Heartbeat,
    /// The acknowledgement of a heartbeat.
    HeartbeatAck,
    /// The peer asks for no further calls on this connection.
    GoAway,
}

/// The part of a request that an answer made by the proxy itself must repeat.
///
/// It is kept for every request in flight, so it is small and owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The id the sender chose.
    pub id: u64,
    /// The protocol's version, so that the answer is in the version of the question.
    pub version: u8,
    /// The protocol's name for how the content is serialized.
    pub serialization: u8,
}

/// A part of a frame, in bytes from the frame's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Length; 0 when the part is absent.
    pub bytes: usize,
}

impl Span {
    /// The part as a range to index the frame with.
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.bytes
    }
}

/// One whole frame, described by offsets into the bytes it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the frame is.
    pub kind: Kind,
    /// Id, version and serialization.
    pub origin: Origin,
    /// The time-out a request carries, in milliseconds as the sender wrote it; 0 or less means that
    /// it named none. Always 0 in a response.
    pub timeout_ms: i32,
    /// The status a response carries; 0 in every other frame.
    pub status: u16,
    /// The class name.
    pub class: Span,
    /// The header map.
    pub header: Span,
    /// The content.
    pub content: Span,
    /// Length of the whole frame.
    pub total_bytes: usize,
}

/// What [`Codec::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The frame is not whole yet.
    Incomplete {
        /// Bytes, counted from the frame's start, without which another call cannot get further.
        /// Always more than were handed over, and never more than the limits allow.
        need_bytes: usize,
    },
    /// A whole frame lies at the start of the bytes.
    Frame(Frame),
}

/// Limits on one frame. A frame that announces more is refused before any of it is buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Longest frame, everything included.
    pub frame_bytes_max: usize,
    /// Longest class name, and longest header map.
    pub header_bytes_max: usize,
}

/// Why the proxy answers a request itself; the codec turns it into its protocol's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalReply {
    /// No route matches, or the route names a cluster that does not exist (404 in HTTP's terms).
    NoRoute,
    /// The cluster has no host, or none that a connection could be made to (502).
    NoUpstream,
    /// The upstream connection was lost while the request waited for its answer (500).
    UpstreamLost,
    /// The time-out passed (504).
    Timeout,
    /// Every upstream connection already carries as many requests as it may (503).
    Overflow,
    /// The frame's header map could not be read, and a route needed it.
    BadHeader,
    /// A call came from the side that only answers.
    NoProcessor,
}

/// A protocol. See the module's page for the contract.
pub trait Codec: fmt::Debug {
    /// The name used in configuration and logs.
    fn name(&self) -> &'static str;

    /// Looks for one frame at the start of `bytes`.
    ///
    /// # Errors
    /// The bytes are not this protocol, or a length is above the limits. Found as early as the
    /// bytes allow: a wrong first byte is refused at the first byte.
    fn decode(&self, bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError>;

    /// Writes another id into a whole frame, in place.
    ///
    /// # Panics
    /// When `frame` is shorter than the protocol's fixed header.
    fn set_id(&self, frame: &mut [u8], id: u64);

    /// The value of `name` in the frame's header map; `None` when it is absent or null.
    ///
    /// The whole map is read even when the name comes first, so that a malformed map gets the same
    /// answer whatever is asked.
    ///
    /// # Errors
    /// The map is malformed. The frame's bounds are not in doubt then: the next frame is fine.
    fn header<'a>(
        &self,
        frame: &Frame,
        bytes: &'a [u8],
        name: &[u8],
    ) -> Result<Option<&'a [u8]>, CodecError>;

    /// Appends the acknowledgement of the heartbeat `origin`.
    fn heartbeat_ack(&self, origin: Origin, out: &mut Vec<u8>);

    /// Appends the answer that the proxy gives to the request `origin` itself.
    fn local_reply(&self, origin: Origin, reply: LocalReply, out: &mut Vec<u8>);
}

/// Bytes that are not a frame: what is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecError {
    /// Offset from the frame's first byte.
    pub at_byte: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The first byte is not the protocol's.
    Protocol {
        /// The byte found.
        found: u8,
        /// The byte expected.
        expected: u8,
    },
    /// The frame type is unknown.
    FrameType {
        /// The type found.
        found: u8,
    },
    /// The command is unknown, or does not go with the frame's type.
    Command {
        /// The command found.
        found: u16,
        /// The frame's type.
        frame_type: u8,
    },
    /// A section is longer than the limit.
    SectionTooLong {
        /// Which section.
        section: &'static str,
        /// The length announced.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The frame is longer than the limit.
    FrameTooLong {
        /// The length announced, fixed header included.
        bytes: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// A key or value of the header map ends behind the map.
    HeaderMap {
        /// Which of the two.
        part: &'static str,
        /// The length announced.
        bytes: u32,
        /// What is left of the map.
        left_bytes: usize,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of the frame: ", self.at_byte)?;
        match self.problem {
            Problem::Protocol { found, expected } => {
                write!(f, "protocol code {found:#04x}, expected {expected:#04x}")
            }
            Problem::FrameType { found } => {
                write!(f, "frame type {found}, expected 0 (response), 1 (request) or 2 (oneway)")
            }
            Problem::Command { found, frame_type } => {
                write!(f, "command code {found} is not known for frame type {frame_type}")
            }
            Problem::SectionTooLong { section, bytes, bytes_max } => {
                write!(f, "{section} of {bytes} bytes, the limit is {bytes_max}")
            }
            Problem::FrameTooLong { bytes, bytes_max } => {
                write!(f, "frame of {bytes} bytes announced, the limit is {bytes_max}")
            }
            Problem::HeaderMap { part, bytes, left_bytes } => write!(
                f,
                "header map: {part} of {bytes} bytes announced where {left_bytes} are left"
            ),
        }
    }
}

impl std::error::Error for CodecError {}

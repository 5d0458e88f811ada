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

mod bytes;
mod detect;
pub mod dubbo;
mod error;
mod protocol;
pub mod thrift;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::ids::IdWidth;

pub use detect::{Detected, detect};
pub use error::{CodecError, HeaderError, Problem};
pub use protocol::Protocol;

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
    /// A sign of life or a piece of news that wants nothing.
    Notice,
}

/// The part of a request that an answer made by the proxy itself must repeat.
///
/// It is kept for every request in flight, so it is small and owns nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The id the sender chose.
    pub id: u64,
    /// The protocol's version, so that the answer is in the version of the question.
    pub version: u8,
    /// The revision of that version; 0 in protocols that have none.
    pub revision: u8,
    /// Switches that the frame sets and its answer repeats; 0 in protocols that have none.
    pub switches: u8,
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
    /// The status a response carries, in its protocol's own numbers; 0 in every other frame.
    pub status: u16,
    /// What is called: Bolt's class name, Thrift's method. Absent in Dubbo, where it is part of the
    /// content.
    pub class: Span,
    /// Bolt's header map; the service of Thrift's multiplexed calls. Absent in Dubbo.
    pub header: Span,
    /// The content.
    pub content: Span,
    /// Length of the whole frame, a checksum behind the content included.
    pub total_bytes: usize,
}

impl Frame {
    /// The time-out that it names; `None` when what it carries is no time.
    pub fn timeout(&self) -> Option<Duration> {
        u64::try_from(self.timeout_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
    }
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

impl FrameLimits {
    /// No limits: to look at bytes that are not going to be buffered.
    pub const NONE: FrameLimits =
        FrameLimits { frame_bytes_max: usize::MAX, header_bytes_max: usize::MAX };

    /// The length of a frame that may be so long; `at_byte` is where it announces it.
    fn frame_bytes(&self, bytes: u64, at_byte: usize) -> Result<usize, CodecError> {
        let bytes_max = self.frame_bytes_max;
        match usize::try_from(bytes) {
            Ok(bytes) if bytes <= bytes_max => Ok(bytes),
            _ => Err(CodecError { at_byte, problem: Problem::FrameTooLong { bytes, bytes_max } }),
        }
    }
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
    /// The client's connection was lost while a host waited for its answer.
    ClientLost,
    /// The time-out passed (504).
    Timeout,
    /// Every upstream connection already carries as many requests as it may (503).
    Overflow,
    /// The frame's header map could not be read, and a route needed it.
    BadHeader,
    /// A call came from a host, and which client it is for is not known.
    NoProcessor,
    /// The request is not permitted (403).
    Denied,
}

impl LocalReply {
    /// What a person reads, in protocols that have room for it.
    pub fn text(self) -> &'static str {
        match self {
            LocalReply::NoRoute => "proxy: no route",
            LocalReply::NoUpstream => "proxy: no upstream host can be reached",
            LocalReply::UpstreamLost => "proxy: the upstream connection was lost",
            LocalReply::ClientLost => "proxy: the client's connection was lost",
            LocalReply::Timeout => "proxy: no answer in time",
            LocalReply::Overflow => "proxy: too many requests",
            LocalReply::BadHeader => "proxy: the request's header cannot be read",
            LocalReply::NoProcessor => "proxy: nobody serves calls here",
            LocalReply::Denied => "proxy: permission denied",
        }
    }
}

/// A protocol. See the module's page for the contract.
pub trait Codec: fmt::Debug {
    /// The name used in configuration and logs.
    fn name(&self) -> &'static str;

    /// How many bits of an id the protocol carries there and back.
    fn id_width(&self) -> IdWidth;

    /// How many bytes tell this protocol from all others: when [`decode`](Self::decode) has not
    /// refused so many, they are this protocol's. See [`detect`].
    fn signature_bytes(&self) -> usize;

    /// Looks for one frame at the start of `bytes`.
    ///
    /// # Errors
    /// The bytes are not this protocol, or a length is above the limits. Found as early as the
    /// bytes allow: a wrong first byte is refused at the first byte.
    fn decode(&self, bytes: &[u8], limits: &FrameLimits) -> Result<Decoded, CodecError>;

    /// Writes another id into a whole frame, in place, and its checksum anew if it has one.
    ///
    /// # Panics
    /// When `frame` is not a whole frame.
    fn set_id(&self, frame: &mut [u8], id: u64);

    /// What a request says about itself under `name`, for routes to look at; `None` when it says
    /// nothing. Which names there are is the protocol's matter: any key of Bolt's header map,
    /// `service`, `method`, `version` and `dubbo` in Dubbo, `method` and `service` in Thrift.
    ///
    /// Everything is read even when the name comes first, so that a malformed request gets the same
    /// answer whatever is asked.
    ///
    /// # Errors
    /// It cannot be read. The frame's bounds are not in doubt then: the next frame is fine.
    fn header<'a>(
        &self,
        frame: &Frame,
        bytes: &'a [u8],
        name: &[u8],
    ) -> Result<Option<&'a [u8]>, CodecError>;

    /// Appends the frame with the header `(name, value)` in place of all of that name; with no value
    /// those are taken out. Its id stays.
    ///
    /// # Errors
    /// The protocol has no headers that can be changed (only Bolt has), they cannot be read, or they
    /// become too long. Nothing is appended.
    fn set_header(
        &self,
        _frame: &Frame,
        _bytes: &[u8],
        _header: (&[u8], Option<&[u8]>),
        _out: &mut Vec<u8>,
    ) -> Result<(), HeaderError> {
        Err(HeaderError::Unsupported { protocol: self.name() })
    }

    /// The part of a request that [`local_reply`](Self::local_reply) must be given again, besides
    /// its origin. Absent in most protocols.
    fn repeated(&self, _frame: &Frame) -> Span {
        Span::default()
    }

    /// Appends the acknowledgement of the heartbeat `origin`.
    fn heartbeat_ack(&self, origin: Origin, out: &mut Vec<u8>);

    /// Appends the answer that the proxy gives to the request `origin` itself. `repeated` are the
    /// request's bytes at [`repeated`](Self::repeated).
    fn local_reply(&self, origin: Origin, repeated: &[u8], reply: LocalReply, out: &mut Vec<u8>);
}

//! Why connections end.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::codec::CodecError;
use crate::limits::KEEPALIVE_FAILURES_MAX;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum CloseReason {
    /// The peer closed it, between two frames.
    Eof,
    /// The peer closed it within a frame.
    Truncated { have_bytes: usize, need_bytes: usize },
    /// The socket failed.
    Io(io::Error),
    /// It was not made, or not in time.
    NotConnected(io::Error),
    /// The peer sent something else than frames.
    Undecodable(CodecError),
    /// A filter has stopped it.
    Stopped,
    /// The peer sends and does not read.
    NotReading { waiting_bytes: usize },
    /// The peer was silent for so long.
    Idle { after: Duration },
    /// The peer took so long over one frame.
    Trickle { have_bytes: usize, need_bytes: usize, after: Duration },
    /// The peer gives no sign of life.
    Silent,
    /// The connection that it was bound to has ended.
    Unbound,
    /// It was asked to end, or nobody needs it any more.
    Retired,
    /// The proxy stops, and nothing is in flight.
    Drained,
    /// The proxy stops, and has waited long enough.
    Cut,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Eof => f.write_str("the peer closed the connection"),
            CloseReason::Truncated { have_bytes, need_bytes } => write!(
                f,
                "truncated frame: the peer closed the connection after {have_bytes} of at least \
                 {need_bytes} bytes"
            ),
            CloseReason::Io(error) => error.fmt(f),
            CloseReason::NotConnected(error) => write!(f, "cannot connect: {error}"),
            CloseReason::Undecodable(error) => write!(f, "undecodable frame: {error}"),
            CloseReason::NotReading { waiting_bytes } => {
                write!(f, "the peer does not read: {waiting_bytes} bytes wait for it")
            }
            CloseReason::Silent => write!(
                f,
                "the peer is silent: {KEEPALIVE_FAILURES_MAX} heartbeats without an answer"
            ),
            CloseReason::Unbound => f.write_str("the connection that it was bound to has ended"),
            CloseReason::Stopped => f.write_str("a filter has stopped it"),
            CloseReason::Idle { after } => write!(f, "idle for {after:?}"),
            CloseReason::Trickle { have_bytes, need_bytes, after } => write!(
                f,
                "unfinished frame: {have_bytes} of at least {need_bytes} bytes after {after:?}"
            ),
            CloseReason::Retired => f.write_str("retired"),
            CloseReason::Drained => f.write_str("the proxy stops"),
            CloseReason::Cut => f.write_str("the proxy stops, and its time to do so is over"),
        }
    }
}

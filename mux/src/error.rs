//! What can go wrong, for whom, and who began it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::proto::{GoAwayCode, ResetCode, Violation};

/// What an error ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: a call has failed, and what it was made on goes on.
    Nothing,
    /// One stream. Its session and the other streams go on.
    Stream,
    /// The session and every stream in it. Of a GoAway 0 and of ids that are used up: what could
    /// still be opened in it; the streams that are there go on.
    Session,
}

/// The side that began something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// This side.
    Local,
    /// The other side.
    Remote,
}

/// Why a stream or a session does no more. Cheap to clone: a session's end reaches every stream.
///
/// Inside the [`io::Error`] of `AsyncRead` and `AsyncWrite` it is found by [`Error::of`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The stream was reset: by a call or a drop on the side named, or by this side because of a
    /// rule or a limit that the code names.
    Reset {
        /// Who reset it.
        by: Initiator,
        /// Why, as that side has put it.
        code: ResetCode,
    },
    /// The peer did not accept the stream within [`Config::open_timeout`](crate::Config).
    OpenTimeout {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The deadline of reads, or of writes, has passed. The stream lives: another deadline, or none,
    /// and it goes on.
    DeadlineExceeded,
    /// A write after this side's own `shutdown`.
    WriteAfterShutdown,
    /// Every stream id of this side has been used. A new session has new ones.
    IdsExhausted,
    /// A side said GoAway. With [`GoAwayCode::Normal`] only new streams are refused; with any other
    /// code the session is over.
    GoAway {
        /// Who said it.
        by: Initiator,
        /// What it said.
        code: GoAwayCode,
    },
    /// The peer broke a rule. It was told so (GoAway 1), and the session is over.
    Protocol(Violation),
    /// Reading from or writing to the connection failed. [`io::ErrorKind::UnexpectedEof`]: it ended
    /// within a frame; or without a GoAway, while somebody held a stream that the peer had not ended, as
    /// when the peer's process is killed.
    Io(Arc<io::Error>),
    /// The peer gave no sign of life in [`Config::keepalive_timeout`](crate::Config), though asked.
    KeepaliveTimeout {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The peer did not answer a ping within [`Config::ping_timeout`](crate::Config). The session
    /// goes on.
    PingTimeout {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The peer took none of what was written to it in
    /// [`Config::write_stall_timeout`](crate::Config).
    WriteStall {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Closing the session took longer than [`Config::close_timeout`](crate::Config): something that
    /// was written may not have reached the peer.
    CloseTimeout {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Streams were left when [`Session::drain`](crate::Session::drain) had waited as long as it was
    /// told to. They have ended with [`Error::Closed`].
    DrainTimeout {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The session was closed, in order.
    Closed {
        /// Who closed it.
        by: Initiator,
    },
    /// The driver future was dropped before the session was closed.
    DriverGone,
}

impl Error {
    /// The one that `err` carries, if it comes from this crate.
    #[must_use]
    pub fn of(err: &io::Error) -> Option<&Self> {
        err.get_ref()?.downcast_ref()
    }

    /// What it ends: the stream, the session as a whole, or nothing.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::DeadlineExceeded | Self::WriteAfterShutdown | Self::PingTimeout { .. } => {
                Scope::Nothing
            }
            Self::Reset { .. } | Self::OpenTimeout { .. } => Scope::Stream,
            Self::IdsExhausted
            | Self::GoAway { .. }
            | Self::Protocol(_)
            | Self::Io(_)
            | Self::KeepaliveTimeout { .. }
            | Self::WriteStall { .. }
            | Self::CloseTimeout { .. }
            | Self::DrainTimeout { .. }
            | Self::Closed { .. }
            | Self::DriverGone => Scope::Session,
        }
    }

    /// Who began it. `None` where nobody did: the connection failed, or fell silent.
    #[must_use]
    pub fn initiator(&self) -> Option<Initiator> {
        match self {
            Self::Reset { by, .. } | Self::GoAway { by, .. } | Self::Closed { by } => Some(*by),
            Self::Protocol(_) => Some(Initiator::Remote),
            Self::WriteAfterShutdown
            | Self::DeadlineExceeded
            | Self::DrainTimeout { .. }
            | Self::IdsExhausted
            | Self::DriverGone => Some(Initiator::Local),
            Self::Io(_)
            | Self::OpenTimeout { .. }
            | Self::KeepaliveTimeout { .. }
            | Self::PingTimeout { .. }
            | Self::WriteStall { .. }
            | Self::CloseTimeout { .. } => None,
        }
    }

    /// Whether it is the orderly end of a session.
    pub(crate) fn is_orderly(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Reset { .. } => io::ErrorKind::ConnectionReset,
            Self::WriteAfterShutdown => io::ErrorKind::BrokenPipe,
            Self::Protocol(_) => io::ErrorKind::InvalidData,
            Self::Io(err) => err.kind(),
            Self::OpenTimeout { .. }
            | Self::DeadlineExceeded
            | Self::KeepaliveTimeout { .. }
            | Self::PingTimeout { .. }
            | Self::WriteStall { .. }
            | Self::CloseTimeout { .. }
            | Self::DrainTimeout { .. } => io::ErrorKind::TimedOut,
            Self::GoAway { .. } | Self::Closed { .. } | Self::IdsExhausted | Self::DriverGone => {
                io::ErrorKind::ConnectionAborted
            }
        }
    }
}

impl fmt::Display for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "this side",
            Self::Remote => "the peer",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset { by, code } => write!(f, "stream reset by {by}: {code:?}"),
            Self::OpenTimeout { waited } => write!(f, "the peer did not accept for {waited:?}"),
            Self::DeadlineExceeded => f.write_str("the deadline has passed"),
            Self::WriteAfterShutdown => f.write_str("write after shutdown of the stream"),
            Self::IdsExhausted => f.write_str("no stream ids left in the session"),
            Self::GoAway { by, code } => write!(f, "{by} goes away: {code:?}"),
            Self::Protocol(violation) => write!(f, "protocol error by the peer: {violation}"),
            Self::Io(err) => write!(f, "connection failed: {err}"),
            Self::KeepaliveTimeout { waited } => write!(f, "no sign of life for {waited:?}"),
            Self::PingTimeout { waited } => write!(f, "no answer to a ping for {waited:?}"),
            Self::WriteStall { waited } => write!(f, "the peer read nothing for {waited:?}"),
            Self::CloseTimeout { waited } => write!(f, "closing took longer than {waited:?}"),
            Self::DrainTimeout { waited } => write!(f, "streams were left after {waited:?}"),
            Self::Closed { by } => write!(f, "session closed by {by}"),
            Self::DriverGone => f.write_str("the session's driver was dropped"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // What it says itself stands in the text already.
            Self::Io(err) => err.source(),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(err: Error) -> Self {
        io::Error::new(err.kind(), err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_scope_initiator_kind_and_cause() {
        let reset = Error::Reset { by: Initiator::Remote, code: ResetCode::of(7) };
        assert_eq!(reset.to_string(), "stream reset by the peer: 0x7");
        assert_eq!(reset.scope(), Scope::Stream);
        assert_eq!(reset.initiator(), Some(Initiator::Remote));
        let err = io::Error::from(reset);
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(Error::of(&err), Some(Error::Reset { by: Initiator::Remote, .. })));

        let waited = Duration::from_secs(1);
        for goes_on in
            [Error::DeadlineExceeded, Error::WriteAfterShutdown, Error::PingTimeout { waited }]
        {
            assert_eq!(goes_on.scope(), Scope::Nothing, "{goes_on}");
        }
        assert_eq!(Error::OpenTimeout { waited }.scope(), Scope::Stream);
        assert_eq!(Error::KeepaliveTimeout { waited }.scope(), Scope::Session);

        let failed = Error::Io(Arc::new(io::ErrorKind::UnexpectedEof.into()));
        assert_eq!((failed.scope(), failed.initiator()), (Scope::Session, None));
        assert_eq!(failed.to_string(), "connection failed: unexpected end of file");
        assert_eq!(io::Error::from(failed).kind(), io::ErrorKind::UnexpectedEof);
    }
}

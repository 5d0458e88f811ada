//! Why there is no stream to a peer.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Error;

/// Why a host did not do what it was asked to: for which peer, and why. Cheap to clone if the
/// peer's name is: all callers of one dial get the same.
///
/// ```
/// use mux::host::{HostError, HostErrorKind};
///
/// let error = HostError { peer: "bob", kind: HostErrorKind::DialSelf };
/// assert_eq!(error.to_string(), r#"peer "bob": that is this host itself"#);
/// ```
#[derive(Clone, Debug)]
pub struct HostError<P> {
    /// Whom it is about.
    pub peer: P,
    /// What it is.
    pub kind: HostErrorKind,
}

/// What went wrong.
///
/// ```
/// use mux::host::HostErrorKind;
///
/// /// Whether it makes sense to ask again, and when.
/// fn again(kind: &HostErrorKind) -> Option<std::time::Instant> {
///     match kind {
///         HostErrorKind::Dial { retry_at, .. } | HostErrorKind::BackOff { retry_at, .. } => Some(*retry_at),
///         HostErrorKind::DialQueueFull { .. } => Some(reactor::time::now()),
///         _ => None,
///     }
/// }
/// assert!(again(&HostErrorKind::DialSelf).is_none());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HostErrorKind {
    /// The peer is one of [`HostConfig::local`](super::HostConfig::local).
    DialSelf,
    /// No session with the peer is open, and the call was one that does not dial.
    NoDial,
    /// The dial failed. Whoever asks before `retry_at` gets [`BackOff`](Self::BackOff).
    Dial {
        /// Why.
        failure: DialFailure,
        /// When the peer can be dialed again, on the clock of `reactor::time::now`.
        retry_at: Instant,
    },
    /// Dials to the peer have failed lately, so it is left alone for a while. Nothing was dialed.
    BackOff {
        /// When the peer can be dialed again, on the clock of `reactor::time::now`.
        retry_at: Instant,
        /// How long that was from when this error was made.
        left: Duration,
        /// How many dials have failed in a row.
        failures: u32,
        /// Why the last of them did.
        last: DialFailure,
    },
    /// As many dials wait for others to end as
    /// [`HostConfig::dials_queued_max`](super::HostConfig) says. Nothing was dialed.
    DialQueueFull {
        /// How many that is.
        queued_max: usize,
    },
    /// As many sessions are alive as [`HostConfig::sessions_max`](super::HostConfig) says, or as
    /// `sessions_per_peer_max` says of this peer. The connection is closed, if it was made already.
    SessionsFull {
        /// How many that is.
        sessions_max: usize,
    },
    /// The session did not open a stream, nor did another one after it; or it did not close in
    /// order.
    Session(Error),
    /// The host is being closed, or is closed.
    Closed,
}

/// Why a dial failed. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DialFailure {
    /// The dialer says so.
    Io(Arc<io::Error>),
    /// It took longer than [`HostConfig::dial_timeout`](super::HostConfig).
    Timeout {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Its task ended without an answer: the dialer panicked, or its runtime was dropped.
    Lost,
}

impl<P> HostError<P> {
    pub(super) fn new(peer: P, kind: HostErrorKind) -> Self {
        Self { peer, kind }
    }
}

impl HostErrorKind {
    fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::DialSelf => io::ErrorKind::InvalidInput,
            Self::NoDial => io::ErrorKind::NotConnected,
            Self::Dial { failure, .. } => failure.io_kind(),
            Self::BackOff { .. } => io::ErrorKind::HostUnreachable,
            Self::DialQueueFull { .. } | Self::SessionsFull { .. } => io::ErrorKind::ResourceBusy,
            Self::Session(err) => io::Error::from(err.clone()).kind(),
            Self::Closed => io::ErrorKind::ConnectionAborted,
        }
    }
}

impl DialFailure {
    fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Io(err) => err.kind(),
            Self::Timeout { .. } => io::ErrorKind::TimedOut,
            Self::Lost => io::ErrorKind::Other,
        }
    }
}

impl<P: fmt::Debug> fmt::Display for HostError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {:?}: {}", self.peer, self.kind)
    }
}

impl fmt::Display for HostErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DialSelf => f.write_str("that is this host itself"),
            Self::NoDial => f.write_str("there is no session, and no dial was wanted"),
            Self::Dial { failure, .. } => write!(f, "dial failed: {failure}"),
            Self::BackOff { left, failures, last, .. } => {
                write!(f, "left alone for {left:?} more, after {failures} failed dials: {last}")
            }
            Self::DialQueueFull { queued_max } => {
                write!(f, "{queued_max} dials wait already for others to end")
            }
            Self::SessionsFull { sessions_max } => {
                write!(f, "there are {sessions_max} sessions already")
            }
            Self::Session(err) => write!(f, "session: {err}"),
            Self::Closed => f.write_str("the host is closed"),
        }
    }
}

impl fmt::Display for DialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(err) => err.fmt(f),
            Self::Timeout { waited } => write!(f, "no connection in {waited:?}"),
            Self::Lost => f.write_str("it ended without an answer"),
        }
    }
}

impl<P: fmt::Debug> StdError for HostError<P> {
    /// What the dialer or the session said.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            HostErrorKind::Dial { failure: DialFailure::Io(err), .. }
            | HostErrorKind::BackOff { last: DialFailure::Io(err), .. } => Some(err.as_ref()),
            HostErrorKind::Session(err) => Some(err),
            _ => None,
        }
    }
}

impl<P: fmt::Debug + Send + Sync + 'static> From<HostError<P>> for io::Error {
    fn from(err: HostError<P>) -> Self {
        io::Error::new(err.kind.io_kind(), err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Initiator;

    fn refused() -> DialFailure {
        DialFailure::Io(Arc::new(io::Error::new(io::ErrorKind::ConnectionRefused, "go away")))
    }

    #[test]
    fn errors_name_the_peer_the_cause_and_the_kind() {
        let retry_at = Instant::now();
        let left = Duration::from_secs(5);
        let back_off = || HostErrorKind::BackOff { retry_at, left, failures: 1, last: refused() };
        let timeout = DialFailure::Timeout { waited: Duration::from_secs(15) };
        let session = HostErrorKind::Session(Error::Closed { by: Initiator::Remote });
        let rows = [
            (HostErrorKind::DialSelf, io::ErrorKind::InvalidInput, "itself"),
            (HostErrorKind::NoDial, io::ErrorKind::NotConnected, "no session"),
            (
                HostErrorKind::Dial { failure: refused(), retry_at },
                io::ErrorKind::ConnectionRefused,
                "go away",
            ),
            (HostErrorKind::Dial { failure: timeout, retry_at }, io::ErrorKind::TimedOut, "15s"),
            (
                HostErrorKind::Dial { failure: DialFailure::Lost, retry_at },
                io::ErrorKind::Other,
                "without an answer",
            ),
            (back_off(), io::ErrorKind::HostUnreachable, "5s more, after 1 failed dials: go away"),
            (HostErrorKind::DialQueueFull { queued_max: 7 }, io::ErrorKind::ResourceBusy, "7"),
            (HostErrorKind::SessionsFull { sessions_max: 8 }, io::ErrorKind::ResourceBusy, "8"),
            (session, io::ErrorKind::ConnectionAborted, "closed by the peer"),
            (HostErrorKind::Closed, io::ErrorKind::ConnectionAborted, "host is closed"),
        ];
        for (kind, io_kind, text) in rows {
            let err = HostError::new("bob", kind);
            let said = err.to_string();
            assert!(said.starts_with("peer \"bob\": ") && said.contains(text), "{said}");
            assert_eq!(io::Error::from(err).kind(), io_kind, "{said}");
        }
        assert!(HostError::new(1, back_off()).source().unwrap().to_string().contains("go away"));
        assert!(HostError::new(1, HostErrorKind::Closed).source().is_none());
    }
}

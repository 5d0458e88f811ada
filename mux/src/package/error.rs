//! What can go wrong with packages, calls and requests, and on which side.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::Malformed;
use crate::Initiator;

/// What was waited for when a deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// A call, for its turn.
    Queue,
    /// A call, for its connection.
    Connect,
    /// A call, for the connection to take its request.
    Send,
    /// A call, for its reply.
    Reply,
    /// A worker, for the request of a connection that it has accepted.
    Request,
    /// A worker, for the caller to take a package of the reply.
    Write,
}

/// Why a package, a call or a request came to nothing.
///
/// ```
/// use mux::package::{CallConfig, Caller, Error};
/// use std::io;
///
/// let nobody = async || Err::<futures_util::io::Cursor<Vec<u8>>, _>(io::ErrorKind::PermissionDenied.into());
/// let caller = Caller::new(nobody, CallConfig::default());
/// match reactor::block_on(caller.call("hello"))?.unwrap_err() {
///     Error::Connect { attempts, cause } => {
///         assert_eq!((attempts, cause.kind()), (1, io::ErrorKind::PermissionDenied));
///     }
///     Error::WorkerGone { sent_bytes, .. } => panic!("it may have acted on {sent_bytes} bytes"),
///     err => panic!("{err}"),
/// }
/// # Ok::<_, io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// What one side sent, or was about to send, is no package that is allowed. The connection is
    /// of no more use, unless it was this side: then nothing was sent.
    Malformed {
        /// The side whose package it is.
        by: Initiator,
        /// What is wrong, and where.
        what: Malformed,
    },
    /// Reading from or writing to the connection failed.
    Io(Arc<io::Error>),
    /// A worker was told to send an empty package before the end, where it would be the end.
    EmptyReply,
    /// A worker gave up a [`reply`](super::Request::reply), by dropping its future, before its
    /// package was taken. Whatever came behind it would hide the gap, so nothing does, and the
    /// reply gets no end.
    ReplyDropped,
    /// As many calls as are allowed wait for their turn already. Nothing was sent.
    QueueFull {
        /// [`CallConfig::pending_max`](super::CallConfig).
        pending_max: usize,
    },
    /// No connection could be made that took a byte of the request.
    Connect {
        /// How often it was tried.
        attempts: u32,
        /// Why not, the last time.
        cause: Arc<io::Error>,
    },
    /// The time was up.
    DeadlineExceeded {
        /// What was waited for.
        during: Stage,
    },
    /// The worker's end of the connection went away before its reply had ended. It may have done
    /// what it was asked for, or not, or in part.
    WorkerGone {
        /// Bytes of the request, with its header, that the connection had taken.
        sent_bytes: u64,
        /// Whole packages of the reply that had come.
        packages: u64,
        /// How it showed, if not by an orderly end: a failed read or write, or a package cut off.
        cause: Option<Box<Self>>,
    },
    /// The caller's end of the connection went away before its request was whole, or before it had
    /// taken the reply.
    CallerGone {
        /// How it showed, if not by an orderly end.
        cause: Option<Box<Self>>,
    },
    /// No more connections can be accepted.
    Accept(Arc<io::Error>),
}

impl Error {
    /// The side whose doing it is, seen from this one. `None` where nobody's is known to be.
    #[must_use]
    pub fn side(&self) -> Option<Initiator> {
        match self {
            Self::Malformed { by, .. } => Some(*by),
            Self::EmptyReply | Self::ReplyDropped | Self::QueueFull { .. } | Self::Accept(_) => {
                Some(Initiator::Local)
            }
            Self::WorkerGone { .. } | Self::CallerGone { .. } => Some(Initiator::Remote),
            Self::Io(_) | Self::Connect { .. } | Self::DeadlineExceeded { .. } => None,
        }
    }

    pub(super) fn io(err: io::Error) -> Self {
        Self::Io(Arc::new(err))
    }

    pub(super) fn received(what: Malformed) -> Self {
        Self::Malformed { by: Initiator::Remote, what }
    }

    pub(super) fn own(what: Malformed) -> Self {
        Self::Malformed { by: Initiator::Local, what }
    }

    /// Whether it is how the other side's going away looks: anything else about a connection is a
    /// fault of its own.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Malformed { what: Malformed::CutOff { .. }, .. })
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Malformed { by: Initiator::Remote, .. } => io::ErrorKind::InvalidData,
            Self::Malformed { by: Initiator::Local, .. }
            | Self::EmptyReply
            | Self::ReplyDropped => io::ErrorKind::InvalidInput,
            Self::QueueFull { .. } => io::ErrorKind::QuotaExceeded,
            Self::Io(err) | Self::Accept(err) | Self::Connect { cause: err, .. } => err.kind(),
            Self::DeadlineExceeded { .. } => io::ErrorKind::TimedOut,
            Self::WorkerGone { .. } => io::ErrorKind::UnexpectedEof,
            Self::CallerGone { .. } => io::ErrorKind::ConnectionAborted,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "waiting for a turn",
            Self::Connect => "connecting",
            Self::Send => "sending the request",
            Self::Reply => "waiting for the reply",
            Self::Request => "waiting for the request",
            Self::Write => "the caller took the reply",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { by, what } => write!(f, "{by} sends {what}"),
            Self::Io(_) => f.write_str("connection failed"),
            Self::EmptyReply => f.write_str("an empty package would end the reply"),
            Self::ReplyDropped => {
                f.write_str("a package of the reply was given up before it was taken")
            }
            Self::QueueFull { pending_max } => {
                write!(f, "{pending_max} calls wait already, and no more may")
            }
            Self::Connect { attempts, .. } => {
                write!(f, "no connection that takes the request, tried {attempts} times")
            }
            Self::DeadlineExceeded { during } => {
                write!(f, "the deadline has passed while {during}")
            }
            Self::WorkerGone { sent_bytes, packages, .. } => write!(
                f,
                "the worker went away: {sent_bytes} bytes of the request sent, \
                 {packages} packages of the reply received, and no end"
            ),
            Self::CallerGone { .. } => f.write_str("the caller went away"),
            Self::Accept(_) => f.write_str("no more connections can be accepted"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Malformed { what, .. } => Some(what),
            Self::Io(err) | Self::Accept(err) | Self::Connect { cause: err, .. } => Some(&**err),
            Self::WorkerGone { cause, .. } | Self::CallerGone { cause } => {
                cause.as_deref().map(|cause| cause as _)
            }
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(err: Error) -> Self {
        Self::new(err.kind(), err)
    }
}

//! What comes back.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use super::deadline::before;
use super::gate::Permit;
use super::{Error, Packages, Stage};

/// How a reply ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyEnd {
    /// By an empty package, as in Swoole's `dispatch_mode` 7 (`Worker_onStreamPackage` in
    /// src/server/worker.cc). A connection that ends without it is a worker that died.
    #[default]
    EmptyPackage,
    /// By the end of the connection, behind a whole package, as with Swoole's `Process\Pool` on a
    /// socket (src/os/process_pool.cc), which sends one package, or none, and hangs up. A worker
    /// that died between packages cannot be told from one that is done. An empty package ends a
    /// reply too.
    HangUp,
}

/// The reply to one call: packages, then its end.
///
/// Its connection is closed, and the next call has its turn, when the reply has ended in whatever
/// way, or is dropped.
pub struct Reply<S> {
    state: State<S>,
    deadline: Option<Instant>,
    reply_end: ReplyEnd,
    packages: u64,
}

enum State<S> {
    Open { packages: Packages<S>, _permit: Permit },
    Over(Result<(), Error>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reply<S> {
    pub(super) fn new(
        packages: Packages<S>,
        permit: Permit,
        deadline: Option<Instant>,
        reply_end: ReplyEnd,
    ) -> Self {
        let state = State::Open { packages, _permit: permit };
        Self { state, deadline, reply_end, packages: 0 }
    }

    /// The body of the next package; `None` when the reply is whole.
    ///
    /// Cancel-safe: what has come stays.
    ///
    /// # Errors
    /// [`Error::WorkerGone`] when the connection ended before the reply did. [`Error::Malformed`]
    /// by the worker, for a package beyond the limit. [`Error::DeadlineExceeded`]. Each ends the
    /// call, and is given again by every further call of this.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let outcome = match &mut self.state {
            State::Over(Ok(())) => return Ok(None),
            State::Over(Err(err)) => return Err(err.clone()),
            State::Open { packages, .. } => {
                let read = before(self.deadline, Stage::Reply, packages.read()).await;
                let sent_bytes = packages.written_bytes();
                read.flatten().map_err(|err| self.failure(err, sent_bytes)).and_then(|package| {
                    match (package, self.reply_end) {
                        (Some(package), _) => Ok(Some(package.into_body())),
                        (None, ReplyEnd::HangUp) => Ok(None),
                        (None, ReplyEnd::EmptyPackage) => Err(self.gone(sent_bytes, None)),
                    }
                })
            }
        };
        match outcome {
            Ok(Some(body)) if !body.is_empty() => {
                self.packages += 1;
                Ok(Some(body))
            }
            Ok(_) => {
                self.state = State::Over(Ok(()));
                Ok(None)
            }
            Err(err) => {
                self.state = State::Over(Err(err.clone()));
                Err(err)
            }
        }
    }

    /// Another deadline than that of the call, or none: for replies that may take as long as they
    /// come.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Packages that have come.
    #[must_use]
    pub fn packages(&self) -> u64 {
        self.packages
    }

    fn failure(&self, err: Error, sent_bytes: u64) -> Error {
        if err.is_loss() { self.gone(sent_bytes, Some(Box::new(err))) } else { err }
    }

    fn gone(&self, sent_bytes: u64, cause: Option<Box<Error>>) -> Error {
        Error::WorkerGone { sent_bytes, packages: self.packages, cause }
    }
}

impl<S> fmt::Debug for Reply<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = matches!(self.state, State::Over(_));
        f.debug_struct("Reply")
            .field("packages", &self.packages)
            .field("over", &over)
            .finish_non_exhaustive()
    }
}

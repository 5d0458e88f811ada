//! A request that a worker has taken.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use super::deadline::{after, before};
use super::{Error, Packages, ReplyEnd, Stage, WorkConfig};

/// A request, and the connection that its reply goes out on.
///
/// It borrows its [`Worker`](super::Worker), which so accepts nothing before this is finished or
/// dropped. Dropping it without [`finish`](Self::finish) closes the connection: the caller learns
/// that the worker has died, as it does when the whole process goes.
pub struct Request<'w, S> {
    packages: Packages<S>,
    body: Bytes,
    reply_end: ReplyEnd,
    write_timeout: Duration,
    deadline: Option<Instant>,
    /// Then the connection is of no more use: a handler that does not look waits only once.
    failed: Option<Error>,
    worker: PhantomData<&'w mut ()>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Request<'_, S> {
    pub(super) fn new(packages: Packages<S>, body: Bytes, config: &WorkConfig) -> Self {
        let (reply_end, write_timeout) = (config.reply_end, config.write_timeout);
        let (deadline, failed, worker) = (None, None, PhantomData);
        Self { packages, body, reply_end, write_timeout, deadline, failed, worker }
    }

    /// What the caller asks.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The connection, to see who asks.
    #[must_use]
    pub fn connection(&self) -> &S {
        self.packages.get_ref()
    }

    /// Waits until the caller has hung up: for a handler that computes, and is to stop when nobody
    /// wants to know any more. Nothing comes of it by itself: dropping the request ends it.
    ///
    /// Cancel-safe, and a reply may be sent behind it. What the caller sends meanwhile is read and
    /// dropped. A caller that ends only its own direction of the connection, and reads on, looks
    /// the same; neither a [`Caller`](super::Caller) nor Swoole does that.
    ///
    /// ```
    /// # #[path = "../../tests/support/mod.rs"] mod support;
    /// use futures_util::future::{Either, select};
    /// use mux::package::{Error, Request};
    /// use std::pin::pin;
    ///
    /// # async fn factors(_: bytes::Bytes) -> bytes::Bytes { bytes::Bytes::new() }
    /// async fn handle(request: &mut Request<'_, support::End>) -> Result<(), Error> {
    ///     let computing = pin!(factors(request.body().clone()));
    ///     let Either::Left((answer, _)) = select(computing, pin!(request.closed())).await else {
    ///         return Err(Error::CallerGone { cause: None });
    ///     };
    ///     request.reply(answer).await
    /// }
    /// ```
    pub async fn closed(&mut self) {
        self.packages.ended().await;
    }

    /// When the whole reply has to be with the caller, whatever [`WorkConfig::write_timeout`] gives
    /// each package. `None`, as it is at first: no such time.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Sends a package of the reply.
    ///
    /// If the future is dropped after it was polled, the package goes out all the same, before the
    /// next one; unless an earlier one that was dropped so was still on its way. Then it was not
    /// taken, and the reply is never whole: everything that follows is [`Error::ReplyDropped`], and
    /// the caller sees a worker that has died. So give a caller more time by
    /// [`set_deadline`](Self::set_deadline), not by one `timeout` after the other.
    ///
    /// # Errors
    /// [`Error::EmptyReply`] for an empty body, and [`Error::Malformed`] by this side for one
    /// beyond the limit: nothing is sent, and the request goes on. After every other error it is
    /// over, and this gives the same again: [`Error::DeadlineExceeded`] when the caller did not
    /// take the package in time, or the deadline was over before, [`Error::CallerGone`], and
    /// [`Error::ReplyDropped`].
    ///
    /// # Panics
    /// When polled outside a runtime.
    pub async fn reply(&mut self, body: impl Into<Bytes>) -> Result<(), Error> {
        let body = body.into();
        if body.is_empty() {
            return Err(Error::EmptyReply);
        }
        self.send(async |packages| packages.write(body).await).await
    }

    /// Ends the reply and closes the connection. Does not wait until the caller has read it.
    ///
    /// What a caller has sent behind its request is not read, unless [`closed`](Self::closed) was
    /// waited for. Over a Unix socket it still gets all of the
    /// reply; over TCP the reset that follows unread bytes may overtake the end of it.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub async fn finish(mut self) -> Result<(), Error> {
        let end = self.reply_end;
        self.send(async |packages| {
            if end == ReplyEnd::EmptyPackage {
                packages.write(Bytes::new()).await?;
            }
            packages.close().await
        })
        .await
    }

    async fn send<'s, F>(
        &'s mut self,
        act: impl FnOnce(&'s mut Packages<S>) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        if self.failed.is_none() && self.packages.has_untaken() {
            self.failed = Some(Error::ReplyDropped);
        }
        if let Some(err) = &self.failed {
            return Err(err.clone());
        }
        let deadline = match (after(self.write_timeout), self.deadline) {
            (Some(each), Some(all)) => Some(each.min(all)),
            (each, all) => each.or(all),
        };
        let sent = before(deadline, Stage::Write, act(&mut self.packages)).await.flatten();
        let failure = match sent {
            Ok(()) => return Ok(()),
            Err(err @ Error::Malformed { .. }) => return Err(err),
            Err(err @ Error::Io(_)) => Error::CallerGone { cause: Some(err.into()) },
            Err(err) => err,
        };
        self.failed = Some(failure.clone());
        Err(failure)
    }
}

impl<S> fmt::Debug for Request<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("bytes", &self.body.len())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

//! The side that answers: one request after another.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};

use super::deadline::{after, within};
use super::{Error, Format, Packages, ReplyEnd, Request, Stage};

/// Accepts connections of callers. Every closure `AsyncFn() -> io::Result<S>` does.
pub trait Accept {
    /// What it accepts.
    type Io: AsyncRead + AsyncWrite + Unpin;

    /// The next connection. It is to be cancel-safe. An error means that there will be none: to
    /// wait until descriptors are free again is up to the implementation, as to `net`'s `incoming`.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Io>>;
}

impl<F, S> Accept for F
where
    F: AsyncFn() -> io::Result<S>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Io = S;

    fn accept(&self) -> impl Future<Output = io::Result<S>> {
        self()
    }
}

/// Limits of a [`Worker`].
///
/// ```
/// use std::time::Duration;
/// use mux::package::WorkConfig;
///
/// let write_timeout = Duration::from_secs(1);
/// let config = WorkConfig { write_timeout, ..WorkConfig::default() };
/// assert_eq!(config.request_timeout, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug)]
pub struct WorkConfig {
    /// What requests and replies look like. Default: [`Format::STREAM`].
    pub format: Format,
    /// How a reply ends. Default: by an empty package.
    pub reply_end: ReplyEnd,
    /// How long a caller may take to send its request, from the moment its connection is accepted.
    /// Then the connection is closed. Default: 10 s.
    pub request_timeout: Duration,
    /// How long a caller may take to accept a package of the reply. Then the connection is closed.
    /// Default: 10 s.
    pub write_timeout: Duration,
}

impl Default for WorkConfig {
    fn default() -> Self {
        Self {
            format: Format::STREAM,
            reply_end: ReplyEnd::EmptyPackage,
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// Takes requests from connections, one at a time.
///
/// **While it has a [`Request`], it accepts nothing**: the request borrows it. So requests wait in
/// the backlog of the listening socket, and whichever worker is idle first pulls the next one.
/// Several of them share a socket, as tasks with one listener or as processes that have inherited
/// it. Nobody decides in advance who gets what, and none is given a request while another is idle.
///
/// ```
/// # #[path = "../../tests/support/mod.rs"] mod support;
/// use mux::package::{WorkConfig, Worker};
///
/// # use futures_util::{AsyncReadExt, AsyncWriteExt};
/// # reactor::block_on(async {
/// let (mut near, far) = support::pipe(1024);
/// # let far = std::cell::Cell::new(Some(far));
/// let accept = async || Ok(far.take().unwrap());            // with net: listener.accept()
/// let mut worker = Worker::new(accept, WorkConfig::default());
/// near.write_all(b"\0\0\0\x0221").await.unwrap();          // a caller, by hand
///
/// let mut request = worker.next().await?;
/// assert_eq!(request.body(), "21");
/// request.reply("42").await?;
/// request.finish().await?;
///
/// let mut reply = Vec::new();
/// near.read_to_end(&mut reply).await.unwrap();
/// assert_eq!(reply, b"\0\0\0\x0242\0\0\0\0");
/// # Ok::<_, mux::package::Error>(())
/// # })?.unwrap();
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Worker<A: Accept> {
    accept: A,
    config: WorkConfig,
    /// Accepted, and its request not whole yet: here, so that a dropped `next` loses nothing.
    reading: Option<Reading<A::Io>>,
}

struct Reading<S> {
    packages: Packages<S>,
    deadline: Option<Instant>,
}

impl<A: Accept> Worker<A> {
    /// One that gets its connections from `accept`.
    pub fn new(accept: A, config: WorkConfig) -> Self {
        Self { accept, config, reading: None }
    }

    /// Accepts a connection and reads its request. Nothing is accepted before this is called.
    ///
    /// Cancel-safe: a request that has come in part stays with its connection.
    ///
    /// # Errors
    /// [`Error::Accept`] when there will be no more. The others are of one connection, which is
    /// closed, and another call goes on with the next: [`Error::Malformed`] by the caller, for a
    /// request beyond the limit; [`Error::CallerGone`] when it hung up before its request was
    /// whole; [`Error::DeadlineExceeded`] after [`WorkConfig::request_timeout`].
    ///
    /// # Panics
    /// When polled outside a runtime.
    pub async fn next(&mut self) -> Result<Request<'_, A::Io>, Error> {
        let reading = self.begin().await?;
        let read = within(reading.deadline, Stage::Request, reading.packages.read()).await;
        // Only here, behind the last await: until then it is to survive.
        let Some(Reading { packages, .. }) = self.reading.take() else {
            unreachable!("begun above")
        };
        match read.flatten() {
            Ok(Some(package)) => Ok(Request::new(packages, package.into_body(), &self.config)),
            Ok(None) => Err(Error::CallerGone { cause: None }),
            Err(err) if err.is_loss() => Err(Error::CallerGone { cause: Some(err.into()) }),
            Err(err) => Err(err),
        }
    }

    /// Answers requests until no more can be accepted, and says why that is so.
    ///
    /// The handler sends packages with [`Request::reply`]; the end is sent for it. If it fails, the
    /// connection is closed without the end, which its caller sees as a worker that died. That, and
    /// what is wrong with single connections, is logged, and the next one is accepted. A handler
    /// that panics ends the worker, and so does dropping this future.
    pub async fn serve<H>(&mut self, mut handler: H) -> Error
    where
        H: AsyncFnMut(&mut Request<'_, A::Io>) -> Result<(), Error>,
    {
        loop {
            match self.next().await {
                Ok(mut request) => {
                    let done = match handler(&mut request).await {
                        Ok(()) => request.finish().await,
                        Err(err) => Err(err),
                    };
                    if let Err(err) = done {
                        log::warn!("a request was not answered to its end: {err}");
                    }
                }
                Err(err @ Error::Accept(_)) => return err,
                // Such as a look whether anybody listens here.
                Err(err @ Error::CallerGone { cause: None }) => log::debug!("no request: {err}"),
                Err(err) => log::warn!("no request: {err}"),
            }
        }
    }

    async fn begin(&mut self) -> Result<&mut Reading<A::Io>, Error> {
        if self.reading.is_none() {
            let io = self.accept.accept().await.map_err(|err| Error::Accept(Arc::new(err)))?;
            let packages = Packages::new(io, self.config.format);
            let deadline = after(self.config.request_timeout);
            self.reading = Some(Reading { packages, deadline });
        }
        match &mut self.reading {
            Some(reading) => Ok(reading),
            None => unreachable!("begun above"),
        }
    }
}

impl<A: Accept> fmt::Debug for Worker<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_reading = self.reading.is_some();
        f.debug_struct("Worker")
            .field("config", &self.config)
            .field("is_reading", &is_reading)
            .finish_non_exhaustive()
    }
}

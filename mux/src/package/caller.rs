//! The side that asks: a connection for each request.

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use reactor::time;

use super::deadline::{after, within};
use super::gate::{Gate, Permit};
use super::{Error, Format, Packages, Reply, ReplyEnd, Stage};

/// Makes connections to workers. Every closure `AsyncFn() -> io::Result<S>` does.
///
/// ```
/// # #[path = "../../tests/support/mod.rs"] mod support;
/// use std::{cell::Cell, io};
/// use mux::package::Connect;
///
/// /// Tries one service after the other.
/// struct InTurn<C> { services: Vec<C>, next: Cell<usize> }
///
/// impl<C: Connect> Connect for InTurn<C> {
///     type Io = C::Io;
///
///     async fn connect(&self) -> io::Result<C::Io> {
///         let next = self.next.get();
///         self.next.set((next + 1) % self.services.len());
///         self.services[next].connect().await
///     }
/// }
///
/// let services = vec![async || Ok(support::pipe(1024).0)];
/// let connect = InTurn { services, next: Cell::new(0) };
/// # drop(reactor::block_on(connect.connect())?);
/// # Ok::<_, io::Error>(())
/// ```
pub trait Connect {
    /// What it makes.
    type Io: AsyncRead + AsyncWrite + Unpin;

    /// A new connection. It is dropped before it is ready when the deadline of its call has passed.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Io>>;
}

impl<F, S> Connect for F
where
    F: AsyncFn() -> io::Result<S>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Io = S;

    fn connect(&self) -> impl Future<Output = io::Result<S>> {
        self()
    }
}

/// Limits of a [`Caller`].
///
/// ```
/// use mux::package::{CallConfig, Format, ReplyEnd};
///
/// // For a `Process\Pool` of Swoole that takes requests of up to 8 MiB.
/// let format = Format::STREAM.bytes_max(8 * 1024 * 1024 + 4);
/// let config = CallConfig { format, reply_end: ReplyEnd::HangUp, ..CallConfig::default() };
/// assert_eq!((config.calls_max, config.pending_max), (128, 1024));
/// ```
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// What requests and replies look like. Default: [`Format::STREAM`].
    pub format: Format,
    /// How a reply ends. Default: by an empty package.
    pub reply_end: ReplyEnd,
    /// Calls with a connection, or about to have one, whose replies have not ended. At this limit a
    /// call waits for its turn. At least 1; 0 counts as that. Default: 128.
    pub calls_max: usize,
    /// Calls that wait for their turn. A further one fails at once. Default: 1,024.
    pub pending_max: usize,
    /// How long a call may take, from the moment it is made to the end of its reply. `None`: for
    /// ever. Default: 30 s.
    pub call_timeout: Option<Duration>,
    /// How often a call is tried again of which nothing was delivered. Default: 3.
    pub retries_max: u32,
    /// The pause before it is tried again; it doubles each time. Default: 10 ms.
    pub retry_pause: Duration,
}

impl Default for CallConfig {
    fn default() -> Self {
        Self {
            format: Format::STREAM,
            reply_end: ReplyEnd::EmptyPackage,
            calls_max: 128,
            pending_max: 1024,
            call_timeout: Some(Duration::from_secs(30)),
            retries_max: 3,
            retry_pause: Duration::from_millis(10),
        }
    }
}

/// Asks workers, over a new connection for each request. Cheap to clone: the clones share the
/// limits.
///
/// The bytes of a call are those of Swoole's stream mode: the request as one package, and 0 or more
/// packages back, ended by an empty one (src/network/stream.cc).
///
/// ```
/// # #[path = "../../tests/support/mod.rs"] mod support;
/// use mux::package::{CallConfig, Caller};
///
/// # use futures_util::{AsyncReadExt, AsyncWriteExt};
/// # reactor::block_on(async {
/// let (near, mut far) = support::pipe(1024);               // with net: UnixStream::connect(path)
/// # let near = std::cell::Cell::new(Some(near));
/// let caller = Caller::new(async || Ok(near.take().unwrap()), CallConfig::default());
///
/// let mut reply = caller.call("21").await?;
/// # far.read_exact(&mut [0; 6]).await.unwrap();
/// far.write_all(b"\0\0\0\x0242\0\0\0\0").await.unwrap();   // a worker, by hand
/// assert_eq!(reply.next().await?.unwrap(), "42");
/// assert!(reply.next().await?.is_none());
/// # Ok::<_, mux::package::Error>(())
/// # })?.unwrap();
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Caller<C> {
    connect: Rc<C>,
    config: Rc<CallConfig>,
    gate: Rc<Gate>,
}

impl<C: Connect> Caller<C> {
    /// One that gets its connections from `connect`.
    pub fn new(connect: C, config: CallConfig) -> Self {
        let gate = Gate::new(config.calls_max.max(1), config.pending_max);
        Self { connect: Rc::new(connect), config: Rc::new(config), gate }
    }

    /// Sends a request, and gives its reply when the connection has taken all of it.
    ///
    /// It is sent again over another connection only if the one before took **not one byte** of it:
    /// it could not be made because nobody listened there, or it was gone before the first byte. Of
    /// what a connection took, nobody knows whether a worker has acted on it, so that is an error
    /// and up to the application.
    ///
    /// Dropping the future gives up the call: it leaves the queue, or hangs up. A worker that had
    /// all of the request may do what it says.
    ///
    /// # Errors
    /// [`Error::Malformed`] by this side for a request beyond the limit, and [`Error::QueueFull`]:
    /// at once. [`Error::Connect`] when no connection could be made, or all that were took nothing.
    /// [`Error::WorkerGone`] when one ended with a part of the request.
    /// [`Error::DeadlineExceeded`].
    ///
    /// # Panics
    /// When polled outside a runtime, with a time-out or a pause.
    pub async fn call(&self, request: impl Into<Bytes>) -> Result<Reply<C::Io>, Error> {
        let request = request.into();
        self.config.format.check(request.len()).map_err(Error::own)?;
        let deadline = self.config.call_timeout.and_then(after);
        let entered = within(deadline, Stage::Queue, self.gate.enter()).await?;
        let pending_max = self.config.pending_max;
        let permit = entered.map_err(|_| Error::QueueFull { pending_max })?;
        let packages = self.deliver(request, deadline).await?;
        Ok(self.reply(packages, permit, deadline))
    }

    /// Calls that wait for their turn.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.gate.pending()
    }

    async fn deliver(
        &self,
        request: Bytes,
        deadline: Option<Instant>,
    ) -> Result<Packages<C::Io>, Error> {
        let mut pause = self.config.retry_pause;
        for attempts in 1.. {
            let cause = match self.attempt(request.clone(), deadline).await? {
                Ok(packages) => return Ok(packages),
                Err(cause) => cause,
            };
            if attempts > self.config.retries_max || !is_passing(&cause) {
                return Err(Error::Connect { attempts, cause });
            }
            log::debug!("nothing delivered, trying again in {pause:?}: {cause}");
            within(deadline, Stage::Connect, time::sleep(pause)).await?;
            pause = pause.saturating_mul(2);
        }
        unreachable!("u32 attempts")
    }

    /// The inner error: nothing was delivered.
    async fn attempt(
        &self,
        request: Bytes,
        deadline: Option<Instant>,
    ) -> Result<Result<Packages<C::Io>, Arc<io::Error>>, Error> {
        let io = match within(deadline, Stage::Connect, self.connect.connect()).await? {
            Ok(io) => io,
            Err(err) => return Ok(Err(Arc::new(err))),
        };
        let mut packages = Packages::new(io, self.config.format);
        let written = within(deadline, Stage::Send, packages.write(request)).await?;
        let sent_bytes = packages.written_bytes();
        match written {
            Ok(()) => Ok(Ok(packages)),
            Err(Error::Io(cause)) if sent_bytes == 0 => Ok(Err(cause)),
            Err(cause) if cause.is_loss() => {
                Err(Error::WorkerGone { sent_bytes, packages: 0, cause: Some(cause.into()) })
            }
            Err(err) => Err(err),
        }
    }

    fn reply(
        &self,
        packages: Packages<C::Io>,
        permit: Permit,
        deadline: Option<Instant>,
    ) -> Reply<C::Io> {
        Reply::new(packages, permit, deadline, self.config.reply_end)
    }
}

/// Whether another attempt may fare better: workers are restarted, and then their socket is away,
/// or nobody listens on it, or it goes away under the connection.
fn is_passing(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

impl<C> Clone for Caller<C> {
    fn clone(&self) -> Self {
        let (connect, config) = (Rc::clone(&self.connect), Rc::clone(&self.config));
        Self { connect, config, gate: Rc::clone(&self.gate) }
    }
}

impl<C> fmt::Debug for Caller<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("config", &self.config).finish_non_exhaustive()
    }
}

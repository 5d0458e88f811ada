//! The handle of a session.

use std::fmt;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use crate::driver::Driver;
use crate::proto::{self, Role};
use crate::shared::Shared;
use crate::stream::Stream;
use crate::wait::{Wait, Wanted};
use crate::{Config, Error, SessionStats};

/// A yamux session: many streams over one connection.
///
/// A cheap handle that can be cloned; all clones mean the same session. Beside it stands its
/// [`Driver`], a future that does the reading and writing and that has to be spawned: **without the
/// driver nothing moves.** When the last handle is dropped, streams that are open go on, what the
/// peer opens is refused, and the session closes after its last stream.
///
/// ```
/// use futures_util::{AsyncReadExt, AsyncWriteExt};
/// # #[path = "../tests/support/mod.rs"] mod support;
/// # let mut runtime = reactor::Runtime::new()?;
/// # runtime.block_on(async {
/// # let (near, far) = support::pipe(64 * 1024);
/// use mux::{Config, Session};
///
/// let (client, driver) = Session::client(near, Config::default());
/// reactor::spawn(driver).detach();
/// let (server, driver) = Session::server(far, Config::default());
/// reactor::spawn(driver).detach();
///
/// let mut question = client.open().await?;
/// question.write_all(b"21").await?;
/// question.close().await?;
///
/// let mut incoming = server.accept().await?;
/// let mut text = String::new();
/// incoming.read_to_string(&mut text).await?;
/// assert_eq!(text, "21");
/// client.close().await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Session {
    owner: Rc<Owner>,
}

/// Goes when the last handle goes.
struct Owner {
    shared: Rc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.with(|inner| inner.proto.orphan());
        self.shared.kick();
    }
}

impl Session {
    /// A session on the side that opened the connection. Its streams have odd ids.
    pub fn client<T: AsyncRead + AsyncWrite + Unpin>(io: T, config: Config) -> (Self, Driver<T>) {
        Self::new(Role::Client, io, config)
    }

    /// A session on the side that accepted the connection. Its streams have even ids.
    pub fn server<T: AsyncRead + AsyncWrite + Unpin>(io: T, config: Config) -> (Self, Driver<T>) {
        Self::new(Role::Server, io, config)
    }

    fn new<T>(role: Role, io: T, config: Config) -> (Self, Driver<T>) {
        let proto = proto::Session::new(role, config, reactor::time::now());
        let shared = Rc::new(Shared::new(proto));
        let owner = Rc::new(Owner { shared: Rc::clone(&shared) });
        (Self { owner }, Driver::new(io, shared))
    }

    /// Opens a stream. It can be written to at once; the peer need not have accepted it.
    ///
    /// Waits while [`Config::unacked_opens_max`] streams wait for the peer to accept them, or
    /// [`Config::outbound_streams_max`] are alive. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::GoAway`] after either side's GoAway, [`Error::IdsExhausted`] after 2^31 streams,
    /// and what ended the session.
    pub async fn open(&self) -> Result<Stream, Error> {
        let key = Wait::new(self.shared(), Wanted::Open, proto::Session::open).await?;
        Ok(Stream::new(Rc::clone(self.shared()), key))
    }

    /// Takes the next stream that the peer has opened, in the order of their opening, and
    /// acknowledges it. Streams that had arrived before the session ended still come, unless this
    /// side ended it. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::GoAway`] after our own GoAway, and what ended the session.
    pub async fn accept(&self) -> Result<Stream, Error> {
        let key = Wait::new(self.shared(), Wanted::Accept, proto::Session::accept).await?;
        Ok(Stream::new(Rc::clone(self.shared()), key))
    }

    /// Asks the peer for a sign of life, and says how long it took. Callers at the same time share
    /// one ping, and each waits [`Config::ping_timeout`] for it. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::PingTimeout`], after which the session goes on; and what ended the session.
    ///
    /// # Panics
    /// When polled outside a runtime of the `reactor` crate: its timers are used.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let now = reactor::time::now();
        let (ticket, waited) =
            self.shared().with(|inner| (inner.proto.ping(now), inner.proto.ping_timeout()));
        let ticket = ticket?;
        self.shared().kick();
        let pong = move |proto: &mut proto::Session| proto.pong(ticket);
        let pong = Wait::new(self.shared(), Wanted::Pong, pong);
        reactor::time::timeout(waited, pong).await.unwrap_or(Err(Error::PingTimeout { waited }))
    }

    /// The round trip of the connection, or `None` while nobody has measured it: the least of late.
    /// Every [`ping`](Self::ping) measures it, and the session does so itself where the size of a
    /// window depends on it.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.shared().inner.borrow().proto.rtt()
    }

    /// What the session has done, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.shared().inner.borrow().proto.stats()
    }

    /// Says that this side takes no new streams and opens none. Streams that are open go on.
    ///
    /// rust-yamux and go-yamux end all streams when they read this; hashicorp/yamux goes on, as we
    /// do. [`close`](Self::close) says it last.
    pub fn go_away(&self) {
        self.shared().with(|inner| inner.proto.go_away());
        self.shared().kick();
    }

    /// Lets the streams finish, then closes: nothing can be opened any more, what the peer opens is
    /// refused with [`ResetCode::SHUTDOWN`](crate::ResetCode), and what waits to be accepted still
    /// can be. After the last stream, or after `timeout`, comes [`close`](Self::close).
    ///
    /// The GoAway comes last, as some peers end all streams when they read it. Where the peer is
    /// known not to (hashicorp/yamux, mux), call [`go_away`](Self::go_away) before: then it opens
    /// no stream in vain. Dropping the future does not stop the draining, but takes its time-out
    /// away.
    ///
    /// # Errors
    /// [`Error::DrainTimeout`] when streams were left; the session is closed then too. And what
    /// [`close`](Self::close) says.
    pub async fn drain(&self, timeout: Duration) -> Result<(), Error> {
        self.begin_drain();
        match reactor::time::timeout(timeout, self.closed()).await {
            Ok(outcome) => outcome,
            // After the last stream; the peer has not hung up yet.
            Err(_) if self.is_closed() => self.closed().await,
            Err(_) => {
                self.close().await?;
                Err(Error::DrainTimeout { waited: timeout })
            }
        }
    }

    /// What [`drain`](Self::drain) does first: nothing can be opened any more.
    pub(crate) fn begin_drain(&self) {
        self.shared().with(|inner| inner.proto.drain());
        self.shared().kick();
    }

    /// Closes the session: nothing can be opened, accepted or written any more; what was written is
    /// sent; then comes GoAway, and the connection is closed when the peer hangs up too. Streams
    /// that are open end with [`Error::Closed`], here and there. Takes at most
    /// [`Config::close_timeout`], if the driver is polled: that does all of it. Dropping the future
    /// does not stop the closing.
    ///
    /// # Errors
    /// [`Error::CloseTimeout`], and what else ended the session before all was sent. Closing a
    /// session that the peer has closed is no error.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared().with(|inner| inner.proto.close());
        self.shared().kick();
        self.closed().await
    }

    /// Waits until the session is over, and says why. Cancel-safe.
    ///
    /// # Errors
    /// What ended the session, unless it was closed in order, by either side.
    pub async fn closed(&self) -> Result<(), Error> {
        Wait::new(self.shared(), Wanted::End, proto::Session::poll_over).await
    }

    /// Whether the session is being closed or is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().inner.borrow().proto.phase() != proto::Phase::Open
    }

    /// Streams that this side opened and that are alive: until both FINs or an RST have passed and
    /// the handle is dropped.
    #[must_use]
    pub fn outbound_streams(&self) -> usize {
        self.shared().inner.borrow().proto.stream_counts().1
    }

    /// Streams that the peer opened and that are alive, accepted or not.
    #[must_use]
    pub fn inbound_streams(&self) -> usize {
        self.shared().inner.borrow().proto.stream_counts().0
    }

    /// Whether [`open`](Self::open) can succeed, now or when a limit allows it.
    pub(crate) fn can_open(&self) -> bool {
        self.shared().inner.borrow().proto.can_open()
    }

    /// Whether [`open`](Self::open) has to wait.
    pub(crate) fn is_at_open_limit(&self) -> bool {
        self.shared().inner.borrow().proto.is_at_open_limit()
    }

    /// Whether streams wait to be accepted.
    pub(crate) fn has_backlog(&self) -> bool {
        self.shared().has_backlog()
    }

    /// Takes the next stream that the peer has opened, if there is one.
    pub(crate) fn try_accept(&self) -> Option<Stream> {
        let accepted = self.shared().with(|inner| inner.proto.accept());
        let Poll::Ready(Ok(key)) = accepted else { return None };
        let stream = Stream::new(Rc::clone(self.shared()), key);
        self.shared().kick();
        Some(stream)
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.owner.shared
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.shared().inner.borrow();
        let (inbound, outbound) = inner.proto.stream_counts();
        f.debug_struct("Session")
            .field("inbound_streams", &inbound)
            .field("outbound_streams", &outbound)
            .field("phase", &inner.proto.phase())
            .finish_non_exhaustive()
    }
}

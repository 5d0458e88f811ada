//! Streams to peers by name, dialing only when no session lives.
//!
//! A [`Host`] knows peers by a key, an address or a name. [`Host::new_stream`] opens a stream in
//! the best session with a peer, and dials if there is none; [`Host::accept`] gives the streams
//! that peers open. How to connect says the application, in a [`Dial`]. `docs/mux-host.md` tells it
//! as a story.
//!
//! The choice of a session, the dials in flight and the back-off are pure state machines without
//! I/O, clock or wakers (`sessions.rs`, `dials.rs`, `back_off.rs`). Around them stand the tasks:
//! one for each session, one for each dial.

mod back_off;
mod call;
mod config;
mod dial;
mod dial_task;
mod dials;
mod error;
mod session_task;
mod sessions;
mod shared;
mod stats;
mod trash;
mod wait;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::hash::Hash;
use std::rc::{Rc, Weak};
use std::task::Poll;

use futures_io::{AsyncRead, AsyncWrite};
use reactor::JoinHandle;

use self::shared::Shared;
use self::wait::Waiting;
use crate::{Error, Session, Stream};

pub use self::config::HostConfig;
pub use self::dial::{Attempt, Attempts, Dial};
pub use self::error::{DialFailure, HostError, HostErrorKind};
pub use self::stats::HostStats;

/// Streams to peers: over the session that there is, or over a new one.
///
/// A cheap handle that can be cloned; all clones mean the same host. It follows libp2p's swarm for
/// Go (`p2p/net/swarm`: `swarm.go`, `swarm_dial.go`, `dial_sync.go`, `limiter.go`).
///
/// `P` names a peer: a `SocketAddr`, a string, a key. `Hash` and `Eq` of it must not use the host;
/// everything else that is the application's (its dialer, its wakers, what is dropped) may.
///
/// When the last handle is dropped, dials are cancelled, and the sessions go on as [`Session`]s do
/// without a handle: streams that are open go on, what peers open is refused, and each session
/// closes after its last stream. Sessions run as tasks of the `reactor` runtime, and end with it.
///
/// ```
/// # #[path = "../tests/support/mod.rs"] mod support;
/// use mux::host::{Host, HostConfig};
///
/// # reactor::block_on(async {
/// # let nobody = async |_: &str| Err::<support::End, _>(std::io::ErrorKind::NotFound.into());
/// # let bob = Host::new(nobody, HostConfig::default());
/// # let callee = bob.clone();
/// # let connect = move |name: &'static str| {
/// #     assert_eq!(name, "bob");
/// #     let (near, far) = support::pipe(64 * 1024);
/// #     drop(callee.add("alice", far));
/// #     async { Ok(near) }
/// # };
/// let alice = Host::new(connect, HostConfig::default());      // from a name to a connection
/// let question = alice.new_stream(&"bob").await?;             // dials
/// question.write_bytes("21".into()).await?;
/// let another = alice.new_stream(&"bob").await?;              // does not
/// # drop(another);
///
/// let (peer, incoming) = bob.accept().await.unwrap();         // on the other side
/// assert_eq!(peer, "alice");
/// assert_eq!(incoming.read_bytes().await.unwrap().unwrap(), "21");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?.unwrap();
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Host<P> {
    shared: Rc<Shared<P>>,
}

impl<P: Clone + Eq + Hash + 'static> Host<P> {
    /// A host without sessions, which connects by `dialer`.
    pub fn new(dialer: impl Dial<P>, config: HostConfig<P>) -> Self {
        Self { shared: Rc::new(Shared::new(Rc::new(dialer), config)) }
    }

    /// Opens a stream to a peer: in the session that takes streams and has most of them, among
    /// equals the newest; if there is none, in a new one. Sessions at one of their limits come
    /// last. If all are, it waits as [`Session::open`] does.
    ///
    /// All who want a session with a peer at the same time share one dial. A session that the peer
    /// makes meanwhile does too. If the session ends, or goes away, before the stream is open,
    /// there is one more try.
    ///
    /// Cancel-safe. The dial goes on for its other callers; with the last one it is cancelled (as
    /// in libp2p), which counts neither for nor against the peer.
    ///
    /// # Errors
    /// Everything in [`HostErrorKind`] but `NoDial`.
    ///
    /// # Panics
    /// When polled outside a runtime of the `reactor` crate, if it dials. Then nothing was begun, and
    /// the peer is not left alone.
    pub async fn new_stream(&self, peer: &P) -> Result<Stream, HostError<P>> {
        match self.open(peer).await? {
            Ok(stream) => Ok(stream),
            Err(_) => self.open(peer).await?.map_err(|err| self.error(peer, err)),
        }
    }

    /// The same without dialing, and without waiting for a dial in flight.
    ///
    /// # Errors
    /// [`HostErrorKind::NoDial`] when no session takes streams, `Session` when those that did have
    /// ended meanwhile, `Closed`.
    pub async fn new_stream_no_dial(&self, peer: &P) -> Result<Stream, HostError<P>> {
        let mut tries = 0;
        loop {
            let Some(session) = self.session(peer) else {
                let kind =
                    if self.is_closed() { HostErrorKind::Closed } else { HostErrorKind::NoDial };
                return Err(HostError::new(peer.clone(), kind));
            };
            tries += 1;
            match session.open().await {
                Ok(stream) => return Ok(self.opened(stream)),
                Err(err) if tries == 2 => return Err(self.error(peer, err)),
                Err(_) => {}
            }
        }
    }

    /// A session with a peer that takes streams, the one that [`new_stream`](Self::new_stream)
    /// would choose; dials if there is none. For who wants to know early whether a peer is there.
    ///
    /// The session that comes back is the host's: whoever closes it closes it for all.
    ///
    /// # Errors
    /// As [`new_stream`](Self::new_stream). Cancel-safe as that is.
    ///
    /// # Panics
    /// As [`new_stream`](Self::new_stream).
    pub async fn connect(&self, peer: &P) -> Result<Session, HostError<P>> {
        if let Some(session) = self.session(peer) {
            return Ok(session);
        }
        let called = call::call(&self.shared, Rc::new(peer.clone())).await;
        called.map_err(|kind| HostError::new(peer.clone(), kind))
    }

    /// The session that [`new_stream`](Self::new_stream) would choose, if there is one. Never
    /// dials.
    #[must_use]
    pub fn session(&self, peer: &P) -> Option<Session> {
        self.shared.best(peer)
    }

    /// Takes in a connection that a peer has made, as the server's side of a session. Who the peer
    /// is has to be found out before. Streams to it go through this session from now on, also those
    /// of callers who wait for a dial.
    ///
    /// The session that comes back is the host's, and needs not be kept.
    ///
    /// # Errors
    /// [`HostErrorKind::SessionsFull`], `Closed`; the connection is dropped.
    ///
    /// # Panics
    /// Outside a runtime of the `reactor` crate.
    pub fn add<T>(&self, peer: P, io: T) -> Result<Session, HostError<P>>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (session, driver) = Session::server(io, self.shared.config.session.clone());
        let peer = Rc::new(peer);
        match self.shared.add(&peer, &session, Box::pin(driver)) {
            Ok(()) => Ok(session),
            Err(kind) => Err(HostError::new((*peer).clone(), kind)),
        }
    }

    /// Takes the next stream that a peer has opened, in a session that was dialed or added. Peers
    /// take turns. `None` when the host is closed and nothing is left.
    ///
    /// Nobody takes a stream out of its session before: what waits is bounded by each session's
    /// [`Config::accept_backlog_max`](crate::Config), and the peer learns that a stream is accepted
    /// when it is. Streams that had arrived before their session ended still come, of at most
    /// [`HostConfig::ended_sessions_max`] sessions. Cancel-safe.
    pub async fn accept(&self) -> Option<(P, Stream)> {
        let mut waiting = Waiting::new(&self.shared.acceptors);
        let accepted = poll_fn(|cx| {
            if let Some(accepted) = self.shared.try_accept() {
                return Poll::Ready(Some(accepted));
            }
            waiting.park(cx);
            match self.shared.try_accept() {
                None if !self.is_closed() => Poll::Pending,
                accepted => Poll::Ready(accepted),
            }
        });
        let (peer, stream) = accepted.await?;
        Some(((*peer).clone(), stream))
    }

    /// Lets the streams with a peer finish, then closes its sessions: see [`Session::drain`]. New
    /// streams go to other sessions from now on, which are dialed; a dial in flight goes on. Takes
    /// [`HostConfig::drain_timeout`] for the streams, and what closing takes. Dropping the future
    /// changes nothing: the closing goes on.
    ///
    /// # Errors
    /// [`HostErrorKind::Session`]: what [`Session::drain`] says of the first session that did not
    /// end well. The others are closed too.
    ///
    /// # Panics
    /// When polled outside a runtime of the `reactor` crate.
    pub async fn close_peer(&self, peer: &P) -> Result<(), HostError<P>> {
        let sessions = self.shared.sessions_of(peer);
        let draining: Vec<_> = sessions.into_iter().map(|session| self.drain(session)).collect();
        let mut outcome = Ok(());
        for drained in draining {
            outcome = outcome.and(ended(drained).await);
        }
        outcome.map_err(|err| self.error(peer, err))
    }

    /// Closes the host: nothing is dialed, added or opened any more; dials in flight are cancelled,
    /// and their callers get [`HostErrorKind::Closed`]. All sessions are drained as in
    /// [`close_peer`](Self::close_peer), all at the same time. Streams that wait to be accepted
    /// still can be. Dropping the future changes nothing: the closing goes on.
    ///
    /// # Errors
    /// As [`close_peer`](Self::close_peer).
    ///
    /// # Panics
    /// When polled outside a runtime of the `reactor` crate.
    pub async fn close(&self) -> Result<(), HostError<P>> {
        let sessions = self.shared.close();
        let draining: Vec<_> =
            sessions.into_iter().map(|(peer, session)| (peer, self.drain(session))).collect();
        let mut outcome = Ok(());
        for (peer, drained) in draining {
            let drained = ended(drained).await;
            outcome = outcome.and(drained.map_err(|err| self.error(&peer, err)));
        }
        outcome
    }

    /// The peers that a stream can be opened to without a dial, in no order.
    #[must_use]
    pub fn peers(&self) -> Vec<P> {
        self.shared.peers().iter().map(|peer| P::clone(peer)).collect()
    }

    /// A handle that does not keep the host: for who is held by it, as its dialer is.
    #[must_use]
    pub fn downgrade(&self) -> WeakHost<P> {
        WeakHost { shared: Rc::downgrade(&self.shared) }
    }

    /// What the host has done, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> HostStats {
        self.shared.stats()
    }

    /// Whether the host is being closed, or is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// One try: what the session said, inside.
    async fn open(&self, peer: &P) -> Result<Result<Stream, Error>, HostError<P>> {
        let session = self.connect(peer).await?;
        Ok(session.open().await.map(|stream| self.opened(stream)))
    }

    fn opened(&self, stream: Stream) -> Stream {
        self.shared.opened();
        stream
    }

    /// In a task of its own: it goes on when nobody waits for it.
    fn drain(&self, session: Session) -> JoinHandle<Result<(), Error>> {
        session.begin_drain();
        let timeout = self.shared.config.drain_timeout;
        reactor::spawn(async move { session.drain(timeout).await })
    }

    fn error(&self, peer: &P, err: Error) -> HostError<P> {
        HostError::new(peer.clone(), HostErrorKind::Session(err))
    }
}

/// Waits for a task of [`Host::drain`].
async fn ended(drained: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    // The task ends by itself, or with its runtime, and then nobody is here.
    drained.await.unwrap_or(Err(Error::DriverGone))
}

impl<P> Clone for Host<P> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

/// A handle of a [`Host`] that does not keep it. Given by [`Host::downgrade`].
///
/// ```
/// # #[path = "../tests/support/mod.rs"] mod support;
/// use std::{cell::OnceCell, io, rc::Rc};
/// use mux::host::{Host, HostConfig, WeakHost};
///
/// // A dialer that asks peers that are there already for the way to another.
/// let own = Rc::new(OnceCell::<WeakHost<&str>>::new());
/// let dialers = Rc::clone(&own);
/// let dial = move |_peer: &str| {
///     let host = dialers.get().and_then(WeakHost::upgrade);
///     async move {
///         let peers = host.map(|host| host.peers()).unwrap_or_default();
/// #       let _ = peers;
/// #       Err::<support::End, _>(io::ErrorKind::HostUnreachable.into())
///     }
/// };
/// let host = Host::new(dial, HostConfig::default());
/// let _ = own.set(host.downgrade());
/// # reactor::block_on(async { assert!(host.new_stream(&"bob").await.is_err()) })?;
/// drop(host);
/// assert!(own.get().unwrap().upgrade().is_none());
/// # Ok::<_, io::Error>(())
/// ```
pub struct WeakHost<P> {
    shared: Weak<Shared<P>>,
}

impl<P> WeakHost<P> {
    /// The host, unless its last handle is gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Host<P>> {
        self.shared.upgrade().map(|shared| Host { shared })
    }
}

impl<P> Clone for WeakHost<P> {
    fn clone(&self) -> Self {
        Self { shared: Weak::clone(&self.shared) }
    }
}

impl<P> fmt::Debug for WeakHost<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakHost").finish_non_exhaustive()
    }
}

impl<P: Clone + Eq + Hash + 'static> fmt::Debug for Host<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

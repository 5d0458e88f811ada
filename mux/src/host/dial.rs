//! Dialing: what the application gives, and what it may ask for meanwhile.

use std::fmt;
use std::hash::Hash;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use futures_io::{AsyncRead, AsyncWrite};

use super::shared::Shared;
use crate::{Config, Error, Session};

/// Connects to a peer: what a [`Host`](super::Host) needs to know of the world.
///
/// A function from a name to a future of a connection is one. Or, with state of its own:
///
/// ```
/// use std::io;
/// # #[path = "../../tests/support/mod.rs"] mod support;
/// use mux::host::{Attempts, Dial};
///
/// struct Book {/* who lives where */}
///
/// impl Dial<String> for Book {
///     type Io = support::End;
///
///     async fn dial(&self, peer: &String, _: &Attempts<String>) -> io::Result<support::End> {
/// #       let connect = async |_: &str| Ok::<_, io::Error>(support::pipe(1024).0);
///         // Look it up, connect, make sure that it is who it should be.
///         connect(peer).await
///     }
/// }
/// ```
///
/// The host keeps its dialer. One that holds a [`Host`](super::Host) of the host that it dials for
/// keeps that one too, and neither is ever dropped: it is to hold a [`WeakHost`](super::WeakHost).
pub trait Dial<P>: 'static {
    /// The connection.
    type Io: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Connects to a peer and makes sure that it is there: who it is, if that matters, is asked
    /// here. What comes back is the client's side of a session.
    ///
    /// The future is a part of a task of its own. It is dropped at
    /// [`HostConfig::dial_timeout`](super::HostConfig), when the last caller who waits for it is
    /// dropped, and when the host is closed or dropped; a panic is a failed dial. Whoever tries
    /// several addresses at the same time asks `attempts` for each but the first.
    ///
    /// # Errors
    /// Why there is no connection. The peer is left alone for a while then.
    fn dial(&self, peer: &P, attempts: &Attempts<P>) -> impl Future<Output = io::Result<Self::Io>>;
}

impl<P, F, C, T> Dial<P> for F
where
    P: Clone,
    F: Fn(P) -> C + 'static,
    C: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Io = T;

    fn dial(&self, peer: &P, _: &Attempts<P>) -> impl Future<Output = io::Result<T>> {
        self(peer.clone())
    }
}

/// Further attempts of a dial, for a dialer that tries several addresses of a peer at once: as many
/// as [`HostConfig::dials_max`](super::HostConfig) and `dials_per_peer_max` allow. The dial itself
/// is one attempt already. In libp2p for Go that is what `limiter.go` counts.
///
/// ```
/// use mux::host::Attempts;
///
/// /// The addresses to be tried at the same time, and what makes them count.
/// fn at_once<'a, P: Eq + std::hash::Hash + 'static>(
///     addresses: &'a [String],
///     attempts: &Attempts<P>,
/// ) -> (&'a [String], impl Sized + use<P>) {
///     let further: Vec<_> = addresses.iter().skip(1).map_while(|_| attempts.try_another()).collect();
///     (&addresses[..addresses.len().min(1 + further.len())], further)
/// }
/// ```
pub struct Attempts<P> {
    host: Weak<Shared<P>>,
    peer: Rc<P>,
}

/// One attempt to connect, which counts until it is dropped. Given by [`Attempts::try_another`].
#[must_use = "it counts until it is dropped"]
pub struct Attempt<P: Eq + Hash + 'static> {
    host: Weak<Shared<P>>,
    peer: Rc<P>,
}

impl<P: Eq + Hash + 'static> Attempts<P> {
    pub(super) fn new(host: Weak<Shared<P>>, peer: Rc<P>) -> Self {
        Self { host, peer }
    }

    /// One more attempt at the same time, if it is within the limits. Does not wait: an attempt of
    /// this dial that ends makes room, so whoever gets `None` tries the next address behind one of
    /// those.
    pub fn try_another(&self) -> Option<Attempt<P>> {
        let host = self.host.upgrade()?;
        host.try_another(&self.peer).then(|| Attempt::new(&self.host, &self.peer))
    }
}

impl<P: Eq + Hash + 'static> Attempt<P> {
    /// For a slot that was taken.
    pub(super) fn new(host: &Weak<Shared<P>>, peer: &Rc<P>) -> Self {
        Self { host: Weak::clone(host), peer: Rc::clone(peer) }
    }
}

impl<P: Eq + Hash + 'static> Drop for Attempt<P> {
    fn drop(&mut self) {
        if let Some(host) = self.host.upgrade() {
            host.release(&self.peer);
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for Attempts<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<P: fmt::Debug + Eq + Hash + 'static> fmt::Debug for Attempt<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The driver of a session over any connection.
pub(super) type AnyDriver = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// A session over what the dialer has connected, or what it said.
pub(super) type Dialing = Pin<Box<dyn Future<Output = io::Result<(Session, AnyDriver)>>>>;

/// A dialer, whatever its connections are.
pub(super) trait DialAny<P> {
    fn dial_any(self: Rc<Self>, peer: Rc<P>, attempts: Attempts<P>, config: Config) -> Dialing;
}

impl<P: 'static, D: Dial<P>> DialAny<P> for D {
    fn dial_any(self: Rc<Self>, peer: Rc<P>, attempts: Attempts<P>, config: Config) -> Dialing {
        Box::pin(async move {
            let io = self.dial(&peer, &attempts).await?;
            let (session, driver) = Session::client(io, config);
            let driver: AnyDriver = Box::pin(driver);
            Ok((session, driver))
        })
    }
}

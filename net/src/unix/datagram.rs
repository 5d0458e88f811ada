//! Unix datagrams.

use std::io;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use reactor::{Direction, PollFd};

use crate::addr::Address;
use crate::datagram::{DatagramSocket, Received};
use crate::error::OpError;
use crate::network::Unixgram;
use crate::sys;
use crate::unix::bind::{UnixBuilder, addr_of};
use crate::unix::descriptors::{PassedFds, check_count, recv_datagram};
use crate::unix::path::Unlink;
use crate::unix::{PeerCredentials, UnixAddr};

/// A Unix datagram socket.
///
/// Datagrams arrive whole, in order and never get lost: a sender waits while the receiver has no
/// room. The path it was bound to is removed when it is closed or dropped.
///
/// ```
/// # reactor::block_on(async {
/// use net::{UnixAddr, UnixDatagram};
///
/// // The kernel chooses a name in the abstract namespace for who is bound to none.
/// let service = UnixDatagram::builder().bind_addr(&UnixAddr::unnamed())?;
/// let client = UnixDatagram::builder().bind_addr(&UnixAddr::unnamed())?;
/// client.send_to(b"hello", service.local_addr()?).await?;
///
/// let mut buf = [0; 1024];
/// let received = service.recv_from(&mut buf).await?;
/// assert_eq!(&buf[..received.len], b"hello");
/// service.send_to(b"welcome", received.from).await?;
/// assert_eq!(client.recv(&mut buf).await?.len, 7);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type UnixDatagram = DatagramSocket<Unixgram>;

impl UnixDatagram {
    /// A socket bound to `path`, with the defaults of [`UnixBuilder`].
    ///
    /// # Errors
    /// As [`UnixBuilder::bind`].
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::builder().bind(path)
    }

    /// Options first, then [`bind`](UnixBuilder::bind).
    pub fn builder() -> UnixBuilder<Unixgram> {
        UnixBuilder::default()
    }

    /// A socket without an address: it sends, and nobody can answer unless it is connected.
    ///
    /// # Errors
    /// What socket(2) says: no more descriptors.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        let fd = sys::unix_socket(libc::SOCK_DGRAM).map_err(|err| nameless("socket", err))?;
        let fd = PollFd::from_socket(fd);
        Ok(Self::new(fd, UnixAddr::unnamed(), None, Unlink::nothing()))
    }

    /// Two sockets connected to each other.
    ///
    /// # Errors
    /// What socketpair(2) says: no more descriptors.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let pair = sys::unix_pair(libc::SOCK_DGRAM).map_err(|err| nameless("socketpair", err))?;
        Ok((Self::of_pair(pair.0), Self::of_pair(pair.1)))
    }

    #[track_caller]
    fn of_pair(fd: OwnedFd) -> Self {
        let unnamed = UnixAddr::unnamed();
        Self::new(PollFd::from_socket(fd), unnamed, Some(unnamed), Unlink::nothing())
    }

    /// Connects to the socket at `path`: `send` goes there, and only datagrams from there are
    /// received. It can be connected again to another one.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused` when nobody has the path open, `PermissionDenied`, and what
    /// else connect(2) says; use after close.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.connect_addr(&addr_of::<Unixgram>("connect", path.as_ref())?)
    }

    /// [`connect`](Self::connect) to any address, an abstract name too.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, addr: &UnixAddr) -> io::Result<()> {
        self.connect_to(addr)
    }

    /// Shuts down receiving, sending or both. After `Read` the peer cannot send any more, and a
    /// `recv` that waits gets an empty datagram.
    ///
    /// # Errors
    /// `NotConnected` where the system wants a peer; use after close.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.ask("shutdown", |fd| sys::shutdown(fd, how))
    }

    /// Whether to remove the path when the socket is closed or dropped: as
    /// [`UnixListener::set_unlink_on_close`](crate::UnixListener::set_unlink_on_close).
    pub fn set_unlink_on_close(&self, unlink: bool) {
        self.bound.set_wanted(unlink);
    }

    /// The process at the other end of a [`pair`](Self::pair), as it was when it made the pair.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        self.ask("getsockopt", sys::peer_credentials)
    }

    /// Sends a datagram to the peer together with descriptors, at most [`FDS_MAX`](crate::FDS_MAX).
    /// They stay open on this side. The datagram may be empty.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `InvalidInput` for too many descriptors, the system's `ETOOMANYREFS` when too many are under
    /// way; else as [`send`](Self::send).
    pub async fn send_fds(&self, buf: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        check_count(fds).map_err(|err| self.error("write", err))?;
        let sent = self.fd.io(Direction::Write, |fd| sys::send_fds(fd, buf, None, fds)).await;
        sent.map_err(|err| self.error("write", err))
    }

    /// [`send_fds`](Self::send_fds) to an address.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`send_fds`](Self::send_fds) and [`send_to`](Self::send_to).
    pub async fn send_fds_to(
        &self,
        buf: &[u8],
        fds: &[BorrowedFd<'_>],
        to: &UnixAddr,
    ) -> io::Result<usize> {
        check_count(fds).map_err(|err| self.error_with("write", to, err))?;
        let raw = to.encode();
        let sent = self.send_apart(|fd| sys::send_fds(fd, buf, Some(&raw), fds)).await;
        sent.map_err(|err| self.error_with("write", to, err))
    }

    /// Takes a datagram, where it came from, and up to `fds_max` descriptors that came with it. Those
    /// that come with a datagram which another method takes are closed.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # reactor::block_on(async {
    /// use std::os::fd::AsFd;
    ///
    /// let (near, far) = net::UnixDatagram::pair()?;
    /// near.send_fds(b"two", &[std::io::stdin().as_fd(), std::io::stdout().as_fd()]).await?;
    /// let mut buf = [0; 16];
    /// let (datagram, passed) = far.recv_fds(&mut buf, 1).await?;
    /// assert_eq!(&buf[..datagram.len], b"two");
    /// assert_eq!(passed.fds.len(), 1);
    /// assert!(passed.truncated, "the other one is closed");
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn recv_fds(
        &self,
        buf: &mut [u8],
        fds_max: usize,
    ) -> io::Result<(Received<UnixAddr>, PassedFds)> {
        let taken = self.fd.io(Direction::Read, |fd| recv_datagram(fd, buf, fds_max)).await;
        taken.map_err(|err| self.error("read", err))
    }
}

fn nameless(operation: &'static str, err: io::Error) -> io::Error {
    OpError::on::<Unixgram>(operation, None, None, err)
}

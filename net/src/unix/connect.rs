//! Connecting Unix streams.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use reactor::PollFd;

use crate::addr::{Address, RawAddr};
use crate::back_off::BackOff;
use crate::error::OpError;
use crate::network::Unix;
use crate::sys;
use crate::unix::bind::addr_of;
use crate::unix::{PeerCredentials, UnixAddr, UnixStream};

impl UnixStream {
    /// Connects to the socket that listens at `path`.
    ///
    /// While the listener's backlog is full it waits, as a blocking connect(2) does. The kernel
    /// tells nobody when there is room: it says `EAGAIN` and no edge follows. So the connect is
    /// tried again after 1 ms, then after twice as long each time, up to 100 ms. For a limit of time
    /// there is [`reactor::time::timeout`].
    ///
    /// Cancel-safe: dropping the future closes the socket.
    ///
    /// # Errors
    /// `NotFound` when there is no such path, `ConnectionRefused` when nobody listens there,
    /// `PermissionDenied`, and what else connect(2) says. The error names the path.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let addr = addr_of::<Unix>("connect", path.as_ref())?;
        Self::connect_addr(&addr).await
    }

    /// [`connect`](Self::connect) to any address, an abstract name too.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn connect_addr(addr: &UnixAddr) -> io::Result<Self> {
        let at = |operation| move |err| OpError::on::<Unix>(operation, None, Some(addr), err);
        let fd = sys::unix_socket(libc::SOCK_STREAM).map_err(at("socket"))?;
        let raw = addr.encode();
        let mut pause = BackOff::default();
        while !connect_once(fd.as_fd(), &raw).map_err(at("connect"))? {
            reactor::time::sleep(pause.next()).await;
        }
        Ok(Self::new(PollFd::from_socket(fd), *addr))
    }

    /// Two streams connected to each other.
    ///
    /// # Errors
    /// What socketpair(2) says: no more descriptors.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let pair = sys::unix_pair(libc::SOCK_STREAM);
        let (near, far) = pair.map_err(|err| OpError::on::<Unix>("socketpair", None, None, err))?;
        Ok((Self::of_pair(near), Self::of_pair(far)))
    }

    #[track_caller]
    fn of_pair(fd: OwnedFd) -> Self {
        Self::new(PollFd::from_socket(fd), UnixAddr::unnamed())
    }

    /// The process at the other end, as it was when it connected, listened or made the pair.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        self.ask("getsockopt", sys::peer_credentials)
    }
}

/// Whether it is connected; it is not while the backlog is full.
fn connect_once(fd: BorrowedFd<'_>, raw: &RawAddr) -> io::Result<bool> {
    loop {
        match sys::connect(fd, raw) {
            Ok(()) => return Ok(true),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

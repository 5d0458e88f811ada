//! Descriptors in and out: sockets of the standard library, and of anybody else.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use reactor::PollFd;

use crate::error::OpError;
use crate::listener::{Listener, TcpListener};
use crate::network::StreamNetwork;
use crate::stream::{Stream, TcpStream};
use crate::sys::{self, SockOption};

const PROTOCOL: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_PROTOCOL);
const ACCEPTING: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_ACCEPTCONN);

/// Descriptors in and out.
impl TcpListener {
    /// Takes over a listener of the standard library, with the options it has, as `try_from` takes
    /// over any descriptor.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::try_from(OwnedFd::from(listener))
    }

    /// Gives the listener away, in non-blocking mode; connections in its queue stay there.
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]).
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let local = Some(self.local);
        let fd = self.fd.into_inner();
        Ok(fd.map_err(|err| OpError::tcp("into_std", local, None, err))?.into())
    }
}

/// Takes over a socket that listens: it is made non-blocking and close-on-exec where it is not. It
/// counts as shared (see [`PollFd::mark_shared`]), since who opened it may hold it still.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when it is no TCP socket or does not listen; it is closed then.
///
/// # Panics
/// Outside a runtime.
impl TryFrom<OwnedFd> for TcpListener {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let local = tcp_addr(&fd)?;
        if !listens(&fd)? {
            return Err(unsuitable(Some(local), "it does not listen"));
        }
        let listener = Self::new(PollFd::from_socket(fd), local, ());
        listener.fd.mark_shared();
        Ok(listener)
    }
}

/// Descriptors in and out.
impl TcpStream {
    /// Takes over a connection of the standard library, with the options it has, as `try_from` takes
    /// over any descriptor.
    ///
    /// # Errors
    /// `NotConnected` when its peer has reset it; what the system says.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        Self::try_from(OwnedFd::from(stream))
    }

    /// Gives the connection away, in non-blocking mode.
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]).
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let (local, peer) = (self.local_addr().ok(), Some(self.peer));
        let fd = self.fd.into_inner();
        Ok(fd.map_err(|err| OpError::tcp("into_std", local, peer, err))?.into())
    }
}

/// Takes over a connected socket: it is made non-blocking and close-on-exec where it is not. It
/// counts as shared (see [`PollFd::mark_shared`]), since who opened it may hold it still.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when it is no TCP socket or listens; `NotConnected` when it is
/// not connected, or no longer; it is closed then.
///
/// # Panics
/// Outside a runtime.
impl TryFrom<OwnedFd> for TcpStream {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let local = tcp_addr(&fd)?;
        if listens(&fd)? {
            return Err(unsuitable(Some(local), "it listens"));
        }
        let peer = sys::peer_addr(fd.as_fd()).map_err(|err| adopt_error(Some(local), err))?;
        let stream = Self::new(PollFd::from_socket(fd), peer);
        stream.fd.mark_shared();
        Ok(stream)
    }
}

/// Descriptors lent.
impl<N: StreamNetwork> Listener<N> {
    /// Lends the descriptor to `f`: for `getsockopt` and its kin, or to duplicate it.
    ///
    /// There is no `AsFd`, because [`close`](Self::close) may close the descriptor at any time but
    /// during `f`. The listener then counts as shared, and its close costs one more system call:
    /// see [`PollFd::mark_shared`].
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]).
    pub fn with_fd<T>(&self, f: impl FnOnce(BorrowedFd<'_>) -> T) -> io::Result<T> {
        self.fd.mark_shared();
        self.fd.with_fd(f).map_err(|err| self.error("with_fd", err))
    }
}

/// Descriptors lent.
impl<N: StreamNetwork> Stream<N> {
    /// Lends the descriptor to `f`: for `getsockopt` and its kin, or to duplicate it.
    ///
    /// There is no `AsFd`, because [`close`](Self::close) may close the descriptor at any time but
    /// during `f`. The stream then counts as shared, and its close costs one more system call: see
    /// [`PollFd::mark_shared`].
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]).
    pub fn with_fd<T>(&self, f: impl FnOnce(BorrowedFd<'_>) -> T) -> io::Result<T> {
        self.fd.mark_shared();
        self.fd.with_fd(f).map_err(|err| self.error("with_fd", err))
    }
}

/// The address of a TCP socket, made fit for the reactor.
fn tcp_addr(fd: &OwnedFd) -> io::Result<SocketAddr> {
    let protocol = match sys::option(fd.as_fd(), PROTOCOL) {
        Ok(protocol) => protocol,
        Err(err) if err.raw_os_error() == Some(libc::ENOTSOCK) => {
            return Err(unsuitable(None, "it is no socket"));
        }
        Err(err) => return Err(adopt_error(None, err)),
    };
    if ![libc::IPPROTO_TCP, libc::IPPROTO_MPTCP].contains(&protocol) {
        return Err(unsuitable(None, "it is a socket of another protocol"));
    }
    sys::set_nonblocking_and_cloexec(fd.as_fd())
        .and_then(|()| sys::local_addr(fd.as_fd()))
        .map_err(|err| adopt_error(None, err))
}

fn listens(fd: &OwnedFd) -> io::Result<bool> {
    Ok(sys::option(fd.as_fd(), ACCEPTING).map_err(|err| adopt_error(None, err))? != 0)
}

fn unsuitable(local: Option<SocketAddr>, why: &str) -> io::Error {
    adopt_error(local, io::Error::new(io::ErrorKind::InvalidInput, why))
}

fn adopt_error(local: Option<SocketAddr>, err: io::Error) -> io::Error {
    OpError::tcp("adopt", local, None, err)
}

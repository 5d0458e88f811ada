//! Descriptors in and out: sockets of the standard library, and of anybody else.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::{net as std_net, os::unix::net as std_unix};

use reactor::PollFd;

use crate::datagram::DatagramSocket;
use crate::error::OpError;
use crate::listener::Listener;
use crate::network::{DatagramNetwork, Network, StreamNetwork, Tcp, Udp, Unix, Unixgram};
use crate::stream::Stream;
use crate::sys::{self, SockOption};
use crate::unix::Unlink;

const DOMAIN: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_DOMAIN);
const KIND: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_TYPE);
const PROTOCOL: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_PROTOCOL);
const ACCEPTING: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_ACCEPTCONN);

const INTERNET: [c_int; 2] = [libc::AF_INET, libc::AF_INET6];

/// What a network's sockets are to others.
pub trait Adopt: Network {
    /// The standard library's connection, or datagram socket.
    type Std: From<OwnedFd> + Into<OwnedFd>;

    /// Whether a socket of this domain, type and protocol is one of the network.
    fn has(domain: c_int, kind: c_int, protocol: c_int) -> bool;

    /// For a socket that somebody else bound: nothing is to be undone.
    fn bound_by_another() -> Self::Bound;

    /// The socket lives on elsewhere: what was to be undone stays.
    fn given_away(bound: &Self::Bound);
}

/// What a network's listeners are to others.
pub trait AdoptListener: Adopt {
    /// The standard library's listener.
    type StdListener: From<OwnedFd> + Into<OwnedFd>;
}

impl Adopt for Tcp {
    type Std = std_net::TcpStream;

    fn has(domain: c_int, kind: c_int, protocol: c_int) -> bool {
        let tcp = [libc::IPPROTO_TCP, libc::IPPROTO_MPTCP].contains(&protocol);
        INTERNET.contains(&domain) && kind == libc::SOCK_STREAM && tcp
    }

    fn bound_by_another() {}

    fn given_away((): &()) {}
}

impl Adopt for Udp {
    type Std = std_net::UdpSocket;

    fn has(domain: c_int, kind: c_int, protocol: c_int) -> bool {
        INTERNET.contains(&domain) && kind == libc::SOCK_DGRAM && protocol == libc::IPPROTO_UDP
    }

    fn bound_by_another() {}

    fn given_away((): &()) {}
}

impl Adopt for Unix {
    type Std = std_unix::UnixStream;

    fn has(domain: c_int, kind: c_int, _protocol: c_int) -> bool {
        domain == libc::AF_UNIX && kind == libc::SOCK_STREAM
    }

    fn bound_by_another() -> Unlink {
        Unlink::nothing()
    }

    fn given_away(bound: &Unlink) {
        bound.set_wanted(false);
    }
}

impl Adopt for Unixgram {
    type Std = std_unix::UnixDatagram;

    fn has(domain: c_int, kind: c_int, _protocol: c_int) -> bool {
        domain == libc::AF_UNIX && kind == libc::SOCK_DGRAM
    }

    fn bound_by_another() -> Unlink {
        Unlink::nothing()
    }

    fn given_away(bound: &Unlink) {
        bound.set_wanted(false);
    }
}

impl AdoptListener for Tcp {
    type StdListener = std_net::TcpListener;
}

impl AdoptListener for Unix {
    type StdListener = std_unix::UnixListener;
}

/// Takes over a socket that listens: it is made non-blocking and close-on-exec where it is not. It
/// counts as shared (see [`PollFd::mark_shared`]), since who opened it may hold it still. The path
/// of a Unix socket stays when it is closed.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when it is a socket of another network, none at all, or does not
/// listen; it is closed then.
///
/// # Panics
/// Outside a runtime.
impl<N: StreamNetwork> TryFrom<OwnedFd> for Listener<N> {
    type Error = io::Error;

    #[track_caller]
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let local = fit_for_the_reactor::<N>(&fd)?;
        if !listens::<N>(&fd)? {
            return Err(unsuitable::<N>(Some(&local), "it does not listen"));
        }
        let listener = Self::new(PollFd::from_socket(fd), local, N::bound_by_another());
        listener.fd.mark_shared();
        Ok(listener)
    }
}

/// Takes over a connected socket: it is made non-blocking and close-on-exec where it is not. It
/// counts as shared (see [`PollFd::mark_shared`]), since who opened it may hold it still.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when it is a socket of another network, none at all, or listens;
/// `NotConnected` when it is not connected, or no longer; it is closed then.
///
/// # Panics
/// Outside a runtime.
impl<N: StreamNetwork> TryFrom<OwnedFd> for Stream<N> {
    type Error = io::Error;

    #[track_caller]
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let local = fit_for_the_reactor::<N>(&fd)?;
        if listens::<N>(&fd)? {
            return Err(unsuitable::<N>(Some(&local), "it listens"));
        }
        let peer = sys::peer_addr(fd.as_fd()).map_err(|err| failed::<N>(Some(&local), err))?;
        let stream = Self::new(PollFd::from_socket(fd), peer);
        stream.fd.mark_shared();
        Ok(stream)
    }
}

/// Takes over a datagram socket, connected or not: it is made non-blocking and close-on-exec where
/// it is not. It counts as shared (see [`PollFd::mark_shared`]), since who opened it may hold it
/// still. The path of a Unix socket stays when it is closed.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when it is a socket of another network, or none at all; it is
/// closed then.
///
/// # Panics
/// Outside a runtime.
impl<N: DatagramNetwork> TryFrom<OwnedFd> for DatagramSocket<N> {
    type Error = io::Error;

    #[track_caller]
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let local = fit_for_the_reactor::<N>(&fd)?;
        let peer = sys::peer_addr(fd.as_fd()).ok();
        let socket = Self::new(PollFd::from_socket(fd), local, peer, N::bound_by_another());
        socket.fd.mark_shared();
        Ok(socket)
    }
}

/// Descriptors in and out.
impl<N: StreamNetwork> Listener<N> {
    /// Takes over a listener of the standard library, with the options it has, as `try_from` takes over
    /// any descriptor.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn from_std(listener: N::StdListener) -> io::Result<Self> {
        Self::try_from(listener.into())
    }

    /// Gives the listener away, in non-blocking mode; connections in its queue stay there, and the path of a
    /// Unix one stays.
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]).
    pub fn into_std(self) -> io::Result<N::StdListener> {
        N::given_away(&self.bound);
        let named = |err| OpError::on::<N>("into_std", Some(&self.local), None, err);
        self.fd.into_inner().map(Into::into).map_err(named)
    }
}

/// Descriptors in and out.
impl<N: StreamNetwork> Stream<N> {
    /// Takes over a stream of the standard library, with the options it has, as `try_from` takes over
    /// any descriptor.
    ///
    /// # Errors
    /// `NotConnected` when its peer has reset it; what the system says.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn from_std(stream: N::Std) -> io::Result<Self> {
        Self::try_from(stream.into())
    }

    /// Gives the stream away, in non-blocking mode.
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]).
    pub fn into_std(self) -> io::Result<N::Std> {
        let (local, peer) = (self.local_addr().ok(), self.peer());
        let named = |err| OpError::on::<N>("into_std", local.as_ref(), Some(&peer), err);
        self.fd.into_inner().map(Into::into).map_err(named)
    }
}

/// Descriptors in and out.
impl<N: DatagramNetwork> DatagramSocket<N> {
    /// Takes over a socket of the standard library, with the options it has, as `try_from` takes over
    /// any descriptor.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn from_std(socket: N::Std) -> io::Result<Self> {
        Self::try_from(socket.into())
    }

    /// Gives the socket away, in non-blocking mode, and leaves the path of a Unix one.
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]).
    pub fn into_std(self) -> io::Result<N::Std> {
        N::given_away(&self.bound);
        let (local, peer) = (self.local_addr().ok(), self.peer());
        let named = |err| OpError::on::<N>("into_std", local.as_ref(), peer.as_ref(), err);
        self.fd.into_inner().map(Into::into).map_err(named)
    }
}

/// For `getsockopt` and its kin, or to duplicate it. From the borrow on it counts as shared, since it
/// may have been duplicated: see [`PollFd::mark_shared`]. A closed one keeps its number until it is dropped, and what is done with that is
/// refused (`EINVAL`, `ENOTSOCK`).
impl<N: StreamNetwork> AsFd for Listener<N> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// As that of [`Listener`].
impl<N: StreamNetwork> AsFd for Stream<N> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// As that of [`Listener`].
impl<N: DatagramNetwork> AsFd for DatagramSocket<N> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The number of the socket, as that of [`PollFd`]: for logs and the like.
impl<N: StreamNetwork> AsRawFd for Listener<N> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// As that of [`Listener`].
impl<N: StreamNetwork> AsRawFd for Stream<N> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// As that of [`Listener`].
impl<N: DatagramNetwork> AsRawFd for DatagramSocket<N> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Checks that a socket is one of the network and sets the two flags it must have. Returns its
/// address.
fn fit_for_the_reactor<N: Adopt>(fd: &OwnedFd) -> io::Result<N::Addr> {
    let fd = fd.as_fd();
    let kind = [DOMAIN, KIND, PROTOCOL].map(|option| sys::option(fd, option));
    match kind {
        [Ok(domain), Ok(kind), Ok(protocol)] if N::has(domain, kind, protocol) => {}
        [Err(err), ..] if err.raw_os_error() != Some(libc::ENOTSOCK) => {
            return Err(failed::<N>(None, err));
        }
        [Err(_), ..] => return Err(unsuitable::<N>(None, "it is no socket")),
        _ => return Err(unsuitable::<N>(None, "it is a socket of another network")),
    }
    sys::set_nonblocking_and_cloexec(fd)
        .and_then(|()| sys::local_addr(fd))
        .map_err(|err| failed::<N>(None, err))
}

fn listens<N: Adopt>(fd: &OwnedFd) -> io::Result<bool> {
    let accepting = sys::option(fd.as_fd(), ACCEPTING).map_err(|err| failed::<N>(None, err))?;
    Ok(accepting != 0)
}

fn unsuitable<N: Adopt>(local: Option<&N::Addr>, why: &str) -> io::Error {
    failed::<N>(local, io::Error::new(io::ErrorKind::InvalidInput, why))
}

fn failed<N: Adopt>(local: Option<&N::Addr>, err: io::Error) -> io::Error {
    OpError::on::<N>("adopt", local, None, err)
}

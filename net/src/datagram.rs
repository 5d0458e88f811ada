//! Sockets of datagrams: what UDP and Unix datagrams share.
//!
//! A datagram is taken or sent whole by one system call. That a read did not fill its buffer says
//! nothing about the next datagram, so no direction is ever marked drained here: only `EAGAIN` is.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use reactor::time::timeout;
use reactor::{Direction, PollFd};

use crate::addr::Address;
use crate::back_off::BackOff;
use crate::error::OpError;
use crate::network::DatagramNetwork;
use crate::sys;

mod received;

pub use received::Received;
use received::{recv, recv_from};

/// A socket that sends and receives datagrams: a [`UdpSocket`](crate::UdpSocket) or a
/// [`UnixDatagram`](crate::UnixDatagram).
///
/// Its methods take `&self`, and any number of tasks may use one socket, sharing it in an `Rc`.
/// Dropping it closes it; [`close`](Self::close) does so while others still hold it, and wakes them.
///
/// # Datagrams
/// Each call takes or sends one whole datagram. One that is longer than the buffer loses its end,
/// which [`Received`] tells. An empty one is as good as any other: `len` is 0, and it is no end of
/// anything.
///
/// # Cancellation
/// A future dropped before it was ready has neither taken nor sent a datagram.
///
/// # Deadlines
/// A deadline holds for all operations of its direction, those that wait already included, until
/// another is set. Past it they give `TimedOut`, even when they could proceed.
///
/// ```
/// use net::{DatagramNetwork, DatagramSocket, UdpSocket};
/// use std::{io, time::Duration};
///
/// /// Waits for an answer, and not for ever: datagrams get lost.
/// async fn answer<N: DatagramNetwork>(socket: &DatagramSocket<N>) -> io::Result<Option<Vec<u8>>> {
///     socket.set_read_deadline(Some(reactor::time::now() + Duration::from_millis(10)));
///     let mut buffer = [0; 512];
///     match socket.recv(&mut buffer).await {
///         Ok(received) => Ok(Some(buffer[..received.len].to_vec())),
///         Err(err) if err.kind() == io::ErrorKind::TimedOut => Ok(None),
///         Err(err) => Err(err),
///     }
/// }
/// # reactor::block_on(async {
/// let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// assert_eq!(answer(&socket).await?, None);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct DatagramSocket<N: DatagramNetwork> {
    /// Undone before the descriptor is closed.
    pub(crate) bound: N::Bound,
    pub(crate) fd: PollFd,
    names: RefCell<Names<N::Addr>>,
}

/// Kept, so that errors and a closed socket have them.
#[derive(Clone)]
struct Names<A> {
    local: A,
    peer: Option<A>,
}

impl<N: DatagramNetwork> DatagramSocket<N> {
    pub(crate) fn new(fd: PollFd, local: N::Addr, peer: Option<N::Addr>, bound: N::Bound) -> Self {
        Self { bound, fd, names: RefCell::new(Names { local, peer }) }
    }

    /// Sends a datagram to the peer the socket is connected to, and waits while there is no room for
    /// it. Returns its length: it is sent whole or not at all.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The system's `EMSGSIZE` when it is too long, its `EDESTADDRREQ` or `NotConnected` without a
    /// peer, `ConnectionRefused` when an earlier datagram found nobody (it is reported once, to
    /// whoever asks first); `TimedOut` past the deadline; use after close ([`reactor::is_closed`]).
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let sent = self.fd.io(Direction::Write, |fd| sys::send(fd, buf)).await;
        sent.map_err(|err| self.error("write", err))
    }

    /// [`send`](Self::send) for poll functions. The task of the last call is woken, and of the last
    /// one only.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = ready!(self.fd.poll_io(cx, Direction::Write, |fd| sys::send(fd, buf)));
        Poll::Ready(sent.map_err(|err| self.error("write", err)))
    }

    /// Sends a datagram if there is room for it.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`send`](Self::send).
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        let sent = self.fd.try_io(Direction::Write, |fd| sys::send(fd, buf));
        sent.map_err(|err| self.error("write", err))
    }

    /// Sends a datagram to an address, and waits while there is no room for it.
    ///
    /// A Unix datagram also waits while the *receiver* has no room. The kernel tells nobody when that
    /// changes, unless the socket is connected to it: so the call is tried again after 1 ms, then
    /// after twice as long each time, up to 100 ms.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send); the error names the address. `NotFound` or `ConnectionRefused` for a
    /// Unix address nobody has, the system's `EISCONN` for another one than the peer where the
    /// network has that.
    pub async fn send_to(&self, buf: &[u8], to: impl Into<N::Addr>) -> io::Result<usize> {
        let to = to.into();
        let raw = to.encode();
        let sent = self.send_apart(|fd| sys::send_to(fd, buf, &raw)).await;
        sent.map_err(|err| self.error_with("write", &to, err))
    }

    /// Sends a datagram to an address if there is room for it.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`send_to`](Self::send_to).
    pub fn try_send_to(&self, buf: &[u8], to: impl Into<N::Addr>) -> io::Result<usize> {
        let to = to.into();
        let raw = to.encode();
        let sent = self.try_send_apart(&mut |fd| sys::send_to(fd, buf, &raw));
        sent.map_err(|err| self.error_with("write", &to, err))
    }

    /// Takes a datagram, and waits while there is none. On a connected socket it comes from the peer.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `ConnectionRefused` when an earlier datagram of this connected socket found nobody (it is
    /// reported once, to whoever asks first); `TimedOut` past the deadline; use after close
    /// ([`reactor::is_closed`]).
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        let taken = self.fd.io(Direction::Read, |fd| recv(fd, buf, 0)).await;
        taken.map_err(|err| self.error("read", err))
    }

    /// [`recv`](Self::recv) for poll functions. The task of the last call is woken, and of the last
    /// one only.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Received>> {
        let taken = ready!(self.fd.poll_io(cx, Direction::Read, |fd| recv(fd, buf, 0)));
        Poll::Ready(taken.map_err(|err| self.error("read", err)))
    }

    /// Takes a datagram if there is one.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`recv`](Self::recv).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        let taken = self.fd.try_io(Direction::Read, |fd| recv(fd, buf, 0));
        taken.map_err(|err| self.error("read", err))
    }

    /// [`recv`](Self::recv) that also says where the datagram came from.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<Received<N::Addr>> {
        let taken = self.fd.io(Direction::Read, |fd| recv_from(fd, buf, 0)).await;
        taken.map_err(|err| self.error("read", err))
    }

    /// [`recv_from`](Self::recv_from) for poll functions. The task of the last call is woken, and of
    /// the last one only.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Received<N::Addr>>> {
        let taken = ready!(self.fd.poll_io(cx, Direction::Read, |fd| recv_from(fd, buf, 0)));
        Poll::Ready(taken.map_err(|err| self.error("read", err)))
    }

    /// [`recv_from`](Self::recv_from) if there is a datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`recv`](Self::recv).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<Received<N::Addr>> {
        let taken = self.fd.try_io(Direction::Read, |fd| recv_from(fd, buf, 0));
        taken.map_err(|err| self.error("read", err))
    }

    /// [`recv`](Self::recv) that leaves the datagram: the next one takes it again, whole.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<Received> {
        let seen = self.fd.io(Direction::Read, |fd| recv(fd, buf, libc::MSG_PEEK)).await;
        seen.map_err(|err| self.error("peek", err))
    }

    /// [`recv_from`](Self::recv_from) that leaves the datagram: the next one takes it again, whole.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<Received<N::Addr>> {
        let seen = self.fd.io(Direction::Read, |fd| recv_from(fd, buf, libc::MSG_PEEK)).await;
        seen.map_err(|err| self.error("peek", err))
    }

    /// Waits until a datagram is there, or does not know better: it may be gone all the same.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `TimedOut` past the deadline; use after close ([`reactor::is_closed`]).
    pub async fn readable(&self) -> io::Result<()> {
        self.fd.readable().await.map_err(|err| self.error("read", err))
    }

    /// Waits until the socket has room for a datagram, or does not know better. It says nothing of a
    /// Unix receiver that this socket is not connected to.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `TimedOut` past the deadline; use after close ([`reactor::is_closed`]).
    pub async fn writable(&self) -> io::Result<()> {
        self.fd.writable().await.map_err(|err| self.error("write", err))
    }

    /// The address of this socket, also after close.
    ///
    /// # Errors
    /// None today; a `Result` as in the standard library.
    pub fn local_addr(&self) -> io::Result<N::Addr> {
        Ok(self.names.borrow().local.clone())
    }

    /// The address it is connected to, also after close.
    ///
    /// # Errors
    /// `NotConnected` when it is not connected.
    pub fn peer_addr(&self) -> io::Result<N::Addr> {
        let not_connected = || io::Error::from_raw_os_error(libc::ENOTCONN);
        self.peer().ok_or_else(|| self.error("getpeername", not_connected()))
    }

    pub(crate) fn peer(&self) -> Option<N::Addr> {
        self.names.borrow().peer.clone()
    }

    /// Sets the deadline of both directions; `None` clears them.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.fd.set_deadline(deadline);
    }

    /// Sets the deadline of receiving; `None` clears it.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.fd.set_read_deadline(deadline);
    }

    /// Sets the deadline of sending; `None` clears it.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.fd.set_write_deadline(deadline);
    }

    /// Closes the socket and wakes all that wait on it: they, and all later calls, get an error for
    /// which [`reactor::is_closed`] holds. Closing again does nothing.
    ///
    /// The number of the descriptor is free when this is dropped: see [`PollFd::close`](reactor::PollFd::close).
    pub fn close(&self) {
        N::unbind(&self.bound);
        self.fd.close();
    }

    /// Connects: `send` goes there, and only datagrams from there are received. Neither end exchanges
    /// anything for it, and nothing waits.
    pub(crate) fn connect_to(&self, peer: &N::Addr) -> io::Result<()> {
        let raw = peer.encode();
        let connected = self.fd.with_fd(|fd| {
            sys::connect(fd, &raw)?;
            sys::local_addr(fd)
        });
        let local = connected.flatten().map_err(|err| self.error_with("connect", peer, err))?;
        *self.names.borrow_mut() = Names { local, peer: Some(peer.clone()) };
        Ok(())
    }

    /// A system call that neither sends nor receives, and never waits.
    pub(crate) fn ask<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.fd.with_fd(call).flatten().map_err(|err| self.error(operation, err))
    }

    /// Sends to somebody else than the peer.
    ///
    /// Where a full receiver goes with no event, neither may a send wait for one, nor may what one
    /// receiver answered hold up a send to another. Events that do come mean nothing: a send that
    /// fails frees the buffer it took, and that alone is one.
    pub(crate) async fn send_apart(
        &self,
        mut send: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !N::SILENT_WHEN_FULL {
            return self.fd.io(Direction::Write, send).await;
        }
        let mut pause = BackOff::default();
        loop {
            match self.try_send_apart(&mut send) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                sent => return sent,
            }
            // Ended by the pause, or by the deadline or a close.
            let refused = self.fd.io(Direction::Write, |_| Err(io::ErrorKind::WouldBlock.into()));
            if let Ok(ended) = timeout(pause.next(), refused).await {
                return ended;
            }
        }
    }

    pub(crate) fn try_send_apart(
        &self,
        send: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self.fd.try_io(Direction::Write, &mut *send) {
            Err(err) if N::SILENT_WHEN_FULL && err.kind() == io::ErrorKind::WouldBlock => {
                self.fd.with_fd(send)?
            }
            sent => sent,
        }
    }

    #[cold]
    pub(crate) fn error(&self, operation: &'static str, err: io::Error) -> io::Error {
        let names = self.names.borrow();
        OpError::on::<N>(operation, Some(&names.local), names.peer.as_ref(), err)
    }

    #[cold]
    pub(crate) fn error_with(
        &self,
        operation: &'static str,
        other: &N::Addr,
        err: io::Error,
    ) -> io::Error {
        OpError::on::<N>(operation, Some(&self.names.borrow().local), Some(other), err)
    }
}

impl<N: DatagramNetwork> fmt::Debug for DatagramSocket<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.borrow();
        f.debug_struct("DatagramSocket")
            .field("network", &N::NAME)
            .field("local", &names.local)
            .field("peer", &names.peer)
            .finish_non_exhaustive()
    }
}

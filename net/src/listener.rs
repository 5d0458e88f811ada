//! Listening sockets.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use reactor::{Direction, PollFd};

use crate::addr::{self, Address, RawAddr};
use crate::error::OpError;
use crate::network::{StreamNetwork, Tcp};
use crate::options::{self, Keepalive};
use crate::stream::Stream;
use crate::sys;

/// Connections that were gone before they were taken, which one accept passes over, at most.
pub const ACCEPT_ABORTED_MAX: usize = 128;

/// The backlog where `/proc/sys/net/core/somaxconn` cannot be read: the kernel's own default
/// until Linux 5.4.
const BACKLOG_FALLBACK: u32 = 128;

/// A TCP socket that listens.
///
/// ```no_run
/// # async fn serve() -> std::io::Result<()> {
/// let listener = net::TcpListener::bind("127.0.0.1:7000".parse().unwrap())?;
/// loop {
///     let (stream, peer) = listener.accept().await?;
///     reactor::spawn(async move {
///         stream.write_all(format!("hello {peer}\n").as_bytes()).await
///     })
///     .detach();
/// }
/// # }
/// ```
pub type TcpListener = Listener<Tcp>;

/// A socket that listens: a [`TcpListener`] or a [`UnixListener`](crate::UnixListener).
///
/// Any number of tasks may wait in [`accept`](Self::accept) of one listener. Dropping it closes it;
/// [`close`](Self::close) does so while others still hold it, and wakes them.
///
/// # When there are no more descriptors
/// `EMFILE`, `ENFILE`, `ENOBUFS` and `ENOMEM` come back from `accept` as errors, and the connection
/// stays in the queue. The listener is as usable as before: the next `accept` tries again, and does
/// not wait for an event that would never come. Close something, or wait a little, first.
pub struct Listener<N: StreamNetwork> {
    /// Undone before the descriptor is closed, as in Go: nobody finds a path that nobody serves.
    pub(crate) bound: N::Bound,
    pub(crate) fd: PollFd,
    local: N::Addr,
}

impl Listener<Tcp> {
    /// Listens on `addr` with the defaults of [`ListenerBuilder`]. Port 0 takes a free one, which
    /// [`local_addr`](Self::local_addr) tells.
    ///
    /// # Errors
    /// As [`ListenerBuilder::bind`].
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::builder().bind(addr)
    }

    /// Options first, then [`bind`](ListenerBuilder::bind).
    pub fn builder() -> ListenerBuilder {
        ListenerBuilder::default()
    }
}

impl<N: StreamNetwork> Listener<N> {
    pub(crate) fn new(fd: PollFd, local: N::Addr, bound: N::Bound) -> Self {
        Self { bound, fd, local }
    }

    /// Takes a connection from the queue, and waits while there is none.
    ///
    /// One system call, `accept4`, when a connection is waiting. A connection that its peer gave
    /// up in the queue is passed over, at most [`ACCEPT_ABORTED_MAX`] in a row.
    ///
    /// Cancel-safe: a dropped future has taken no connection.
    ///
    /// # Errors
    /// `TimedOut` past the deadline; use after close ([`reactor::is_closed`]); no more descriptors
    /// or memory, see [above](Self#when-there-are-no-more-descriptors).
    pub async fn accept(&self) -> io::Result<(Stream<N>, N::Addr)> {
        let accepted = self.fd.io(Direction::Read, accept_live).await;
        self.stream(accepted)
    }

    /// [`accept`](Self::accept) for poll functions. The task of the last call is woken, and of the
    /// last one only.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream<N>, N::Addr)>> {
        let accepted = ready!(self.fd.poll_io(cx, Direction::Read, accept_live));
        Poll::Ready(self.stream(accepted))
    }

    /// Takes a connection if one is waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`accept`](Self::accept).
    pub fn try_accept(&self) -> io::Result<(Stream<N>, N::Addr)> {
        let accepted = self.fd.try_io(Direction::Read, accept_live);
        self.stream(accepted)
    }

    /// The address it listens on, also after close.
    ///
    /// # Errors
    /// None today; a `Result` as in the standard library.
    pub fn local_addr(&self) -> io::Result<N::Addr> {
        Ok(self.local.clone())
    }

    /// From `deadline` on, accept gives `TimedOut`, also to those that wait already and also when
    /// a connection is waiting, until another deadline is set. `None` clears it.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.fd.set_read_deadline(deadline);
    }

    /// Stops listening and wakes all that wait in accept: they, and all later calls, get an error
    /// for which [`reactor::is_closed`] holds. Connections in the queue are reset. Closing again
    /// does nothing.
    pub fn close(&self) {
        N::unbind(&self.bound);
        self.fd.close();
    }

    fn stream(&self, accepted: io::Result<(OwnedFd, N::Addr)>) -> io::Result<(Stream<N>, N::Addr)> {
        match accepted {
            Ok((fd, peer)) => Ok((Stream::new(PollFd::from_socket(fd), peer.clone()), peer)),
            Err(err) => Err(self.error("accept", err)),
        }
    }

    #[cold]
    fn error(&self, operation: &'static str, err: io::Error) -> io::Error {
        OpError::on::<N>(operation, Some(&self.local), None, err)
    }
}

impl<N: StreamNetwork> fmt::Debug for Listener<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("network", &N::NAME)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

/// One accept that passes over connections which were given up in the queue: they are no error of
/// the listener (accept(2), `ECONNABORTED`; Go: `internal/poll.FD.Accept`).
fn accept_live<A: Address>(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, A)> {
    skip_aborted(|| sys::accept(fd))
}

fn skip_aborted<T>(mut accept: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..ACCEPT_ABORTED_MAX {
        match accept() {
            Err(err) if err.kind() == io::ErrorKind::ConnectionAborted => {}
            accepted => return accepted,
        }
    }
    accept()
}

/// What a [`TcpListener`] is made with.
///
/// Accepted connections inherit `nodelay`, `keepalive` and the buffer sizes from the listener
/// (tcp(7), socket(7)), which is why they are set here: an accept then costs one system call.
///
/// ```
/// # reactor::block_on(async {
/// let listener = net::TcpListener::builder()
///     .reuse_port(true)
///     .backlog(1024)
///     .bind("[::1]:0".parse().unwrap())?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing listens before bind"]
pub struct ListenerBuilder {
    reuse_port: bool,
    v6only: bool,
    backlog: Option<u32>,
    nodelay: bool,
    keepalive: Option<Keepalive>,
    recv_buffer_bytes: Option<u32>,
    send_buffer_bytes: Option<u32>,
}

impl Default for ListenerBuilder {
    /// Go's: `nodelay` and `keepalive` on, everything else off or the system's.
    fn default() -> Self {
        Self {
            reuse_port: false,
            v6only: false,
            backlog: None,
            nodelay: true,
            keepalive: Some(Keepalive::default()),
            recv_buffer_bytes: None,
            send_buffer_bytes: None,
        }
    }
}

impl ListenerBuilder {
    /// Lets several sockets of one user listen on one address, and the kernel spread connections
    /// over them (`SO_REUSEPORT`). Off by default.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Whether `[::]` takes IPv6 connections only. Off by default: it takes both, whatever
    /// `net.ipv6.bindv6only` says, and an IPv4 peer has an address like `::ffff:127.0.0.1`.
    pub fn v6only(mut self, v6only: bool) -> Self {
        self.v6only = v6only;
        self
    }

    /// How many connections wait to be accepted, at most. The kernel takes the smaller one of this
    /// and `net.core.somaxconn`, which is the default.
    pub fn backlog(mut self, connections_max: u32) -> Self {
        self.backlog = Some(connections_max);
        self
    }

    /// Whether small segments leave at once (`TCP_NODELAY`). On by default.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Keep-alive, `None` for none. [`Keepalive::default`] by default.
    pub fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// The receive buffer of accepted connections, at most `net.core.rmem_max`. By default the
    /// kernel tunes it (`net.ipv4.tcp_rmem`).
    pub fn recv_buffer_bytes(mut self, bytes: u32) -> Self {
        self.recv_buffer_bytes = Some(bytes);
        self
    }

    /// The send buffer of accepted connections, at most `net.core.wmem_max`. By default the kernel
    /// tunes it (`net.ipv4.tcp_wmem`).
    pub fn send_buffer_bytes(mut self, bytes: u32) -> Self {
        self.send_buffer_bytes = Some(bytes);
        self
    }

    /// Binds `addr` and listens. `SO_REUSEADDR` is set, so that a port can be listened on again
    /// while connections of its last listener linger.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` and what else bind(2) and listen(2)
    /// say; `InvalidInput` for keep-alive out of its range. The error names the address.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn bind(self, addr: SocketAddr) -> io::Result<TcpListener> {
        let at = |operation| move |err| OpError::tcp(operation, Some(addr), None, err);
        let owned = sys::tcp_socket(addr::family(addr)).map_err(at("socket"))?;
        let fd = owned.as_fd();
        self.set_options(fd, addr).map_err(at("setsockopt"))?;
        sys::bind(fd, &RawAddr::from(addr)).map_err(at("bind"))?;
        sys::listen(fd, self.effective_backlog()).map_err(at("listen"))?;
        let local = sys::local_addr(fd).map_err(at("getsockname"))?;
        Ok(Listener::new(PollFd::from_socket(owned), local, ()))
    }

    fn set_options(&self, fd: BorrowedFd<'_>, addr: SocketAddr) -> io::Result<()> {
        sys::set_option(fd, options::REUSE_ADDR, 1)?;
        if self.reuse_port {
            sys::set_option(fd, options::REUSE_PORT, 1)?;
        }
        if addr.is_ipv6() {
            sys::set_option(fd, options::V6ONLY, self.v6only.into())?;
        }
        if let Some(bytes) = self.recv_buffer_bytes {
            sys::set_option(fd, options::RECV_BUFFER, options::int(bytes))?;
        }
        if let Some(bytes) = self.send_buffer_bytes {
            sys::set_option(fd, options::SEND_BUFFER, options::int(bytes))?;
        }
        if self.nodelay {
            sys::set_option(fd, options::NODELAY, 1)?;
        }
        if self.keepalive.is_some() {
            options::set_keepalive(fd, self.keepalive)?;
        }
        Ok(())
    }

    fn effective_backlog(&self) -> c_int {
        backlog(self.backlog)
    }
}

/// The backlog that was set, or the system's limit.
pub(crate) fn backlog(connections_max: Option<u32>) -> c_int {
    options::int(connections_max.unwrap_or_else(somaxconn))
}

/// The system's limit of a backlog, read at each bind: it is a file of a few bytes, and may change.
fn somaxconn() -> u32 {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .map_or(BACKLOG_FALLBACK, |text| parse_somaxconn(&text))
}

/// As Go's `maxListenerBacklog`: what is no number, or 0, is the fallback. A number too large for
/// listen(2) is clamped, by the `u32` here or by [`options::int`].
fn parse_somaxconn(text: &str) -> u32 {
    match text.trim().parse::<u64>() {
        Ok(0) | Err(_) => BACKLOG_FALLBACK,
        Ok(connections) => u32::try_from(connections).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted() -> io::Error {
        io::Error::from_raw_os_error(libc::ECONNABORTED)
    }

    #[test]
    fn an_aborted_connection_is_not_an_accept_error() {
        let mut answers = vec![Ok(7), Err(aborted()), Err(aborted())];
        assert_eq!(skip_aborted(|| answers.pop().unwrap()).unwrap(), 7);
    }

    #[test]
    fn aborted_connections_without_end_do_not_hold_the_thread() {
        let mut calls = 0;
        let err = skip_aborted::<()>(|| {
            calls += 1;
            Err(aborted())
        });
        assert_eq!(err.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(calls, ACCEPT_ABORTED_MAX + 1);
    }

    #[test]
    fn no_more_descriptors_is_an_accept_error() {
        let err = skip_aborted::<()>(|| Err(io::Error::from_raw_os_error(libc::EMFILE)));
        assert_eq!(err.unwrap_err().raw_os_error(), Some(libc::EMFILE));
    }

    #[test]
    fn somaxconn_is_read_as_go_reads_it() {
        assert_eq!(parse_somaxconn("4096\n"), 4096);
        assert_eq!(parse_somaxconn("65536\n"), 65536);
        assert_eq!(parse_somaxconn("99999999999\n"), u32::MAX);
        for odd in ["", "0\n", "many", "-1\n"] {
            assert_eq!(parse_somaxconn(odd), BACKLOG_FALLBACK, "{odd:?}");
        }
    }

    #[test]
    fn the_backlog_is_the_systems_limit_unless_it_is_set() {
        assert_eq!(TcpListener::builder().backlog(7).effective_backlog(), 7);
        assert_eq!(TcpListener::builder().backlog(u32::MAX).effective_backlog(), c_int::MAX);
        assert_eq!(TcpListener::builder().effective_backlog(), options::int(somaxconn()));
    }
}

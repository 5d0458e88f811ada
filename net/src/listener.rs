//! Listening sockets.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use reactor::{Direction, PollFd};

use crate::addr::Address;
use crate::error::OpError;
use crate::incoming::Connections;
use crate::listen::ListenerBuilder;
use crate::network::{StreamNetwork, Tcp};
use crate::stream::Stream;
#[cfg(doc)]
use crate::stream::TcpStream;
use crate::sys;

/// Connections that were gone before they were taken, which one accept passes over, at most.
pub const ACCEPT_ABORTED_MAX: usize = 128;

/// A TCP socket that listens.
///
/// ```
/// use net::TcpListener;
///
/// async fn serve(listener: TcpListener) -> std::io::Result<()> {
///     let mut incoming = listener.incoming();
///     loop {
///         let (stream, peer) = incoming.next().await?;
///         reactor::spawn(async move {
///             stream.write_all(format!("hello {peer}\n").as_bytes()).await
///         })
///         .detach();
///     }
/// }
/// # reactor::block_on(async {
/// let listener = TcpListener::listen("127.0.0.1:0").await?;
/// # let near = net::TcpStream::connect(listener.local_addr()?).await?;
/// reactor::spawn(serve(listener)).detach();
/// # let mut buffer = [0; 64];
/// # let n = near.read(&mut buffer).await?;
/// # assert_eq!(&buffer[..n], format!("hello {}\n", near.local_addr()?).as_bytes());
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type TcpListener = Listener<Tcp>;

/// A socket that listens: a [`TcpListener`] or a [`UnixListener`](crate::UnixListener).
///
/// Any number of tasks may wait in [`accept`](Self::accept) of one listener. Dropping it closes it;
/// [`close`](Self::close) does so while others still hold it, and wakes them.
///
/// ```
/// use net::{Listener, StreamNetwork, TcpListener, TcpStream};
/// use std::rc::Rc;
///
/// /// How many connections there were before the close.
/// async fn count<N: StreamNetwork>(listener: Rc<Listener<N>>) -> std::io::Result<usize> {
///     let mut connections = 0;
///     loop {
///         match listener.accept().await {
///             Ok(_) => connections += 1,
///             Err(err) if reactor::is_closed(&err) => return Ok(connections),
///             Err(err) => return Err(err),
///         }
///     }
/// }
/// # reactor::block_on(async {
/// let listener = Rc::new(TcpListener::bind("127.0.0.1:0".parse().unwrap())?);
/// let counting = reactor::spawn(count(Rc::clone(&listener)));
/// let stream = TcpStream::connect(listener.local_addr()?).await?;
/// assert_eq!(stream.read(&mut [0; 8]).await?, 0, "taken, and dropped");
/// listener.close();
/// assert_eq!(counting.await.unwrap()?, 1);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # When there are no more descriptors
/// `EMFILE`, `ENFILE`, `ENOBUFS` and `ENOMEM` come back from `accept` as errors, and the connection
/// stays in the queue. The listener is as usable as before: the next `accept` tries again, and does
/// not wait for an event that would never come. Drop something, or wait a little, first: what is
/// closed keeps its number until it is dropped. [`incoming`](Self::incoming) does the waiting.
pub struct Listener<N: StreamNetwork> {
    /// Undone before the descriptor is closed, as in Go: nobody finds a path that nobody serves.
    pub(crate) bound: N::Bound,
    pub(crate) fd: PollFd,
    pub(crate) local: N::Addr,
}

impl Listener<Tcp> {
    /// Listens on `host:port` with the defaults of [`ListenerBuilder`]: `127.0.0.1:7000`,
    /// `localhost:http`, or `:7000` for all addresses. Port 0 takes a free one, which
    /// [`local_addr`](Self::local_addr) tells. The counterpart of [`TcpStream::dial`], and Go's
    /// `net.Listen`.
    ///
    /// Cancel-safe, as [`ListenerBuilder::listen`].
    ///
    /// # Errors
    /// As [`ListenerBuilder::listen`].
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn listen(address: &str) -> io::Result<Self> {
        Self::builder().listen(address).await
    }

    /// Listens on `addr` with the defaults of [`ListenerBuilder`], at once. Port 0 takes a free one, which
    /// [`local_addr`](Self::local_addr) tells.
    ///
    /// # Errors
    /// As [`ListenerBuilder::bind`].
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
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

    /// All connections, one after another, with pauses while the system is out of descriptors or
    /// memory: what a server's loop takes, since with [`accept`](Self::accept) and `?` a moment's shortage
    /// is its end.
    pub fn incoming(&self) -> Connections<'_, N> {
        Connections::new(self)
    }

    /// Takes a connection from the queue, and waits while there is none.
    ///
    /// One system call, `accept4`, when a connection is waiting. A connection that its peer or the
    /// network gave up in the queue is passed over, at most [`ACCEPT_ABORTED_MAX`] in a row.
    ///
    /// Cancel-safe: a dropped future has taken no connection.
    ///
    /// # Errors
    /// `TimedOut` past the deadline; use after close ([`reactor::is_closed`]); no more descriptors
    /// or memory, see [above](Self#when-there-are-no-more-descriptors); what became of the last one,
    /// most often `ConnectionAborted`, when more than [`ACCEPT_ABORTED_MAX`] in a row were given up.
    pub async fn accept(&self) -> io::Result<(Stream<N>, N::Addr)> {
        let accepted = self.fd.io(Direction::Read, accept_live).await;
        self.stream(accepted)
    }

    /// [`accept`](Self::accept) for poll functions. The task of the last call is woken, and of the
    /// last one only.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream<N>, N::Addr)>> {
        let accepted = ready!(self.fd.poll_io(cx, Direction::Read, accept_live));
        Poll::Ready(self.stream(accepted))
    }

    /// Takes a connection if one is waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`accept`](Self::accept).
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
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
    ///
    /// The number of the descriptor is free when this is dropped: see [`PollFd::close`](reactor::PollFd::close).
    pub fn close(&self) {
        N::unbind(&self.bound);
        self.fd.close();
    }

    #[track_caller]
    fn stream(&self, accepted: io::Result<(OwnedFd, N::Addr)>) -> io::Result<(Stream<N>, N::Addr)> {
        match accepted {
            Ok((fd, peer)) => Ok((Stream::new(PollFd::from_socket(fd), peer.clone()), peer)),
            Err(err) => Err(self.error("accept", err)),
        }
    }

    #[cold]
    pub(crate) fn error(&self, operation: &'static str, err: io::Error) -> io::Error {
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
/// the listener (accept(2), "Error handling"; Go: `internal/poll.FD.Accept`, for `ECONNABORTED`).
fn accept_live<A: Address>(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, A)> {
    skip_aborted(|| sys::accept(fd))
}

fn skip_aborted<T>(mut accept: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..ACCEPT_ABORTED_MAX {
        match accept() {
            Err(err) if is_of_the_connection(&err) => {}
            accepted => return accepted,
        }
    }
    accept()
}

/// Linux reports an error that is pending on the new connection as one of accept.
fn is_of_the_connection(err: &io::Error) -> bool {
    err.raw_os_error().is_some_and(is_errno_of_the_connection)
}

pub(crate) fn is_errno_of_the_connection(errno: c_int) -> bool {
    matches!(
        errno,
        libc::ECONNABORTED
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use reactor::{metrics, spawn, yield_now};

    use super::*;
    use crate::leaks::leaving_nothing_open;
    use crate::sys::fault::{PASS, Script, script};

    /// How often the system was called since the scripts were written.
    fn calls(scripts: &[Script]) -> usize {
        scripts.iter().map(|script| SCRIPTED - script.left()).sum()
    }

    const SCRIPTED: usize = 100;

    fn count(call: &'static str) -> Script {
        script(call, &[PASS; SCRIPTED])
    }

    /// The options are those of the listener, which the kernel hands on, and a connection is
    /// registered when it has to wait: so an accept is `accept4` and nothing else.
    #[test]
    fn an_accept_is_one_system_call_or_two_when_it_waits() {
        const WAITING: usize = 10;
        let test = async {
            let listener = TcpListener::builder().bind("127.0.0.1:0".parse().unwrap())?;
            let addr = listener.local_addr()?;
            let _near: Vec<_> = (0..WAITING).map(|_| TcpStream::connect(addr).unwrap()).collect();
            let accepts = [count("accept4")];
            let others = ["setsockopt", "getsockopt", "getsockname", "getpeername", "fcntl"];
            let others = others.map(count);
            let mut accepted = Vec::new();
            for _ in 0..WAITING {
                accepted.push(listener.accept().await?.0);
            }
            assert_eq!(calls(&accepts), WAITING);

            let accept = spawn(async move { listener.accept().await });
            yield_now().await;
            let _near_too = TcpStream::connect(addr)?;
            accepted.push(accept.await.unwrap()?.0);
            assert_eq!(calls(&accepts), WAITING + 2);
            assert_eq!((calls(&others), metrics().descriptors), (0, 0), "none is registered");
            assert!(accepted.iter().all(|stream| stream.nodelay().unwrap()));
            Ok::<_, io::Error>(())
        };
        leaving_nothing_open(|| reactor::block_on(test).unwrap().unwrap());
    }

    /// Accepts while accept4 gives these errors first. How many of them were not asked for.
    async fn accept_with(errors: &[c_int]) -> io::Result<usize> {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
        let _near = TcpStream::connect(listener.local_addr()?)?;
        let script = script("accept4", errors);
        listener.accept().await?;
        Ok(script.left())
    }

    #[test]
    fn an_accept_passes_over_connections_that_were_given_up() {
        let given_up = [libc::ECONNABORTED, libc::ENETUNREACH, libc::EINTR];
        leaving_nothing_open(|| {
            let accepted = reactor::block_on(accept_with(&given_up)).unwrap();
            assert_eq!(accepted.unwrap(), 0);

            let accepted =
                reactor::block_on(accept_with(&[libc::ECONNABORTED; ACCEPT_ABORTED_MAX]));
            assert_eq!(accepted.unwrap().unwrap(), 0);
            let too_many = [libc::ECONNABORTED; ACCEPT_ABORTED_MAX + 1];
            let err = reactor::block_on(accept_with(&too_many)).unwrap().unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::ConnectionAborted);
        });
    }

    fn aborted() -> io::Error {
        io::Error::from_raw_os_error(libc::ECONNABORTED)
    }

    #[test]
    fn an_aborted_connection_is_not_an_accept_error() {
        let mut answers = vec![Ok(7), Err(aborted()), Err(aborted())];
        assert_eq!(skip_aborted(|| answers.pop().unwrap()).unwrap(), 7);
        // What accept(2) names beside it.
        let unreachable = || Err(io::Error::from_raw_os_error(libc::ENETUNREACH));
        let mut answers = vec![Ok(7), unreachable(), Err(aborted())];
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
}

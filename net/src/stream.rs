//! Connections that are streams of bytes, and TCP's.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use reactor::PollFd;

use crate::addr::Address;
use crate::connect::{self, Before};
use crate::dial::Dialer;
use crate::error::OpError;
use crate::network::{StreamNetwork, Tcp};
use crate::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::sys;

/// A TCP connection.
///
/// ```
/// # reactor::block_on(async {
/// use net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let near = TcpStream::connect(listener.local_addr()?).await?;
/// let (far, _) = listener.accept().await?;
///
/// near.write_all(b"ping").await?;
/// let mut buf = [0; 16];
/// let n = far.read(&mut buf).await?;
/// assert_eq!(&buf[..n], b"ping");
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type TcpStream = Stream<Tcp>;

/// A connection that is a stream of bytes: a [`TcpStream`] or a [`UnixStream`](crate::UnixStream).
///
/// Its methods take `&self`: one task may read while another writes, sharing the stream in an `Rc`
/// or by its [halves](Self::into_split). Dropping it closes it.
///
/// # The end of a stream
/// A read of 0 bytes into a buffer that has room is the peer's end of stream, and nothing else is:
/// a connection that was reset gives `ConnectionReset`.
///
/// # Cancellation
/// Each async method makes one system call that succeeds, after any number that would block. A
/// future dropped before it was ready has moved no byte and leaves no waker behind.
/// [`write_all`](Self::write_all) and [`write_all_vectored`](Self::write_all_vectored) are many
/// writes: dropped half-way, they have sent a part that nobody knows, and a TCP stream is best
/// [`reset`](TcpStream::reset).
///
/// # Deadlines
/// A deadline holds for all operations of its direction, those that wait already included, until
/// another is set. Past it they give `TimedOut`, even when they could proceed.
///
/// ```
/// use net::{Stream, StreamNetwork, UnixStream};
/// use std::io;
///
/// /// Everything up to the end of the stream.
/// async fn read_to_end<N: StreamNetwork>(stream: &Stream<N>) -> io::Result<Vec<u8>> {
///     let (mut all, mut buffer) = (Vec::new(), [0; 1024]);
///     loop {
///         match stream.read(&mut buffer).await? {
///             0 => return Ok(all),
///             n => all.extend_from_slice(&buffer[..n]),
///         }
///     }
/// }
/// # reactor::block_on(async {
/// let (near, far) = UnixStream::pair()?;
/// near.write_all(b"hello").await?;
/// drop(near);
/// assert_eq!(read_to_end(&far).await?, b"hello");
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Stream<N: StreamNetwork> {
    pub(crate) fd: PollFd,
    peer: <N::Addr as Address>::Kept,
    /// Kept by `close`, after which the system cannot be asked. Most streams are dropped instead,
    /// and do without the 32 bytes.
    local_when_closed: OnceCell<Box<N::Addr>>,
}

impl Stream<Tcp> {
    /// Connects to `addr`, with [`nodelay`](Self::set_nodelay) and
    /// [`keepalive`](Self::set_keepalive) on, as accepted connections have it.
    ///
    /// Cancel-safe: dropping the future closes the socket. For a limit of time, a local address, or
    /// a host's name there is [`Dialer`].
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, and what else connect(2) says. The
    /// error names the address.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        connect::connect(addr, &Before::default()).await
    }

    /// Connects to `host:port` with the defaults of [`Dialer`]: a name is looked up off the loop,
    /// and its addresses are raced (Happy Eyeballs).
    ///
    /// Cancel-safe, as [`Dialer::dial`].
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn dial(address: &str) -> io::Result<Self> {
        Dialer::new().dial(address).await
    }

    /// Gives the connection up: the peer gets a reset (RFC 9293, 3.10.5, ABORT; in Go `SetLinger(0)`
    /// and `Close`), and what it has not acknowledged is thrown away.
    ///
    /// For a stream that ends before what it carried is whole, such as after a
    /// [`write_all`](Self::write_all) that failed, timed out or was dropped. A stream that is only
    /// dropped ends in order, and its peer takes what it got for everything.
    ///
    /// ```
    /// # reactor::block_on(async {
    /// use net::{TcpListener, TcpStream};
    /// use reactor::time::{now, timeout};
    /// use std::{io, time::Duration};
    ///
    /// /// Sends the whole of it within the time, or tells the peer that it is not whole.
    /// async fn send(stream: TcpStream, body: &[u8], within: Duration) -> io::Result<TcpStream> {
    ///     match timeout(within, stream.write_all(body)).await {
    ///         Ok(Ok(())) => Ok(stream),
    ///         Ok(Err(failed)) => cut(stream, failed),
    ///         Err(elapsed) => cut(stream, elapsed.into()),
    ///     }
    /// }
    ///
    /// fn cut(stream: TcpStream, why: io::Error) -> io::Result<TcpStream> {
    ///     // An error: the connection has gone already. Why it was cut is what matters.
    ///     let _ = stream.reset();
    ///     Err(why)
    /// }
    /// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let near = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (far, _) = listener.accept().await?;
    /// # let cut = send(near, &vec![7; 64 << 20], Duration::from_millis(5)).await.unwrap_err();
    /// # assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
    /// # let mut buffer = vec![0; 1 << 20];
    /// # let end = loop {
    /// #     match far.read(&mut buffer).await {
    /// #         Ok(n) => assert_ne!(n, 0, "a clean end"),
    /// #         Err(err) => break err.kind(),
    /// #     }
    /// # };
    /// # assert_eq!(end, io::ErrorKind::ConnectionReset);
    /// # let near = TcpStream::connect(listener.local_addr()?).await?;
    /// # listener.accept().await?.0.reset()?;
    /// # let cut = send(near, b"lost", Duration::MAX).await.unwrap_err();
    /// # assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
    /// # Ok::<_, io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// Halves are [reunited](OwnedReadHalf::reunite) first. A stream that is shared in an `Rc` is reset
    /// for all who hold it by [`set_linger`](Self::set_linger) with zero and [`close`](Self::close).
    /// While another process, or a duplicate, has the socket open, nothing ends.
    ///
    /// # Errors
    /// Use after close ([`reactor::is_closed`]): the peer has been told of an orderly end already. What
    /// setsockopt(2) says, which refuses in a sandbox only. The stream is closed all the same.
    pub fn reset(self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }
}

impl<N: StreamNetwork> Stream<N> {
    pub(crate) fn new(fd: PollFd, peer: N::Addr) -> Self {
        Self { fd, peer: peer.keep(), local_when_closed: OnceCell::new() }
    }

    /// Shuts down reading, writing or both, for everybody who holds the stream. The descriptor
    /// stays open.
    ///
    /// After `Write` the peer reads to its end of stream, and own writes give `BrokenPipe`. After
    /// `Read`, a read that waits gets the end of the stream.
    ///
    /// # Errors
    /// `NotConnected` when the peer reset the connection; use after close ([`reactor::is_closed`]).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.ask("shutdown", |fd| sys::shutdown(fd, how))
    }

    /// Closes the connection and wakes all that wait on it: they, and all later calls, get an error
    /// for which [`reactor::is_closed`] holds. Closing again does nothing.
    ///
    /// The number of the descriptor is free when this is dropped: see [`PollFd::close`](reactor::PollFd::close).
    pub fn close(&self) {
        if let Ok(local) = self.local_addr() {
            self.local_when_closed.get_or_init(|| Box::new(local));
        }
        self.fd.close();
    }

    /// Sets the deadline of reads and writes both; `None` clears them.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.fd.set_deadline(deadline);
    }

    /// Sets the deadline of reads; `None` clears it.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.fd.set_read_deadline(deadline);
    }

    /// Sets the deadline of writes; `None` clears it.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.fd.set_write_deadline(deadline);
    }

    /// The address of this side. It asks the system, and after [`close`](Self::close) it remembers.
    ///
    /// # Errors
    /// What getsockname(2) says; it names the peer.
    pub fn local_addr(&self) -> io::Result<N::Addr> {
        // Not by `ask`, whose errors ask for this address.
        let named = |err| OpError::on::<N>("getsockname", None, Some(&self.peer()), err);
        match self.local_when_closed.get() {
            Some(local) => Ok(N::Addr::clone(local)),
            None => self.fd.with_fd(sys::local_addr).flatten().map_err(named),
        }
    }

    /// The address of the other side, also when it is gone, or after close.
    ///
    /// # Errors
    /// None today; a `Result` as in the standard library.
    pub fn peer_addr(&self) -> io::Result<N::Addr> {
        Ok(self.peer())
    }

    pub(crate) fn peer(&self) -> N::Addr {
        N::Addr::kept(&self.peer)
    }

    /// A half that reads and a half that writes, for two parts of one task. Dropping them does
    /// nothing.
    ///
    /// Where the `AsyncReadExt` of futures is in scope, `stream.split()` is its method of that name,
    /// which takes the stream and locks it for each call: write `Stream::split(&mut stream)`.
    pub fn split(&mut self) -> (ReadHalf<'_, N>, WriteHalf<'_, N>) {
        split::borrowed(self)
    }

    /// A half that reads and a half that writes, for two tasks. Dropping the write half shuts down
    /// writing; dropping both closes the connection.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf<N>, OwnedWriteHalf<N>) {
        split::owned(self)
    }

    /// A system call that neither reads nor writes, and never waits.
    pub(crate) fn ask<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.fd.with_fd(call).flatten().map_err(|err| self.error(operation, err))
    }

    #[cold]
    pub(crate) fn error(&self, operation: &'static str, err: io::Error) -> io::Error {
        OpError::on::<N>(operation, self.local_addr().ok().as_ref(), Some(&self.peer()), err)
    }
}

impl<N: StreamNetwork> AsRef<Self> for Stream<N> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl<N: StreamNetwork> fmt::Debug for Stream<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("network", &N::NAME)
            .field("local", &self.local_addr().ok())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TcpListener;
    use crate::leaks::leaving_nothing_open;
    use crate::sys::fault::script;

    #[test]
    fn a_local_address_that_the_system_does_not_tell_is_an_error_that_names_the_peer() {
        let test = async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
            let near = TcpStream::connect(listener.local_addr()?).await?;
            let _script = script("getsockname", &[libc::ENOBUFS]);
            let err = near.local_addr().unwrap_err();
            let text = format!("getsockname tcp {}: no buffer space available", near.peer_addr()?);
            assert_eq!(err.to_string(), text);
            assert_eq!(OpError::of(&err).unwrap().raw_os_error(), Some(libc::ENOBUFS));
            assert!(near.local_addr().is_ok());
            Ok::<_, io::Error>(())
        };
        leaving_nothing_open(|| reactor::block_on(test).unwrap().unwrap());
    }
}

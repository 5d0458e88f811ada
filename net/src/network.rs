//! The networks sockets are of: what differs between them where their code is one.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::addr::Address;
use crate::adopt::{Adopt, AdoptListener};
use crate::sys::{self, Taken};
use crate::unix::{UnixAddr, Unlink};

/// A network, by the name that Go's `net.Dial` knows it by: [`Tcp`], [`Udp`], [`Unix`], [`Unixgram`].
///
/// It is sealed: the networks are those of this crate.
///
/// ```
/// use net::{Network, Tcp, Unixgram};
///
/// fn names<A: Network, B: Network>() -> [&'static str; 2] {
///     [A::NAME, B::NAME]
/// }
/// assert_eq!(names::<Tcp, Unixgram>(), ["tcp", "unixgram"]);
/// ```
pub trait Network: Sealed + fmt::Debug + Sized + 'static {
    /// An address: [`SocketAddr`](std::net::SocketAddr) or [`UnixAddr`](crate::UnixAddr).
    type Addr: Address;

    /// `tcp`, `udp`, `unix` or `unixgram`, as in the text of an [`OpError`](crate::OpError).
    const NAME: &'static str;
}

/// A network whose sockets are streams of bytes: [`Tcp`] and [`Unix`].
///
/// What is written for any of them serves both:
///
/// ```
/// use net::{Listener, StreamNetwork, TcpListener, TcpStream};
/// use std::io;
///
/// async fn greet_one<N: StreamNetwork>(listener: &Listener<N>) -> io::Result<()> {
///     let (stream, _peer) = listener.accept().await?;
///     stream.write_all(N::NAME.as_bytes()).await
/// }
/// # reactor::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let stream = TcpStream::connect(listener.local_addr()?).await?;
/// greet_one(&listener).await?;
/// let mut buffer = [0; 8];
/// assert_eq!(stream.read(&mut buffer).await?, 3);
/// assert_eq!(&buffer[..3], b"tcp");
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub trait StreamNetwork: Network + StreamCalls + AdoptListener {}

/// A network whose sockets send and receive datagrams: [`Udp`] and [`Unixgram`].
///
/// ```
/// use net::{DatagramNetwork, DatagramSocket, UnixDatagram};
/// use std::io;
///
/// async fn answer_one<N: DatagramNetwork>(socket: &DatagramSocket<N>) -> io::Result<()> {
///     let mut buffer = [0; 512];
///     let received = socket.recv(&mut buffer).await?;
///     socket.send(&buffer[..received.len]).await?;
///     Ok(())
/// }
/// # reactor::block_on(async {
/// let (near, far) = UnixDatagram::pair()?;
/// near.send(b"ping").await?;
/// answer_one(&far).await?;
/// assert_eq!(near.recv(&mut [0; 512]).await?.len, 4);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub trait DatagramNetwork: Network + DatagramCalls + Adopt {}

/// TCP over IPv4 or IPv6. A type parameter, as in the example of [`StreamNetwork`].
#[derive(Clone, Copy, Debug)]
pub enum Tcp {}

/// Unix streams: `SOCK_STREAM` of unix(7). A type parameter, as in the example of [`StreamNetwork`].
#[derive(Clone, Copy, Debug)]
pub enum Unix {}

/// UDP over IPv4 or IPv6. A type parameter, as in the example of [`DatagramNetwork`].
#[derive(Clone, Copy, Debug)]
pub enum Udp {}

/// Unix datagrams: `SOCK_DGRAM` of unix(7). A type parameter, as in the example of [`DatagramNetwork`].
#[derive(Clone, Copy, Debug)]
pub enum Unixgram {}

impl Network for Tcp {
    type Addr = SocketAddr;
    const NAME: &'static str = "tcp";
}

impl Network for Unix {
    type Addr = UnixAddr;
    const NAME: &'static str = "unix";
}

impl Network for Udp {
    type Addr = SocketAddr;
    const NAME: &'static str = "udp";
}

impl Network for Unixgram {
    type Addr = UnixAddr;
    const NAME: &'static str = "unixgram";
}

impl StreamNetwork for Tcp {}
impl StreamNetwork for Unix {}
impl DatagramNetwork for Udp {}
impl DatagramNetwork for Unixgram {}

pub trait Sealed {
    /// What closing a bound socket has to undo.
    type Bound;

    /// Undoes it. What is undone already stays so.
    fn unbind(bound: &Self::Bound);
}

impl Sealed for Tcp {
    type Bound = ();

    fn unbind((): &()) {}
}

impl Sealed for Udp {
    type Bound = ();

    fn unbind((): &()) {}
}

impl Sealed for Unix {
    type Bound = Unlink;

    fn unbind(bound: &Unlink) {
        bound.unlink();
    }
}

impl Sealed for Unixgram {
    type Bound = Unlink;

    fn unbind(bound: &Unlink) {
        bound.unlink();
    }
}

/// The calls in which streams differ.
pub trait StreamCalls {
    /// Whether there are marks in the stream at which a read may stop short, and that a read other
    /// than the two below does not tell of.
    const HAS_MARKS: bool;

    /// One read, which says when being short does not prove that the socket is empty.
    fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Taken>;

    /// One vectored read.
    fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Taken>;
}

/// The only mark in a TCP stream is the urgent one, and the reactor learns of that by `EPOLLPRI`.
impl StreamCalls for Tcp {
    const HAS_MARKS: bool = false;

    #[inline]
    fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Taken> {
        sys::recv(fd, buf, 0).map(unmarked)
    }

    #[inline]
    fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Taken> {
        sys::recv_vectored(fd, bufs).map(unmarked)
    }
}

/// Passed descriptors are a mark in a Unix stream: a read stops behind them, and no edge comes for
/// what follows.
impl StreamCalls for Unix {
    const HAS_MARKS: bool = true;

    #[inline]
    fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Taken> {
        sys::recv_marked(fd, buf)
    }

    #[inline]
    fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Taken> {
        sys::recv_vectored_marked(fd, bufs)
    }
}

#[inline]
fn unmarked(bytes: usize) -> Taken {
    Taken { bytes, at_mark: false }
}

/// In what datagrams differ.
pub trait DatagramCalls {
    /// Whether a send to somebody else than the peer fails with `EAGAIN` because the receiver has no
    /// room, of which no event ever tells that it has changed.
    const SILENT_WHEN_FULL: bool;
}

/// A receiver without room loses the datagram, and the sender never knows.
impl DatagramCalls for Udp {
    const SILENT_WHEN_FULL: bool = false;
}

/// unix_dgram_sendmsg in the kernel's net/unix/af_unix.c: only a peer's queue is waited for.
impl DatagramCalls for Unixgram {
    const SILENT_WHEN_FULL: bool = true;
}

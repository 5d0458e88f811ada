//! UDP sockets.

mod builder;
mod message;
mod multicast;
mod options;
mod recv_batch;
mod send_batch;

pub use builder::UdpBuilder;
pub(crate) use message::UdpControl;
pub use message::{GSO_SEGMENTS_MAX, Incoming, Outgoing};
pub use multicast::interface_index;
pub use recv_batch::{Datagram, RecvBatch};
pub use send_batch::{BatchFull, SendBatch};

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use reactor::Direction;

use crate::addr::Address;
use crate::datagram::DatagramSocket;
use crate::network::Udp;
use crate::sys;

/// Datagrams in one [`RecvBatch`] or [`SendBatch`], at most: what one system call takes.
pub const BATCH_DATAGRAMS_MAX: usize = 1024;

/// A UDP socket.
///
/// ```
/// # reactor::block_on(async {
/// use net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// let client = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// client.send_to(b"hello", server.local_addr()?).await?;
///
/// let mut buf = [0; 1500];
/// let received = server.recv_from(&mut buf).await?;
/// assert_eq!(&buf[..received.len], b"hello");
/// assert_eq!(received.from, client.local_addr()?);
/// server.send_to(b"welcome", received.from).await?;
/// assert_eq!(client.recv(&mut buf).await?.len, 7);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Many at once
/// [`recv_batch`](Self::recv_batch) and [`send_batch`](Self::send_batch) move up to
/// [`BATCH_DATAGRAMS_MAX`] datagrams with one system call. With `segment_bytes` in an [`Outgoing`]
/// one buffer leaves as many datagrams (GSO), and with [`UdpBuilder::gro`] many arrive in one buffer.
pub type UdpSocket = DatagramSocket<Udp>;

impl UdpSocket {
    /// A socket bound to `addr`, with the defaults of [`UdpBuilder`]. Port 0 takes a free one, which
    /// [`local_addr`](Self::local_addr) tells.
    ///
    /// # Errors
    /// As [`UdpBuilder::bind`].
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::builder().bind(addr)
    }

    /// Options first, then [`bind`](UdpBuilder::bind) or [`connect`](UdpBuilder::connect).
    pub fn builder() -> UdpBuilder {
        UdpBuilder::default()
    }

    /// Connects to a peer: `send` goes there, only datagrams from there are received, and that nobody
    /// is there is reported as `ConnectionRefused`. It can be connected again to another one.
    ///
    /// # Errors
    /// `NetworkUnreachable`, and what else connect(2) says; use after close.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.connect_to(&peer)
    }

    /// [`send_to`](Self::send_to) for poll functions. The task of the last call is woken, and of the
    /// last one only.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let raw = to.encode();
        let sent = ready!(self.fd.poll_io(cx, Direction::Write, |fd| sys::send_to(fd, buf, &raw)));
        Poll::Ready(sent.map_err(|err| self.error_with("write", &to, err)))
    }
}

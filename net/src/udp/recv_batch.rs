//! Receiving many datagrams with one system call.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use reactor::Direction;

use crate::addr::{Address, RawAddr};
use crate::sys::{self, Headers, Message, RecvSlot};
use crate::udp::message::UdpControl;
use crate::udp::{BATCH_DATAGRAMS_MAX, Incoming, UdpSocket};

/// Room for many datagrams, to be used again and again: receiving into it allocates nothing.
///
/// ```
/// # reactor::block_on(async {
/// use net::{RecvBatch, UdpSocket};
///
/// let server = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// let client = UdpSocket::builder().connect(server.local_addr()?)?;
/// for word in ["one", "two", "three"] {
///     client.send(word.as_bytes()).await?;
/// }
/// let mut batch = RecvBatch::new(32, 1500);
/// let mut words = Vec::new();
/// while words.len() < 3 {
///     server.recv_batch(&mut batch).await?;
///     for datagram in batch.iter() {
///         assert_eq!(datagram.info.from, client.local_addr()?);
///         words.push(String::from_utf8_lossy(datagram.bytes).into_owned());
///     }
/// }
/// assert_eq!(words, ["one", "two", "three"]);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct RecvBatch {
    room: usize,
    bytes: Vec<u8>,
    slots: Vec<RecvSlot>,
    headers: Headers,
    /// What the last call received.
    received: Vec<(Message, SocketAddr)>,
}

/// A datagram in a [`RecvBatch`]; with [`UdpBuilder::gro`](crate::UdpBuilder::gro) perhaps several of
/// one length.
///
/// ```
/// # reactor::block_on(async {
/// use net::{RecvBatch, UdpSocket};
///
/// let server = UdpSocket::builder().gro(true).bind("127.0.0.1:0".parse().unwrap())?;
/// # let client = UdpSocket::builder().connect(server.local_addr()?)?;
/// # client.send(b"hello").await?;
/// let mut batch = RecvBatch::new(8, 65_535);
/// server.recv_batch(&mut batch).await?;
/// for datagram in batch.iter() {
///     for segment in datagram.segments() {
///         println!("{} bytes from {}", segment.len(), datagram.info.from);
///         # assert_eq!((segment, datagram.info.from), (&b"hello"[..], client.local_addr()?));
///     }
/// }
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What of it there was room for.
    pub bytes: &'a [u8],
    /// How it arrived.
    pub info: Incoming,
}

impl<'a> Datagram<'a> {
    /// The datagrams that the kernel put together, or this one.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let (bytes, len) = (self.bytes, self.bytes.len());
        let room = self.info.segment_bytes.filter(|&room| room != 0).unwrap_or(len.max(1));
        let count = len.div_ceil(room).max(1);
        (0..count).map(move |at| &bytes[at * room..len.min((at + 1) * room)])
    }
}

impl RecvBatch {
    /// Room for `datagrams_max` datagrams of up to `datagram_bytes_max` bytes each. For a socket with
    /// [`UdpBuilder::gro`](crate::UdpBuilder::gro) that is 65,535 bytes.
    ///
    /// It holds `datagrams_max * (datagram_bytes_max + 400)` bytes, roughly; the kernel gives memory
    /// to what is touched only.
    ///
    /// # Panics
    /// When either is 0, or `datagrams_max` is above [`BATCH_DATAGRAMS_MAX`].
    #[must_use]
    pub fn new(datagrams_max: usize, datagram_bytes_max: usize) -> Self {
        assert!(
            (1..=BATCH_DATAGRAMS_MAX).contains(&datagrams_max),
            "a batch of {datagrams_max} datagrams, where 1 to {BATCH_DATAGRAMS_MAX} are possible"
        );
        assert!(datagram_bytes_max != 0, "a batch of datagrams of 0 bytes");
        let slot = RecvSlot { from: RawAddr::empty(), control: UdpControl::empty() };
        Self {
            room: datagram_bytes_max,
            bytes: vec![0; datagrams_max * datagram_bytes_max],
            slots: vec![slot; datagrams_max],
            headers: Headers::for_datagrams(datagrams_max),
            received: Vec::with_capacity(datagrams_max),
        }
    }

    /// How many datagrams the last call received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether nothing was received yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// The datagrams that the last call received.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        let datagrams = self.bytes.chunks_exact(self.room).zip(&self.slots).zip(&self.received);
        datagrams.map(|((bytes, slot), (message, from))| {
            let info = Incoming::of(message, self.room, *from, &slot.control);
            Datagram { bytes: &bytes[..info.len], info }
        })
    }

    /// Into an empty batch: it is emptied by who calls, since past a deadline this is never called.
    fn recv(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let unknown = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into();
        let Self { room, bytes, slots, headers, received } = self;
        sys::recv_many(fd, headers, bytes, *room, slots, |message| {
            received.push((message, unknown));
        })?;
        for ((message, from), slot) in received.iter_mut().zip(slots) {
            *from = SocketAddr::decode(&slot.from, message.name_bytes)?;
        }
        Ok(received.len())
    }
}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBatch")
            .field("datagrams_max", &self.slots.len())
            .field("datagram_bytes_max", &self.room)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl UdpSocket {
    /// Takes as many datagrams as there are and as the batch has room for, in place of those that are
    /// in it, and waits while there is none. One system call, `recvmmsg`. Returns how many; at least
    /// one.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); the batch is empty then.
    pub async fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.received.clear();
        let taken = self.fd.io(Direction::Read, |fd| batch.recv(fd)).await;
        taken.map_err(|err| self.error("read", err))
    }

    /// [`recv_batch`](Self::recv_batch) for poll functions. The task of the last call is woken, and
    /// of the last one only.
    ///
    /// # Errors
    /// As [`recv_batch`](Self::recv_batch).
    pub fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        batch: &mut RecvBatch,
    ) -> Poll<io::Result<usize>> {
        batch.received.clear();
        let taken = ready!(self.fd.poll_io(cx, Direction::Read, |fd| batch.recv(fd)));
        Poll::Ready(taken.map_err(|err| self.error("read", err)))
    }

    /// [`recv_batch`](Self::recv_batch) if there is a datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`recv_batch`](Self::recv_batch).
    pub fn try_recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.received.clear();
        let taken = self.fd.try_io(Direction::Read, |fd| batch.recv(fd));
        taken.map_err(|err| self.error("read", err))
    }
}

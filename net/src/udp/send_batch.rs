//! Sending many datagrams with one system call.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use reactor::Direction;

use crate::addr::{Address, RawAddr};
use crate::sys::{self, Headers};
use crate::udp::message::UdpControl;
use crate::udp::{BATCH_DATAGRAMS_MAX, Outgoing, UdpSocket};

/// Datagrams to be sent, to be filled again and again: once made, it allocates nothing.
///
/// ```
/// # reactor::block_on(async {
/// use net::{Outgoing, SendBatch, UdpSocket};
///
/// let server = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// let client = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// let to_server = Outgoing::to(server.local_addr()?);
///
/// let mut batch = SendBatch::new(32, 32 * 1500);
/// for word in ["one", "two", "three"] {
///     batch.push(word.as_bytes(), &to_server).expect("there is room");
/// }
/// client.send_batch(&mut batch).await?;
/// assert!(batch.is_empty());
/// assert_eq!(server.recv(&mut [0; 1500]).await?.len, 3);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct SendBatch {
    datagrams_max: usize,
    bytes_max: usize,
    bytes: Vec<u8>,
    slots: Vec<SendSlot>,
    /// So many slots from the first are sent.
    sent: usize,
    /// So many can be sent to this peer; what is wrong with the next one is said in its turn.
    fit: usize,
    peer: Option<SocketAddr>,
    headers: Headers,
}

struct SendSlot {
    bytes: Range<usize>,
    how: Outgoing,
    to: Option<RawAddr>,
    /// Written when it is known where the socket is connected to.
    control: UdpControl,
}

/// A [`SendBatch`] has no room for the datagram: send what is in it first.
///
/// # Examples
/// ```
/// use net::{BatchFull, Outgoing, SendBatch};
///
/// let mut batch = SendBatch::new(1, 1500);
/// batch.push(b"the only one", &Outgoing::default())?;
/// assert_eq!(batch.push(b"too many", &Outgoing::default()), Err(BatchFull));
/// # Ok::<_, BatchFull>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFull;

impl fmt::Display for BatchFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the batch has no room for the datagram")
    }
}

impl Error for BatchFull {}

impl SendBatch {
    /// Room for `datagrams_max` datagrams of `bytes_max` bytes together.
    ///
    /// # Panics
    /// When `datagrams_max` is 0 or above [`BATCH_DATAGRAMS_MAX`].
    #[must_use]
    pub fn new(datagrams_max: usize, bytes_max: usize) -> Self {
        assert!(
            (1..=BATCH_DATAGRAMS_MAX).contains(&datagrams_max),
            "a batch of {datagrams_max} datagrams, where 1 to {BATCH_DATAGRAMS_MAX} are possible"
        );
        Self {
            datagrams_max,
            bytes_max,
            bytes: Vec::with_capacity(bytes_max),
            slots: Vec::with_capacity(datagrams_max),
            sent: 0,
            fit: 0,
            peer: None,
            headers: Headers::for_datagrams(datagrams_max),
        }
    }

    /// Adds a copy of a datagram, to be sent as `how` says.
    ///
    /// # Errors
    /// [`BatchFull`] when there is no room for it. Room is made by sending all that is in it, or by
    /// [`clear`](Self::clear).
    pub fn push(&mut self, datagram: &[u8], how: &Outgoing) -> Result<(), BatchFull> {
        let start = self.bytes.len();
        if self.slots.len() == self.datagrams_max || datagram.len() > self.bytes_max - start {
            return Err(BatchFull);
        }
        self.bytes.extend_from_slice(datagram);
        self.slots.push(SendSlot {
            bytes: start..self.bytes.len(),
            how: *how,
            to: how.to.map(|to| to.encode()),
            control: UdpControl::empty(),
        });
        Ok(())
    }

    /// How many datagrams are to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.sent
    }

    /// Whether nothing is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Throws away the first datagram that is to be sent: the one an error was about.
    pub fn skip(&mut self) {
        if !self.is_empty() {
            self.advance(1);
        }
    }

    /// Throws away all datagrams.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.slots.clear();
        self.sent = 0;
        self.fit = 0;
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Writes the control messages of what is to be sent.
    fn prepare(&mut self, peer: Option<SocketAddr>) {
        self.peer = peer;
        self.fit = self.sent;
        for slot in &mut self.slots[self.sent..] {
            let Ok(control) = slot.how.control(peer) else { return };
            slot.control = control;
            self.fit += 1;
        }
    }

    /// Sends the first of them that there is room for.
    fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let Self { bytes, slots, sent, fit, peer, headers, .. } = self;
        if sent == fit {
            slots[*sent].how.control(*peer)?;
        }
        let datagrams = slots[*sent..*fit]
            .iter()
            .map(|slot| (&bytes[slot.bytes.clone()], slot.to.as_ref(), &slot.control));
        let count = sys::send_many(fd, headers, datagrams)?;
        self.advance(count);
        Ok(count)
    }
}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch")
            .field("datagrams_max", &self.datagrams_max)
            .field("bytes_max", &self.bytes_max)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl UdpSocket {
    /// Sends all datagrams of the batch, and waits while there is no room. One system call,
    /// `sendmmsg`, while the socket has room.
    ///
    /// Cancel-safe: what was sent is out of the batch, and the rest is still in it.
    ///
    /// # Errors
    /// As [`send_msg`](Self::send_msg). Those before the one that it is about are sent; that one is the
    /// first of the batch, to be tried again or [skipped](SendBatch::skip).
    pub async fn send_batch(&self, batch: &mut SendBatch) -> io::Result<()> {
        batch.prepare(self.peer());
        while !batch.is_empty() {
            let sent = self.fd.io(Direction::Write, |fd| batch.send(fd)).await;
            sent.map_err(|err| self.batch_error(batch, err))?;
        }
        Ok(())
    }

    /// [`send_batch`](Self::send_batch) for poll functions. The task of the last call is woken, and
    /// of the last one only.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch).
    pub fn poll_send_batch(
        &self,
        cx: &mut Context<'_>,
        batch: &mut SendBatch,
    ) -> Poll<io::Result<()>> {
        batch.prepare(self.peer());
        while !batch.is_empty() {
            let sent = ready!(self.fd.poll_io(cx, Direction::Write, |fd| batch.send(fd)));
            sent.map_err(|err| self.batch_error(batch, err))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as many datagrams of the batch as there is room for, with one system call. Returns how
    /// many.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for any, else as [`send_batch`](Self::send_batch).
    pub fn try_send_batch(&self, batch: &mut SendBatch) -> io::Result<usize> {
        batch.prepare(self.peer());
        if batch.is_empty() {
            return Ok(0);
        }
        let sent = self.fd.try_io(Direction::Write, |fd| batch.send(fd));
        sent.map_err(|err| self.batch_error(batch, err))
    }

    #[cold]
    fn batch_error(&self, batch: &SendBatch, err: io::Error) -> io::Error {
        match batch.slots.get(batch.sent) {
            Some(first) => self.error_of(&first.how, err),
            None => self.error("write", err),
        }
    }
}

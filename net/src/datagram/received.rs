//! Receiving one datagram.

use std::io;
use std::os::fd::BorrowedFd;

use crate::addr::Address;
use crate::sys;

/// What a datagram socket received.
///
/// `A` is where it came from: an address, or `()` where that was not asked.
///
/// ```
/// # reactor::block_on(async {
/// let (near, far) = net::UnixDatagram::pair()?;
/// near.send(b"four").await?;
/// let received = far.recv(&mut [0; 3]).await?;
/// assert_eq!((received.len, received.datagram_len), (3, 4));
/// assert!(received.is_truncated());
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<A = ()> {
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes of the datagram as it was sent; what is above `len` is lost.
    pub datagram_len: usize,
    /// Where it came from.
    pub from: A,
}

impl<A> Received<A> {
    /// Whether the datagram was longer than the buffer.
    pub fn is_truncated(&self) -> bool {
        self.len < self.datagram_len
    }

    pub(crate) fn new(datagram_len: usize, room: usize, from: A) -> Self {
        Self { len: datagram_len.min(room), datagram_len, from }
    }
}

/// With `MSG_TRUNC` the kernel says how long the datagram is, and not how much of it there was room
/// for.
pub(super) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: i32) -> io::Result<Received> {
    let len = sys::recv(fd, buf, flags | libc::MSG_TRUNC)?;
    Ok(Received::new(len, buf.len(), ()))
}

pub(super) fn recv_from<A: Address>(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: i32,
) -> io::Result<Received<A>> {
    let (len, from) = sys::recv_from(fd, buf, flags | libc::MSG_TRUNC)?;
    Ok(Received::new(len, buf.len(), from))
}

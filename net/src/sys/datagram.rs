//! One datagram with an address.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check_len;
use crate::addr::{Address, RawAddr};

/// One `sendto(2)`.
#[inline]
pub(crate) fn send_to(fd: BorrowedFd<'_>, buf: &[u8], to: &RawAddr) -> io::Result<usize> {
    let (ptr, len, flags) = (buf.as_ptr().cast(), buf.len(), libc::MSG_NOSIGNAL);
    let to = to.as_bytes();
    let (addr, addr_len) = (to.as_ptr().cast(), to.len() as u32);
    // SAFETY: the pointers and lengths describe `buf` and `to`, which live through the call.
    check_len(unsafe { libc::sendto(fd.as_raw_fd(), ptr, len, flags, addr, addr_len) })
}

/// One `recvfrom(2)`: what it returns, and the sender's address.
#[inline]
pub(crate) fn recv_from<A: Address>(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: c_int,
) -> io::Result<(usize, A)> {
    let (ptr, len) = (buf.as_mut_ptr().cast(), buf.len());
    let mut from = RawAddr::empty();
    let mut from_len = RawAddr::CAPACITY;
    let addr = from.buffer().as_mut_ptr().cast();
    // SAFETY: the pointers and lengths describe `buf` and `from`, and with `from_len` all are
    // borrowed mutably through the call.
    let received =
        unsafe { libc::recvfrom(fd.as_raw_fd(), ptr, len, flags, addr, &raw mut from_len) };
    let received = check_len(received)?;
    Ok((received, A::decode(&from, from_len)?))
}

//! One datagram with an address.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use reactor::syscall;

use crate::addr::{Address, RawAddr};

/// One `sendto(2)`.
#[inline]
pub(crate) fn send_to(fd: BorrowedFd<'_>, buf: &[u8], to: &RawAddr) -> io::Result<usize> {
    let (fd, ptr, flags) =
        (fd.as_raw_fd() as usize, buf.as_ptr() as usize, libc::MSG_NOSIGNAL as usize);
    let to = to.as_bytes();
    let args = [fd, ptr, buf.len(), flags, to.as_ptr() as usize, to.len()];
    // SAFETY: the pointers and lengths describe `buf` and `to`, which live through the call.
    unsafe { syscall(libc::SYS_sendto, args) }
}

/// One `recvfrom(2)`: what it returns, and the sender's address.
#[inline]
pub(crate) fn recv_from<A: Address>(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: c_int,
) -> io::Result<(usize, A)> {
    let (fd, ptr) = (fd.as_raw_fd() as usize, buf.as_mut_ptr() as usize);
    let mut from = RawAddr::empty();
    let mut from_len = RawAddr::CAPACITY;
    let (addr, addr_len) = (from.buffer().as_mut_ptr() as usize, &raw mut from_len as usize);
    // SAFETY: the pointers and lengths describe `buf` and `from`, and with `from_len` all are
    // borrowed mutably through the call.
    let received = unsafe {
        syscall(libc::SYS_recvfrom, [fd, ptr, buf.len(), flags as usize, addr, addr_len])
    }?;
    Ok((received, A::decode(&from, from_len)?))
}

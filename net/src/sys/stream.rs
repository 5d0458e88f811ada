//! Reading and writing streams of bytes.

use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{check, check_len};

/// One `recv(2)`. `flags` is 0 or `MSG_PEEK`.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: c_int) -> io::Result<usize> {
    // SAFETY: the pointer and the length describe `buf`, borrowed mutably through the call.
    check_len(unsafe { libc::recv(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), flags) })
}

/// One `send(2)`; a lost peer gives `EPIPE`, not the signal.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let (ptr, len) = (buf.as_ptr().cast(), buf.len());
    // SAFETY: the pointer and the length describe `buf`, which lives through the call.
    check_len(unsafe { libc::send(fd.as_raw_fd(), ptr, len, libc::MSG_NOSIGNAL) })
}

/// One `readv(2)`. More than 1,024 buffers give `EINVAL`.
#[inline]
pub(crate) fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = bufs.len() as c_int;
    // SAFETY: an IoSliceMut is an iovec (the standard library promises it), there are `count` of
    // them, and all they describe is borrowed mutably through the call.
    check_len(unsafe { libc::readv(fd.as_raw_fd(), bufs.as_mut_ptr().cast(), count) })
}

/// One `sendmsg(2)`: a `writev(2)` that can say `MSG_NOSIGNAL`. More than 1,024 buffers give
/// `EMSGSIZE`.
#[inline]
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: msghdr is integers and pointers, for which zeros are valid: nothing of everything.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len();
    // SAFETY: an IoSlice is an iovec (the standard library promises it), `msg_iovlen` of them are
    // at `msg_iov`, all they describe lives through the call, and sendmsg only reads.
    check_len(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
}

pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: shutdown takes no pointers.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) })?;
    Ok(())
}

//! Accepting, reading and writing streams of bytes.

use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use reactor::syscall;

use super::message::{Message, recv_message, send_message};
use super::{check, scripted};
use crate::addr::{Address, RawAddr};

/// Takes one connection from the queue, non-blocking and close-on-exec, and its peer's address.
#[inline]
pub(crate) fn accept<A: Address>(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, A)> {
    scripted("accept4")?;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut peer = RawAddr::empty();
    let mut len = RawAddr::CAPACITY;
    let buffer = peer.buffer().as_mut_ptr();
    // SAFETY: `buffer` has room for `len` bytes, and both live through the call.
    let fd = unsafe { libc::accept4(fd.as_raw_fd(), buffer.cast(), &raw mut len, flags) };
    let fd = check(fd)?;
    // SAFETY: accept4 just returned it: it is open and nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((fd, A::decode(&peer, len)?))
}

/// One `recv(2)`. `flags` are `MSG_PEEK`, and `MSG_TRUNC` for datagrams.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: c_int) -> io::Result<usize> {
    let (fd, ptr, flags) = (fd.as_raw_fd() as usize, buf.as_mut_ptr() as usize, flags as usize);
    // SAFETY: the pointer and the length describe `buf`, borrowed mutably through the call.
    unsafe { syscall(libc::SYS_recvfrom, [fd, ptr, buf.len(), flags, 0, 0]) }
}

/// What one read took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many bytes.
    pub(crate) bytes: usize,
    /// It stopped at a mark between the bytes, so that there may be more in the socket although
    /// the buffer was not filled.
    pub(crate) at_mark: bool,
}

/// One `recvmsg(2)` without room for control messages, which `MSG_CTRUNC` says there were. A read of
/// a Unix stream stops behind passed descriptors (unix(7)); without room for them they are closed.
#[inline]
pub(crate) fn recv_marked(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Taken> {
    recv_vectored_marked(fd, &mut [IoSliceMut::new(buf)])
}

/// [`recv_marked`] into several buffers.
#[inline]
pub(crate) fn recv_vectored_marked(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<Taken> {
    let Message { bytes, flags, .. } = recv_message(fd, bufs, None, &mut [], 0)?;
    Ok(Taken { bytes, at_mark: flags & libc::MSG_CTRUNC != 0 })
}

/// One `send(2)`; a lost peer gives `EPIPE`, not the signal.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let (fd, ptr, flags) =
        (fd.as_raw_fd() as usize, buf.as_ptr() as usize, libc::MSG_NOSIGNAL as usize);
    // SAFETY: the pointer and the length describe `buf`, which lives through the call.
    unsafe { syscall(libc::SYS_sendto, [fd, ptr, buf.len(), flags, 0, 0]) }
}

/// One `readv(2)`. More than 1,024 buffers give `EINVAL`.
#[inline]
pub(crate) fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let (fd, ptr) = (fd.as_raw_fd() as usize, bufs.as_mut_ptr() as usize);
    // SAFETY: an IoSliceMut is an iovec (the standard library promises it), there are so many
    // of them, and all they describe is borrowed mutably through the call.
    unsafe { syscall(libc::SYS_readv, [fd, ptr, bufs.len(), 0, 0, 0]) }
}

/// One `sendmsg(2)`: a `writev(2)` that can say `MSG_NOSIGNAL`. More than 1,024 buffers give
/// `EMSGSIZE`.
#[inline]
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    send_message(fd, bufs, None, &[])
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

/// Bytes that were sent and that the peer has not acknowledged (tcp(7), `SIOCOUTQ`), or, of a Unix
/// socket, not read, with what the kernel needs to keep them.
pub(crate) fn queued_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the call writes one int to where the pointer says, which lives through it.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(bytes.unsigned_abs() as usize)
}

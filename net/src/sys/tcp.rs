//! What only TCP has.

use std::ffi::c_int;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

#[cfg(test)]
use super::check_len;
use super::{SockOption, check, set_sockopt, socket, sockopt};
use crate::addr::RawAddr;

/// A new TCP socket of an address family, non-blocking and close-on-exec.
pub(crate) fn tcp_socket(family: c_int) -> io::Result<OwnedFd> {
    socket(family, libc::SOCK_STREAM)
}

/// Takes one connection from the queue, non-blocking and close-on-exec, and its peer's address.
#[inline]
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut peer = RawAddr::empty();
    let mut len = RawAddr::CAPACITY;
    let buffer = peer.buffer().as_mut_ptr();
    // SAFETY: `buffer` has room for `len` bytes, and both live through the call.
    let fd = unsafe { libc::accept4(fd.as_raw_fd(), buffer.cast(), &raw mut len, flags) };
    let fd = check(fd)?;
    // SAFETY: accept4 just returned it: it is open and nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((fd, peer.decode(len)?))
}

/// `None` does not linger. Seconds.
pub(crate) fn set_linger(fd: BorrowedFd<'_>, linger_s: Option<c_int>) -> io::Result<()> {
    let value =
        libc::linger { l_onoff: linger_s.is_some().into(), l_linger: linger_s.unwrap_or(0) };
    set_sockopt(fd, SockOption(libc::SOL_SOCKET, libc::SO_LINGER), &value)
}

pub(crate) fn linger(fd: BorrowedFd<'_>) -> io::Result<Option<c_int>> {
    let mut value = libc::linger { l_onoff: 0, l_linger: 0 };
    sockopt(fd, SockOption(libc::SOL_SOCKET, libc::SO_LINGER), &mut value)?;
    Ok((value.l_onoff != 0).then_some(value.l_linger))
}

/// One byte of TCP's urgent data, which only tests send.
#[cfg(test)]
pub(crate) fn send_urgent(fd: BorrowedFd<'_>, byte: u8) -> io::Result<usize> {
    // SAFETY: the pointer and the length describe `byte`, which lives through the call.
    check_len(unsafe { libc::send(fd.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB) })
}

//! What only TCP has.

use std::ffi::c_int;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{SockOption, set_sockopt, socket, sockopt};

/// A new TCP socket of an address family, non-blocking and close-on-exec.
pub(crate) fn tcp_socket(family: c_int) -> io::Result<OwnedFd> {
    socket(family, libc::SOCK_STREAM)
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
    use std::os::fd::AsRawFd;
    // SAFETY: the pointer and the length describe `byte`, which lives through the call.
    super::check_len(unsafe {
        libc::send(fd.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB)
    })
}

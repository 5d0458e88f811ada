//! Descriptors that were opened by others.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{check, scripted};

/// Puts a descriptor into non-blocking mode and closes it on exec, where it is not so already.
pub(crate) fn set_nonblocking_and_cloexec(fd: BorrowedFd<'_>) -> io::Result<()> {
    let status = flags(fd, libc::F_GETFL)?;
    if status & libc::O_NONBLOCK == 0 {
        set_flags(fd, libc::F_SETFL, status | libc::O_NONBLOCK)?;
    }
    let descriptor = flags(fd, libc::F_GETFD)?;
    if descriptor & libc::FD_CLOEXEC == 0 {
        set_flags(fd, libc::F_SETFD, descriptor | libc::FD_CLOEXEC)?;
    }
    Ok(())
}

/// Takes over a descriptor that this program was started with, and makes it close-on-exec.
///
/// # Errors
/// `EBADF` when it is not open. [`io::ErrorKind::InvalidInput`] when it was opened by this program:
/// what came through exec is not close-on-exec, and all that Rust opens is.
///
/// The caller asks for each number once.
pub(crate) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: this reads flags and takes no pointers; a number that is not open gives an error.
    let descriptor = check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    if descriptor & libc::FD_CLOEXEC != 0 {
        let err = "it is close-on-exec, so it was not inherited";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, err));
    }
    // SAFETY: it is open, it was inherited, since it is not close-on-exec, and the protocol of
    // sd_listen_fds(3) by which the caller knows its number gives it to this process alone; the
    // caller asks once, so no other owner exists.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_nonblocking_and_cloexec(fd.as_fd())?;
    Ok(fd)
}

fn flags(fd: BorrowedFd<'_>, command: c_int) -> io::Result<c_int> {
    scripted("fcntl")?;
    // SAFETY: F_GETFL and F_GETFD take no further argument.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command) })
}

fn set_flags(fd: BorrowedFd<'_>, command: c_int, flags: c_int) -> io::Result<()> {
    // SAFETY: F_SETFL and F_SETFD take an integer, no pointer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, flags) })?;
    Ok(())
}

//! Moving bytes inside the kernel: pipe2(2), splice(2), sendfile(2).

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use reactor::syscall;

use super::{check, check_len, scripted};

/// A pipe, its reading end first, non-blocking and close-on-exec.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    scripted("pipe2")?;
    let mut ends: [c_int; 2] = [0; 2];
    // SAFETY: `ends` has room for the two numbers that pipe2 writes, and lives through the call.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
    // SAFETY: pipe2 just returned it: it is open and nobody else owns it.
    let reads = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let writes = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    Ok((reads, writes))
}

/// Asks for room for `bytes` in a pipe (`F_SETPIPE_SZ`), and returns how much it has now.
///
/// `EPERM` when the user's pipes would take more than `/proc/sys/fs/pipe-user-pages-soft`, or one of
/// them more than `/proc/sys/fs/pipe-max-size`.
pub(crate) fn set_pipe_bytes(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    scripted("F_SETPIPE_SZ")?;
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    // SAFETY: this command of fcntl takes an integer.
    let now = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) })?;
    Ok(now.unsigned_abs() as usize)
}

/// How much room a pipe has in all (`F_GETPIPE_SZ`).
pub(crate) fn pipe_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: this command of fcntl takes nothing.
    let now = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETPIPE_SZ) })?;
    Ok(now.unsigned_abs() as usize)
}

/// The size of a page, of which a pipe holds so and so many, full or not.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: sysconf takes no pointers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("every Linux knows the size of its pages")
}

/// Moves at most `len` bytes from one descriptor to another, one of which is a pipe.
///
/// A socket that lost its peer raises `SIGPIPE` here, which a Rust program ignores from its start:
/// splice(2) cannot say `MSG_NOSIGNAL`.
#[inline]
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    scripted("splice")?;
    let (from, to) = (from.as_raw_fd() as usize, to.as_raw_fd() as usize);
    let flags = libc::SPLICE_F_NONBLOCK as usize;
    // SAFETY: null offsets stand for "none", which is what pipes and sockets have.
    unsafe { syscall(libc::SYS_splice, [from, 0, to, 0, len, flags]) }
}

/// Sends at most `len` bytes of a file from `offset` on; the file's own position stays.
pub(crate) fn sendfile(
    to: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    scripted("sendfile")?;
    let mut offset =
        libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    let at = &raw mut offset;
    // SAFETY: `offset` lives through the call, which reads it and writes where it came to.
    check_len(unsafe { libc::sendfile(to.as_raw_fd(), file.as_raw_fd(), at, len) })
}

/// `read(2)`, for what is not a socket.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length describe `buf`, borrowed mutably through the call.
    check_len(unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) })
}

//! Every system call of this crate, each as a safe function that returns `io::Result`.
//!
//! The only file of the crate with `unsafe`. Nothing here waits, retries or knows a task: sockets
//! are born non-blocking and close-on-exec, and `EAGAIN` and `EINTR` are the caller's to handle.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::addr::RawAddr;

/// A socket option: its level and its name.
#[derive(Clone, Copy)]
pub(crate) struct SockOption(pub(crate) c_int, pub(crate) c_int);

/// A new TCP socket of an address family, non-blocking and close-on-exec.
pub(crate) fn tcp_socket(family: c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes no pointers.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: socket just returned it: it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn bind(fd: BorrowedFd<'_>, addr: &RawAddr) -> io::Result<()> {
    let addr = addr.as_bytes();
    // SAFETY: the pointer and the length describe `addr`, which lives through the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), addr.as_ptr().cast(), addr.len() as u32) })?;
    Ok(())
}

pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: c_int) -> io::Result<()> {
    // SAFETY: listen takes no pointers.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
    Ok(())
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

/// Starts to connect; `EINPROGRESS` is the usual answer.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &RawAddr) -> io::Result<()> {
    let addr = addr.as_bytes();
    // SAFETY: the pointer and the length describe `addr`, which lives through the call.
    check(unsafe { libc::connect(fd.as_raw_fd(), addr.as_ptr().cast(), addr.len() as u32) })?;
    Ok(())
}

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

pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let mut addr = RawAddr::empty();
    let mut len = RawAddr::CAPACITY;
    let buffer = addr.buffer().as_mut_ptr();
    // SAFETY: `buffer` has room for `len` bytes, and both live through the call.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), buffer.cast(), &raw mut len) })?;
    addr.decode(len)
}

pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let mut addr = RawAddr::empty();
    let mut len = RawAddr::CAPACITY;
    let buffer = addr.buffer().as_mut_ptr();
    // SAFETY: `buffer` has room for `len` bytes, and both live through the call.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), buffer.cast(), &raw mut len) })?;
    addr.decode(len)
}

pub(crate) fn set_option(fd: BorrowedFd<'_>, option: SockOption, value: c_int) -> io::Result<()> {
    set_sockopt(fd, option, &value)
}

pub(crate) fn option(fd: BorrowedFd<'_>, option: SockOption) -> io::Result<c_int> {
    let mut value = 0;
    sockopt(fd, option, &mut value)?;
    Ok(value)
}

/// Takes the pending error of the socket (`SO_ERROR`); reading it clears it.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    let errno = option(fd, SockOption(libc::SOL_SOCKET, libc::SO_ERROR))?;
    Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
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

/// What the C library calls an error: "Connection refused".
pub(crate) fn error_text(errno: c_int) -> String {
    /// glibc's longest text has 49 bytes, and longer ones are cut.
    const TEXT_BYTES_MAX: usize = 128;
    let mut text = [0_u8; TEXT_BYTES_MAX];
    // SAFETY: the pointer and the length describe `text`, borrowed mutably through the call. An
    // unknown number is an error, and leaves a text that says so, or the zeros above.
    unsafe { libc::strerror_r(errno, text.as_mut_ptr().cast(), text.len()) };
    match CStr::from_bytes_until_nul(&text) {
        Ok(text) if !text.is_empty() => text.to_string_lossy().into_owned(),
        _ => format!("error {errno}"),
    }
}

/// The values that options have: plain integers, valid whatever bits the kernel writes.
trait OptionValue: Copy {}
impl OptionValue for c_int {}
impl OptionValue for libc::linger {}

fn set_sockopt<T: OptionValue>(
    fd: BorrowedFd<'_>,
    SockOption(level, name): SockOption,
    value: &T,
) -> io::Result<()> {
    let (ptr, len) = ((&raw const *value).cast::<c_void>(), size_of::<T>() as u32);
    // SAFETY: the pointer and the length describe `value`, which lives through the call.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr, len) })?;
    Ok(())
}

fn sockopt<T: OptionValue>(
    fd: BorrowedFd<'_>,
    SockOption(level, name): SockOption,
    value: &mut T,
) -> io::Result<()> {
    let mut len = size_of::<T>() as u32;
    let ptr = (&raw mut *value).cast::<c_void>();
    // SAFETY: `value` has room for `len` bytes, and both are borrowed mutably through the call;
    // an OptionValue is valid whatever the kernel writes.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, ptr, &raw mut len) })?;
    Ok(())
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[inline]
fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// One byte of TCP's urgent data, which only tests send.
#[cfg(test)]
pub(crate) fn send_urgent(fd: BorrowedFd<'_>, byte: u8) -> io::Result<usize> {
    // SAFETY: the pointer and the length describe `byte`, which lives through the call.
    check_len(unsafe { libc::send(fd.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB) })
}

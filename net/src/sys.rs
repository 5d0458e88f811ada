//! Every system call of this crate, each as a safe function that returns `io::Result`.
//!
//! This module and those below it are the only ones of the crate with `unsafe`. Nothing here waits,
//! retries or knows a task: sockets are born non-blocking and close-on-exec, and `EAGAIN` and
//! `EINTR` are the caller's to handle. Here is what all sockets share; below it, what they do not.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::addr::{Address, RawAddr};
#[cfg(test)]
use fault::scripted;

mod adopt;
mod datagram;
// The reactor's own. A script of failures belongs to a thread, and each crate's tests have theirs.
#[cfg(test)]
#[path = "../../reactor/src/sys/fault.rs"]
pub(crate) mod fault;
mod message;
mod service;
pub(crate) mod splice;
mod stream;
mod tcp;
mod tcp_options;
#[cfg(feature = "hyper")]
mod thread_bound;
mod udp;
mod uninit;
mod unix;

pub(crate) use adopt::{inherited, set_nonblocking_and_cloexec};
pub(crate) use datagram::{recv_from, send_to};
pub(crate) use message::{Message, recv_message, send_message};
pub(crate) use service::tcp_port;
pub(crate) use stream::Taken;
pub(crate) use stream::{
    accept, queued_bytes, recv, recv_marked, recv_vectored, recv_vectored_marked, send,
    send_vectored, shutdown,
};
#[cfg(test)]
pub(crate) use tcp::send_urgent;
pub(crate) use tcp::{linger, set_linger, tcp_socket};
pub(crate) use tcp_options::{TCP_INFO_WORDS, congestion, set_congestion, tcp_info};
#[cfg(feature = "hyper")]
pub(crate) use thread_bound::ThreadBound;
pub(crate) use udp::{
    Headers, Membership, RecvSlot, interface_index, recv_many, send_many, set_membership,
    set_multicast_interface, udp_socket,
};
pub(crate) use uninit::*;
pub(crate) use unix::{FDS_MAX, peer_credentials, recv_fds, send_fds, unix_pair, unix_socket};

/// Where a test's script fails a system call (see `fault.rs`). Here there are none.
#[cfg(not(test))]
#[inline(always)]
fn scripted(_call: &'static str) -> io::Result<()> {
    Ok(())
}

/// A socket option: its level and its name.
#[derive(Clone, Copy)]
pub(crate) struct SockOption(pub(crate) c_int, pub(crate) c_int);

/// A new socket, non-blocking and close-on-exec.
fn socket(family: c_int, kind: c_int) -> io::Result<OwnedFd> {
    scripted("socket")?;
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
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

/// Starts to connect; `EINPROGRESS` is the usual answer.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &RawAddr) -> io::Result<()> {
    scripted("connect")?;
    let addr = addr.as_bytes();
    // SAFETY: the pointer and the length describe `addr`, which lives through the call.
    check(unsafe { libc::connect(fd.as_raw_fd(), addr.as_ptr().cast(), addr.len() as u32) })?;
    Ok(())
}

pub(crate) fn local_addr<A: Address>(fd: BorrowedFd<'_>) -> io::Result<A> {
    scripted("getsockname")?;
    let mut addr = RawAddr::empty();
    let mut len = RawAddr::CAPACITY;
    let buffer = addr.buffer().as_mut_ptr();
    // SAFETY: `buffer` has room for `len` bytes, and both live through the call.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), buffer.cast(), &raw mut len) })?;
    A::decode(&addr, len)
}

pub(crate) fn peer_addr<A: Address>(fd: BorrowedFd<'_>) -> io::Result<A> {
    scripted("getpeername")?;
    let mut addr = RawAddr::empty();
    let mut len = RawAddr::CAPACITY;
    let buffer = addr.buffer().as_mut_ptr();
    // SAFETY: `buffer` has room for `len` bytes, and both live through the call.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), buffer.cast(), &raw mut len) })?;
    A::decode(&addr, len)
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
    if let Err(err) = scripted("SO_ERROR") {
        return Ok(Some(err));
    }
    let errno = option(fd, SockOption(libc::SOL_SOCKET, libc::SO_ERROR))?;
    Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
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
impl OptionValue for libc::ucred {}

fn set_sockopt<T: OptionValue>(
    fd: BorrowedFd<'_>,
    SockOption(level, name): SockOption,
    value: &T,
) -> io::Result<()> {
    scripted("setsockopt")?;
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
    scripted("getsockopt")?;
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

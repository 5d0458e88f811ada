//! One message with its address and its control messages: sendmsg(2) and recvmsg(2).

use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use reactor::syscall;

use crate::addr::RawAddr;

/// What recvmsg(2) says of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// Bytes taken; with `MSG_TRUNC`, bytes of the datagram, also those there was no room for.
    pub(crate) bytes: usize,
    /// Bytes of the address.
    pub(crate) name_bytes: u32,
    /// Bytes of control messages.
    pub(crate) control_bytes: usize,
    /// `MSG_CTRUNC` and its kin.
    pub(crate) flags: c_int,
}

/// One `sendmsg(2)`; an empty `control` is none, and a lost peer gives `EPIPE`, not the signal. More
/// than 1,024 buffers give `EMSGSIZE`.
#[inline]
pub(crate) fn send_message(
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    to: Option<&RawAddr>,
    control: &[u8],
) -> io::Result<usize> {
    let mut message = nothing();
    if let Some(to) = to {
        message.msg_name = to.as_bytes().as_ptr().cast_mut().cast();
        message.msg_namelen = to.as_bytes().len() as u32;
    }
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len();
    if !control.is_empty() {
        message.msg_control = control.as_ptr().cast_mut().cast();
        message.msg_controllen = control.len();
    }
    let (fd, at) = (fd.as_raw_fd() as usize, &raw const message as usize);
    // SAFETY: an IoSlice is an iovec (the standard library promises it); the pointers and lengths
    // describe `to`, `bufs` and `control`, all of which live through the call; sendmsg only reads.
    unsafe { syscall(libc::SYS_sendmsg, [fd, at, libc::MSG_NOSIGNAL as usize, 0, 0, 0]) }
}

/// One `recvmsg(2)`. Descriptors among the control messages are close-on-exec.
#[inline]
pub(crate) fn recv_message(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    from: Option<&mut RawAddr>,
    control: &mut [u8],
    flags: c_int,
) -> io::Result<Message> {
    let mut message = nothing();
    if let Some(from) = from {
        message.msg_name = from.buffer().as_mut_ptr().cast();
        message.msg_namelen = RawAddr::CAPACITY;
    }
    message.msg_iov = bufs.as_mut_ptr().cast();
    message.msg_iovlen = bufs.len();
    if !control.is_empty() {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control.len();
    }
    let (fd, at) = (fd.as_raw_fd() as usize, &raw mut message as usize);
    let flags = (flags | libc::MSG_CMSG_CLOEXEC) as usize;
    // SAFETY: an IoSliceMut is an iovec (the standard library promises it); the pointers and lengths
    // describe `from`, `bufs` and `control`, all of which are borrowed mutably through the call.
    let bytes = unsafe { syscall(libc::SYS_recvmsg, [fd, at, flags, 0, 0, 0]) }?;
    Ok(Message {
        bytes,
        name_bytes: message.msg_namelen,
        control_bytes: message.msg_controllen,
        flags: message.msg_flags,
    })
}

pub(super) fn nothing() -> libc::msghdr {
    // SAFETY: msghdr is integers and pointers, for which zeros are valid: nothing of everything.
    unsafe { mem::zeroed() }
}

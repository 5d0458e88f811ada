//! Reading into memory that nobody has written yet.
//!
//! A buffer has to be initialised before it can be a `&mut [u8]`, which the kernel then overwrites.
//! Here it is handed over as it is, and becomes part of what the caller sees only as far as the
//! kernel has filled it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use bytes::BytesMut;

use reactor::syscall;

use super::Taken;
use super::message::nothing;
use crate::batch::IO_BYTES_MAX;
use crate::network::StreamNetwork;

/// One read to the end of `buf`, into what capacity it has, which must not be none.
#[inline]
pub(crate) fn recv_into<N: StreamNetwork>(
    fd: BorrowedFd<'_>,
    buf: &mut BytesMut,
) -> io::Result<Taken> {
    let taken = recv_uninit::<N>(fd, buf.spare_capacity_mut())?;
    // SAFETY: the kernel wrote the first `bytes` of the spare capacity, so as many more than there
    // were are within the capacity and initialised.
    unsafe { buf.set_len(buf.len() + taken.bytes) };
    Ok(taken)
}

/// One read of at most [`IO_BYTES_MAX`]. The first bytes of `buf`, as many as were taken, are
/// initialised then.
#[inline]
fn recv_uninit<N: StreamNetwork>(
    fd: BorrowedFd<'_>,
    buf: &mut [MaybeUninit<u8>],
) -> io::Result<Taken> {
    let (ptr, len) = (buf.as_mut_ptr(), buf.len().min(IO_BYTES_MAX));
    if N::HAS_MARKS {
        return recv_uninit_marked(fd, &mut buf[..len]);
    }
    let args = [fd.as_raw_fd() as usize, ptr as usize, len, 0, 0, 0];
    // SAFETY: the pointer and the length are within `buf`, borrowed mutably through the call. The
    // kernel writes there and reads nothing.
    let bytes = unsafe { syscall(libc::SYS_recvfrom, args) }?;
    Ok(Taken { bytes, at_mark: false })
}

/// As [`recv_marked`](super::recv_marked).
fn recv_uninit_marked(fd: BorrowedFd<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<Taken> {
    let mut room = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let mut message = nothing();
    message.msg_iov = &raw mut room;
    message.msg_iovlen = 1;
    let args = [fd.as_raw_fd() as usize, &raw mut message as usize, 0, 0, 0, 0];
    // SAFETY: `room` describes `buf`, and both are borrowed mutably through the call. The kernel
    // writes there and reads nothing.
    let bytes = unsafe { syscall(libc::SYS_recvmsg, args) }?;
    Ok(Taken { bytes, at_mark: message.msg_flags & libc::MSG_CTRUNC != 0 })
}

/// [`recv_into`] for a buffer of hyper.
#[cfg(feature = "hyper")]
#[inline]
pub(crate) fn recv_cursor<N: StreamNetwork>(
    fd: BorrowedFd<'_>,
    buf: &mut hyper::rt::ReadBufCursor<'_>,
) -> io::Result<Taken> {
    // SAFETY: the kernel only writes there, so no byte that was initialised stops being so.
    let taken = recv_uninit::<N>(fd, unsafe { buf.as_mut() })?;
    // SAFETY: the kernel wrote so many bytes to the beginning of what is unfilled.
    unsafe { buf.advance(taken.bytes) };
    Ok(taken)
}

/// [`recv_into`] for a buffer of tokio.
#[cfg(feature = "tokio-io")]
#[inline]
pub(crate) fn recv_read_buf<N: StreamNetwork>(
    fd: BorrowedFd<'_>,
    buf: &mut tokio::io::ReadBuf<'_>,
) -> io::Result<Taken> {
    // SAFETY: the kernel only writes there, so no byte that was initialised stops being so.
    let taken = recv_uninit::<N>(fd, unsafe { buf.unfilled_mut() })?;
    // SAFETY: the kernel wrote so many bytes to the beginning of what is unfilled.
    unsafe { buf.assume_init(taken.bytes) };
    buf.advance(taken.bytes);
    Ok(taken)
}

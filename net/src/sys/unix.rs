//! What only Unix sockets have.

use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::message::{Message, recv_message, send_message};
use super::{SockOption, check, socket, sockopt};
use crate::addr::RawAddr;
use crate::control::{Control, length, space};
use crate::unix::PeerCredentials;

const FD_BYTES: usize = size_of::<c_int>();
const CONTROL_BYTES: usize = space(FDS_MAX * FD_BYTES);

/// A new Unix socket, `SOCK_STREAM` or `SOCK_DGRAM`, non-blocking and close-on-exec.
pub(crate) fn unix_socket(kind: c_int) -> io::Result<OwnedFd> {
    socket(libc::AF_UNIX, kind)
}

/// Two Unix sockets connected to each other, non-blocking and close-on-exec.
pub(crate) fn unix_pair(kind: c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut fds = [-1; 2];
    // SAFETY: socketpair writes two numbers, for which there is room.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    // SAFETY: socketpair just returned it: it is open and nobody else owns it.
    let near = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    // SAFETY: as above.
    let far = unsafe { OwnedFd::from_raw_fd(fds[1]) };
    Ok((near, far))
}

/// Descriptors in one message, at most: `SCM_MAX_FD` of the kernel (unix(7)).
pub(crate) const FDS_MAX: usize = 253;

/// Sends a message together with descriptors, which stay the caller's. At most [`FDS_MAX`].
pub(crate) fn send_fds(
    fd: BorrowedFd<'_>,
    buf: &[u8],
    to: Option<&RawAddr>,
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut numbers = [0; FDS_MAX * FD_BYTES];
    for (number, fd) in numbers.chunks_exact_mut(FD_BYTES).zip(fds) {
        number.copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
    }
    let mut control = Control::<CONTROL_BYTES>::empty();
    if !fds.is_empty() {
        control.push(libc::SOL_SOCKET, libc::SCM_RIGHTS, &numbers[..fds.len() * FD_BYTES]);
    }
    send_message(fd, &[IoSlice::new(buf)], to, control.as_bytes())
}

/// Receives a message and the descriptors that come with it, `fds_max` of them at most. What there
/// is no room for the kernel closes, and `MSG_CTRUNC` says so. Of a datagram the bytes are all that
/// were sent, as with `MSG_TRUNC`.
pub(crate) fn recv_fds(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    from: Option<&mut RawAddr>,
    fds_max: usize,
) -> io::Result<(Message, Vec<OwnedFd>)> {
    let mut control = Control::<CONTROL_BYTES>::empty();
    // `CMSG_SPACE` would have room for one too many: the kernel fills the padding as well.
    let room = length(fds_max.min(FDS_MAX) * FD_BYTES);
    // Only what has an address is a datagram, with a length to be told.
    let flags = if from.is_some() { libc::MSG_TRUNC } else { 0 };
    let bufs = &mut [IoSliceMut::new(buf)];
    let message = recv_message(fd, bufs, from, &mut control.room()[..room], flags)?;
    control.set_filled(message.control_bytes);
    let mut fds = Vec::new();
    let rights = |&(level, kind, _): &_| (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    for (.., numbers) in control.messages().filter(rights) {
        for number in numbers.chunks_exact(FD_BYTES) {
            let number = c_int::from_ne_bytes(number.try_into().expect("chunks of that size"));
            // SAFETY: recvmsg just made this descriptor for us: it is open and nobody else owns it,
            // and each is met once.
            fds.push(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    Ok((message, fds))
}

/// Who is at the other end (`SO_PEERCRED`).
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<PeerCredentials> {
    let mut value = libc::ucred { pid: 0, uid: 0, gid: 0 };
    sockopt(fd, SockOption(libc::SOL_SOCKET, libc::SO_PEERCRED), &mut value)?;
    let libc::ucred { pid, uid, gid } = value;
    Ok(PeerCredentials { pid: u32::try_from(pid).unwrap_or(0), uid, gid })
}

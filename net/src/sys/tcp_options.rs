//! Options of TCP that are not an integer.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{OptionValue, SockOption, check, sockopt};

/// The longest name of a congestion control algorithm, with its final zero (`TCP_CA_NAME_MAX`).
const CONGESTION_BYTES_MAX: usize = 16;

/// The 32-bit words of `struct tcp_info` that Linux 4.9 knows; later ones follow.
pub(crate) const TCP_INFO_WORDS: usize = 42;

impl OptionValue for [u32; TCP_INFO_WORDS] {}
impl OptionValue for [u8; CONGESTION_BYTES_MAX] {}

/// `struct tcp_info` as words; those that the kernel does not have are 0.
pub(crate) fn tcp_info(fd: BorrowedFd<'_>) -> io::Result<[u32; TCP_INFO_WORDS]> {
    let mut words = [0; TCP_INFO_WORDS];
    sockopt(fd, SockOption(libc::IPPROTO_TCP, libc::TCP_INFO), &mut words)?;
    Ok(words)
}

pub(crate) fn set_congestion(fd: BorrowedFd<'_>, algorithm: &str) -> io::Result<()> {
    let (ptr, len) = (algorithm.as_ptr().cast(), algorithm.len() as u32);
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_CONGESTION);
    // SAFETY: the pointer and the length describe `algorithm`, which lives through the call; the
    // kernel copies at most 15 bytes of it and ends them itself.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr, len) })?;
    Ok(())
}

pub(crate) fn congestion(fd: BorrowedFd<'_>) -> io::Result<String> {
    let mut name = [0; CONGESTION_BYTES_MAX];
    sockopt(fd, SockOption(libc::IPPROTO_TCP, libc::TCP_CONGESTION), &mut name)?;
    let len = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..len]).into_owned())
}

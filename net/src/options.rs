//! Socket options: what they are called, and how numbers become the kernel's.

use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::sys::{self, SockOption};

mod builder;
mod info;
mod stream;

pub(crate) use builder::{Control, Options, option_setters};
pub use info::TcpInfo;

pub(crate) const REUSE_ADDR: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_REUSEADDR);
pub(crate) const REUSE_PORT: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_REUSEPORT);
pub(crate) const RECV_BUFFER: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_RCVBUF);
pub(crate) const SEND_BUFFER: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_SNDBUF);
pub(crate) const V6ONLY: SockOption = SockOption(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
pub(crate) const NODELAY: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_NODELAY);
pub(crate) const USER_TIMEOUT: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
pub(crate) const NOTSENT_LOWAT: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
pub(crate) const DEFER_ACCEPT: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
pub(crate) const FASTOPEN: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_FASTOPEN);
pub(crate) const FASTOPEN_CONNECT: SockOption =
    SockOption(libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT);
/// A port of port 0 is chosen by connect(2), which knows the peer, and not by bind(2) (ip(7)).
pub(crate) const BIND_ADDRESS_NO_PORT: SockOption =
    SockOption(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
const KEEPALIVE: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_KEEPALIVE);
const KEEPALIVE_IDLE: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
const KEEPALIVE_INTERVAL: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
const KEEPALIVE_COUNT: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_KEEPCNT);

/// When the kernel probes a silent connection, and when it gives it up (tcp(7)).
///
/// A dead peer is noticed after `idle + count * interval`: 150 s by default, which are the values
/// of Go's `net.KeepAliveConfig`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use net::{Dialer, Keepalive};
///
/// // A dead peer is noticed after 30 seconds.
/// let soon = Keepalive { idle: Duration::from_secs(15), interval: Duration::from_secs(5), count: 3 };
/// let dialer = Dialer::new().keepalive(Some(soon));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe: 1 s to 32,767 s, rounded up to whole seconds.
    pub idle: Duration,
    /// From one unanswered probe to the next: 1 s to 32,767 s, rounded up to whole seconds.
    pub interval: Duration,
    /// Unanswered probes before the connection is lost: 1 to 127.
    pub count: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(15), interval: Duration::from_secs(15), count: 9 }
    }
}

/// Sets keep-alive on any TCP socket, the numbers before the switch: a number that the kernel
/// refuses leaves the switch as it was.
pub(crate) fn set_keepalive(fd: BorrowedFd<'_>, keepalive: Option<Keepalive>) -> io::Result<()> {
    if let Some(Keepalive { idle, interval, count }) = keepalive {
        sys::set_option(fd, KEEPALIVE_IDLE, seconds_up(idle))?;
        sys::set_option(fd, KEEPALIVE_INTERVAL, seconds_up(interval))?;
        sys::set_option(fd, KEEPALIVE_COUNT, int(count))?;
    }
    sys::set_option(fd, KEEPALIVE, keepalive.is_some().into())
}

fn keepalive(fd: BorrowedFd<'_>) -> io::Result<Option<Keepalive>> {
    if sys::option(fd, KEEPALIVE)? == 0 {
        return Ok(None);
    }
    Ok(Some(Keepalive {
        idle: from_seconds(sys::option(fd, KEEPALIVE_IDLE)?),
        interval: from_seconds(sys::option(fd, KEEPALIVE_INTERVAL)?),
        count: sys::option(fd, KEEPALIVE_COUNT)?.unsigned_abs(),
    }))
}

/// Sets those that have a value.
pub(crate) fn set_all<const N: usize>(
    fd: BorrowedFd<'_>,
    values: [(SockOption, Option<c_int>); N],
) -> io::Result<()> {
    for (option, value) in values {
        if let Some(value) = value {
            sys::set_option(fd, option, value)?;
        }
    }
    Ok(())
}

/// What is too large for the kernel's `int` becomes its maximum, and the kernel judges that.
pub(crate) fn int(value: u32) -> c_int {
    c_int::try_from(value).unwrap_or(c_int::MAX)
}

pub(crate) fn seconds_up(time: Duration) -> c_int {
    let seconds = time.as_secs().saturating_add((time.subsec_nanos() > 0).into());
    c_int::try_from(seconds).unwrap_or(c_int::MAX)
}

/// Milliseconds; a time of its own, however short, is never 0, which would be "none".
fn millis_up(time: Duration) -> c_int {
    let millis = time.as_nanos().div_ceil(1_000_000);
    c_int::try_from(millis).unwrap_or(c_int::MAX)
}

fn from_seconds(seconds: c_int) -> Duration {
    Duration::from_secs(seconds.unsigned_abs().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_seconds_and_do_not_overflow() {
        assert_eq!(seconds_up(Duration::ZERO), 0);
        assert_eq!(seconds_up(Duration::from_nanos(1)), 1);
        assert_eq!(seconds_up(Duration::from_millis(15_000)), 15);
        assert_eq!(seconds_up(Duration::from_millis(15_001)), 16);
        assert_eq!(seconds_up(Duration::MAX), c_int::MAX);
        assert_eq!(millis_up(Duration::from_nanos(1)), 1);
        assert_eq!(millis_up(Duration::from_micros(2001)), 3);
        assert_eq!(millis_up(Duration::MAX), c_int::MAX);
        assert_eq!(int(u32::MAX), c_int::MAX);
    }
}

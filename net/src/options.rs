//! Socket options: what they are called, and the ones of a [`Stream`].

use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::network::StreamNetwork;
use crate::stream::{Stream, TcpStream};
use crate::sys::{self, SockOption};

pub(crate) const REUSE_ADDR: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_REUSEADDR);
pub(crate) const REUSE_PORT: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_REUSEPORT);
pub(crate) const RECV_BUFFER: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_RCVBUF);
pub(crate) const SEND_BUFFER: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_SNDBUF);
pub(crate) const V6ONLY: SockOption = SockOption(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
pub(crate) const NODELAY: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_NODELAY);
const KEEPALIVE: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_KEEPALIVE);
const KEEPALIVE_IDLE: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
const KEEPALIVE_INTERVAL: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
const KEEPALIVE_COUNT: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_KEEPCNT);

/// When the kernel probes a silent connection, and when it gives it up (tcp(7)).
///
/// A dead peer is noticed after `idle + count * interval`: 150 s by default, which are the values
/// of Go's `net.KeepAliveConfig`.
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

/// What is too large for the kernel's `int` becomes its maximum, and the kernel judges that.
pub(crate) fn int(value: u32) -> c_int {
    c_int::try_from(value).unwrap_or(c_int::MAX)
}

fn seconds_up(time: Duration) -> c_int {
    let seconds = time.as_secs().saturating_add((time.subsec_nanos() > 0).into());
    c_int::try_from(seconds).unwrap_or(c_int::MAX)
}

fn from_seconds(seconds: c_int) -> Duration {
    Duration::from_secs(seconds.unsigned_abs().into())
}

/// Options. Each call is one system call, except keep-alive's four.
impl TcpStream {
    /// Whether small segments leave at once. On by default.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.option(NODELAY)? != 0)
    }

    /// Sends small segments at once (`true`), or gathers them while data is unacknowledged
    /// (`false`: Nagle's algorithm).
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set_option(NODELAY, nodelay.into())
    }

    /// Keep-alive, `None` when it is off.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        self.ask("getsockopt", keepalive)
    }

    /// Sets keep-alive; `None` turns it off. On with [`Keepalive::default`] unless set.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when a number is out of its range, and then the switch
    /// stays as it was; what the system says, and use after close.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.ask("setsockopt", |fd| set_keepalive(fd, keepalive))
    }

    /// How long close lingers, `None` when it does not.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(self.ask("getsockopt", sys::linger)?.map(from_seconds))
    }

    /// What close does with data that the peer has not acknowledged.
    ///
    /// `None`, the default: the kernel goes on sending it. `Some(ZERO)`: it is thrown away and the
    /// peer gets a reset. More than zero, rounded up to whole seconds: **close blocks the thread**
    /// until the data is acknowledged or the time is over, and with it every task.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.ask("setsockopt", |fd| sys::set_linger(fd, linger.map(seconds_up)))
    }
}

/// Options of all streams. Each call is one system call.
impl<N: StreamNetwork> Stream<N> {
    /// The size of the receive buffer in bytes, as the kernel counts: twice what was set.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn recv_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.option(RECV_BUFFER)?.unsigned_abs() as usize)
    }

    /// Sets the size of the receive buffer, at most `net.core.rmem_max`, and stops the kernel from
    /// tuning it. To have a window beyond 64 KiB, set it on the
    /// [listener](crate::ListenerBuilder::recv_buffer_bytes): the scale is settled by the handshake.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_recv_buffer_bytes(&self, bytes: u32) -> io::Result<()> {
        self.set_option(RECV_BUFFER, int(bytes))
    }

    /// The size of the send buffer in bytes, as the kernel counts: twice what was set.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn send_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.option(SEND_BUFFER)?.unsigned_abs() as usize)
    }

    /// Sets the size of the send buffer, at most `net.core.wmem_max`, and stops the kernel from
    /// tuning it.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_send_buffer_bytes(&self, bytes: u32) -> io::Result<()> {
        self.set_option(SEND_BUFFER, int(bytes))
    }

    /// Takes the error that is pending on the socket (`SO_ERROR`), so that no operation will
    /// report it.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.ask("getsockopt", sys::take_error)
    }

    fn option(&self, option: SockOption) -> io::Result<c_int> {
        self.ask("getsockopt", |fd| sys::option(fd, option))
    }

    fn set_option(&self, option: SockOption, value: c_int) -> io::Result<()> {
        self.ask("setsockopt", |fd| sys::set_option(fd, option, value))
    }
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
        assert_eq!(int(u32::MAX), c_int::MAX);
    }
}

//! The options of a [`TcpStream`], and those of all streams.

use std::ffi::c_int;
use std::io;
use std::time::Duration;

use crate::network::StreamNetwork;
use crate::options::{self, Keepalive, TcpInfo};
use crate::stream::{Stream, TcpStream};
use crate::sys::{self, SockOption};

const QUICKACK: SockOption = SockOption(libc::IPPROTO_TCP, libc::TCP_QUICKACK);
const TTL: SockOption = SockOption(libc::IPPROTO_IP, libc::IP_TTL);
const HOPS: SockOption = SockOption(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS);
const TOS: SockOption = SockOption(libc::IPPROTO_IP, libc::IP_TOS);
const TCLASS: SockOption = SockOption(libc::IPPROTO_IPV6, libc::IPV6_TCLASS);

/// Options. Each call is one system call, except keep-alive's four.
impl TcpStream {
    /// Whether small segments leave at once. On by default.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.option(options::NODELAY)? != 0)
    }

    /// Sends small segments at once (`true`), or gathers them while data is unacknowledged
    /// (`false`: Nagle's algorithm).
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set_option(options::NODELAY, nodelay.into())
    }

    /// Keep-alive, `None` when it is off.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        self.ask("getsockopt", options::keepalive)
    }

    /// Sets keep-alive; `None` turns it off. On with [`Keepalive::default`] unless set.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when a number is out of its range, and then the switch
    /// stays as it was; what the system says, and use after close.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.ask("setsockopt", |fd| options::set_keepalive(fd, keepalive))
    }

    /// How long close lingers, `None` when it does not.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(self.ask("getsockopt", sys::linger)?.map(options::from_seconds))
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
        self.ask("setsockopt", |fd| sys::set_linger(fd, linger.map(options::seconds_up)))
    }

    /// How long sent data may stay unacknowledged before the connection is lost; `None`: as long as
    /// the kernel retransmits, some 15 minutes (`net.ipv4.tcp_retries2`).
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        let millis = self.option(options::USER_TIMEOUT)?.unsigned_abs();
        Ok((millis != 0).then(|| Duration::from_millis(millis.into())))
    }

    /// Sets it, rounded up to whole milliseconds (`TCP_USER_TIMEOUT`, RFC 5482). Reads and writes
    /// then give `TimedOut` when it has passed. With keep-alive it also replaces the count of
    /// probes.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_option(options::USER_TIMEOUT, timeout.map_or(0, options::millis_up))
    }

    /// Bytes not yet sent, in the send buffer, above which the stream is not writable; `u32::MAX`,
    /// the system's default, for no such limit.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn notsent_lowat_bytes(&self) -> io::Result<u32> {
        Ok(self.option(options::NOTSENT_LOWAT)?.cast_unsigned())
    }

    /// Sets it (`TCP_NOTSENT_LOWAT`): the send buffer then holds what is in flight and little more,
    /// so that what is urgent does not queue behind megabytes. 0 is the system's
    /// `net.ipv4.tcp_notsent_lowat`.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_notsent_lowat_bytes(&self, bytes: u32) -> io::Result<()> {
        self.set_option(options::NOTSENT_LOWAT, bytes.cast_signed())
    }

    /// Whether acknowledgements leave at once for now.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn quickack(&self) -> io::Result<bool> {
        Ok(self.option(QUICKACK)? != 0)
    }

    /// Sends acknowledgements at once (`true`) or lets them wait for data to travel with. It is no
    /// lasting setting: the kernel goes its own way again later (tcp(7), `TCP_QUICKACK`).
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.set_option(QUICKACK, quickack.into())
    }

    /// How many routers a segment may pass: IPv4's time to live, IPv6's hop limit.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(self.option(self.by_protocol(TTL, HOPS))?.unsigned_abs())
    }

    /// Sets it, 1 to 255.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] out of range; what the system says, and use after close.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.set_option(self.by_protocol(TTL, HOPS), options::int(ttl))
    }

    /// The type of service: IPv4's TOS byte, IPv6's traffic class, whose upper six bits are the
    /// DSCP.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn tos(&self) -> io::Result<u8> {
        Ok(self.option(self.by_protocol(TOS, TCLASS))? as u8)
    }

    /// Sets it. The lower two bits belong to congestion notification and stay the kernel's.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        self.set_option(self.by_protocol(TOS, TCLASS), tos.into())
    }

    /// The name of the congestion control algorithm: `cubic`.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn congestion(&self) -> io::Result<String> {
        self.ask("getsockopt", sys::congestion)
    }

    /// Sets it to one of `net.ipv4.tcp_available_congestion_control`.
    ///
    /// # Errors
    /// `NotFound` for one that the system does not have; `PermissionDenied` for one that is not in
    /// `net.ipv4.tcp_allowed_congestion_control`, without `CAP_NET_ADMIN`; use after close.
    pub fn set_congestion(&self, algorithm: &str) -> io::Result<()> {
        self.ask("setsockopt", |fd| sys::set_congestion(fd, algorithm))
    }

    /// What the kernel knows of the connection: round trip, window, losses.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn info(&self) -> io::Result<TcpInfo> {
        Ok(TcpInfo::from_words(&self.ask("getsockopt", sys::tcp_info)?))
    }

    /// The one for the protocol that the connection speaks: IPv4 also by way of `::ffff:1.2.3.4`.
    fn by_protocol(&self, v4: SockOption, v6: SockOption) -> SockOption {
        if self.peer().ip().to_canonical().is_ipv4() { v4 } else { v6 }
    }
}

/// Options of all streams. Each call is one system call.
impl<N: StreamNetwork> Stream<N> {
    /// The size of the receive buffer in bytes, as the kernel counts: twice what was set.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn recv_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.option(options::RECV_BUFFER)?.unsigned_abs() as usize)
    }

    /// Sets the size of the receive buffer, at most `net.core.rmem_max`, and stops the kernel from
    /// tuning it. To have a window beyond 64 KiB, set it on the
    /// [listener](crate::ListenerBuilder::recv_buffer_bytes): the scale is settled by the handshake.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_recv_buffer_bytes(&self, bytes: u32) -> io::Result<()> {
        self.set_option(options::RECV_BUFFER, options::int(bytes))
    }

    /// The size of the send buffer in bytes, as the kernel counts: twice what was set.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn send_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.option(options::SEND_BUFFER)?.unsigned_abs() as usize)
    }

    /// Sets the size of the send buffer, at most `net.core.wmem_max`, and stops the kernel from
    /// tuning it.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_send_buffer_bytes(&self, bytes: u32) -> io::Result<()> {
        self.set_option(options::SEND_BUFFER, options::int(bytes))
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

//! Options of datagram sockets.

use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;

use crate::datagram::DatagramSocket;
use crate::network::DatagramNetwork;
use crate::options::{self, RECV_BUFFER, SEND_BUFFER};
use crate::sys::{self, SockOption};
use crate::udp::UdpSocket;

pub(crate) const BROADCAST: SockOption = SockOption(libc::SOL_SOCKET, libc::SO_BROADCAST);
pub(crate) const GRO: SockOption = SockOption(libc::SOL_UDP, libc::UDP_GRO);
pub(crate) const PACKET_INFO: SockOption = SockOption(libc::SOL_IP, libc::IP_PKTINFO);
pub(crate) const PACKET_INFO_V6: SockOption = SockOption(libc::SOL_IPV6, libc::IPV6_RECVPKTINFO);
pub(crate) const RECV_TOS: SockOption = SockOption(libc::SOL_IP, libc::IP_RECVTOS);
pub(crate) const RECV_TCLASS: SockOption = SockOption(libc::SOL_IPV6, libc::IPV6_RECVTCLASS);
const TTL: SockOption = SockOption(libc::SOL_IP, libc::IP_TTL);
const HOPS: SockOption = SockOption(libc::SOL_IPV6, libc::IPV6_UNICAST_HOPS);
const TOS: SockOption = SockOption(libc::SOL_IP, libc::IP_TOS);
const TCLASS: SockOption = SockOption(libc::SOL_IPV6, libc::IPV6_TCLASS);

/// Sets what IPv4 and IPv6 each have an option for. An IPv6 socket may also send to and receive from
/// IPv4 addresses, for which it has the options of IPv4 as well.
pub(crate) fn both_families(
    fd: BorrowedFd<'_>,
    is_v6: bool,
    v4: SockOption,
    v6: SockOption,
    value: c_int,
) -> io::Result<()> {
    if is_v6 {
        sys::set_option(fd, v6, value)?;
    }
    sys::set_option(fd, v4, value)
}

/// Options. Each call is one system call, or one for IPv4 and one for IPv6.
impl UdpSocket {
    /// Whether it may send to broadcast addresses. On by default.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.option(BROADCAST)? != 0)
    }

    /// Allows or forbids to send to broadcast addresses, which is `PermissionDenied` then.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.ask("setsockopt", |fd| sys::set_option(fd, BROADCAST, broadcast.into()))
    }

    /// How many hops what is sent may take (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn ttl(&self) -> io::Result<u8> {
        self.byte_option(TTL, HOPS)
    }

    /// Sets how many hops what is sent may take, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput` for 0; what the system says, and use after close.
    pub fn set_ttl(&self, hops: u8) -> io::Result<()> {
        if hops == 0 {
            let err = io::Error::new(io::ErrorKind::InvalidInput, "a TTL of 0");
            return Err(self.error("setsockopt", err));
        }
        self.set_byte_option(TTL, HOPS, hops)
    }

    /// The type of service of what is sent (`IP_TOS`, `IPV6_TCLASS`): six bits DSCP, two bits ECN.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn tos(&self) -> io::Result<u8> {
        self.byte_option(TOS, TCLASS)
    }

    /// Sets the type of service of what is sent.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        self.set_byte_option(TOS, TCLASS, tos)
    }

    pub(crate) fn byte_option(&self, v4: SockOption, v6: SockOption) -> io::Result<u8> {
        let value = self.option(if self.is_v6() { v6 } else { v4 })?;
        Ok(u8::try_from(value).unwrap_or(u8::MAX))
    }

    pub(crate) fn set_byte_option(
        &self,
        v4: SockOption,
        v6: SockOption,
        value: u8,
    ) -> io::Result<()> {
        let is_v6 = self.is_v6();
        self.ask("setsockopt", |fd| both_families(fd, is_v6, v4, v6, value.into()))
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.local_addr().is_ok_and(|local| local.is_ipv6())
    }
}

/// Options of all datagram sockets. Each call is one system call.
impl<N: DatagramNetwork> DatagramSocket<N> {
    /// The size of the receive buffer in bytes, as the kernel counts: twice what was set.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn recv_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.option(RECV_BUFFER)?.unsigned_abs() as usize)
    }

    /// Sets the size of the receive buffer, at most `net.core.rmem_max`.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_recv_buffer_bytes(&self, bytes: u32) -> io::Result<()> {
        self.ask("setsockopt", |fd| sys::set_option(fd, RECV_BUFFER, options::int(bytes)))
    }

    /// The size of the send buffer in bytes, as the kernel counts: twice what was set.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn send_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.option(SEND_BUFFER)?.unsigned_abs() as usize)
    }

    /// Sets the size of the send buffer, at most `net.core.wmem_max`. It limits the length of a Unix
    /// datagram.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_send_buffer_bytes(&self, bytes: u32) -> io::Result<()> {
        self.ask("setsockopt", |fd| sys::set_option(fd, SEND_BUFFER, options::int(bytes)))
    }

    /// Takes the error that is pending on the socket (`SO_ERROR`), so that no operation will report
    /// it.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.ask("getsockopt", sys::take_error)
    }

    fn option(&self, option: SockOption) -> io::Result<c_int> {
        self.ask("getsockopt", |fd| sys::option(fd, option))
    }
}

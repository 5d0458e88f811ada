//! Multicast (ip(7), ipv6(7)).
//!
//! Interfaces are named by their index, which IPv4 and IPv6 both take; 0 leaves the choice to the
//! routing table.

use std::ffi::c_int;
use std::io;
use std::net::IpAddr;

use crate::sys::{self, Membership, SockOption};
use crate::udp::UdpSocket;

const LOOP: SockOption = SockOption(libc::SOL_IP, libc::IP_MULTICAST_LOOP);
const LOOP_V6: SockOption = SockOption(libc::SOL_IPV6, libc::IPV6_MULTICAST_LOOP);
const TTL: SockOption = SockOption(libc::SOL_IP, libc::IP_MULTICAST_TTL);
const HOPS: SockOption = SockOption(libc::SOL_IPV6, libc::IPV6_MULTICAST_HOPS);
const INTERFACE_V6: SockOption = SockOption(libc::SOL_IPV6, libc::IPV6_MULTICAST_IF);

/// The index of a network interface, by its name: `eth0`.
///
/// # Errors
/// `NotFound` when there is none of that name, `InvalidInput` for one with a zero byte. The error
/// has the name.
///
/// ```
/// assert_ne!(net::interface_index("lo")?, 0);
/// let err = net::interface_index("eth-no-such").unwrap_err();
/// assert_eq!(err.to_string(), r#"there is no interface "eth-no-such""#);
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn interface_index(name: &str) -> io::Result<u32> {
    sys::interface_index(name).map_err(|err| match err.raw_os_error() {
        Some(libc::ENODEV) => {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {name:?}"))
        }
        _ => io::Error::new(err.kind(), format!("interface {name:?}: {err}")),
    })
}

/// Multicast. Interfaces are indices ([`interface_index`]), and 0 is the routing table's choice.
///
/// ```
/// # reactor::block_on(async {
/// # let lo = net::interface_index("lo")?;
/// let group = std::net::Ipv4Addr::new(239, 255, 0, 7);
/// let socket = net::UdpSocket::builder().reuse_addr(true).bind("0.0.0.0:0".parse().unwrap())?;
/// socket.join_multicast(group.into(), lo)?;
/// socket.set_multicast_interface(lo)?;
/// socket.send_to(b"to all", (group, socket.local_addr()?.port())).await?;
/// assert_eq!(socket.recv(&mut [0; 16]).await?.len, 6, "it loops back, unless told otherwise");
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
impl UdpSocket {
    /// Receives what is sent to `group` and arrives at `interface`.
    ///
    /// # Errors
    /// `AddrInUse` when it has joined already, the system's `EINVAL` for an address that is no group,
    /// its `ENODEV` for no such interface; use after close.
    pub fn join_multicast(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        self.ask("join", |fd| sys::set_membership(fd, Membership::Join, group, interface))
    }

    /// Receives no more of what is sent to `group`: the reverse of
    /// [`join_multicast`](Self::join_multicast).
    ///
    /// # Errors
    /// `AddrNotAvailable` when it has not joined; use after close.
    pub fn leave_multicast(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        self.ask("leave", |fd| sys::set_membership(fd, Membership::Leave, group, interface))
    }

    /// The interface by which multicast datagrams leave.
    ///
    /// # Errors
    /// The system's `ENODEV` for no such interface; use after close.
    pub fn set_multicast_interface(&self, interface: u32) -> io::Result<()> {
        let is_v6 = self.is_v6();
        self.ask("setsockopt", |fd| {
            if is_v6 {
                let index = c_int::try_from(interface).unwrap_or(c_int::MAX);
                sys::set_option(fd, INTERFACE_V6, index)?;
            }
            sys::set_multicast_interface(fd, interface)
        })
    }

    /// Whether multicast datagrams also reach the sockets of this machine that joined. On by default.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn multicast_loop(&self) -> io::Result<bool> {
        Ok(self.byte_option(LOOP, LOOP_V6)? != 0)
    }

    /// Sets whether they do.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_multicast_loop(&self, multicast_loop: bool) -> io::Result<()> {
        self.set_byte_option(LOOP, LOOP_V6, multicast_loop.into())
    }

    /// How many hops multicast datagrams may take. 1 by default: not beyond the local network.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn multicast_ttl(&self) -> io::Result<u8> {
        self.byte_option(TTL, HOPS)
    }

    /// Sets how many hops multicast datagrams may take; with 0 they stay on this machine.
    ///
    /// # Errors
    /// What the system says, and use after close.
    pub fn set_multicast_ttl(&self, hops: u8) -> io::Result<()> {
        self.set_byte_option(TTL, HOPS, hops)
    }
}

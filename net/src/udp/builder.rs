//! Binding UDP sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use reactor::PollFd;

use crate::addr::{self, Address};
use crate::error::OpError;
use crate::network::Udp;
use crate::options::{self, REUSE_ADDR, REUSE_PORT};
use crate::sys;
use crate::udp::UdpSocket;
use crate::udp::options::{
    BROADCAST, GRO, PACKET_INFO, PACKET_INFO_V6, RECV_TCLASS, RECV_TOS, both_families,
};

/// What a [`UdpSocket`] is made with.
///
/// ```
/// # reactor::block_on(async {
/// let socket = net::UdpSocket::builder()
///     .reuse_port(true)
///     .recv_buffer_bytes(1 << 20)
///     .packet_info(true)
///     .bind("[::]:0".parse().unwrap())?;
/// assert_ne!(socket.local_addr()?.port(), 0);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is bound before bind"]
pub struct UdpBuilder {
    reuse_addr: bool,
    reuse_port: bool,
    v6only: bool,
    broadcast: bool,
    recv_buffer_bytes: Option<u32>,
    send_buffer_bytes: Option<u32>,
    packet_info: bool,
    recv_tos: bool,
    gro: bool,
}

impl Default for UdpBuilder {
    /// Go's: broadcasting allowed, everything else off or the system's.
    fn default() -> Self {
        Self {
            reuse_addr: false,
            reuse_port: false,
            v6only: false,
            broadcast: true,
            recv_buffer_bytes: None,
            send_buffer_bytes: None,
            packet_info: false,
            recv_tos: false,
            gro: false,
        }
    }
}

impl UdpBuilder {
    /// Lets several sockets bind one address (`SO_REUSEADDR`): each gets every multicast datagram,
    /// but one of them only every other. Off by default.
    pub fn reuse_addr(mut self, reuse_addr: bool) -> Self {
        self.reuse_addr = reuse_addr;
        self
    }

    /// Lets several sockets of one user bind one address, and the kernel spread datagrams over them
    /// by their two addresses (`SO_REUSEPORT`). Off by default.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Whether `[::]` takes IPv6 only. Off by default: it takes both, whatever
    /// `net.ipv6.bindv6only` says, and an IPv4 peer has an address like `::ffff:127.0.0.1`.
    pub fn v6only(mut self, v6only: bool) -> Self {
        self.v6only = v6only;
        self
    }

    /// Whether it may send to broadcast addresses (`SO_BROADCAST`). On by default, as in Go.
    pub fn broadcast(mut self, broadcast: bool) -> Self {
        self.broadcast = broadcast;
        self
    }

    /// The receive buffer, at most `net.core.rmem_max`: what arrives when it is full is lost. By
    /// default `net.core.rmem_default`.
    pub fn recv_buffer_bytes(mut self, bytes: u32) -> Self {
        self.recv_buffer_bytes = Some(bytes);
        self
    }

    /// The send buffer, at most `net.core.wmem_max`. By default `net.core.wmem_default`.
    pub fn send_buffer_bytes(mut self, bytes: u32) -> Self {
        self.send_buffer_bytes = Some(bytes);
        self
    }

    /// Whether [`recv_msg`](UdpSocket::recv_msg) and [`recv_batch`](UdpSocket::recv_batch) say which
    /// address and interface a datagram arrived at (`IP_PKTINFO`). Off by default.
    pub fn packet_info(mut self, packet_info: bool) -> Self {
        self.packet_info = packet_info;
        self
    }

    /// Whether they say with which type of service a datagram arrived, and so whether it met
    /// congestion (`IP_RECVTOS`). Off by default.
    pub fn recv_tos(mut self, recv_tos: bool) -> Self {
        self.recv_tos = recv_tos;
        self
    }

    /// Whether the kernel may put datagrams of one sender and one length together (`UDP_GRO`, Linux
    /// 5.0). Each read then takes up to 64 KiB, the last datagram may be shorter than the others, and
    /// [`Incoming::segment_bytes`](crate::Incoming::segment_bytes) says where they part. Read with
    /// [`recv_msg`](UdpSocket::recv_msg) or [`recv_batch`](UdpSocket::recv_batch) only: others do
    /// not tell. Off by default.
    pub fn gro(mut self, gro: bool) -> Self {
        self.gro = gro;
        self
    }

    /// A socket bound to `addr`.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` and what else bind(2) says; the system's
    /// `ENOPROTOOPT` for what the kernel is too old for. The error names the address.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let at = |operation| move |err| OpError::on::<Udp>(operation, Some(&addr), None, err);
        let owned = sys::udp_socket(addr::family(addr)).map_err(at("socket"))?;
        let fd = owned.as_fd();
        self.set_options(fd, addr).map_err(at("setsockopt"))?;
        sys::bind(fd, &addr.encode()).map_err(at("bind"))?;
        let local = sys::local_addr(fd).map_err(at("getsockname"))?;
        Ok(UdpSocket::new(PollFd::from_socket(owned), local, None, ()))
    }

    /// A socket connected to `peer`, at a port that the kernel chooses and the address it would send
    /// from.
    ///
    /// # Errors
    /// `NetworkUnreachable`, and what else connect(2) says. The error names the address.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn connect(&self, peer: SocketAddr) -> io::Result<UdpSocket> {
        let at = |operation| move |err| OpError::on::<Udp>(operation, None, Some(&peer), err);
        let owned = sys::udp_socket(addr::family(peer)).map_err(at("socket"))?;
        let fd = owned.as_fd();
        self.set_options(fd, peer).map_err(at("setsockopt"))?;
        sys::connect(fd, &peer.encode()).map_err(at("connect"))?;
        let local = sys::local_addr(fd).map_err(at("getsockname"))?;
        Ok(UdpSocket::new(PollFd::from_socket(owned), local, Some(peer), ()))
    }

    fn set_options(&self, fd: BorrowedFd<'_>, addr: SocketAddr) -> io::Result<()> {
        let v6 = addr.is_ipv6();
        let numbers = [
            (options::V6ONLY, v6.then_some(self.v6only.into())),
            (REUSE_ADDR, self.reuse_addr.then_some(1)),
            (REUSE_PORT, self.reuse_port.then_some(1)),
            (BROADCAST, self.broadcast.then_some(1)),
            (GRO, self.gro.then_some(1)),
            (if v6 { PACKET_INFO_V6 } else { PACKET_INFO }, self.packet_info.then_some(1)),
            (options::RECV_BUFFER, self.recv_buffer_bytes.map(options::int)),
            (options::SEND_BUFFER, self.send_buffer_bytes.map(options::int)),
        ];
        options::set_all(fd, numbers)?;
        if self.recv_tos {
            both_families(fd, v6, RECV_TOS, RECV_TCLASS, 1)?;
        }
        Ok(())
    }
}

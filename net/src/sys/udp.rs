//! What only UDP has: many datagrams in one call, and multicast.

use std::ffi::{CString, c_int};
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use reactor::syscall;

use super::message::Message;
use super::{OptionValue, SockOption, set_sockopt, socket};
use crate::addr::RawAddr;
use crate::udp::UdpControl;

/// A new UDP socket of an address family, non-blocking and close-on-exec.
pub(crate) fn udp_socket(family: c_int) -> io::Result<OwnedFd> {
    socket(family, libc::SOCK_DGRAM)
}

/// The headers of a batch. They are pointers, written anew before each call and read by nobody after
/// it: kept only for their memory.
#[derive(Default)]
pub(crate) struct Headers {
    iovecs: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

impl Headers {
    pub(crate) fn for_datagrams(count: usize) -> Self {
        Self { iovecs: Vec::with_capacity(count), messages: Vec::with_capacity(count) }
    }

    fn clear(&mut self) {
        self.iovecs.clear();
        self.messages.clear();
    }

    /// Bytes, address and control messages of a datagram, each a place and its length.
    fn push(&mut self, bytes: (*mut u8, usize), name: (*mut u8, u32), control: (*mut u8, usize)) {
        self.iovecs.push(libc::iovec { iov_base: bytes.0.cast(), iov_len: bytes.1 });
        // SAFETY: mmsghdr is integers and pointers, for which zeros are valid: nothing of everything.
        let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
        message.msg_hdr.msg_name = name.0.cast();
        message.msg_hdr.msg_namelen = name.1;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = control.0.cast();
        message.msg_hdr.msg_controllen = control.1;
        self.messages.push(message);
    }

    /// Once the vectors no longer move.
    fn link(&mut self) {
        for (message, iovec) in self.messages.iter_mut().zip(&mut self.iovecs) {
            message.msg_hdr.msg_iov = iovec;
        }
    }
}

/// Where a datagram of a batch is received, beside its bytes.
#[derive(Clone)]
pub(crate) struct RecvSlot {
    pub(crate) from: RawAddr,
    pub(crate) control: UdpControl,
}

/// One `recvmmsg(2)`: a datagram for each slot, into as many pieces of `bytes` of `room` bytes each.
/// `each` gets what is said of them in turn. Returns how many there were; at least one.
pub(crate) fn recv_many(
    fd: BorrowedFd<'_>,
    headers: &mut Headers,
    bytes: &mut [u8],
    room: usize,
    slots: &mut [RecvSlot],
    mut each: impl FnMut(Message),
) -> io::Result<usize> {
    headers.clear();
    for (buf, slot) in bytes.chunks_exact_mut(room).zip(&mut *slots) {
        let name = (slot.from.buffer().as_mut_ptr(), RawAddr::CAPACITY);
        let control = slot.control.room();
        let control = (control.as_mut_ptr(), control.len());
        headers.push((buf.as_mut_ptr(), buf.len()), name, control);
    }
    headers.link();
    let (vector, count) = (headers.messages.as_mut_ptr() as usize, headers.messages.len());
    let args = [fd.as_raw_fd() as usize, vector, count, libc::MSG_TRUNC as usize, 0, 0];
    // SAFETY: at `vector` are `count` headers, each with one iovec; what they point to are disjoint
    // pieces of `bytes` and of `slots`, with their lengths, all borrowed mutably through the call.
    let received = unsafe { syscall(libc::SYS_recvmmsg, args) }?;
    for (header, slot) in headers.messages[..received].iter().zip(slots) {
        slot.control.set_filled(header.msg_hdr.msg_controllen);
        each(Message {
            bytes: header.msg_len as usize,
            name_bytes: header.msg_hdr.msg_namelen,
            control_bytes: header.msg_hdr.msg_controllen,
            flags: header.msg_hdr.msg_flags,
        });
    }
    Ok(received)
}

/// One `sendmmsg(2)` of datagrams: the bytes, the address and the control messages of each. Returns
/// how many were sent; an error is the first one's.
pub(crate) fn send_many<'a>(
    fd: BorrowedFd<'_>,
    headers: &mut Headers,
    datagrams: impl Iterator<Item = (&'a [u8], Option<&'a RawAddr>, &'a UdpControl)>,
) -> io::Result<usize> {
    headers.clear();
    for (bytes, to, control) in datagrams {
        let bytes = (bytes.as_ptr().cast_mut(), bytes.len());
        let name = to.map_or((ptr::null_mut(), 0), |to| {
            let to = to.as_bytes();
            (to.as_ptr().cast_mut(), to.len() as u32)
        });
        let control = control.as_bytes();
        headers.push(bytes, name, (control.as_ptr().cast_mut(), control.len()));
    }
    headers.link();
    let (vector, count) = (headers.messages.as_mut_ptr() as usize, headers.messages.len());
    let args = [fd.as_raw_fd() as usize, vector, count, libc::MSG_NOSIGNAL as usize, 0, 0];
    // SAFETY: at `vector` are `count` headers, each with one iovec; what they point to is borrowed for
    // 'a, which outlives the call, and sendmmsg writes to nothing but the headers.
    unsafe { syscall(libc::SYS_sendmmsg, args) }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Membership {
    Join,
    Leave,
}

/// Joins a multicast group at an interface, or leaves it; interface 0 is the system's choice.
pub(crate) fn set_membership(
    fd: BorrowedFd<'_>,
    membership: Membership,
    group: IpAddr,
    interface: u32,
) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            let name = match membership {
                Membership::Join => libc::IP_ADD_MEMBERSHIP,
                Membership::Leave => libc::IP_DROP_MEMBERSHIP,
            };
            let group = libc::in_addr { s_addr: u32::from_ne_bytes(group.octets()) };
            set_sockopt(fd, SockOption(libc::SOL_IP, name), &request(group, interface))
        }
        IpAddr::V6(group) => {
            let name = match membership {
                Membership::Join => libc::IPV6_ADD_MEMBERSHIP,
                Membership::Leave => libc::IPV6_DROP_MEMBERSHIP,
            };
            let group = libc::in6_addr { s6_addr: group.octets() };
            let value = libc::ipv6_mreq { ipv6mr_multiaddr: group, ipv6mr_interface: interface };
            set_sockopt(fd, SockOption(libc::SOL_IPV6, name), &value)
        }
    }
}

/// The interface by which multicast datagrams of IPv4 leave; 0 is the system's choice.
pub(crate) fn set_multicast_interface(fd: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let value = request(libc::in_addr { s_addr: 0 }, interface);
    set_sockopt(fd, SockOption(libc::SOL_IP, libc::IP_MULTICAST_IF), &value)
}

fn request(group: libc::in_addr, interface: u32) -> libc::ip_mreqn {
    let imr_ifindex = c_int::try_from(interface).unwrap_or(c_int::MAX);
    libc::ip_mreqn { imr_multiaddr: group, imr_address: libc::in_addr { s_addr: 0 }, imr_ifindex }
}

impl OptionValue for libc::ip_mreqn {}
impl OptionValue for libc::ipv6_mreq {}

/// The index of a network interface by its name.
pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: the name ends with a zero byte and lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

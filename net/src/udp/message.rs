//! One datagram with what travels beside it: addresses of this side, segments, type of service.

use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use reactor::Direction;

use crate::addr::{Address, RawAddr};
use crate::control::{Control, array, space};
use crate::sys::{self, Message};
use crate::udp::UdpSocket;

/// Datagrams that one buffer with [`Outgoing::segment_bytes`] becomes, at most: `UDP_MAX_SEGMENTS` of
/// Linux before 6.9, which takes 128.
pub const GSO_SEGMENTS_MAX: usize = 64;

/// Of each kind one at most: packet information of IPv6, which is the longer, and two numbers.
pub(crate) const CONTROL_BYTES: usize =
    space(size_of::<libc::in6_pktinfo>()) + 2 * space(size_of::<c_int>());

pub(crate) type UdpControl = Control<CONTROL_BYTES>;

/// How a datagram arrived.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let far = net::UdpSocket::builder().packet_info(true).bind("127.0.0.1:0".parse().unwrap())?;
/// let near = net::UdpSocket::builder().connect(far.local_addr()?)?;
/// near.send(b"too long for it").await?;
///
/// let info = far.recv_msg(&mut [0; 8]).await?;
/// assert_eq!((info.len, info.datagram_len), (8, 15));
/// assert_eq!(info.to, Some(far.local_addr()?.ip()));
/// far.send_msg(b"from the address that was asked", &info.answer()).await?;
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incoming {
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes of the datagram as it was sent; what is above `len` is lost.
    pub datagram_len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address it was sent to, which may be a group or a broadcast address. With
    /// [`UdpBuilder::packet_info`](crate::UdpBuilder::packet_info).
    pub to: Option<IpAddr>,
    /// The address of this side to answer from: `to`, if that is one. With
    /// [`UdpBuilder::packet_info`](crate::UdpBuilder::packet_info).
    pub local: Option<IpAddr>,
    /// The index of the interface it arrived at. With
    /// [`UdpBuilder::packet_info`](crate::UdpBuilder::packet_info).
    pub interface: Option<u32>,
    /// The buffer holds several datagrams of this length each, the last one perhaps shorter. With
    /// [`UdpBuilder::gro`](crate::UdpBuilder::gro).
    pub segment_bytes: Option<usize>,
    /// Its type of service, two bits of which are ECN. With
    /// [`UdpBuilder::recv_tos`](crate::UdpBuilder::recv_tos).
    pub tos: Option<u8>,
}

/// How a datagram is to leave. What is not set is the socket's or the kernel's choice.
///
/// ```
/// use net::Outgoing;
///
/// // 1,200 bytes each, to where the socket is connected.
/// let segments = Outgoing { segment_bytes: Some(1200), ..Outgoing::default() };
/// assert_eq!(segments.to, None);
/// assert!(Outgoing::to("[::1]:53".parse().unwrap()).to.is_some());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to; without, to the peer the socket is connected to.
    pub to: Option<SocketAddr>,
    /// Which address of this machine to send from (`IP_PKTINFO`).
    pub from: Option<IpAddr>,
    /// The index of the interface to leave by (`IP_PKTINFO`).
    pub interface: Option<u32>,
    /// Cut what is sent into datagrams of this length, the last one perhaps shorter (`UDP_SEGMENT`,
    /// Linux 4.18). At most [`GSO_SEGMENTS_MAX`] of them and 65,507 bytes in all (65,527 over IPv6),
    /// else `EINVAL` or `EMSGSIZE`. A route by an interface that computes no checksums gives `EIO`:
    /// send them one by one then.
    pub segment_bytes: Option<u16>,
    /// The type of service, two bits of which are ECN.
    pub tos: Option<u8>,
}

impl Incoming {
    /// Whether the datagram was longer than the buffer.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.len < self.datagram_len
    }

    /// How to answer: to the sender, from the address and by the interface it reached, where they are
    /// known.
    #[must_use]
    pub fn answer(&self) -> Outgoing {
        // A link-local address has its interface in its scope; elsewhere the route is to decide.
        Outgoing { from: self.local, ..Outgoing::to(self.from) }
    }

    pub(crate) fn of(
        message: &Message,
        room: usize,
        from: SocketAddr,
        control: &UdpControl,
    ) -> Self {
        let mut incoming = Self {
            len: message.bytes.min(room),
            datagram_len: message.bytes,
            from,
            to: None,
            local: None,
            interface: None,
            segment_bytes: None,
            tos: None,
        };
        for (level, kind, data) in control.messages() {
            incoming.note(level, kind, data);
        }
        incoming
    }

    fn note(&mut self, level: c_int, kind: c_int, data: &[u8]) {
        match (level, kind) {
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                self.interface = number(data).map(|index| index as u32);
                self.local = array::<4>(data, 4).map(|local| Ipv4Addr::from(local).into());
                self.to = array::<4>(data, 8).map(|to| Ipv4Addr::from(to).into());
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                self.to = array::<16>(data, 0).map(|to| Ipv6Addr::from(to).into());
                self.local = self.to.filter(|to| !is_many(to.to_canonical()));
                self.interface = array(data, 16).map(u32::from_ne_bytes);
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                self.segment_bytes = number(data).and_then(|bytes| usize::try_from(bytes).ok());
            }
            (libc::SOL_IP, libc::IP_TOS) => self.tos = data.first().copied(),
            (libc::SOL_IPV6, libc::IPV6_TCLASS) => self.tos = number(data).map(|tos| tos as u8),
            _ => {}
        }
    }
}

fn number(data: &[u8]) -> Option<c_int> {
    array(data, 0).map(c_int::from_ne_bytes)
}

fn is_many(addr: IpAddr) -> bool {
    addr.is_multicast() || addr == IpAddr::V4(Ipv4Addr::BROADCAST)
}

impl Outgoing {
    /// To an address, in the usual way.
    #[must_use]
    pub fn to(to: SocketAddr) -> Self {
        Self { to: Some(to), ..Self::default() }
    }

    /// As control messages, from a socket that is connected to `peer`. An IPv4 address in the clothes
    /// of an IPv6 one goes the ways of IPv4, also from an IPv6 socket.
    ///
    /// # Errors
    /// `InvalidInput` when the two addresses are not of one family, and for segments of 0 bytes.
    pub(crate) fn control(&self, peer: Option<SocketAddr>) -> io::Result<UdpControl> {
        let mut control = UdpControl::empty();
        let to = self.to.or(peer).map(|to| to.ip().to_canonical());
        if self.from.is_some() || self.interface.is_some() {
            push_packet_info(&mut control, self.from, self.interface.unwrap_or(0), to)?;
        }
        if let Some(tos) = self.tos {
            let (level, kind) = match to {
                Some(IpAddr::V6(_)) => (libc::SOL_IPV6, libc::IPV6_TCLASS),
                _ => (libc::SOL_IP, libc::IP_TOS),
            };
            control.push(level, kind, &c_int::from(tos).to_ne_bytes());
        }
        match self.segment_bytes {
            Some(0) => return Err(unfit("segments of 0 bytes")),
            Some(bytes) => control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes()),
            None => {}
        }
        Ok(control)
    }
}

fn push_packet_info(
    control: &mut UdpControl,
    from: Option<IpAddr>,
    interface: u32,
    to: Option<IpAddr>,
) -> io::Result<()> {
    match (from.map(|from| from.to_canonical()), to) {
        (Some(IpAddr::V4(_)), Some(IpAddr::V6(_))) | (Some(IpAddr::V6(_)), Some(IpAddr::V4(_))) => {
            return Err(unfit("addresses of IPv4 and IPv6 in one datagram"));
        }
        (Some(IpAddr::V6(from)), _) => push_v6(control, from, interface),
        (None, Some(IpAddr::V6(_))) => push_v6(control, Ipv6Addr::UNSPECIFIED, interface),
        (Some(IpAddr::V4(from)), _) => push_v4(control, from, interface),
        (None, _) => push_v4(control, Ipv4Addr::UNSPECIFIED, interface),
    }
    Ok(())
}

/// `in_pktinfo`: interface, source, and a destination that sending does not look at.
fn push_v4(control: &mut UdpControl, from: Ipv4Addr, interface: u32) {
    let mut info = [0; size_of::<libc::in_pktinfo>()];
    info[..4].copy_from_slice(&interface.to_ne_bytes());
    info[4..8].copy_from_slice(&from.octets());
    control.push(libc::SOL_IP, libc::IP_PKTINFO, &info);
}

/// `in6_pktinfo`: source and interface.
fn push_v6(control: &mut UdpControl, from: Ipv6Addr, interface: u32) {
    let mut info = [0; size_of::<libc::in6_pktinfo>()];
    info[..16].copy_from_slice(&from.octets());
    info[16..].copy_from_slice(&interface.to_ne_bytes());
    control.push(libc::SOL_IPV6, libc::IPV6_PKTINFO, &info);
}

fn unfit(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl UdpSocket {
    /// [`recv_from`](Self::recv_from) with all the kernel tells of the datagram.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// # reactor::block_on(async {
    /// use net::UdpSocket;
    ///
    /// let server = UdpSocket::builder().packet_info(true).bind("0.0.0.0:0".parse().unwrap())?;
    /// let client = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// let port = server.local_addr()?.port();
    /// client.send_to(b"?", ([127, 0, 0, 2], port)).await?;
    ///
    /// let question = server.recv_msg(&mut [0; 1500]).await?;
    /// server.send_msg(b"!", &question.answer()).await?;
    /// let answer = client.recv_from(&mut [0; 1500]).await?;
    /// assert_eq!(answer.from, ([127, 0, 0, 2], port).into(), "from where it was asked");
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub async fn recv_msg(&self, buf: &mut [u8]) -> io::Result<Incoming> {
        let taken = self.fd.io(Direction::Read, |fd| recv_msg(fd, buf)).await;
        taken.map_err(|err| self.error("read", err))
    }

    /// [`recv_msg`](Self::recv_msg) for poll functions. The task of the last call is woken, and of
    /// the last one only.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_msg(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Incoming>> {
        let taken = ready!(self.fd.poll_io(cx, Direction::Read, |fd| recv_msg(fd, buf)));
        Poll::Ready(taken.map_err(|err| self.error("read", err)))
    }

    /// [`recv_msg`](Self::recv_msg) if there is a datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`recv`](Self::recv).
    pub fn try_recv_msg(&self, buf: &mut [u8]) -> io::Result<Incoming> {
        let taken = self.fd.try_io(Direction::Read, |fd| recv_msg(fd, buf));
        taken.map_err(|err| self.error("read", err))
    }

    /// Sends a datagram, or several as one buffer, as `how` says. Returns its length: all is sent or
    /// nothing.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `InvalidInput` when `how` contradicts itself, the system's `EINVAL`, `EMSGSIZE` or `EIO` for
    /// segments ([`Outgoing::segment_bytes`]), else as [`send_to`](Self::send_to).
    pub async fn send_msg(&self, buf: &[u8], how: &Outgoing) -> io::Result<usize> {
        let message = self.prepare(how)?;
        let sent = self.fd.io(Direction::Write, |fd| message.send(fd, buf)).await;
        sent.map_err(|err| self.error_of(how, err))
    }

    /// [`send_msg`](Self::send_msg) for poll functions. The task of the last call is woken, and of
    /// the last one only.
    ///
    /// # Errors
    /// As [`send_msg`](Self::send_msg).
    pub fn poll_send_msg(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        how: &Outgoing,
    ) -> Poll<io::Result<usize>> {
        let message = self.prepare(how)?;
        let sent = ready!(self.fd.poll_io(cx, Direction::Write, |fd| message.send(fd, buf)));
        Poll::Ready(sent.map_err(|err| self.error_of(how, err)))
    }

    /// [`send_msg`](Self::send_msg) if there is room.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as [`send_msg`](Self::send_msg).
    pub fn try_send_msg(&self, buf: &[u8], how: &Outgoing) -> io::Result<usize> {
        let message = self.prepare(how)?;
        let sent = self.fd.try_io(Direction::Write, |fd| message.send(fd, buf));
        sent.map_err(|err| self.error_of(how, err))
    }

    fn prepare(&self, how: &Outgoing) -> io::Result<Prepared> {
        let control = how.control(self.peer());
        let control = control.map_err(|err| self.error_of(how, err))?;
        Ok(Prepared { to: how.to.map(|to| to.encode()), control })
    }

    #[cold]
    pub(crate) fn error_of(&self, how: &Outgoing, err: io::Error) -> io::Error {
        match &how.to {
            Some(to) => self.error_with("write", to, err),
            None => self.error("write", err),
        }
    }
}

struct Prepared {
    to: Option<RawAddr>,
    control: UdpControl,
}

impl Prepared {
    fn send(&self, fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        sys::send_message(fd, &[IoSlice::new(buf)], self.to.as_ref(), self.control.as_bytes())
    }
}

fn recv_msg(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Incoming> {
    let mut from = RawAddr::empty();
    let mut control = UdpControl::empty();
    let room = buf.len();
    let bufs = &mut [IoSliceMut::new(buf)];
    let message = sys::recv_message(fd, bufs, Some(&mut from), control.room(), libc::MSG_TRUNC)?;
    control.set_filled(message.control_bytes);
    let from = SocketAddr::decode(&from, message.name_bytes)?;
    Ok(Incoming::of(&message, room, from, &control))
}

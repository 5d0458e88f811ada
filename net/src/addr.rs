//! Socket addresses in the kernel's layout, and back.
//!
//! `sockaddr_in` is family, port, address and eight bytes of zeros: 16 bytes. `sockaddr_in6` is
//! family, port, flow information, address and scope: 28 bytes. The port is big-endian; family,
//! flow information and scope are copied as they are, as the standard library does (ip(7),
//! ipv6(7)). Working on bytes needs no cast between structures, and so no `unsafe`. The layout of
//! Unix addresses is in [`unix::addr`](crate::unix).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::error::Endpoint;

const V4_BYTES: usize = size_of::<libc::sockaddr_in>();
const V6_BYTES: usize = size_of::<libc::sockaddr_in6>();
/// The largest of the addresses here, a `sockaddr_un`.
const CAPACITY: usize = size_of::<libc::sockaddr_un>();

/// An address that sockets have.
pub trait Address: Clone + PartialEq + fmt::Debug + fmt::Display + 'static {
    /// The address as a connection keeps it as long as it lives: small where it mostly is.
    type Kept;

    fn keep(self) -> Self::Kept;

    fn kept(kept: &Self::Kept) -> Self;

    fn encode(&self) -> RawAddr;

    /// The address the kernel wrote, which it says is `len` bytes long. A `len` above the capacity
    /// is its way to say that it cut the address off.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is an address of another kind.
    fn decode(raw: &RawAddr, len: u32) -> io::Result<Self>;

    /// The address as an error holds it.
    fn endpoint(&self) -> Endpoint;
}

/// A [`SocketAddr`] in 16 bytes: one of IPv4 fits in, one of IPv6 is elsewhere, at the price of an
/// allocation for each connection.
pub enum KeptSocketAddr {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

const _: () = assert!(size_of::<KeptSocketAddr>() == 16);

impl Address for SocketAddr {
    type Kept = KeptSocketAddr;

    fn keep(self) -> KeptSocketAddr {
        match self {
            Self::V4(addr) => KeptSocketAddr::V4(addr),
            Self::V6(addr) => KeptSocketAddr::V6(Box::new(addr)),
        }
    }

    fn kept(kept: &KeptSocketAddr) -> Self {
        match kept {
            KeptSocketAddr::V4(addr) => (*addr).into(),
            KeptSocketAddr::V6(addr) => (**addr).into(),
        }
    }

    fn encode(&self) -> RawAddr {
        RawAddr::from(*self)
    }

    fn decode(raw: &RawAddr, len: u32) -> io::Result<Self> {
        match raw.family() {
            libc::AF_INET if len as usize >= V4_BYTES => Ok(raw.decode_v4().into()),
            libc::AF_INET6 if len as usize >= V6_BYTES => Ok(raw.decode_v6().into()),
            family => Err(not_of_kind("an internet", family, len)),
        }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Inet(*self)
    }
}

#[cold]
pub(crate) fn not_of_kind(kind: &str, family: i32, len: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not {kind} address: family {family}, {len} bytes"),
    )
}

/// A `sockaddr_in`, a `sockaddr_in6` or a `sockaddr_un`: the first `len` of `bytes`.
#[derive(Clone, Debug)]
pub struct RawAddr {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl RawAddr {
    /// How many bytes the kernel may write to [`RawAddr::buffer`].
    pub(crate) const CAPACITY: u32 = CAPACITY as u32;

    /// An address for the kernel to fill in.
    #[inline]
    pub(crate) fn empty() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// An address of these bytes.
    pub(crate) fn of(family: i32, rest: &[u8]) -> Self {
        let mut raw = Self::empty();
        raw.put(0, &(family as u16).to_ne_bytes());
        raw.put(2, rest);
        raw.len = 2 + rest.len();
        raw
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn buffer(&mut self) -> &mut [u8; CAPACITY] {
        &mut self.bytes
    }

    /// All there is room for, whatever of it means something.
    pub(crate) fn room(&self) -> &[u8; CAPACITY] {
        &self.bytes
    }

    pub(crate) fn family(&self) -> i32 {
        u16::from_ne_bytes(self.array(0)).into()
    }

    fn decode_v4(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from(self.array::<4>(4)), self.port())
    }

    fn decode_v6(&self) -> SocketAddrV6 {
        let flow_info = u32::from_ne_bytes(self.array(4));
        let scope_id = u32::from_ne_bytes(self.array(24));
        SocketAddrV6::new(Ipv6Addr::from(self.array::<16>(8)), self.port(), flow_info, scope_id)
    }

    fn port(&self) -> u16 {
        u16::from_be_bytes(self.array(2))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.bytes[at + i])
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        self.bytes[at..at + field.len()].copy_from_slice(field);
    }
}

impl From<SocketAddr> for RawAddr {
    fn from(addr: SocketAddr) -> Self {
        let mut raw = Self::empty();
        raw.put(0, &(family(addr) as u16).to_ne_bytes());
        raw.put(2, &addr.port().to_be_bytes());
        match addr {
            SocketAddr::V4(addr) => {
                raw.put(4, &addr.ip().octets());
                raw.len = V4_BYTES;
            }
            SocketAddr::V6(addr) => {
                raw.put(4, &addr.flowinfo().to_ne_bytes());
                raw.put(8, &addr.ip().octets());
                raw.put(24, &addr.scope_id().to_ne_bytes());
                raw.len = V6_BYTES;
            }
        }
        raw
    }
}

/// `AF_INET` or `AF_INET6`.
pub(crate) fn family(addr: SocketAddr) -> i32 {
    match addr.ip() {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    /// xorshift64*: enough to draw addresses, and a seed replays them.
    struct Draw(u64);

    impl Draw {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn addr(&mut self) -> SocketAddr {
            let port = self.next() as u16;
            if self.next() >> 63 == 0 {
                return SocketAddr::from((Ipv4Addr::from(self.next() as u32), port));
            }
            let ip = (u128::from(self.next()) << 64) | u128::from(self.next());
            let (flow_info, scope_id) = (self.next() as u32, self.next() as u32);
            SocketAddrV6::new(Ipv6Addr::from(ip), port, flow_info, scope_id).into()
        }
    }

    #[test]
    fn every_address_survives_the_way_to_the_kernel_and_back() {
        let seed = RandomState::new().hash_one(0) | 1;
        let mut draw = Draw(seed);
        for _ in 0..10_000 {
            let addr = draw.addr();
            let raw = RawAddr::from(addr);
            let back = SocketAddr::decode(&raw, raw.as_bytes().len() as u32).unwrap();
            assert_eq!(back, addr, "seed {seed}");
        }
    }

    #[test]
    fn any_bytes_decode_to_an_address_or_to_an_error() {
        let seed = RandomState::new().hash_one(1) | 1;
        let mut draw = Draw(seed);
        for _ in 0..10_000 {
            let mut raw = RawAddr::empty();
            raw.buffer().fill_with(|| draw.next() as u8);
            raw.put(0, &((draw.next() % 16) as u16).to_ne_bytes());
            let len = (draw.next() % 64) as u32;
            if let Ok(addr) = SocketAddr::decode(&raw, len) {
                let needed = if addr.is_ipv4() { V4_BYTES } else { V6_BYTES };
                assert!(len as usize >= needed, "seed {seed}: {addr} of {len} bytes");
            }
        }
    }

    #[test]
    fn the_layout_is_the_one_of_the_manual() {
        let raw = RawAddr::from("1.2.3.4:258".parse::<SocketAddr>().unwrap());
        let mut expected = [0; V4_BYTES];
        expected[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        expected[2..8].copy_from_slice(&[1, 2, 1, 2, 3, 4]);
        assert_eq!(raw.as_bytes(), expected);

        let raw = RawAddr::from("[::7]:258".parse::<SocketAddr>().unwrap());
        assert_eq!(raw.as_bytes()[2..4], [1, 2]);
        assert_eq!(raw.as_bytes()[23], 7);
        assert_eq!(raw.as_bytes().len(), V6_BYTES);
    }

    #[test]
    fn a_unix_or_truncated_address_is_an_error_that_says_so() {
        let mut raw = RawAddr::from("1.2.3.4:5".parse::<SocketAddr>().unwrap());
        let err = SocketAddr::decode(&raw, 15).unwrap_err();
        assert_eq!(err.to_string(), "not an internet address: family 2, 15 bytes");
        raw.put(0, &(libc::AF_UNIX as u16).to_ne_bytes());
        let err = SocketAddr::decode(&raw, 110).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidData);
        assert_eq!(err.to_string(), "not an internet address: family 1, 110 bytes");
    }
}

//! The frame header: twelve bytes, big-endian, in front of everything yamux sends.
//!
//! ```text
//!  0        1        2        4            8         12
//!  +--------+--------+--------+------------+---------+----------------------+
//!  | version| type   | flags  | stream id  | length  | payload (Data only)  |
//!  | u8 = 0 | u8     | u16    | u32        | u32     |                      |
//!  +--------+--------+--------+------------+---------+----------------------+
//! ```
//!
//! `length` is the payload of Data, the credit of a WindowUpdate, the opaque value of a Ping and
//! the code of a GoAway. On a window update with RST it is the
//! [`ResetCode`](super::ResetCode).

use std::fmt;
use std::ops::BitOr;

use super::violation::Rule;

/// Length of a frame header in bytes.
pub const HEADER_BYTES: usize = 12;

/// The only version of the protocol.
const VERSION: u8 = 0;

/// What a frame is for: the second byte of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Payload of a stream. The only kind that is followed by bytes and that counts against a
    /// window.
    Data,
    /// Credit for a stream. With a length of 0 it only carries its flags.
    WindowUpdate,
    /// A sign of life that is sent back with [`Flags::ACK`] and the same opaque value.
    Ping,
    /// The end of the session is near: its length is a [`GoAwayCode`](super::GoAwayCode).
    GoAway,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Data, Self::WindowUpdate, Self::Ping, Self::GoAway].get(usize::from(byte)).copied()
    }

    fn byte(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::WindowUpdate => 1,
            Self::Ping => 2,
            Self::GoAway => 3,
        }
    }
}

/// The flags of a frame. They combine; bits without a name are kept and ignored.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Opens a stream; on a Ping: a request.
    pub const SYN: Self = Self(1);
    /// Accepts a stream; on a Ping: the answer.
    pub const ACK: Self = Self(2);
    /// The sender will send no more payload on this stream.
    pub const FIN: Self = Self(4);
    /// The stream is over in both directions, at once.
    pub const RST: Self = Self(8);

    /// Flags from the two bytes of a header.
    pub const fn of(bits: u16) -> Self {
        Self(bits)
    }

    /// The two bytes of a header.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            [(Self::SYN, "SYN"), (Self::ACK, "ACK"), (Self::FIN, "FIN"), (Self::RST, "RST")];
        let mut rest = self.0;
        let mut separator = "";
        for (flag, name) in names {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "|";
                rest &= !flag.0;
            }
        }
        if rest != 0 || self.0 == 0 {
            write!(f, "{separator}{rest:#x}")?;
        }
        Ok(())
    }
}

/// One frame header, decoded.
///
/// ```
/// use mux::{Flags, Header, Kind};
///
/// let open = Header { kind: Kind::WindowUpdate, flags: Flags::SYN, stream_id: 1, length: 0 };
/// assert_eq!(open.encode(), [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
/// assert_eq!(Header::decode(&open.encode()), Ok(open));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Its flags.
    pub flags: Flags,
    /// Its stream: odd if the client opened it, even if the server did, 0 for the session.
    pub stream_id: u32,
    /// Payload bytes, credit, opaque value or code, as `kind` says.
    pub length: u32,
}

impl Header {
    /// The twelve bytes on the wire.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = VERSION;
        bytes[1] = self.kind.byte();
        bytes[2..4].copy_from_slice(&self.flags.bits().to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream_id.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Reads the twelve bytes.
    ///
    /// # Errors
    /// [`Rule::Version`] unless the first byte is 0, [`Rule::Type`] for an unknown kind.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Rule> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != VERSION {
            return Err(Rule::Version);
        }
        Ok(Self {
            kind: Kind::of(kind).ok_or(Rule::Type)?,
            flags: Flags::of(u16::from_be_bytes([f0, f1])),
            stream_id: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, flags, stream_id, length } = self;
        write!(f, "{kind:?} {flags:?} stream {stream_id} length {length}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        (0u8..4, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(|(kind, flags, id, length)| {
            let kind = Kind::of(kind).unwrap();
            Header { kind, flags: Flags::of(flags), stream_id: id, length }
        })
    }

    proptest! {
        #[test]
        fn every_header_survives_the_wire(header in header()) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn any_twelve_bytes_decode_to_themselves_or_to_an_error(bytes: [u8; HEADER_BYTES]) {
            match Header::decode(&bytes) {
                Ok(header) => prop_assert_eq!(header.encode(), bytes),
                Err(Rule::Version) => prop_assert_ne!(bytes[0], 0),
                Err(rule) => {
                    prop_assert_eq!(rule, Rule::Type);
                    prop_assert!(bytes[1] > 3);
                }
            }
        }
    }

    #[test]
    fn fields_are_big_endian_and_in_their_places() {
        let header = Header {
            kind: Kind::Ping,
            flags: Flags::ACK | Flags::RST,
            stream_id: 0x0102_0304,
            length: 0xA1A2_A3A4,
        };
        assert_eq!(header.encode(), [0, 2, 0, 10, 1, 2, 3, 4, 0xA1, 0xA2, 0xA3, 0xA4]);
    }

    #[test]
    fn flags_print_by_name() {
        assert_eq!(format!("{:?}", Flags::SYN | Flags::FIN), "SYN|FIN");
        assert_eq!(format!("{:?}", Flags::of(0x10 | 2)), "ACK|0x10");
        assert_eq!(format!("{:?}", Flags::NONE), "0x0");
    }
}

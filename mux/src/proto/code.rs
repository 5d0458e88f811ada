//! Codes: why a session goes away, and why a stream was reset.

use std::fmt;

/// Why a session goes away: the length field of a GoAway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoAwayCode {
    /// 0: it is done.
    Normal,
    /// 1: the other side broke the protocol.
    ProtocolError,
    /// 2: something went wrong on the side that says so.
    InternalError,
    /// A code that the protocol does not know.
    Other(u32),
}

impl GoAwayCode {
    /// The code of a length field.
    pub const fn of(code: u32) -> Self {
        match code {
            0 => Self::Normal,
            1 => Self::ProtocolError,
            2 => Self::InternalError,
            other => Self::Other(other),
        }
    }

    /// The length field for a code.
    pub const fn value(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::ProtocolError => 1,
            Self::InternalError => 2,
            Self::Other(code) => code,
        }
    }
}

/// Why a stream was reset: any number that the applications agree upon.
///
/// yamux has no field for it. An RST on a window update has a length that means nothing, because
/// the stream is gone; libp2p puts the code there (libp2p/specs#622, go-yamux 5), and so do we.
/// Implementations that do not know of it ignore the number, and send 0. An RST on a Data frame has
/// no room for a code: it counts as 0.
///
/// The named codes are go-libp2p's. This crate sends them of its own accord where it says so.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ResetCode(u32);

impl ResetCode {
    /// 0: no reason was given. Also what a dropped stream says, and who does not know codes.
    pub const NONE: Self = Self(0);
    /// 0x1002: there was no room, for the stream or for its data. Sent for a SYN beyond a limit, and
    /// for the stream that holds most when
    /// [`Config::receive_bytes_max`](crate::Config::receive_bytes_max) is reached.
    pub const RESOURCE_LIMIT_EXCEEDED: Self = Self(0x1002);
    /// 0x1004: the peer broke a rule on this stream alone. Sent for data after a FIN.
    pub const PROTOCOL_VIOLATION: Self = Self(0x1004);
    /// 0x1006: nobody has done anything with the stream for too long. Sent at
    /// [`Config::open_timeout`](crate::Config::open_timeout) and
    /// [`Config::stream_close_timeout`](crate::Config::stream_close_timeout).
    pub const GARBAGE_COLLECTED: Self = Self(0x1006);
    /// 0x1007: the side is about to go. Sent for a SYN to a session that takes no more streams.
    pub const SHUTDOWN: Self = Self(0x1007);

    /// The code of a length field.
    pub const fn of(code: u32) -> Self {
        Self(code)
    }

    /// The length field for a code.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl From<u32> for ResetCode {
    fn from(code: u32) -> Self {
        Self(code)
    }
}

impl fmt::Debug for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::NONE => "no reason",
            Self::RESOURCE_LIMIT_EXCEEDED => "resource limit exceeded",
            Self::PROTOCOL_VIOLATION => "protocol violation",
            Self::GARBAGE_COLLECTED => "garbage collected",
            Self::SHUTDOWN => "shutdown",
            Self(code) => return write!(f, "{code:#x}"),
        };
        write!(f, "{:#x} ({name})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_values() {
        for code in [0, 1, 2, 3, u32::MAX] {
            assert_eq!(GoAwayCode::of(code).value(), code);
            assert_eq!(ResetCode::of(code).value(), code);
        }
    }

    #[test]
    fn reset_codes_print_by_name_and_number() {
        assert_eq!(format!("{:?}", ResetCode::SHUTDOWN), "0x1007 (shutdown)");
        assert_eq!(format!("{:?}", ResetCode::of(77)), "0x4d");
    }
}

//! The rules whose breach ends a session, and the frame that broke one.

use std::fmt;

use super::frame::{HEADER_BYTES, Header};

/// A rule of the protocol, or a limit, that the peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The version of every frame is 0.
    Version,
    /// The type of a frame is 0, 1, 2 or 3.
    Type,
    /// Data and window updates belong to a stream; stream 0 is the session.
    StreamZero,
    /// A client opens odd streams, a server even ones.
    Parity,
    /// A stream is opened once.
    DuplicateSyn,
    /// Data stays within the window that was granted.
    WindowExceeded,
    /// The credit of a stream stays below 2^32.
    CreditOverflow,
    /// Frames that do nothing stay within
    /// [`Config::empty_frames_max`](crate::Config::empty_frames_max).
    EmptyFrames,
    /// Answers that the peer makes us queue, and does not read, stay within
    /// [`Config::resets_queued_max`](crate::Config::resets_queued_max).
    RepliesUnread,
    /// Resets that the peer causes stay within
    /// [`Config::resets_per_second_max`](crate::Config::resets_per_second_max).
    Resets,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "unknown version",
            Self::Type => "unknown frame type",
            Self::StreamZero => "stream 0 carries neither data nor credit",
            Self::Parity => "stream id of the wrong side",
            Self::DuplicateSyn => "stream opened twice",
            Self::WindowExceeded => "data beyond the window",
            Self::CreditOverflow => "credit beyond 32 bits",
            Self::EmptyFrames => "too many empty frames",
            Self::RepliesUnread => "too many replies left unread",
            Self::Resets => "too many resets",
        })
    }
}

/// Which rule was broken, and by which frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    rule: Rule,
    frame: [u8; HEADER_BYTES],
}

impl Violation {
    pub(crate) fn new(rule: Rule, frame: [u8; HEADER_BYTES]) -> Self {
        Self { rule, frame }
    }

    /// The rule that was broken.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The header of the frame that broke it, as received.
    pub fn frame(&self) -> &[u8; HEADER_BYTES] {
        &self.frame
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in frame ", self.rule)?;
        match Header::decode(&self.frame) {
            Ok(header) => write!(f, "[{header}]"),
            Err(_) => write!(f, "{:02x?}", self.frame),
        }
    }
}

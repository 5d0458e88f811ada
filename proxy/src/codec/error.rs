//! What can be wrong with bytes, and where.

use std::fmt;

/// Bytes that are not a frame: what is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecError {
    /// Offset from the frame's first byte.
    pub at_byte: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// Headers that cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The protocol has none that can be.
    Unsupported {
        /// Its name.
        protocol: &'static str,
    },
    /// They cannot be read.
    Unreadable(CodecError),
    /// They would become longer than peers can read.
    TooLong {
        /// The length they would have.
        bytes: usize,
        /// The longest there may be.
        bytes_max: usize,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Unsupported { protocol } => {
                write!(f, "{protocol} has no headers that can be changed")
            }
            HeaderError::Unreadable(error) => error.fmt(f),
            HeaderError::TooLong { bytes, bytes_max } => {
                write!(f, "the headers would have {bytes} bytes, at most {bytes_max} fit")
            }
        }
    }
}

impl std::error::Error for HeaderError {}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A byte that every frame of the protocol has is another one.
    Protocol {
        /// The byte found.
        found: u8,
        /// What was expected.
        expected: &'static str,
    },
    /// The frame type is unknown.
    FrameType {
        /// The type found.
        found: u8,
        /// The types there are.
        expected: &'static str,
    },
    /// The command is unknown, or does not go with the frame's type.
    Command {
        /// The command found.
        found: u16,
        /// The frame's type.
        frame_type: u8,
    },
    /// A section is longer than the limit.
    SectionTooLong {
        /// Which section.
        section: &'static str,
        /// The length announced.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The frame is longer than the limit.
    FrameTooLong {
        /// The length announced, fixed header included.
        bytes: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// A section does not fit into the frame that it is announced in.
    FrameTooShort {
        /// The frame's length.
        bytes: usize,
        /// The length that its sections have together.
        need_bytes: u64,
    },
    /// The checksum at the frame's end is not that of its bytes.
    Checksum {
        /// The checksum found.
        found: u32,
        /// That of the bytes.
        computed: u32,
    },
    /// A key or value of the header map ends behind the map.
    HeaderMap {
        /// Which of the two.
        part: &'static str,
        /// The length announced.
        bytes: u32,
        /// What is left of the map.
        left_bytes: usize,
    },
    /// The content is serialized in a way that cannot be looked into.
    Serialization {
        /// The serialization found.
        found: u8,
        /// The one that can be read.
        expected: &'static str,
    },
    /// One of the strings that a call begins with is none, or ends behind the frame.
    Text {
        /// Which string.
        part: &'static str,
        /// Its first byte; `None` where the frame has ended.
        found: Option<u8>,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of the frame: {}", self.at_byte, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Problem::Protocol { found, expected } => {
                write!(f, "protocol code {found:#04x}, expected {expected}")
            }
            Problem::FrameType { found, expected } => {
                write!(f, "frame type {found}, expected {expected}")
            }
            Problem::Command { found, frame_type } => {
                write!(f, "command code {found} is not known for frame type {frame_type}")
            }
            Problem::SectionTooLong { section, bytes, bytes_max } => {
                write!(f, "{section} of {bytes} bytes, the limit is {bytes_max}")
            }
            Problem::FrameTooLong { bytes, bytes_max } => {
                write!(f, "frame of {bytes} bytes announced, the limit is {bytes_max}")
            }
            Problem::FrameTooShort { bytes, need_bytes } => {
                write!(f, "frame of {bytes} bytes announced, its parts take {need_bytes}")
            }
            Problem::Checksum { found, computed } => {
                write!(f, "checksum {found:#010x}, the bytes have {computed:#010x}")
            }
            Problem::HeaderMap { part, bytes, left_bytes } => write!(
                f,
                "header map: {part} of {bytes} bytes announced where {left_bytes} are left"
            ),
            Problem::Serialization { found, expected } => {
                write!(f, "serialization {found}, only {expected} can be read for a route")
            }
            Problem::Text { part, found: Some(found) } => {
                write!(f, "{part}: no whole string begins with {found:#04x} here")
            }
            Problem::Text { part, found: None } => write!(f, "{part}: the frame ends before it"),
        }
    }
}

impl std::error::Error for CodecError {}

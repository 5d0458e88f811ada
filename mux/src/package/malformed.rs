//! What is wrong with the bytes of a package.

use std::error::Error as StdError;
use std::fmt;

/// What is wrong with a package, and where it is: `offset` is where the package begins, in bytes
/// from the beginning of the connection (or of what a [`Decoder`](super::Decoder) was given).
///
/// ```
/// use mux::package::{Decoder, Format, Malformed};
///
/// let mut decoder = Decoder::new(Format::STREAM);
/// let mut input = b"\0\0\0\0\xFF\xFF\xFF\xFF"[..].into();
/// assert!(decoder.decode(&mut input).unwrap().unwrap().is_empty());
/// let err = decoder.decode(&mut input).unwrap_err();
/// assert_eq!(err, Malformed::TooLong { offset: 4, length: 0x1_0000_0003, max: 2_097_152 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The field says a length below zero.
    Negative {
        /// Where the package begins.
        offset: u64,
        /// What the field says.
        length: i64,
    },
    /// The package would end before its own header does.
    TooShort {
        /// Where the package begins.
        offset: u64,
        /// Its length in bytes, with its header.
        length: u64,
        /// The length of the header in bytes.
        least: u64,
    },
    /// The package is longer than is allowed.
    TooLong {
        /// Where the package begins.
        offset: u64,
        /// Its length in bytes, with its header.
        length: u64,
        /// The longest in bytes.
        max: u64,
    },
    /// What came ended within the package.
    CutOff {
        /// Where the package begins.
        offset: u64,
        /// How much of it has come, in bytes.
        have: u64,
        /// Its length in bytes, with its header; `None` when not even that has come.
        length: Option<u64>,
    },
}

impl Malformed {
    /// Where the package begins, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match *self {
            Self::Negative { offset, .. }
            | Self::TooShort { offset, .. }
            | Self::TooLong { offset, .. }
            | Self::CutOff { offset, .. } => offset,
        }
    }

    /// The same of a package that begins so much later.
    pub(super) fn behind(mut self, bytes: u64) -> Self {
        match &mut self {
            Self::Negative { offset, .. }
            | Self::TooShort { offset, .. }
            | Self::TooLong { offset, .. }
            | Self::CutOff { offset, .. } => *offset += bytes,
        }
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative { length, .. } => write!(f, "a package of length {length}"),
            Self::TooShort { length, least, .. } => {
                write!(f, "a package of {length} bytes, which has a header of {least}")
            }
            Self::TooLong { length, max, .. } => {
                write!(f, "a package of {length} bytes, where {max} are allowed")
            }
            Self::CutOff { have, length: Some(length), .. } => {
                write!(f, "a package cut off after {have} of {length} bytes")
            }
            Self::CutOff { have, length: None, .. } => {
                write!(f, "a package cut off after {have} bytes, within its header")
            }
        }?;
        write!(f, ", at byte {}", self.offset())
    }
}

impl StdError for Malformed {}

//! Frames on their way out, as chunks for one vectored write.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::{Buf, Bytes};

use super::frame::Header;

/// Payload up to this size is copied beside its header; above it, it travels as it is.
const COPY_BYTES_MAX: usize = 256;

/// Bytes in the order of the wire. It is filled, written until it is empty, and filled again, in the
/// memory that it had; whoever finds nothing to fill it with drops it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parts: VecDeque<Part>,
    /// Headers and small payloads.
    copied: Vec<u8>,
    len: usize,
}

#[derive(Debug)]
enum Part {
    /// Of `copied`.
    Copied(Range<usize>),
    Chunk(Bytes),
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn header(&mut self, header: &Header) {
        self.copy(&header.encode());
    }

    /// Copies what is small; false, and nothing is done, if it is not.
    pub(crate) fn small(&mut self, data: &[u8]) -> bool {
        let small = data.len() <= COPY_BYTES_MAX;
        if small {
            self.copy(data);
        }
        small
    }

    /// Gives back what it has copied: not to be dropped under a borrow.
    pub(crate) fn payload(&mut self, data: Bytes) -> Option<Bytes> {
        if self.small(&data) {
            return Some(data);
        }
        self.len += data.len();
        self.parts.push_back(Part::Chunk(data));
        None
    }

    /// The first chunks, for one vectored write.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(match part {
                Part::Copied(range) => &self.copied[range.clone()],
                Part::Chunk(chunk) => chunk,
            });
            count += 1;
        }
        count
    }

    /// Drops the first `written` bytes, which may run code of the application.
    pub(crate) fn advance(&mut self, written: usize) {
        let mut rest = written.min(self.len);
        self.len -= rest;
        while let Some(front) = self.parts.front_mut() {
            if rest < front.len() {
                front.advance(rest);
                return;
            }
            rest -= front.len();
            self.parts.pop_front();
        }
        self.copied.clear();
    }

    fn copy(&mut self, data: &[u8]) {
        let start = self.copied.len();
        self.copied.extend_from_slice(data);
        self.len += data.len();
        match self.parts.back_mut() {
            // The next range begins where the last one ends.
            Some(Part::Copied(range)) => range.end += data.len(),
            _ => self.parts.push_back(Part::Copied(start..self.copied.len())),
        }
    }
}

#[cfg(test)]
impl Outbox {
    pub(crate) fn copied_bytes(&self) -> usize {
        self.copied.len()
    }
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Copied(range) => range.len(),
            Self::Chunk(chunk) => chunk.len(),
        }
    }

    fn advance(&mut self, bytes: usize) {
        match self {
            Self::Copied(range) => range.start += bytes,
            Self::Chunk(chunk) => chunk.advance(bytes),
        }
    }
}

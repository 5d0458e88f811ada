//! Frames on their way out, as chunks for one vectored write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use super::frame::Header;

/// Payload up to this size is copied beside its header; above it, it travels as it is.
const COPY_BYTES_MAX: usize = 256;

/// Bytes in the order of the wire. Headers and small payloads share chunks.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    /// Comes after `chunks`.
    head: BytesMut,
    len: usize,
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

    /// Gives back what it has copied: not to be dropped under a borrow.
    pub(crate) fn payload(&mut self, data: Bytes) -> Option<Bytes> {
        if data.len() <= COPY_BYTES_MAX {
            self.copy(&data);
            return Some(data);
        }
        self.seal();
        self.len += data.len();
        self.chunks.push_back(data);
        None
    }

    /// Makes everything visible to [`slices`](Self::slices).
    pub(crate) fn seal(&mut self) {
        if !self.head.is_empty() {
            self.chunks.push_back(self.head.split().freeze());
        }
    }

    /// The first chunks, for one vectored write.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        debug_assert!(self.head.is_empty(), "sealed before it is written");
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    /// Drops the first `written` bytes, which may run code of the application.
    pub(crate) fn advance(&mut self, written: usize) {
        let mut rest = written.min(self.len);
        self.len -= rest;
        while let Some(front) = self.chunks.front_mut() {
            if rest < front.len() {
                front.advance(rest);
                break;
            }
            rest -= front.len();
            self.chunks.pop_front();
        }
        if self.len == 0 {
            *self = Self::default();
        }
    }

    fn copy(&mut self, data: &[u8]) {
        self.head.extend_from_slice(data);
        self.len += data.len();
    }
}

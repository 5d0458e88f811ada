//! The memory that all connections of one worker share: spare output buffers and one read buffer.
//!
//! A connection borrows them for as long as it has something in them, so an idle one holds none.

use std::cell::RefCell;

/// Size of one output buffer.
pub const OUTPUT_BUFFER_BYTES: usize = 8 * 1024;
/// Spare output buffers kept for the next use (4 MiB); what is returned above this is freed.
pub const SPARE_BUFFERS_MAX: usize = 512;
/// Most bytes taken from a socket in one read.
pub const READ_BYTES: usize = 128 * 1024;
/// Room in front of the read area for the unfinished frame of the read before, so that the frame
/// lies in one piece without a buffer of its own.
pub const HEADROOM_BYTES: usize = 16 * 1024;

/// See the module's page.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: RefCell<Vec<Vec<u8>>>,
    scratch: RefCell<Option<Scratch>>,
}

impl Buffers {
    /// Nothing allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer with room for [`OUTPUT_BUFFER_BYTES`].
    pub(crate) fn take(&self) -> Vec<u8> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(OUTPUT_BUFFER_BYTES))
    }

    /// Gives a buffer back.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() == OUTPUT_BUFFER_BYTES {
            buffer.clear();
            spare.push(buffer);
        }
    }

    /// The read buffer. Whoever takes it puts it back before the task's turn ends.
    pub(crate) fn take_scratch(&self) -> Scratch {
        self.scratch.take().unwrap_or_default()
    }

    /// Puts the read buffer back.
    pub(crate) fn put_scratch(&self, scratch: Scratch) {
        self.scratch.replace(Some(scratch));
    }
}

/// The read buffer: headroom, then the area that is read into.
#[derive(Debug)]
pub struct Scratch {
    bytes: Box<[u8]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { bytes: vec![0; HEADROOM_BYTES + READ_BYTES].into_boxed_slice() }
    }
}

impl Scratch {
    /// Where to read into.
    pub fn read_area(&mut self) -> &mut [u8] {
        &mut self.bytes[HEADROOM_BYTES..]
    }

    /// `held` and behind it the first `fresh_bytes` of the read area, in one piece.
    ///
    /// # Panics
    /// When `held` is longer than [`HEADROOM_BYTES`].
    pub(crate) fn joined(&mut self, held: &[u8], fresh_bytes: usize) -> &mut [u8] {
        let start = HEADROOM_BYTES - held.len();
        self.bytes[start..HEADROOM_BYTES].copy_from_slice(held);
        &mut self.bytes[start..HEADROOM_BYTES + fresh_bytes]
    }
}

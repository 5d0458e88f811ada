//! What waits to be written to one connection.
//!
//! Small frames are gathered into shared buffers, one behind the other; a frame that already has a
//! buffer of its own joins the queue as it is. One `writev` takes them all, so the requests of many
//! clients leave in one system call.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::buffers::{Buffers, OUTPUT_BUFFER_BYTES};
use crate::inbox::Payload;

/// Most pieces given to one `writev`.
pub const WRITE_PIECES_MAX: usize = 64;
/// An owned frame shorter than this is gathered rather than queued as a piece of its own.
const OWN_PIECE_BYTES_MIN: usize = 4 * 1024;

/// See the module's page.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is written already.
    first_sent_bytes: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Piece {
    Gathered(Vec<u8>),
    Whole(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Gathered(bytes) => bytes,
            Piece::Whole(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Nothing to write.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends a frame, of which the first `sent_bytes` are written already; takes its buffer when it
    /// has one of its own.
    pub fn push(&mut self, payload: &mut Payload<'_>, sent_bytes: usize, buffers: &Buffers) {
        match payload {
            Payload::Owned(bytes) if bytes.len() - sent_bytes >= OWN_PIECE_BYTES_MIN => {
                let mut bytes = std::mem::take(bytes).freeze();
                bytes.advance(sent_bytes);
                self.bytes += bytes.len();
                self.pieces.push_back(Piece::Whole(bytes));
            }
            other => self.extend(&other.bytes()[sent_bytes..], buffers),
        }
    }

    /// Appends a copy of `bytes`.
    pub fn extend(&mut self, mut bytes: &[u8], buffers: &Buffers) {
        self.bytes += bytes.len();
        while !bytes.is_empty() {
            let room = match self.pieces.back() {
                Some(Piece::Gathered(last)) => OUTPUT_BUFFER_BYTES - last.len(),
                _ => 0,
            };
            if room == 0 {
                self.pieces.push_back(Piece::Gathered(buffers.take()));
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(Piece::Gathered(last)) = self.pieces.back_mut() {
                last.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// What waits, when it is one piece: then a plain write will do.
    pub fn single(&self) -> Option<&[u8]> {
        match self.pieces.len() {
            1 => Some(&self.pieces[0].bytes()[self.first_sent_bytes..]),
            _ => None,
        }
    }

    /// The next bytes to write as at most [`WRITE_PIECES_MAX`] pieces: their number and their
    /// length together.
    pub fn slices<'a>(&'a self, into: &mut [IoSlice<'a>; WRITE_PIECES_MAX]) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        let mut skip = self.first_sent_bytes;
        for (piece, slot) in self.pieces.iter().zip(into.iter_mut()) {
            let rest = &piece.bytes()[skip..];
            skip = 0;
            bytes += rest.len();
            count += 1;
            *slot = IoSlice::new(rest);
        }
        (count, bytes)
    }

    /// Takes note that the next `bytes` were written.
    ///
    /// # Panics
    /// When more were written than wait.
    pub fn sent(&mut self, mut bytes: usize, buffers: &Buffers) {
        self.bytes -= bytes;
        while let Some(first) = self.pieces.front() {
            let left = first.bytes().len() - self.first_sent_bytes;
            if bytes < left {
                self.first_sent_bytes += bytes;
                return;
            }
            bytes -= left;
            self.first_sent_bytes = 0;
            self.drop_first(buffers);
        }
    }

    /// Forgets everything that waits; how many bytes that was.
    pub fn clear(&mut self, buffers: &Buffers) -> usize {
        while !self.pieces.is_empty() {
            self.drop_first(buffers);
        }
        self.first_sent_bytes = 0;
        std::mem::take(&mut self.bytes)
    }

    fn drop_first(&mut self, buffers: &Buffers) {
        if let Some(Piece::Gathered(buffer)) = self.pieces.pop_front() {
            buffers.give(buffer);
        }
        // The list of a peer that read late once was long; it need not stay so.
        if self.pieces.is_empty() && self.pieces.capacity() > WRITE_PIECES_MAX {
            self.pieces = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use proptest::prelude::*;

    /// Writes at most `n` bytes, as a socket would.
    fn write(outbox: &mut Outbox, n: usize, buffers: &Buffers, out: &mut Vec<u8>) {
        if let Some(single) = outbox.single() {
            let written = n.min(single.len());
            out.extend_from_slice(&single[..written]);
            return outbox.sent(written, buffers);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES_MAX];
        let (count, bytes) = outbox.slices(&mut slices);
        let written = n.min(bytes);
        let joined: Vec<u8> = slices[..count].iter().flat_map(|s| s.iter().copied()).collect();
        out.extend_from_slice(&joined[..written]);
        outbox.sent(written, buffers);
    }

    #[test]
    fn small_frames_share_one_piece() {
        let (mut outbox, buffers) = (Outbox::new(), Buffers::new());
        for _ in 0..50 {
            outbox.extend(&[7; 100], &buffers);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES_MAX];
        assert_eq!(outbox.slices(&mut slices), (1, 5_000));
    }

    #[test]
    fn a_frame_with_a_buffer_of_its_own_is_not_copied() {
        let (mut outbox, buffers) = (Outbox::new(), Buffers::new());
        let frame = BytesMut::from(&[7; 100_000][..]);
        let address = frame.as_ptr();
        outbox.push(&mut Payload::Owned(frame), 0, &buffers);
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES_MAX];
        outbox.slices(&mut slices);
        assert_eq!(slices[0].as_ptr(), address);
    }

    #[test]
    fn only_what_is_not_written_yet_waits() {
        let (mut outbox, buffers) = (Outbox::new(), Buffers::new());
        let mut frame: Vec<u8> = (0..20_000).map(|n| n as u8).collect();
        let mut out = Vec::new();
        for sent_bytes in [0, 1, 15_999, 16_001, 20_000] {
            let owned = BytesMut::from(&frame[..]);
            outbox.push(&mut Payload::Owned(owned), sent_bytes, &buffers);
            outbox.push(&mut Payload::Borrowed(&mut frame), sent_bytes, &buffers);
            assert_eq!(outbox.bytes(), 2 * (20_000 - sent_bytes));
            while !outbox.is_empty() {
                write(&mut outbox, 100_000, &buffers, &mut out);
            }
            assert_eq!(out, [&frame[sent_bytes..], &frame[sent_bytes..]].concat());
            out.clear();
        }
    }

    #[test]
    fn an_empty_outbox_has_given_its_buffers_back() {
        let (mut outbox, buffers) = (Outbox::new(), Buffers::new());
        outbox.extend(&[7; 3 * OUTPUT_BUFFER_BYTES], &buffers);
        outbox.sent(3 * OUTPUT_BUFFER_BYTES, &buffers);
        assert!(outbox.is_empty() && outbox.pieces.is_empty());
        outbox.extend(&[7; OUTPUT_BUFFER_BYTES], &buffers);
        assert_eq!(outbox.clear(&buffers), OUTPUT_BUFFER_BYTES);
        assert!(outbox.is_empty() && outbox.pieces.is_empty());
        outbox.extend(&[7; 1000 * OUTPUT_BUFFER_BYTES], &buffers);
        outbox.sent(1000 * OUTPUT_BUFFER_BYTES, &buffers);
        assert!(outbox.pieces.capacity() <= WRITE_PIECES_MAX, "the long list was kept");
    }

    proptest! {
        // Megabytes per case: fewer cases than usual.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_goes_in_comes_out_in_order_however_little_is_written_at_a_time(
            frames in prop::collection::vec((any::<bool>(), 0..20_000usize), 1..30),
            writes in prop::collection::vec(1..200_000usize, 1..10),
        ) {
            let (mut outbox, buffers) = (Outbox::new(), Buffers::new());
            let (mut expected, mut out) = (Vec::new(), Vec::new());
            let mut writes = writes.iter().cycle();
            for (n, (owned, bytes)) in frames.into_iter().enumerate() {
                let mut frame = vec![n as u8; bytes];
                expected.extend_from_slice(&frame);
                let mut payload = if owned {
                    Payload::Owned(BytesMut::from(&frame[..]))
                } else {
                    Payload::Borrowed(&mut frame)
                };
                outbox.push(&mut payload, 0, &buffers);
                if n % 3 == 0 {
                    write(&mut outbox, *writes.next().unwrap(), &buffers, &mut out);
                }
            }
            while !outbox.is_empty() {
                write(&mut outbox, *writes.next().unwrap(), &buffers, &mut out);
            }
            prop_assert_eq!(out, expected);
        }
    }
}

//! Cutting what was read into frames.
//!
//! Everybody reads into the worker's one read buffer. Frames that lie in it whole are handed on
//! from there; only the unfinished rest of the last one is kept, in [`Inbox`], per connection:
//!
//! - up to 16 KiB of rest are put in front of the next read, so that the frame lies in one piece;
//! - a longer rest stays where it is, and what it misses is read straight to its end. When the frame is
//!   whole it leaves as a buffer of its own, and is written from there without another copy.
//!
//! What a connection holds is therefore at most one frame and, after a stall, one read on top of
//! it: [`FrameLimits::frame_bytes_max`] + [`READ_BYTES`](crate::buffers::READ_BYTES). It grows with
//! what arrived (by doubling), never with what was announced.

use std::cmp::Ordering;

use bytes::{Buf, BytesMut};

use crate::buffers::{HEADROOM_BYTES, Scratch};
use crate::codec::{Codec, CodecError, Decoded, Frame, FrameLimits};

/// Where the bytes of a whole frame are.
#[derive(Debug)]
pub enum Payload<'a> {
    /// In the read buffer: to be copied by whoever wants to keep them.
    Borrowed(&'a mut [u8]),
    /// In a buffer of their own, which may be taken.
    Owned(BytesMut),
}

impl Payload<'_> {
    /// The bytes, to look into or to rewrite the id.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
        }
    }
}

/// What became of a frame that was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Dealt with.
    Taken,
    /// Not dealt with, and left as it was: keep it and hand on nothing more until
    /// [`Inbox::resume`].
    Stall,
}

/// The unfinished frame of one connection.
#[derive(Debug, Default)]
pub struct Inbox {
    held: BytesMut,
    /// Length the first frame in `held` needs to get further. Its whole length as soon as `held`
    /// is longer than the headroom, which is longer than any fixed header.
    need_bytes: usize,
    stalled: bool,
}

impl Inbox {
    /// Nothing held.
    pub fn new() -> Self {
        Self::default()
    }

    /// These bytes held, as if what they begin with had been stalled: the first
    /// [`resume`](Self::resume) hands on what is whole.
    pub fn holding(bytes: &[u8]) -> Self {
        Inbox { held: BytesMut::from(bytes), need_bytes: 0, stalled: true }
    }

    /// Whether a frame waits for [`resume`](Self::resume). Nothing may be read meanwhile.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Bytes without which the frame at the front cannot get further.
    pub fn need_bytes(&self) -> usize {
        self.need_bytes
    }

    /// What to read to the end of, in place of the read area, when a long frame is under way: it has
    /// room. [`receive_rest`](Self::receive_rest) is to follow the read.
    pub fn long_rest(&mut self) -> Option<&mut BytesMut> {
        let held_bytes = self.held.len();
        if self.stalled || held_bytes <= HEADROOM_BYTES {
            return None;
        }
        if held_bytes == self.held.capacity() {
            self.held.reserve((self.need_bytes - held_bytes).min(held_bytes));
        }
        Some(&mut self.held)
    }

    /// Hands on what is whole after a read to the end of [`long_rest`](Self::long_rest).
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_rest(
        &mut self,
        codec: &impl Codec,
        limits: &FrameLimits,
        on_frame: impl FnMut(&Frame, &mut Payload<'_>) -> Verdict,
    ) -> Result<(), CodecError> {
        match self.held.len().cmp(&self.need_bytes) {
            Ordering::Less => Ok(()),
            Ordering::Equal => self.hand_on_held(codec, limits, on_frame),
            Ordering::Greater => self.resume(codec, limits, on_frame),
        }
    }

    /// Hands on every frame that is whole after `fresh_bytes` were read into the read area.
    ///
    /// # Errors
    /// The codec refused the bytes. The connection is to be closed.
    ///
    /// # Panics
    /// When it is stalled, or [`long_rest`](Self::long_rest) was to be read to.
    pub fn receive(
        &mut self,
        codec: &impl Codec,
        limits: &FrameLimits,
        scratch: &mut Scratch,
        fresh_bytes: usize,
        on_frame: impl FnMut(&Frame, &mut Payload<'_>) -> Verdict,
    ) -> Result<(), CodecError> {
        assert!(!self.stalled, "bytes were read although a frame is being held back");
        if self.stays_long(fresh_bytes) {
            self.hold(&scratch.read_area()[..fresh_bytes]);
            return Ok(());
        }
        let bytes = scratch.joined(&self.held, fresh_bytes);
        let walked = walk(codec, limits, bytes, on_frame)?;
        self.keep(&bytes[walked.used_bytes..], walked);
        Ok(())
    }

    /// Hands on what is held, after a stall or with more behind it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn resume(
        &mut self,
        codec: &impl Codec,
        limits: &FrameLimits,
        on_frame: impl FnMut(&Frame, &mut Payload<'_>) -> Verdict,
    ) -> Result<(), CodecError> {
        let walked = walk(codec, limits, &mut self.held, on_frame)?;
        self.held.advance(walked.used_bytes);
        self.settle(walked);
        Ok(())
    }

    /// Whether the frame is too long to be put in front of the fresh bytes, and does not end in them.
    fn stays_long(&self, fresh_bytes: usize) -> bool {
        self.need_bytes > HEADROOM_BYTES && self.held.len() + fresh_bytes < self.need_bytes
    }

    /// Adds to what is held. A long frame gets room for what it misses, but for no more than is there.
    fn hold(&mut self, fresh: &[u8]) {
        let bytes = self.held.len() + fresh.len();
        if bytes > HEADROOM_BYTES {
            let room_bytes = self.need_bytes.min(2 * bytes).max(bytes);
            self.held.reserve(room_bytes - self.held.len());
        }
        self.held.extend_from_slice(fresh);
    }

    /// Hands on the held frame, which is whole and alone.
    fn hand_on_held(
        &mut self,
        codec: &impl Codec,
        limits: &FrameLimits,
        mut on_frame: impl FnMut(&Frame, &mut Payload<'_>) -> Verdict,
    ) -> Result<(), CodecError> {
        let Decoded::Frame(frame) = codec.decode(&self.held, limits)? else {
            unreachable!("the length that the codec asked for is there");
        };
        let mut payload = Payload::Owned(std::mem::take(&mut self.held));
        match (on_frame(&frame, &mut payload), payload) {
            (Verdict::Stall, Payload::Owned(bytes)) => {
                self.held = bytes;
                self.stalled = true;
            }
            _ => self.need_bytes = 0,
        }
        Ok(())
    }

    fn keep(&mut self, rest: &[u8], walked: Walked) {
        self.held.clear();
        self.need_bytes = walked.need_bytes;
        self.hold(rest);
        self.settle(walked);
    }

    fn settle(&mut self, walked: Walked) {
        self.need_bytes = walked.need_bytes;
        self.stalled = walked.stalled;
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Walked {
    used_bytes: usize,
    need_bytes: usize,
    stalled: bool,
}

/// Hands on frame after frame from the start of `bytes`.
fn walk(
    codec: &impl Codec,
    limits: &FrameLimits,
    bytes: &mut [u8],
    mut on_frame: impl FnMut(&Frame, &mut Payload<'_>) -> Verdict,
) -> Result<Walked, CodecError> {
    let mut used_bytes = 0;
    loop {
        let rest = &mut bytes[used_bytes..];
        let frame = match codec.decode(rest, limits)? {
            Decoded::Incomplete { need_bytes } => {
                return Ok(Walked { used_bytes, need_bytes, stalled: false });
            }
            Decoded::Frame(frame) => frame,
        };
        let mut payload = Payload::Borrowed(&mut rest[..frame.total_bytes]);
        if on_frame(&frame, &mut payload) == Verdict::Stall {
            return Ok(Walked { used_bytes, need_bytes: frame.total_bytes, stalled: true });
        }
        used_bytes += frame.total_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bolt::{Bolt, Request};
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits { frame_bytes_max: 1 << 20, header_bytes_max: 32767 };

    fn frame(id: u32, content_bytes: usize) -> Vec<u8> {
        let content: Vec<u8> = (0..content_bytes).map(|n| (n as u32 ^ id) as u8).collect();
        let mut out = Vec::new();
        let request = Request {
            id,
            oneway: false,
            timeout_ms: 0,
            class: b"c",
            header: b"",
            content: &content,
        };
        request.encode(&mut out).unwrap();
        out
    }

    /// Feeds `bytes` in pieces of the lengths given, stalling at the frames whose number is in
    /// `stalls`; returns the frames that were taken, one after the other.
    fn feed(bytes: &[u8], pieces: &[usize], stalls: &[usize]) -> (Vec<u8>, Inbox) {
        let (mut inbox, mut scratch) = (Inbox::new(), Scratch::default());
        let mut stalls = stalls.to_vec();
        let mut out = Vec::new();
        let mut number = 0;
        let mut rest = bytes;
        let mut pieces = pieces.iter().cycle();
        let mut on_frame = |_: &Frame, payload: &mut Payload<'_>| {
            if let Some(at) = stalls.iter().position(|&stall| stall == number) {
                stalls.swap_remove(at);
                return Verdict::Stall;
            }
            number += 1;
            out.extend_from_slice(payload.bytes());
            Verdict::Taken
        };
        while !rest.is_empty() || inbox.is_stalled() {
            if inbox.is_stalled() {
                inbox.resume(&Bolt, &LIMITS, &mut on_frame).unwrap();
                continue;
            }
            let piece_bytes = (*pieces.next().unwrap()).min(rest.len());
            if let Some(room) = inbox.long_rest() {
                let n = piece_bytes.min(room.capacity() - room.len());
                room.extend_from_slice(&rest[..n]);
                rest = &rest[n..];
                inbox.receive_rest(&Bolt, &LIMITS, &mut on_frame).unwrap();
                continue;
            }
            let n = piece_bytes.min(scratch.read_area().len());
            scratch.read_area()[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            inbox.receive(&Bolt, &LIMITS, &mut scratch, n, &mut on_frame).unwrap();
        }
        (out, inbox)
    }

    #[test]
    fn bytes_that_come_one_by_one_give_the_same_frames() {
        let bytes = [frame(1, 0), frame(2, 300), frame(3, 7)].concat();
        let (out, inbox) = feed(&bytes, &[1], &[]);
        assert_eq!(out, bytes);
        assert_eq!(inbox.held_bytes(), 0);
    }

    /// Has the first bytes of a frame come, which is not whole then.
    fn begin(inbox: &mut Inbox, bytes: &[u8]) {
        let mut scratch = Scratch::default();
        scratch.read_area()[..bytes.len()].copy_from_slice(bytes);
        inbox.receive(&Bolt, &LIMITS, &mut scratch, bytes.len(), |_, _| Verdict::Taken).unwrap();
    }

    #[test]
    fn a_long_frame_leaves_in_the_buffer_that_its_rest_was_read_to() {
        let mut inbox = Inbox::new();
        let bytes = frame(7, 65_536);
        begin(&mut inbox, &bytes[..40_000]);
        let rest = inbox.long_rest().unwrap();
        assert_eq!(rest.capacity(), bytes.len(), "room for the rest, and for no more");
        rest.extend_from_slice(&bytes[40_000..]);
        let address = rest.as_ptr();
        let mut owned = None;
        let take = |_: &Frame, payload: &mut Payload<'_>| {
            if let Payload::Owned(bytes) = payload {
                owned = Some(std::mem::take(bytes));
            }
            Verdict::Taken
        };
        inbox.receive_rest(&Bolt, &LIMITS, take).unwrap();
        let owned = owned.unwrap();
        assert_eq!((owned.as_ptr(), &owned[..]), (address, &bytes[..]));
        assert!(inbox.long_rest().is_none() && inbox.held_bytes() == 0);
    }

    #[test]
    fn a_frame_much_longer_than_what_has_come_gets_room_for_as_much_again() {
        let mut inbox = Inbox::new();
        let bytes = frame(7, 1_000_000);
        begin(&mut inbox, &bytes[..20_000]);
        for held_bytes in [20_000, 40_000, 80_000] {
            assert_eq!(inbox.held_bytes(), held_bytes);
            let rest = inbox.long_rest().unwrap();
            assert_eq!(rest.capacity(), 2 * held_bytes);
            rest.extend_from_slice(&bytes[held_bytes..2 * held_bytes]);
            inbox.receive_rest(&Bolt, &LIMITS, |_, _| Verdict::Taken).unwrap();
        }
    }

    #[test]
    fn a_frame_that_can_be_put_in_front_of_a_read_has_no_buffer_to_read_to() {
        let mut inbox = Inbox::new();
        begin(&mut inbox, &frame(7, 65_536)[..HEADROOM_BYTES]);
        assert!(inbox.long_rest().is_none());
        begin(&mut inbox, &[0]);
        assert!(inbox.long_rest().is_some());
    }

    #[test]
    fn what_is_held_grows_with_what_arrived_and_not_with_what_was_announced() {
        let (mut inbox, mut scratch) = (Inbox::new(), Scratch::default());
        let bytes = frame(7, 1_000_000);
        scratch.read_area()[..100].copy_from_slice(&bytes[..100]);
        inbox.receive(&Bolt, &LIMITS, &mut scratch, 100, |_, _| Verdict::Taken).unwrap();
        assert_eq!(inbox.held_bytes(), 100);
        assert!(inbox.held.capacity() <= 256, "capacity {}", inbox.held.capacity());
        assert_eq!(inbox.need_bytes(), bytes.len());
    }

    #[test]
    fn an_inbox_without_a_rest_holds_no_memory() {
        let (_, inbox) = feed(&[frame(1, 10), frame(2, 50_000)].concat(), &[13], &[]);
        assert_eq!(inbox.held.capacity(), 0);
    }

    #[test]
    fn a_stalled_frame_is_handed_on_again_and_in_order() {
        let bytes = [frame(1, 10), frame(2, 90_000), frame(3, 10), frame(4, 10)].concat();
        for stalls in [&[0][..], &[1], &[2], &[0, 1, 2, 3], &[1, 1, 1]] {
            let (out, inbox) = feed(&bytes, &[60_000], stalls);
            assert_eq!(out, bytes, "stalls {stalls:?}");
            assert_eq!(inbox.held_bytes(), 0);
        }
    }

    proptest! {
        // Megabytes per case: fewer cases than usual.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_cutting_and_any_stalls_give_the_same_frames(
            contents in prop::collection::vec(prop_oneof![0..40usize, 0..40_000usize], 1..12),
            pieces in prop::collection::vec(1..140_000usize, 1..6),
            stalls in prop::collection::vec(0..12usize, 0..6),
        ) {
            let bytes: Vec<u8> =
                contents.iter().enumerate().flat_map(|(n, &c)| frame(n as u32, c)).collect();
            let stalls: Vec<usize> =
                stalls.into_iter().filter(|&n| n < contents.len()).collect();
            let (out, inbox) = feed(&bytes, &pieces, &stalls);
            prop_assert_eq!(out, bytes);
            prop_assert_eq!(inbox.held_bytes(), 0);
        }
    }
}

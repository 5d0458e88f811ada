//! Whose turn it is to write, when much waits to be sent already.
//!
//! Each stream has a queue of its own. With a thousand streams these are many megabytes, which leave
//! the processor's cache before they are sent, and come back for it. So all queues together are
//! bounded too ([`Config::send_bytes_max`](crate::Config)): beyond it writers stand in line, and each
//! may write one frame when its turn comes. What waits for a peer's credit does not count: it could
//! wait for ever, and the others with it.
//!
//! A turn is for the time until the next are given. Whoever comes later has it all the same, so that a
//! task that is slow to run gets on, but it counts no more: the place is given to others meanwhile.

use std::task::Poll;

use super::control::remove_last;
use super::session::Session;
use super::stream::Key;

/// What may be written to a stream that has nothing queued without waiting for a turn. A small message
/// does not wait behind large ones.
const EXPRESS_BYTES_MAX: usize = 1024;

/// What a stream may write so before it has to wait for a turn as others do, until it has nothing to
/// write for once. A stream with very many small writes is better served by turns, in which they share
/// frames.
pub(super) const EXPRESS_BURST_BYTES: u16 = 4 * 1024;

impl Session {
    /// How many of `wanted` bytes may be written now, of which the stream has room for `room`.
    pub(super) fn poll_turn(&mut self, key: Key, wanted: usize, room: usize) -> Poll<usize> {
        let held = self.sendable + self.turns_given;
        let free = held < self.config.send_bytes_max && self.writers.is_empty();
        let stream = self.stream(key);
        let small = wanted <= EXPRESS_BYTES_MAX.min(stream.express.into());
        let wanted = wanted.clamp(1, room);
        if free || (small && stream.send.is_empty()) {
            if !free {
                stream.express -= wanted as u16;
            }
            self.leave_writers(key);
            return Poll::Ready(wanted);
        }
        if stream.allowance > 0 {
            return Poll::Ready(wanted.min(stream.allowance as usize));
        }
        stream.waits_small = small;
        if !stream.in_writers {
            stream.in_writers = true;
            self.writers.push_back(key);
        }
        Poll::Pending
    }

    /// Counts what was queued since the stream had `before` bytes to send.
    pub(super) fn queued(&mut self, key: Key, before: usize) {
        let stream = self.stream(key);
        let more = stream.sendable_bytes() - before;
        let used = stream.allowance.min(u32::try_from(more).unwrap_or(u32::MAX));
        stream.allowance -= used;
        self.turns_given = self.turns_given.saturating_sub(used as usize);
        self.sendable += more;
        self.activate(key);
    }

    /// Gives writers their turns, as many as there is room for; comes once in a turn of the driver.
    /// A turn is not kept free for a writer that does not use it: the next one has his when the driver
    /// comes again. And one writer has his whenever data was taken to be sent, though small writes,
    /// which wait for no turn, may have filled its place at once: so far as it is them.
    pub(crate) fn admit_writers(&mut self) {
        let moved = std::mem::take(&mut self.data_moved);
        self.turns_given = 0;
        if self.writers.is_empty() {
            return;
        }
        let (frame, max) = (self.config.frame_bytes_max, self.config.send_bytes_max);
        let small_writes = EXPRESS_BYTES_MAX * self.streams.len();
        let turns = match max.saturating_sub(self.sendable) {
            0 => usize::from(moved && self.sendable < max.saturating_add(small_writes)),
            room => room.div_ceil(frame as usize),
        };
        for _ in 0..turns {
            let Some(key) = self.writers.pop_front() else { return };
            let stream = self.stream(key);
            stream.in_writers = false;
            stream.allowance = frame;
            self.turns_given += frame as usize;
            self.changed(key, |events| events.writable = true);
        }
    }

    /// Data of the stream was taken to be sent.
    pub(super) fn data_left(&mut self, key: Key) {
        self.data_moved = true;
        let frame = self.config.frame_bytes_max;
        let stream = self.stream(key);
        if stream.allowance < frame {
            // A turn that was begun is over: who has less to write than a frame leaves the rest.
            stream.allowance = 0;
        }
        if !stream.in_writers && stream.send.is_empty() {
            stream.express = EXPRESS_BURST_BYTES;
        }
        // Whoever stands in line is told when his turn comes; or if he needs none any more.
        if !stream.in_writers || (stream.waits_small && stream.send.is_empty()) {
            self.changed(key, |events| events.writable = true);
        }
    }

    /// Whether a writer waits that could have its turn, if those who have theirs do not use it.
    pub(crate) fn owes_turn(&self) -> bool {
        self.sendable < self.config.send_bytes_max && !self.writers.is_empty()
    }

    /// Whoever waited for a turn waits for something else now.
    pub(super) fn leave_writers(&mut self, key: Key) {
        if std::mem::take(&mut self.stream(key).in_writers) {
            remove_last(&mut self.writers, |writer| *writer == key);
        }
    }
}

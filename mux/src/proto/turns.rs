//! Whose turn it is to write, when much waits to be sent already.
//!
//! Each stream has a queue of its own. With a thousand streams these are many megabytes, which leave
//! the processor's cache before they are sent, and come back for it. So all queues together are
//! bounded too ([`Config::send_bytes_max`](crate::Config)): beyond it writers stand in line, and each
//! may write one frame when its turn comes. What waits for a peer's credit does not count: it could
//! wait for ever, and the others with it.

use std::task::Poll;

use super::control::remove_last;
use super::session::Session;
use super::stream::Key;

/// What may be written to a stream that has nothing queued without waiting for a turn. A small message
/// does not wait behind large ones.
const EXPRESS_BYTES_MAX: usize = 1024;

impl Session {
    /// How many of `wanted` bytes may be written now.
    pub(super) fn poll_turn(&mut self, key: Key, wanted: usize) -> Poll<usize> {
        let free = self.has_room() && self.writers.is_empty();
        let stream = self.stream(key);
        let allowed = stream.allowance as usize;
        if allowed > 0 {
            return Poll::Ready(wanted.min(allowed));
        }
        let express = stream.send.is_empty() && wanted <= EXPRESS_BYTES_MAX;
        if free || express {
            return Poll::Ready(wanted);
        }
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
        stream.allowance = stream.allowance.saturating_sub(u32::try_from(more).unwrap_or(u32::MAX));
        self.sendable += more;
        self.activate(key);
    }

    /// Gives writers their turns, as many as there is room for. A turn is not kept free for a writer
    /// that does not use it: the next one has his when the driver comes again.
    pub(super) fn admit_writers(&mut self) {
        let frame = self.config.frame_bytes_max;
        let room = self.config.send_bytes_max.saturating_sub(self.sendable);
        for _ in 0..room.div_ceil(frame as usize) {
            let Some(key) = self.writers.pop_front() else { return };
            let stream = self.stream(key);
            stream.in_writers = false;
            stream.allowance = frame;
            self.changed(key, |events| events.writable = true);
        }
    }

    /// Whether a writer waits that could have its turn.
    pub(crate) fn owes_turn(&self) -> bool {
        self.has_room() && !self.writers.is_empty()
    }

    /// Whoever waited for a turn waits for something else now.
    pub(super) fn leave_writers(&mut self, key: Key) {
        if std::mem::take(&mut self.stream(key).in_writers) {
            remove_last(&mut self.writers, |writer| *writer == key);
        }
    }

    fn has_room(&self) -> bool {
        self.sendable < self.config.send_bytes_max
    }
}

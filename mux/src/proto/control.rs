//! The control buffer: every frame that is not data, in order.

use std::collections::VecDeque;

use super::code::{GoAwayCode, ResetCode};
use super::stream::Key;

/// A frame to be sent ahead of all data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The SYN, the ACK and the credit that the stream owes when its turn comes: one frame for all.
    Update(Key),
    /// RST for a stream that may be gone.
    Reset(u32, ResetCode),
    Pong(u32),
    /// The ping under way; its value is put in when it leaves.
    Ping,
    GoAway(GoAwayCode),
}

/// One queue of control items, first in first out.
///
/// It is bounded: a stream that lives is in it at most once with an update, and takes it along when
/// it goes; resets and pongs are counted against their limits; pings and GoAways come one at a time.
#[derive(Debug, Default)]
pub(crate) struct ControlQueue {
    items: VecDeque<Control>,
    pongs: usize,
    resets: usize,
}

impl ControlQueue {
    pub(crate) fn push(&mut self, item: Control) {
        match item {
            Control::Pong(_) => self.pongs += 1,
            Control::Reset(..) => self.resets += 1,
            _ => {}
        }
        self.items.push_back(item);
    }

    pub(crate) fn pop(&mut self) -> Option<Control> {
        let item = self.items.pop_front()?;
        match item {
            Control::Pong(_) => self.pongs -= 1,
            Control::Reset(..) => self.resets -= 1,
            _ => {}
        }
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Takes out the update of a stream that is gone.
    pub(crate) fn remove_update(&mut self, key: Key) {
        remove_last(&mut self.items, |item| *item == Control::Update(key));
    }

    pub(crate) fn pongs(&self) -> usize {
        self.pongs
    }

    pub(crate) fn resets(&self) -> usize {
        self.resets
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Takes the last item of that kind out of a queue. Last, because what leaves early came late.
pub(super) fn remove_last<T>(queue: &mut VecDeque<T>, is_it: impl Fn(&T) -> bool) {
    if let Some(index) = queue.iter().rposition(is_it) {
        queue.remove(index);
    }
}

//! `PollDesc`: what the runtime remembers of one descriptor. A pure state machine.
//!
//! The counterpart of the `pollDesc` of Go's `runtime/netpoll.go`. Nothing here calls the system,
//! reads a clock or runs a waker: wakers go in when a task parks, and come out when it is to run.
//!
//! Each [`Direction`] is in one of three states:
//!
//! - **Ready**: try the system call. A new descriptor starts here, and an event leads here. Ready
//!   is a hint: the call may still say `EAGAIN`.
//! - **Idle**: the last try said `EAGAIN`, or was so short that it proved there is no more. The
//!   next edge that epoll reports leads back to Ready. Nobody waits.
//! - **Parked**: Idle, and tasks wait for the edge. A direction is never Parked and Ready at once:
//!   whatever makes it Ready takes the wakers out.
//!
//! | state  | event      | `EAGAIN` | short   | park   | unpark | expire            | close             |
//! |--------|------------|----------|---------|--------|--------|-------------------|-------------------|
//! | Ready  | Ready      | Idle     | Idle(*) | -      | -      | Ready + expired   | Ready + closing   |
//! | Idle   | Ready      | Idle     | Idle    | Parked | -      | Idle + expired    | Idle + closing    |
//! | Parked | Ready, wake| -        | -       | Parked | Idle   | Idle + expired, wake | Idle + closing, wake |
//!
//! (*) not after an end (`RDHUP`, `HUP`, `ERR`) or an urgent mark (`PRI`) was seen: then there may be
//! more without a further edge, so only `EAGAIN` itself leads to Idle.
//!
//! Go's fourth state, `pdWait` ("about to park"), has no twin: it stands between the check and the
//! parking of a goroutine while the netpoller runs on another thread. Here events are taken only
//! between tasks, so nothing can come between the `EAGAIN` and the parking.

use std::cell::Cell;
use std::task::Waker;

use crate::epoll::Readiness;
use crate::waiters::{Waiters, Woken};

/// One of the two ways of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Reading, accepting, receiving.
    Read = 0,
    /// Writing, connecting, sending.
    Write = 1,
}

/// What stands in the way of an operation, whatever the state of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The descriptor was closed.
    Closed,
    /// The deadline of this direction has passed. Sticky until another is set.
    Expired,
}

/// The parking place of poll-style callers (`poll_read` and the like), of which there is one a
/// direction: they leave no trace when they lose interest, so the last to ask takes it over.
pub(crate) const POLL_PLACE: u32 = 1;

/// State of one descriptor, shared by its `PollFd` and the registry.
pub(crate) struct PollDesc {
    flags: Cell<u16>,
    last_place: Cell<u32>,
    waiters: [Waiters; 2],
}

const CLOSING: u16 = 1 << 0;
/// `RDHUP`, `HUP`, `ERR` or `PRI` was seen once. Sticky.
const NO_SHORT_READS: u16 = 1 << 1;
const READY: [u16; 2] = [1 << 2, 1 << 3];
const EXPIRED: [u16; 2] = [1 << 4, 1 << 5];

impl PollDesc {
    /// Both directions Ready: a new descriptor is tried first.
    pub(crate) fn new() -> Self {
        Self {
            flags: Cell::new(READY[0] | READY[1]),
            last_place: Cell::new(POLL_PLACE),
            waiters: Default::default(),
        }
    }

    /// Whether an operation may be tried at all. Comes before any look at readiness: an expired
    /// deadline beats data that is there.
    #[inline]
    pub(crate) fn check(&self, dir: Direction) -> Result<(), Refusal> {
        if !self.has(CLOSING | EXPIRED[dir as usize]) {
            return Ok(());
        }
        Err(if self.has(CLOSING) { Refusal::Closed } else { Refusal::Expired })
    }

    #[inline]
    pub(crate) fn is_ready(&self, dir: Direction) -> bool {
        self.has(READY[dir as usize])
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.has(CLOSING)
    }

    /// Records an event, and moves those whom it lets run to `woken`.
    #[inline]
    pub(crate) fn event(&self, readiness: Readiness, woken: &mut Woken) {
        if readiness.voids_short_reads() {
            self.set(NO_SHORT_READS);
        }
        if readiness.is_readable() {
            self.set(READY[0]);
            self.waiters[0].take(woken);
        }
        if readiness.is_writable() {
            self.set(READY[1]);
            self.waiters[1].take(woken);
        }
    }

    /// The operation said `EAGAIN`.
    #[inline]
    pub(crate) fn would_block(&self, dir: Direction) {
        self.clear(READY[dir as usize]);
    }

    /// The operation was short, which proves on a stream socket that there is no more for now.
    /// After an end was seen it proves nothing: data and end came in one edge, and the end is
    /// still to be read.
    #[inline]
    pub(crate) fn drained(&self, dir: Direction) {
        if !self.has(NO_SHORT_READS) {
            self.clear(READY[dir as usize]);
        }
    }

    /// A place of one's own to park in, never [`POLL_PLACE`].
    #[inline]
    pub(crate) fn new_place(&self) -> u32 {
        let mut place = self.last_place.get().wrapping_add(1);
        if place <= POLL_PLACE {
            // After 2^32 operations that parked on one descriptor.
            place = POLL_PLACE + 1;
        }
        self.last_place.set(place);
        place
    }

    /// Parks `waker` in `place`, in the stead of what is there. The direction must not be Ready.
    #[inline]
    pub(crate) fn park(&self, dir: Direction, place: u32, waker: &Waker) {
        debug_assert!(!self.is_ready(dir) && self.check(dir).is_ok());
        self.waiters[dir as usize].park(place, waker);
    }

    /// Leaves a parking place: a future was dropped while it waited.
    #[inline]
    pub(crate) fn unpark(&self, dir: Direction, place: u32) {
        self.waiters[dir as usize].remove(place);
    }

    /// The deadline of a direction has passed.
    pub(crate) fn expire(&self, dir: Direction, woken: &mut Woken) {
        self.set(EXPIRED[dir as usize]);
        self.waiters[dir as usize].take(woken);
    }

    /// Another deadline was set: the direction is usable again.
    pub(crate) fn unexpire(&self, dir: Direction) {
        self.clear(EXPIRED[dir as usize]);
    }

    /// First half of close: nothing can park from here on. Says whether it was open.
    pub(crate) fn close(&self, woken: &mut Woken) -> bool {
        let was_open = !self.is_closing();
        self.set(CLOSING);
        self.waiters[0].take(woken);
        self.waiters[1].take(woken);
        was_open
    }

    #[inline]
    fn has(&self, any_of: u16) -> bool {
        self.flags.get() & any_of != 0
    }

    #[inline]
    fn set(&self, flags: u16) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    fn clear(&self, flags: u16) {
        self.flags.set(self.flags.get() & !flags);
    }
}

#[cfg(test)]
mod tests;

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
//! more without a further edge, so only `EAGAIN` itself leads to Idle. Nor before the descriptor is
//! registered: no edge would lead back.
//!
//! Go's fourth state, `pdWait` ("about to park"), has no twin: it stands between the check and the
//! parking of a goroutine while the netpoller runs on another thread. Here events are taken only
//! between tasks, so nothing can come between the `EAGAIN` and the parking.

use std::cell::Cell;
use std::task::Waker;

use crate::epoll::Readiness;
use crate::task::{self, TaskId};
use crate::waiters::{Waiters, Wakes};

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
    waiters: Waiters,
}

const CLOSING: u16 = 1 << 0;
/// `RDHUP`, `HUP`, `ERR` or `PRI` was seen once. Sticky.
const NO_SHORT_READS: u16 = 1 << 1;
/// Epoll reports its edges, so a direction that is not Ready becomes it again.
const REGISTERED: u16 = 1 << 2;
/// A copy of the descriptor is open elsewhere.
const SHARED: u16 = 1 << 3;

/// The flags of reading; those of writing are their neighbours.
const READY: u16 = 1 << 4;
const EXPIRED: u16 = 1 << 6;
/// Somebody may be parked. Never beside `READY`.
const PARKED: u16 = 1 << 8;

impl Direction {
    #[inline]
    const fn flag(self, of_reading: u16) -> u16 {
        of_reading << self as u16
    }
}

/// What an operation finds before it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The direction is Ready: try.
    Ready,
    /// It is not: park.
    Idle,
    /// Not to be tried, Ready or not: an expired deadline beats data that is there.
    Refused(Refusal),
}

impl PollDesc {
    /// Both directions Ready: a new descriptor is tried first.
    pub(crate) fn new() -> Self {
        Self {
            flags: Cell::new(Direction::Read.flag(READY) | Direction::Write.flag(READY)),
            last_place: Cell::new(POLL_PLACE),
            waiters: Waiters::default(),
        }
    }

    /// Comes before every operation.
    #[inline]
    pub(crate) fn look(&self, dir: Direction) -> Found {
        let (ready, expired) = (dir.flag(READY), dir.flag(EXPIRED));
        match self.flags.get() & (ready | expired | CLOSING) {
            flags if flags == ready => Found::Ready,
            0 => Found::Idle,
            flags if flags & CLOSING != 0 => Found::Refused(Refusal::Closed),
            _ => Found::Refused(Refusal::Expired),
        }
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.has(CLOSING)
    }

    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        self.has(REGISTERED)
    }

    /// Epoll knows the descriptor from here on, or no longer.
    pub(crate) fn set_registered(&self, registered: bool) {
        if registered {
            self.set(REGISTERED);
        } else {
            self.clear(REGISTERED);
        }
    }

    /// The descriptor is open elsewhere too, and its registration outlives the close.
    pub(crate) fn set_shared(&self) {
        self.set(SHARED);
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.has(SHARED)
    }

    /// Records an event, and hands those whom it lets run to `woken`.
    #[inline]
    pub(crate) fn event(&self, readiness: Readiness, woken: &mut impl Wakes) {
        let mut flags = self.flags.get();
        if readiness.voids_short_reads() {
            flags |= NO_SHORT_READS;
        }
        if readiness.is_readable() {
            flags |= Direction::Read.flag(READY);
        }
        if readiness.is_writable() {
            flags |= Direction::Write.flag(READY);
        }
        self.flags.set(flags);
        if flags & Direction::Read.flag(READY) != 0 {
            self.unpark_all(Direction::Read, woken);
        }
        if flags & Direction::Write.flag(READY) != 0 {
            self.unpark_all(Direction::Write, woken);
        }
    }

    #[inline]
    fn unpark_all(&self, dir: Direction, woken: &mut impl Wakes) {
        if self.has(dir.flag(PARKED)) {
            self.clear(dir.flag(PARKED));
            self.waiters.take(dir, woken);
        }
    }

    /// The operation said `EAGAIN`.
    #[inline]
    pub(crate) fn would_block(&self, dir: Direction) {
        self.clear(dir.flag(READY));
    }

    /// The operation was short, which proves on a stream socket that there is no more for now.
    /// After an end was seen it proves nothing: data and end came in one edge, and the end is
    /// still to be read. Before the descriptor is registered no edge would lead back to Ready.
    #[inline]
    pub(crate) fn drained(&self, dir: Direction) {
        if self.flags.get() & (NO_SHORT_READS | REGISTERED) == REGISTERED {
            self.clear(dir.flag(READY));
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

    /// Parks `waker` in `place`, in the stead of what is there. The direction must be Idle.
    pub(crate) fn park(&self, dir: Direction, place: u32, waker: &Waker) {
        match task::named_by(waker) {
            Some(task) => self.park_task(dir, place, task),
            None => {
                debug_assert_eq!(self.look(dir), Found::Idle);
                let waker = waker.clone();
                self.set(dir.flag(PARKED));
                self.waiters.park_among_others(dir, place, waker);
            }
        }
    }

    /// [`park`](Self::park) for a task of ours.
    #[inline]
    pub(crate) fn park_task(&self, dir: Direction, place: u32, task: TaskId) {
        debug_assert_eq!(self.look(dir), Found::Idle);
        let parked = dir.flag(PARKED);
        if self.has(parked) {
            self.waiters.park(dir, place, task);
        } else {
            self.set(parked);
            self.waiters.park_first(dir, place, task);
        }
    }

    /// Leaves a parking place: a future was dropped while it waited.
    #[inline]
    pub(crate) fn unpark(&self, dir: Direction, place: u32) {
        self.waiters.remove(dir, place);
    }

    /// The deadline of a direction has passed.
    pub(crate) fn expire(&self, dir: Direction, woken: &mut impl Wakes) {
        self.set(dir.flag(EXPIRED));
        self.unpark_all(dir, woken);
    }

    /// Another deadline was set: the direction is usable again.
    pub(crate) fn unexpire(&self, dir: Direction) {
        self.clear(dir.flag(EXPIRED));
    }

    /// First half of close: nothing can park from here on. Says whether it was open.
    pub(crate) fn close(&self, woken: &mut impl Wakes) -> bool {
        let was_open = !self.is_closing();
        self.set(CLOSING);
        self.unpark_all(Direction::Read, woken);
        self.unpark_all(Direction::Write, woken);
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

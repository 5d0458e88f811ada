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
///
/// ```
/// # use std::{io, net::{TcpListener, TcpStream}};
/// # reactor::block_on(async {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let near = TcpStream::connect(listener.local_addr()?)?;
/// # near.set_nonblocking(true)?;
/// use reactor::{Direction, PollFd};
///
/// let connection = PollFd::from_socket(near.into());
/// connection.ready(Direction::Write).await?; // there is room to send, and nothing to read
/// let read = connection.try_io(Direction::Read, |_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
/// # assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
/// # Ok::<_, io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
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
    /// What an operation looks at, a byte for each direction: [`READY`] and nothing else, and it is tried.
    /// Parked is not among it: somebody waits, or nobody does.
    states: [Cell<u8>; 2],
    edges: Cell<Edges>,
    /// A copy of the descriptor is open elsewhere.
    shared: Cell<bool>,
    last_place: Cell<u32>,
    waiters: Waiters,
}

/// Try the system call.
const READY: u8 = 1 << 0;
const EXPIRED: u8 = 1 << 1;
/// Stands in both bytes.
const CLOSING: u8 = 1 << 2;

/// What can be relied on to lead back to Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edges {
    /// Nothing: the descriptor is not registered.
    None,
    /// Epoll reports an edge whenever something changes.
    All,
    /// `RDHUP`, `HUP`, `ERR` or `PRI` was seen once: what stands behind a short read may have come in
    /// the same edge. Sticky.
    NotAfterShort,
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
            states: [Cell::new(READY), Cell::new(READY)],
            edges: Cell::new(Edges::None),
            shared: Cell::new(false),
            last_place: Cell::new(POLL_PLACE),
            waiters: Waiters::default(),
        }
    }

    /// What an operation finds.
    #[inline]
    pub(crate) fn look(&self, dir: Direction) -> Found {
        match self.states[dir as usize].get() {
            READY => Found::Ready,
            0 => Found::Idle,
            state if state & CLOSING != 0 => Found::Refused(Refusal::Closed),
            _ => Found::Refused(Refusal::Expired),
        }
    }

    /// Whether it finds the direction Ready: comes before every operation.
    #[inline]
    pub(crate) fn is_ready(&self, dir: Direction) -> bool {
        self.states[dir as usize].get() == READY
    }

    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.states[Direction::Read as usize].get() & CLOSING != 0
    }

    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        self.edges.get() != Edges::None
    }

    /// Epoll knows the descriptor from here on, or no longer.
    pub(crate) fn set_registered(&self, registered: bool) {
        self.edges.set(if registered { Edges::All } else { Edges::None });
    }

    /// The descriptor is open elsewhere too, and its registration outlives the close.
    pub(crate) fn set_shared(&self) {
        self.shared.set(true);
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared.get()
    }

    /// Records an event, and hands those whom it lets run to `woken`.
    #[inline]
    pub(crate) fn event(&self, readiness: Readiness, woken: &mut impl Wakes) {
        if readiness == Readiness::READ_AND_WRITE {
            self.make_ready(Direction::Read, woken);
            self.make_ready(Direction::Write, woken);
        } else {
            self.event_of_another_kind(readiness, woken);
        }
    }

    #[cold]
    fn event_of_another_kind(&self, readiness: Readiness, woken: &mut impl Wakes) {
        if readiness.voids_short_reads() && self.is_registered() {
            self.edges.set(Edges::NotAfterShort);
        }
        if readiness.is_readable() {
            self.make_ready(Direction::Read, woken);
        }
        if readiness.is_writable() {
            self.make_ready(Direction::Write, woken);
        }
    }

    #[inline]
    fn make_ready(&self, dir: Direction, woken: &mut impl Wakes) {
        self.set(dir, READY);
        self.waiters.take(dir, woken);
    }

    /// The operation said `EAGAIN`.
    #[inline]
    pub(crate) fn would_block(&self, dir: Direction) {
        self.clear(dir, READY);
    }

    /// The operation was short, which proves on a stream socket that there is no more for now.
    /// After an end was seen it proves nothing: data and end came in one edge, and the end is
    /// still to be read. Before the descriptor is registered no edge would lead back to Ready.
    #[inline]
    pub(crate) fn drained(&self, dir: Direction) {
        if self.edges.get() == Edges::All {
            self.clear(dir, READY);
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
                self.waiters.park_among_others(dir, place, waker);
            }
        }
    }

    /// [`park`](Self::park) for a task of ours.
    #[inline]
    pub(crate) fn park_task(&self, dir: Direction, place: u32, task: TaskId) {
        debug_assert_eq!(self.look(dir), Found::Idle);
        self.waiters.park(dir, place, task);
    }

    /// Leaves a parking place: a future was dropped while it waited.
    #[inline]
    pub(crate) fn unpark(&self, dir: Direction, place: u32) {
        self.waiters.remove(dir, place);
    }

    /// The deadline of a direction has passed.
    pub(crate) fn expire(&self, dir: Direction, woken: &mut impl Wakes) {
        self.set(dir, EXPIRED);
        self.waiters.take(dir, woken);
    }

    /// Another deadline was set: the direction is usable again.
    pub(crate) fn unexpire(&self, dir: Direction) {
        self.clear(dir, EXPIRED);
    }

    /// First half of close: nothing can park from here on. Says whether it was open.
    pub(crate) fn close(&self, woken: &mut impl Wakes) -> bool {
        let was_open = !self.is_closing();
        for dir in [Direction::Read, Direction::Write] {
            self.set(dir, CLOSING);
            self.waiters.take(dir, woken);
        }
        was_open
    }

    #[inline]
    fn set(&self, dir: Direction, flag: u8) {
        let state = &self.states[dir as usize];
        state.set(state.get() | flag);
    }

    #[inline]
    fn clear(&self, dir: Direction, flag: u8) {
        let state = &self.states[dir as usize];
        state.set(state.get() & !flag);
    }
}

#[cfg(test)]
mod tests;

//! The netpoll: the registry of descriptors, their deadlines, and the wait for events.
//!
//! The counterpart of Go's `runtime/netpoll.go`. `polldesc.rs` holds the state of one descriptor;
//! this file ties descriptors to epoll by tokens, and deadlines to the timer wheel.
//!
//! **A token is an index and a generation.** A descriptor that was closed here but is open elsewhere
//! (a duplicate, a child process) goes on to produce events, and its index may belong to another by
//! then. The generation differs, and the event is dropped.
//!
//! **Nothing here runs user code.** What is to be woken is pushed to a list that the caller wakes
//! when every borrow has ended.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use crate::clock::Clock;
use crate::epoll::{Epoll, Readiness};
use crate::metrics::{Counters, add};
use crate::polldesc::{Direction, PollDesc};
use crate::sys::{self, Wait};
use crate::table::{Entries, Table};
use crate::task::{RUNTIMES_MAX, Running, TaskId, ignore_panic, named_by};
use crate::timer::{TimerKey, Timers};
use crate::waiters::{Wakes, Woken};

/// The token of the runtime's own eventfd.
pub(crate) const WAKE_TOKEN: u64 = u64::MAX;
/// The token of a descriptor that is not registered.
const NO_TOKEN: u64 = u64::MAX - 1;
/// A deadline that is not set.
const NO_DEADLINE: u64 = u64::MAX;

/// The number of no runtime.
pub(crate) const NOBODY: u16 = u16::MAX;
const _: () = assert!(NOBODY as usize >= RUNTIMES_MAX);

/// Ten seconds: far longer than any turn of a loop that works.
const WELL_AHEAD_NS: u64 = 10_000_000_000;

/// What a timer is for. Two words, which travel in registers: of larger values the halves would be
/// written apart and read together at every step, which a processor is slow at.
pub(crate) enum Alarm {
    /// A task sleeps.
    Task(TaskId),
    /// Somebody else sleeps.
    Waker(Box<Waker>),
    /// The deadline of a descriptor's reads may have come.
    ReadDeadline(Rc<Entry>),
    /// The deadline of its writes may have come.
    WriteDeadline(Rc<Entry>),
}

const _: () = assert!(size_of::<Option<Alarm>>() == 2 * size_of::<usize>());

/// A descriptor as the netpoll knows it.
pub(crate) struct Entry {
    pub(crate) desc: PollDesc,
    token: Cell<u64>,
    /// Allocated when the first deadline is set: most descriptors never have one.
    deadlines: OnceCell<Box<[Deadline; 2]>>,
}

/// The deadline of one direction.
///
/// It is a number beside at most one timer. A deadline that moves back leaves the timer where it
/// is, and the timer is filed anew when it fires: to push an hour's deadline before every read
/// costs a store.
struct Deadline {
    at_ns: Cell<u64>,
    timer: Cell<Option<(TimerKey, u64)>>,
}

/// Epoll, the registry and the timers of one runtime.
pub(crate) struct Netpoll {
    epoll: Epoll,
    /// The file of descriptors that were closed and whose numbers may still be lent: an epoll instance of
    /// nothing. It refuses to be read, written, asked or gone through, and nobody waits for it. (`O_PATH` refuses
    /// less: who has that of a directory can open what is in it.)
    vacant: Epoll,
    entries: RefCell<Table<Rc<Entry>>>,
    last_generation: Cell<u32>,
    pub(crate) timers: RefCell<Timers<Alarm>>,
    pub(crate) clock: Clock,
    turn_time: Cell<TurnTime>,
    /// The task that is being polled on the thread.
    pub(crate) running: Running,
    /// The number of the runtime; [`NOBODY`] when it is gone, as another may have its number then.
    pub(crate) runtime: Cell<u16>,
    pub(crate) counters: Counters,
    /// The events of the last wait, to be logged.
    #[cfg(feature = "trace")]
    seen: RefCell<Vec<(u64, Readiness)>>,
}

/// What is known of the time without asking the clock.
#[derive(Clone, Copy)]
enum TurnTime {
    /// No turn is under way: what the clock said may be of any age.
    OutsideTurns,
    NotAsked,
    /// What the clock said when it was asked last, after the last wait.
    At(u64),
}

impl Alarm {
    /// Of who is to be woken.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        named_by(waker).map_or_else(|| Self::Waker(Box::new(waker.clone())), Self::Task)
    }

    /// Whether it would wake no other than `waker` does.
    pub(crate) fn wakes(&self, waker: &Waker) -> bool {
        match self {
            Self::Task(task) => named_by(waker) == Some(*task),
            Self::Waker(ours) => ours.will_wake(waker),
            Self::ReadDeadline(_) | Self::WriteDeadline(_) => false,
        }
    }

    fn deadline(entry: &Rc<Entry>, dir: Direction) -> Self {
        match dir {
            Direction::Read => Self::ReadDeadline(Rc::clone(entry)),
            Direction::Write => Self::WriteDeadline(Rc::clone(entry)),
        }
    }
}

impl Entry {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            desc: PollDesc::new(),
            token: Cell::new(NO_TOKEN),
            deadlines: OnceCell::new(),
        })
    }

    #[cfg(feature = "trace")]
    pub(crate) fn token(&self) -> u64 {
        self.token.get()
    }
}

impl Netpoll {
    pub(crate) fn new(clock: Clock, runtime: u16) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            vacant: Epoll::new()?,
            entries: RefCell::default(),
            last_generation: Cell::new(0),
            timers: RefCell::new(Timers::new()),
            clock,
            turn_time: Cell::new(TurnTime::OutsideTurns),
            running: Running::default(),
            runtime: Cell::new(runtime),
            counters: Counters::default(),
            #[cfg(feature = "trace")]
            seen: RefCell::default(),
        })
    }

    /// Registers the eventfd by which other threads end a wait.
    pub(crate) fn add_wake(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.add_readable(fd, WAKE_TOKEN)
    }

    /// Registers a descriptor, unless it is registered already.
    ///
    /// # Errors
    /// `Unsupported` when the descriptor is of a kind that cannot be polled; what `epoll_ctl` says
    /// otherwise. The registry is then as it was.
    pub(crate) fn register(&self, fd: BorrowedFd<'_>, entry: &Rc<Entry>) -> io::Result<()> {
        if entry.desc.is_registered() {
            return Ok(());
        }
        let generation = self.last_generation.get().wrapping_add(1);
        self.last_generation.set(generation);
        let index = self.entries.borrow().vacant_index();
        if index >= u32::MAX as usize {
            return Err(io::Error::other("2^32 - 1 descriptors are registered already"));
        }
        let token = (index as u64) << 32 | u64::from(generation);
        self.epoll.add(fd, token).map_err(explain_add)?;
        self.entries.borrow_mut().insert(Rc::clone(entry));
        entry.token.set(token);
        entry.desc.set_registered(true);
        Ok(())
    }

    /// Forgets a descriptor that is about to be closed: its token is void, its timers are gone.
    pub(crate) fn forget(&self, entry: &Entry) {
        let token = entry.token.replace(NO_TOKEN);
        if token != NO_TOKEN {
            entry.desc.set_registered(false);
            let removed = self.entries.borrow_mut().remove((token >> 32) as usize);
            drop(removed);
        }
        for deadline in entry.deadlines.get().into_iter().flat_map(|both| both.iter()) {
            self.disarm(deadline);
        }
    }

    /// Takes a descriptor that stays open out of the epoll set.
    pub(crate) fn delete(&self, number: RawFd, entry: &Entry) -> io::Result<()> {
        if entry.desc.is_registered() { self.epoll.delete(number) } else { Ok(()) }
    }

    /// Closes the file of a descriptor and keeps its number.
    pub(crate) fn vacate(&self, fd: BorrowedFd<'_>) {
        let Err(err) = sys::replace(fd, self.vacant.as_fd()) else { return };
        // The number is beyond what the process may open by now (`RLIMIT_NOFILE`), or a sandbox knows no
        // dup3(2). The drop will close it; until then the peer is told, and the epoll set knows it no longer.
        // What is no socket, or was not in the set, says so.
        let _ = (sys::shutdown(fd), self.epoll.delete(fd.as_raw_fd()));
        ignore_panic(|| log::warn!("a descriptor stays open until it is dropped: {err}"));
    }

    /// The first turn of a `block_on` begins.
    pub(crate) fn turns_begin(&self) {
        self.turn_time.set(TurnTime::NotAsked);
    }

    /// The last turn of a `block_on` is over, and nobody knows when the next comes.
    pub(crate) fn turns_end(&self) {
        self.turn_time.set(TurnTime::OutsideTurns);
    }

    /// Waits for events, marks their descriptors and hands whom they wake to `woken`.
    ///
    /// All events of a batch are marked before anyone runs, so whoever runs first sees every edge
    /// that came with its own.
    pub(crate) fn wait(&self, wait: Wait, woken: &mut impl Wakes) -> io::Result<usize> {
        let registry = self.entries.borrow();
        let entries = registry.entries();
        let events = self.epoll.wait(wait, |token, readiness| {
            mark(&entries, token, readiness, woken);
            #[cfg(feature = "trace")]
            self.seen.borrow_mut().push((token, readiness));
        })?;
        self.turn_time.set(TurnTime::NotAsked);
        add(&self.counters.waits, 1);
        add(&self.counters.events, events);
        Ok(events)
    }

    /// Logs the events of the last wait. Apart from it, since a logger is code of users.
    #[cfg(feature = "trace")]
    pub(crate) fn log_events(&self) {
        for (token, readiness) in self.seen.take() {
            log::trace!("event {token:#x}: {readiness:?}");
        }
    }

    /// How many descriptors are registered.
    pub(crate) fn descriptors(&self) -> usize {
        self.entries.borrow().len()
    }

    /// How long a wait may last, given when the next timer is due.
    pub(crate) fn wait_until_next_timer(&self) -> Wait {
        match self.timers.borrow_mut().next_deadline_ns() {
            None => Wait::Forever,
            Some(next_ns) => match next_ns.saturating_sub(self.clock.now_ns()) {
                0 => Wait::No,
                left_ns => Wait::For(Duration::from_nanos(left_ns)),
            },
        }
    }

    /// Takes the timers that are due, and moves whom they wake to `woken`.
    #[inline]
    pub(crate) fn fire_timers(&self, due: &mut Vec<Alarm>, woken: &mut Woken) {
        if !self.timers.borrow().is_empty() {
            self.fire_due_timers(due, woken);
        }
    }

    fn fire_due_timers(&self, due: &mut Vec<Alarm>, woken: &mut Woken) {
        let now_ns = self.ask_clock();
        self.timers.borrow_mut().expire(now_ns, due);
        for alarm in due.drain(..) {
            match alarm {
                Alarm::Task(task) => woken.tasks.push(task),
                Alarm::Waker(waker) => woken.wakers.push(*waker),
                Alarm::ReadDeadline(entry) => {
                    self.deadline_fired(&entry, Direction::Read, now_ns, woken);
                }
                Alarm::WriteDeadline(entry) => {
                    self.deadline_fired(&entry, Direction::Write, now_ns, woken);
                }
            }
        }
    }

    /// Sets or clears the deadline of one direction. Says whether it has come already ("now" has),
    /// which is for the caller to act upon.
    #[inline]
    pub(crate) fn set_deadline(
        &self,
        entry: &Rc<Entry>,
        dir: Direction,
        at_ns: Option<u64>,
    ) -> bool {
        entry.desc.unexpire(dir);
        let Some(at_ns) = at_ns.filter(|at_ns| *at_ns != NO_DEADLINE) else {
            if let Some(both) = entry.deadlines.get() {
                both[dir as usize].at_ns.set(NO_DEADLINE);
                self.disarm(&both[dir as usize]);
            }
            return false;
        };
        let deadline = &entry.deadlines.get_or_init(Box::default)[dir as usize];
        deadline.at_ns.set(at_ns);
        match deadline.timer.get() {
            Some((_, armed_ns)) if armed_ns <= at_ns && self.is_well_ahead(at_ns) => false,
            timer => self.check_or_arm(entry, dir, at_ns, timer),
        }
    }

    fn check_or_arm(
        &self,
        entry: &Rc<Entry>,
        dir: Direction,
        at_ns: u64,
        timer: Option<(TimerKey, u64)>,
    ) -> bool {
        let now_ns = self.ask_clock();
        if at_ns <= now_ns {
            return true;
        }
        if timer.is_none_or(|(_, armed_ns)| armed_ns > at_ns)
            && let Some(both) = entry.deadlines.get()
        {
            let deadline = &both[dir as usize];
            self.disarm(deadline);
            self.arm(entry, dir, deadline, at_ns);
        }
        false
    }

    fn ask_clock(&self) -> u64 {
        let now_ns = self.clock.now_ns();
        if !matches!(self.turn_time.get(), TurnTime::OutsideTurns) {
            self.turn_time.set(TurnTime::At(now_ns));
        }
        now_ns
    }

    /// Whether a deadline is so far ahead that the clock need not be asked again in this turn. Tasks
    /// that ran for [`WELL_AHEAD_NS`] since would have it noticed only when the turn ends.
    fn is_well_ahead(&self, at_ns: u64) -> bool {
        match self.turn_time.get() {
            TurnTime::At(turn_ns) => at_ns > turn_ns.saturating_add(WELL_AHEAD_NS),
            TurnTime::NotAsked | TurnTime::OutsideTurns => false,
        }
    }

    /// The timer of a deadline fired. The deadline may have moved back since it was armed.
    fn deadline_fired(&self, entry: &Rc<Entry>, dir: Direction, now_ns: u64, woken: &mut Woken) {
        let Some(both) = entry.deadlines.get() else { return };
        let deadline = &both[dir as usize];
        deadline.timer.set(None);
        match deadline.at_ns.get() {
            at_ns if at_ns > now_ns => self.arm(entry, dir, deadline, at_ns),
            _ => entry.desc.expire(dir, woken),
        }
    }

    fn arm(&self, entry: &Rc<Entry>, dir: Direction, deadline: &Deadline, at_ns: u64) {
        let key = self.timers.borrow_mut().arm(at_ns, Alarm::deadline(entry, dir));
        deadline.timer.set(Some((key, at_ns)));
    }

    fn disarm(&self, deadline: &Deadline) {
        if let Some((key, _)) = deadline.timer.take() {
            let cancelled = self.timers.borrow_mut().cancel(key);
            drop(cancelled);
        }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self { at_ns: Cell::new(NO_DEADLINE), timer: Cell::new(None) }
    }
}

#[inline]
fn mark(
    entries: &Entries<'_, Rc<Entry>>,
    token: u64,
    readiness: Readiness,
    woken: &mut impl Wakes,
) {
    // The eventfd's token names no entry: its event has done its work by ending the wait.
    if let Some(entry) = entries.get((token >> 32) as usize)
        && entry.token.get() == token
    {
        entry.desc.event(readiness, woken);
    }
}

fn explain_add(err: io::Error) -> io::Error {
    if err.raw_os_error() == Some(libc::EPERM) { not_pollable() } else { err }
}

/// The descriptor is of a kind that epoll does not take.
pub(crate) fn not_pollable() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "not pollable: a regular file or a directory")
}

#[cfg(all(test, not(any(miri, loom))))]
mod tests;

//! Counters of what a runtime does. Each costs one plain addition where it happens.

use std::cell::Cell;
use std::time::Duration;

use crate::context;

/// What a runtime has done since it was built, and what it holds now.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let before = reactor::metrics();
/// let task = reactor::spawn(async {});
/// assert_eq!(reactor::metrics().tasks, before.tasks + 1);
/// task.await.unwrap();
/// assert_eq!(reactor::metrics().polls, before.polls + 1);
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns of the loop.
    pub turns: u64,
    /// Polls of spawned tasks. The future of `block_on` is not among them.
    pub polls: u64,
    /// Wake-ups of tasks, those that changed nothing included.
    pub wakes: u64,
    /// Wake-ups that came from other threads, merged ones counted once.
    pub remote_wakes: u64,
    /// Times a task parked for a descriptor.
    pub parks: u64,
    /// Calls of `epoll_wait`.
    pub waits: u64,
    /// Events that they returned.
    pub events: u64,
    /// Time spent in waits that might block. Zero unless
    /// [`Builder::measure_time`](crate::Builder::measure_time) was asked for; what is left of the
    /// wall clock is the busy time.
    pub idle: Duration,
    /// Tasks alive now.
    pub tasks: usize,
    /// Descriptors registered with epoll now.
    pub descriptors: usize,
    /// Timers armed now.
    pub timers: usize,
}

/// Counters of the runtime of this thread.
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn metrics() -> Metrics {
    context::with(|core| core.metrics())
}

/// The counters while they run.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) turns: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) wakes: Cell<u64>,
    pub(crate) remote_wakes: Cell<u64>,
    pub(crate) parks: Cell<u64>,
    pub(crate) waits: Cell<u64>,
    pub(crate) events: Cell<u64>,
    pub(crate) idle_ns: Cell<u64>,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Metrics {
        Metrics {
            turns: self.turns.get(),
            polls: self.polls.get(),
            wakes: self.wakes.get(),
            remote_wakes: self.remote_wakes.get(),
            parks: self.parks.get(),
            waits: self.waits.get(),
            events: self.events.get(),
            idle: Duration::from_nanos(self.idle_ns.get()),
            ..Metrics::default()
        }
    }
}

#[inline]
pub(crate) fn add(counter: &Cell<u64>, n: usize) {
    counter.set(counter.get().wrapping_add(n as u64));
}

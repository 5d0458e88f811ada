//! The settings of a runtime.

use std::io;
use std::time::Duration;

use crate::blocking::BLOCKING_THREADS_MAX;
use crate::runtime::Runtime;

/// Task polls in one turn of the loop, unless [`Builder::tasks_per_turn`] says otherwise.
pub const TASKS_PER_TURN: u32 = 128;

/// How late the kernel may end a timed wait, unless [`Builder::timer_slack`] says otherwise.
pub const TIMER_SLACK: Duration = Duration::from_micros(1);

/// Settings of a [`Runtime`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use reactor::Runtime;
///
/// // For tests: an hour passes at once.
/// let mut runtime = Runtime::builder().paused(true).build()?;
/// runtime.block_on(reactor::time::sleep(Duration::from_secs(3600)));
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) paused: bool,
    pub(crate) tasks_per_turn: u32,
    pub(crate) blocking_threads_max: usize,
    pub(crate) measure_time: bool,
    pub(crate) timer_slack: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            paused: false,
            tasks_per_turn: TASKS_PER_TURN,
            blocking_threads_max: BLOCKING_THREADS_MAX,
            measure_time: false,
            timer_slack: TIMER_SLACK,
        }
    }
}

impl Builder {
    /// Virtual time, for tests: the clock stands still while anything is ready, and jumps to the
    /// next timer when nothing is. Sleeps of hours take no time and end in their order.
    pub fn paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    /// Task polls in one turn, at least 1. After so many the loop looks at timers, other threads
    /// and descriptors even if tasks are still ready. Default: [`TASKS_PER_TURN`].
    pub fn tasks_per_turn(mut self, polls: u32) -> Self {
        self.tasks_per_turn = polls.max(1);
        self
    }

    /// Threads for [`spawn_blocking`](crate::spawn_blocking), at most and at least 1. They start
    /// when there is work. Default: [`BLOCKING_THREADS_MAX`](crate::BLOCKING_THREADS_MAX).
    pub fn blocking_threads_max(mut self, threads: usize) -> Self {
        self.blocking_threads_max = threads.max(1);
        self
    }

    /// Counts the time spent idle, in [`Metrics::idle`](crate::Metrics::idle). Costs two looks at the clock for each wait
    /// that may block. Default: off.
    pub fn measure_time(mut self, measure: bool) -> Self {
        self.measure_time = measure;
        self
    }

    /// How much later than asked for the kernel may end a wait for a timer; it spares power by
    /// ending several at once. Linux's own default, 50 us, would be most of what a sleep of 2 ms
    /// lasts too long. It is set for the thread at the first such wait, and set back when `block_on`
    /// returns; threads that are started meanwhile inherit it. At least 1 ns. Default:
    /// [`TIMER_SLACK`].
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.timer_slack = slack;
        self
    }

    /// Builds the runtime. It needs three descriptors: an eventfd, an epoll instance, and another of
    /// nothing, whose file [a close](crate::PollFd::close) leaves under a number that may be lent.
    ///
    /// # Errors
    /// When the process or the system is out of descriptors or memory, or 4,096 runtimes are
    /// alive in the process.
    pub fn build(self) -> io::Result<Runtime> {
        Runtime::with(&self)
    }
}

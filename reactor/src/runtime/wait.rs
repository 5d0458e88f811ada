//! The part of a turn that waits: for events, for the next timer, for other threads.

use std::io;
use std::task::Waker;
use std::time::Instant;

use super::Core;
use crate::metrics::{Counters, add};
use crate::sys::{self, Wait};
use crate::task::{Scheduler, TaskId};
use crate::waiters::Wakes;

/// No thread's timer slack.
const UNKNOWN: u64 = 0;

impl Core {
    /// Phase 4: events, without blocking while there is work, else until the next timer.
    pub(super) fn wait(&self, idle: bool, wakers: &mut Vec<Waker>) {
        let result = if !idle {
            self.look(Wait::No, wakers)
        } else if self.netpoll.clock.is_paused() {
            self.wait_or_jump(wakers)
        } else {
            let wait = self.netpoll.wait_until_next_timer();
            self.sleep(wait, wakers)
        };
        // The set itself is at fault (a bad descriptor number, a bad buffer), never a descriptor
        // in it: a broken loop must not go on as if it waited.
        result.unwrap_or_else(|err| panic!("epoll_wait: {err}"));
    }

    fn sleep(&self, wait: Wait, wakers: &mut Vec<Waker>) -> io::Result<usize> {
        if !self.place.fall_asleep() {
            return self.look(Wait::No, wakers);
        }
        let slack = match wait {
            Wait::For(_) if self.threads_slack_ns.get().is_none() => self.set_timer_slack(),
            _ => Ok(()),
        };
        let before = self.measure_time.then(Instant::now);
        // The logger, to be told below, may wake somebody: no wait that blocks may come between.
        let wait = if slack.is_ok() { wait } else { Wait::No };
        let result = self.look(wait, wakers);
        self.place.wake_up();
        if let Err(err) = slack {
            log::warn!("cannot set the timer slack: {err}");
        }
        if let Some(before) = before {
            add(&self.netpoll.counters.idle_ns, before.elapsed().as_nanos() as usize);
        }
        result
    }

    /// Takes the events of the poller, and puts whom they wake into the run queue.
    fn look(&self, wait: Wait, wakers: &mut Vec<Waker>) -> io::Result<usize> {
        #[cfg(feature = "trace")]
        let mut unparked = Vec::new();
        let events = self.queue.schedule_many(|scheduler| {
            let counters = &self.netpoll.counters;
            let mut sink = EventSink {
                scheduler,
                counters,
                wakers,
                #[cfg(feature = "trace")]
                unparked: &mut unparked,
            };
            self.netpoll.wait(wait, &mut sink)
        });
        #[cfg(feature = "trace")]
        {
            // A logger is code of users: nothing is borrowed any more.
            self.netpoll.log_events();
            unparked.iter().for_each(|task| log::trace!("unpark {task:?}"));
        }
        events
    }

    #[cold]
    fn set_timer_slack(&self) -> io::Result<()> {
        // It is asked for once, whatever the answer.
        self.threads_slack_ns.set(Some(UNKNOWN));
        let old_ns = sys::timer_slack_ns()?;
        self.threads_slack_ns.set(Some(old_ns));
        sys::set_timer_slack_ns(self.timer_slack_ns)
    }

    /// Gives the thread back as it was.
    pub(super) fn restore_timer_slack(&self) {
        if let Some(old_ns) = self.threads_slack_ns.take()
            && old_ns != UNKNOWN
            && let Err(err) = sys::set_timer_slack_ns(old_ns)
        {
            log::warn!("cannot set the timer slack back: {err}");
        }
    }

    /// Under virtual time: descriptors first, and when they have nothing, the next timer.
    fn wait_or_jump(&self, wakers: &mut Vec<Waker>) -> io::Result<usize> {
        let events = self.look(Wait::No, wakers)?;
        if events > 0 {
            return Ok(events);
        }
        let next_ns = self.netpoll.timers.borrow_mut().next_deadline_ns();
        match next_ns {
            // Work on other threads takes real time, and its end is not to come "after" a timer.
            // Mail is looked for last: the end of that work may have come a moment ago.
            Some(next_ns) if !self.pool.is_busy() && !self.place.has_mail() => {
                self.netpoll.clock.advance_to(next_ns);
            }
            _ => return self.sleep(Wait::Forever, wakers),
        }
        Ok(0)
    }
}

/// Puts the tasks that events wake straight into the run queue: nobody runs before the next turn.
struct EventSink<'a> {
    scheduler: Scheduler<'a>,
    counters: &'a Counters,
    wakers: &'a mut Vec<Waker>,
    /// To be logged.
    #[cfg(feature = "trace")]
    unparked: &'a mut Vec<TaskId>,
}

impl Wakes for EventSink<'_> {
    #[inline]
    fn task(&mut self, id: TaskId) {
        // Only tasks of this runtime park at its descriptors.
        add(&self.counters.wakes, 1);
        self.scheduler.schedule(id);
        #[cfg(feature = "trace")]
        self.unparked.push(id);
    }

    fn wakers(&mut self) -> &mut Vec<Waker> {
        self.wakers
    }
}

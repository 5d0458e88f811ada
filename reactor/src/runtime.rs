//! The runtime and the turn of its loop.

mod rounds;
mod wait;

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::blocking::Pool;
use crate::builder::Builder;
use crate::clock::{Clock, saturating_ns};
use crate::context;
use crate::handle::Handle;
use crate::metrics::{Metrics, add};
use crate::netpoll::{Alarm, NOBODY, Netpoll};
use crate::remote::{self, Mail, Place};
use crate::task::{self, JoinHandle, Next, RunQueue, TaskId, ignore_panic};
use crate::waiters::Woken;
use rounds::Rounds;

/// A single-threaded runtime: tasks, timers, descriptors and the loop that drives them.
///
/// It belongs to the thread that built it. Dropping it drops the future of every task that is not
/// over, in the order of their slots (which is the order of spawning, until slots are used again);
/// their handles then say [`JoinError::is_cancelled`](crate::JoinError::is_cancelled). What these
/// drops spawn is dropped at once.
///
/// # Examples
/// ```
/// let mut runtime = reactor::Runtime::new()?;
/// let task = runtime.block_on(async { reactor::spawn(async { 6 * 7 }) });
/// // What was spawned stays, and goes on in the next call.
/// assert_eq!(runtime.block_on(task).unwrap(), 42);
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Runtime {
    core: Rc<Core>,
    buffers: Buffers,
    _memory: task::InUse,
}

/// What a turn fills and empties, kept for its memory.
#[derive(Default)]
struct Buffers {
    woken: Woken,
    due: Vec<Alarm>,
    mail: Mail,
    deferred: Vec<Waker>,
}

/// What the loop, the tasks and the wakers share.
pub(crate) struct Core {
    queue: RunQueue,
    pub(crate) netpoll: Rc<Netpoll>,
    place: Place,
    tasks_per_turn: u32,
    measure_time: bool,
    timer_slack_ns: u64,
    /// The thread's own slack, while ours is in force.
    threads_slack_ns: Cell<Option<u64>>,
    shut_down: Cell<bool>,
    pub(crate) pool: Pool,
    /// Those that yielded and are no tasks of ours: they go behind everyone who is ready.
    deferred: RefCell<Vec<Waker>>,
}

/// Runs a future to its end on a new [`Runtime`].
///
/// # Errors
/// When the runtime cannot be built; see [`Builder::build`].
///
/// # Panics
/// Inside a runtime, and when the future panics.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(Runtime::new()?.block_on(future))
}

impl Runtime {
    /// A runtime with default settings.
    ///
    /// # Errors
    /// See [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    pub(crate) fn with(settings: &Builder) -> io::Result<Self> {
        let place = Place::claim()?;
        let netpoll = Netpoll::new(Clock::new(settings.paused), place.number())?;
        netpoll.add_wake(place.eventfd())?;
        let address = place.address();
        let core = Core {
            queue: RunQueue::new(place.number()),
            netpoll: Rc::new(netpoll),
            place,
            tasks_per_turn: settings.tasks_per_turn,
            measure_time: settings.measure_time,
            timer_slack_ns: saturating_ns(settings.timer_slack).max(1),
            threads_slack_ns: Cell::new(None),
            shut_down: Cell::new(false),
            pool: Pool::new(settings.blocking_threads_max, address),
            deferred: RefCell::default(),
        };
        let _memory = task::InUse::begin();
        Ok(Self { core: Rc::new(core), buffers: Buffers::default(), _memory })
    }

    /// Settings to change before building.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs a future to its end, and every task meanwhile. Tasks that are left when it returns
    /// stay, and go on in the next `block_on`.
    ///
    /// # Panics
    /// Inside a runtime, and when the future panics.
    #[track_caller]
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let Self { core, buffers, .. } = self;
        let _entered = context::enter(core);
        let root = core.queue.insert_root();
        let _turns = Turns::begin(core);
        let mut future = pin!(future);
        let mut cx = Context::from_waker(root.waker());
        let mut poll_root = || {
            context::refill();
            root.run(&core.netpoll.running, || future.as_mut().poll(&mut cx))
        };
        loop {
            if let Poll::Ready(output) = core.turn(buffers, &mut poll_root) {
                return output;
            }
        }
    }

    /// Spawns tasks on this runtime from other threads.
    pub fn handle(&self) -> Handle {
        self.core.handle()
    }

    /// Counters of what the runtime has done so far.
    pub fn metrics(&self) -> Metrics {
        self.core.metrics()
    }

    /// How many tasks are alive, the future of `block_on` not among them.
    pub fn tasks(&self) -> usize {
        self.core.queue.tasks()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Drops of futures may use the runtime, as the futures themselves could. A runtime that is
        // dropped inside another leaves them without: they are dropped all the same.
        let _entered = context::enter_if_free(&self.core);
        self.core.shut_down();
    }
}

/// The turns of one `block_on`. The root future's slot is given up, and the thread set back, also when the
/// future panics.
struct Turns<'a> {
    core: &'a Core,
}

impl<'a> Turns<'a> {
    fn begin(core: &'a Core) -> Self {
        core.netpoll.turns_begin();
        Self { core }
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.core.netpoll.turns_end();
        self.core.queue.remove_root();
        self.core.restore_timer_slack();
    }
}

impl Core {
    pub(crate) fn id(&self) -> u16 {
        self.place.number()
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.place.address())
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics {
            tasks: self.queue.tasks(),
            descriptors: self.netpoll.descriptors(),
            timers: self.netpoll.timers.borrow().len(),
            ..self.netpoll.counters.snapshot()
        }
    }

    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        let (task, handle) = JoinHandle::allocate(future);
        if self.shut_down.get() {
            task.cancel();
        } else {
            self.queue.insert(task);
        }
        handle
    }

    #[inline]
    pub(crate) fn schedule(&self, id: TaskId) {
        add(&self.netpoll.counters.wakes, 1);
        self.queue.schedule(id);
    }

    /// One turn of the loop. `Ready` when the root future is.
    fn turn<T>(&self, buffers: &mut Buffers, poll_root: &mut impl FnMut() -> Poll<T>) -> Poll<T> {
        add(&self.netpoll.counters.turns, 1);
        // 1. What other threads sent.
        if self.place.has_mail() {
            self.take_mail(&mut buffers.mail);
        }
        // 2. Ready tasks, at most a budget of them.
        if let Poll::Ready(output) = self.run_ready(buffers, poll_root) {
            return Poll::Ready(output);
        }
        // 3. Timers that are due.
        let woken = &mut buffers.woken;
        self.netpoll.fire_timers(&mut buffers.due, woken);
        // 4. Events: without blocking while tasks are ready, else until the next timer.
        let idle = woken.is_empty() && self.queue.is_empty() && self.deferred.borrow().is_empty();
        self.wait(idle, &mut woken.wakers);
        // 5. Every event is marked by now, and no borrow is held: wake. Yielders come last.
        self.wake(woken);
        self.take_yielded(&mut buffers.deferred);
        Poll::Pending
    }

    #[inline]
    fn wake(&self, woken: &mut Woken) {
        self.schedule_all(&mut woken.tasks);
        if !woken.wakers.is_empty() {
            woken.wakers.drain(..).for_each(|waker| ignore_panic(|| waker.wake()));
        }
    }

    #[inline]
    fn schedule_all(&self, tasks: &mut Vec<TaskId>) {
        if tasks.is_empty() {
            return;
        }
        add(&self.netpoll.counters.wakes, tasks.len());
        for id in tasks.iter() {
            if id.runtime() == self.id() {
                self.queue.schedule(*id);
            } else {
                // A task of another runtime waited for a timer of this one.
                remote::wake(*id);
            }
        }
        tasks.clear();
    }

    #[cold]
    fn take_mail(&self, mail: &mut Mail) {
        self.place.take(mail);
        add(&self.netpoll.counters.remote_wakes, mail.wakes.len());
        self.schedule_all(&mut mail.wakes);
        for start in mail.spawns.drain(..) {
            start();
        }
    }

    fn run_ready<T>(
        &self,
        buffers: &mut Buffers,
        poll_root: &mut impl FnMut() -> Poll<T>,
    ) -> Poll<T> {
        let mut polls_left = self.tasks_per_turn;
        let mut rounds = Rounds::default();
        while polls_left > 0 {
            // Around many polls, so that it costs a task nothing. The queue knows who panicked.
            match catch_unwind(AssertUnwindSafe(|| self.run_tasks(&mut polls_left))) {
                Ok(Next::Ran) => {}
                Ok(Next::Root) => {
                    if let Poll::Ready(output) = poll_root() {
                        return Poll::Ready(output);
                    }
                }
                // Looked for once a round, or a task that yields for ever would delay it by a turn.
                Ok(Next::Nobody) if self.place.has_mail() => self.take_mail(&mut buffers.mail),
                // Before they stand in the queue, ahead of whom the events of this turn wake.
                Ok(Next::Nobody) if self.has_yielders() && rounds.are_over(&self.netpoll.clock) => {
                    break;
                }
                Ok(Next::Nobody) if self.take_yielded(&mut buffers.deferred) => {}
                Ok(Next::Nobody) => break,
                Err(payload) => self.queue.end_running(&self.netpoll.running, payload),
            }
        }
        Poll::Pending
    }

    /// Runs tasks until it is not a task's turn, or the budget is used up.
    fn run_tasks(&self, polls_left: &mut u32) -> Next {
        let Netpoll { running, counters, .. } = &*self.netpoll;
        let begin = || {
            add(&counters.polls, 1);
            context::refill();
        };
        while *polls_left > 0 {
            *polls_left -= 1;
            match self.queue.run_next(running, begin) {
                Next::Ran => {}
                other => return other,
            }
        }
        Next::Ran
    }

    /// Wakes a task once everyone who is ready has run.
    #[inline]
    pub(crate) fn schedule_last(&self, id: TaskId) {
        add(&self.netpoll.counters.wakes, 1);
        self.queue.schedule_last(id);
    }

    /// [`schedule_last`](Self::schedule_last) for who is no task of this runtime.
    pub(crate) fn defer(&self, waker: &Waker) {
        let waker = waker.clone();
        self.deferred.borrow_mut().push(waker);
    }

    #[inline]
    fn has_yielders(&self) -> bool {
        self.queue.has_yielders() || !self.deferred.borrow().is_empty()
    }

    /// Makes those ready who yielded. Says whether there were any. `buffer` is empty.
    #[inline]
    fn take_yielded(&self, buffer: &mut Vec<Waker>) -> bool {
        let mut any = self.queue.take_yielded();
        if !self.deferred.borrow().is_empty() {
            any = true;
            // A waker that is not ours may defer another: it goes to the next list.
            std::mem::swap(&mut *self.deferred.borrow_mut(), buffer);
            buffer.drain(..).for_each(|waker| ignore_panic(|| waker.wake()));
        }
        any
    }

    fn shut_down(&self) {
        self.shut_down.set(true);
        self.pool.shut_down();
        // There is one when its `block_on` has called `exit`, and this runtime is a thread local.
        self.queue.remove_root();
        // What these drops spawn never gets a slot, so there is no going back.
        let mut from = 0;
        while let Some(index) = self.queue.cancel_from(from) {
            from = index + 1;
        }
        // Descriptors may outlive this, and nobody looks at their events any more.
        self.netpoll.runtime.set(NOBODY);
    }
}

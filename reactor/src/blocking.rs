//! Threads for work that blocks: files, name resolution, long computations.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::handle::{RemoteJoinHandle, catch};
use crate::oneshot::oneshot;
use crate::remote::Address;
use crate::task::ignore_panic;
use crate::{JoinError, context};

/// Threads of a runtime's pool, unless the builder says otherwise.
pub const BLOCKING_THREADS_MAX: usize = 64;

/// Closures that wait for a thread, at most.
pub const BLOCKING_QUEUE_MAX: usize = 1 << 16;

/// How long a thread waits for work before it ends.
const IDLE_TIME_MAX: Duration =
    if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(10) };

/// Runs a closure that blocks on a thread of the runtime's pool.
///
/// The pool has at most [`Builder::blocking_threads_max`](crate::Builder::blocking_threads_max)
/// threads; they start when work waits and none is idle, and end after ten idle seconds. A closure
/// that runs cannot be aborted, one that waits for a thread can ([`RemoteJoinHandle::abort`]). Dropping
/// the runtime does not wait for those that run; those that still wait for a thread are dropped, and
/// their handles say "cancelled".
///
/// The handle gives the closure's result or its panic. It says
/// [`is_rejected`](JoinError::is_rejected) when [`BLOCKING_QUEUE_MAX`] closures wait already, or no
/// thread can be started and none runs.
///
/// # Panics
/// Outside a runtime.
///
/// # Examples
/// ```
/// let name = reactor::block_on(async {
///     reactor::spawn_blocking(|| std::fs::read_to_string("/proc/self/comm")).await
/// });
/// assert!(!name???.is_empty());
/// # Ok::<_, std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn_blocking<T, F>(f: F) -> RemoteJoinHandle<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = oneshot();
    let job: Job = Box::new(move |fate| match fate {
        Fate::Run if sender.is_aborted() => {
            drop(f);
            // Behind what the closure held: it says "cancelled".
            drop(sender);
        }
        Fate::Run => sender.send(catch(f)),
        Fate::Reject => sender.send(Err(JoinError::rejected())),
    });
    if let Err(job) = context::with(|core| core.pool.run(job)) {
        job(Fate::Reject);
    }
    RemoteJoinHandle::new(receiver)
}

type Job = Box<dyn FnOnce(Fate) + Send>;

/// What becomes of a job.
enum Fate {
    Run,
    Reject,
}

/// The pool of one runtime.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads_max: usize,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    runtime: Address,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    running: usize,
    shut_down: bool,
}

impl Pool {
    pub(crate) fn new(threads_max: usize, runtime: Address) -> Self {
        let (state, work) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { state, work, runtime }), threads_max }
    }

    /// Queues a job, and starts a thread for it if none is free. Gives back one that is refused.
    fn run(&self, job: Job) -> Result<(), Job> {
        let mut state = self.shared.lock();
        if state.shut_down {
            // Dropped, it says "cancelled", as those that waited when the runtime ended do.
            drop(state);
            drop(job);
            return Ok(());
        }
        if state.queue.len() >= BLOCKING_QUEUE_MAX {
            return Err(job);
        }
        state.queue.push_back(job);
        if state.idle >= state.queue.len() {
            self.shared.work.notify_one();
        } else if state.threads < self.threads_max {
            return self.start_thread(state);
        }
        Ok(())
    }

    /// Starts a thread for the last job. Gives that back when there is no thread at all.
    fn start_thread(&self, mut state: MutexGuard<'_, State>) -> Result<(), Job> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("reactor-blocking".into());
        let Err(err) = thread.spawn(move || shared.work()) else {
            state.threads += 1;
            return Ok(());
        };
        let refused = if state.threads == 0 { state.queue.pop_back() } else { None };
        // A logger is code of users, and may ask for blocking work itself.
        drop(state);
        log::warn!("cannot start a thread for blocking work: {err}");
        refused.map_or(Ok(()), Err)
    }

    /// Whether a job waits or runs.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.shared.lock();
        state.running > 0 || !state.queue.is_empty()
    }

    pub(crate) fn shut_down(&self) {
        let mut state = self.shared.lock();
        state.shut_down = true;
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.work.notify_all();
        waiting.into_iter().for_each(|job| ignore_panic(|| drop(job)));
    }
}

impl Shared {
    /// The life of a pool thread.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.running += 1;
                drop(state);
                // A result that nobody waits for is dropped here: user code.
                ignore_panic(|| job(Fate::Run));
                state = self.lock();
                state.running -= 1;
                // Under virtual time the clock waits for this.
                self.runtime.poke();
                continue;
            }
            if state.shut_down {
                break;
            }
            state.idle += 1;
            let (next, waited) = self
                .work
                .wait_timeout(state, IDLE_TIME_MAX)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run and are dropped outside the lock, so what it guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(any(miri, loom))))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn threads_without_work_end_and_others_start_when_there_is_some() {
        let worked = crate::block_on(async {
            let jobs: Vec<_> = (0..4).map(|i| spawn_blocking(move || i)).collect();
            let mut sum = 0;
            for job in jobs {
                sum += job.await.unwrap();
            }
            let core = context::current().unwrap();
            let hang = Instant::now() + Duration::from_secs(60);
            while core.pool.shared.lock().threads > 0 {
                assert!(Instant::now() < hang, "threads without work do not end");
                thread::yield_now();
            }
            sum + spawn_blocking(|| 1).await.unwrap()
        });
        assert_eq!(worked.unwrap(), 7);
    }
}

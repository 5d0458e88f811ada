//! One reactor per core: the same server on several threads, with nothing shared.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::{future::poll_fn, pin::pin};

use crate::task::ignore_panic;
use crate::{Runtime, sys};

/// Runs `make(index)` on each of `n` runtimes, on threads of their own, and waits for all.
///
/// The results come in the order of the indices. A worker that fails ends the others: their futures
/// are dropped at the next await, and its error is returned (that of the lowest index, should
/// several fail at once). A panic does the same and goes on in the caller. See [`Workers`] for pinning.
///
/// # Errors
/// The first error of a worker; [`WorkersError::Start`] when a thread or a runtime cannot be made.
///
/// # Panics
/// With the panic of a worker.
///
/// # Examples
/// ```
/// let squares = reactor::workers(4, |index| async move { Ok::<_, std::io::Error>(index * index) });
/// assert_eq!(squares.unwrap(), [0, 1, 4, 9]);
/// ```
pub fn workers<M, F, T, E>(n: usize, make: M) -> Result<Vec<T>, WorkersError<E>>
where
    M: Fn(usize) -> F + Sync,
    F: Future<Output = Result<T, E>>,
    T: Send,
    E: Send,
{
    Workers::new(n).run(make)
}

/// Settings of [`workers`].
///
/// # Examples
/// ```
/// // Each on a core of its own.
/// let outcome = reactor::Workers::new(2).pin(true).run(async |index| Ok::<_, std::io::Error>(index));
/// assert_eq!(outcome.unwrap(), [0, 1]);
/// ```
#[derive(Clone, Debug)]
pub struct Workers {
    n: usize,
    pin: bool,
}

/// Why [`workers`] came to an end before all of them did.
///
/// # Examples
/// ```
/// use reactor::{WorkersError, workers};
///
/// let outcome = workers(2, async |index| if index == 0 { Ok(()) } else { Err("no luck") });
/// assert!(matches!(outcome, Err(WorkersError::Failed { index: 1, error: "no luck" })));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkersError<E> {
    /// A worker could not be started.
    Start {
        /// Which one.
        index: usize,
        /// What the system said.
        error: io::Error,
    },
    /// A worker failed.
    Failed {
        /// Which one.
        index: usize,
        /// What it said.
        error: E,
    },
}

impl<E: fmt::Display> fmt::Display for WorkersError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { index, error } => write!(f, "cannot start worker {index}: {error}"),
            Self::Failed { index, error } => write!(f, "worker {index} failed: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for WorkersError<E> {}

impl Workers {
    /// `n` workers, not pinned.
    pub fn new(n: usize) -> Self {
        Self { n, pin: false }
    }

    /// Pins worker `i` to the `i`-th of the processors this process may use, going round when
    /// there are more workers.
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// See [`workers`].
    ///
    /// # Errors
    /// As [`workers`].
    ///
    /// # Panics
    /// As [`workers`].
    pub fn run<M, F, T, E>(&self, make: M) -> Result<Vec<T>, WorkersError<E>>
    where
        M: Fn(usize) -> F + Sync,
        F: Future<Output = Result<T, E>>,
        T: Send,
        E: Send,
    {
        let stop = Stop::default();
        let worker = |index| {
            // Whatever ends a worker short, a panic included, ends the others.
            let stop_others = StopUnlessDone(Some(&stop));
            let result = self.run_one(index, &make, &stop);
            if !matches!(result, Ok(None) | Err(_)) {
                stop_others.done();
            }
            result
        };
        thread::scope(|scope| {
            let (worker, mut threads) = (&worker, Vec::with_capacity(self.n));
            let mut results = Vec::with_capacity(self.n);
            for index in 0..self.n {
                let thread = thread::Builder::new().name(format!("reactor-{index}"));
                match thread.spawn_scoped(scope, move || worker(index)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        stop.set();
                        results.push(Err(WorkersError::Start { index, error }));
                        break;
                    }
                }
            }
            results.extend(threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|payload| {
                    stop.set();
                    resume_unwind(payload)
                })
            }));
            collect(results)
        })
    }

    /// `Ok(None)`: another worker has ended this one.
    fn run_one<M, F, T, E>(
        &self,
        index: usize,
        make: &M,
        stop: &Stop,
    ) -> Result<Option<T>, WorkersError<E>>
    where
        M: Fn(usize) -> F,
        F: Future<Output = Result<T, E>>,
    {
        let start = |error| WorkersError::Start { index, error };
        if self.pin {
            sys::pin_to_nth_processor(index).map_err(start)?;
        }
        let mut runtime = Runtime::new().map_err(start)?;
        runtime.block_on(async {
            let mut future = pin!(make(index));
            poll_fn(|cx| {
                if stop.poll(cx).is_ready() {
                    return Poll::Ready(Ok(None));
                }
                let failed = |error| WorkersError::Failed { index, error };
                future.as_mut().poll(cx).map(|result| result.map(Some).map_err(failed))
            })
            .await
        })
    }
}

/// The first error, or else all results. `None`s come only beside an error or a panic.
fn collect<T, E>(
    results: Vec<Result<Option<T>, WorkersError<E>>>,
) -> Result<Vec<T>, WorkersError<E>> {
    let all: Result<Vec<_>, _> = results.into_iter().collect();
    Ok(all?.into_iter().flatten().collect())
}

/// A flag that wakes whoever waits for it.
#[derive(Default)]
struct Stop(Mutex<Stopping>);

#[derive(Default)]
struct Stopping {
    set: bool,
    waiting: Vec<Waker>,
}

impl Stop {
    fn set(&self) {
        let mut stopping = self.lock();
        stopping.set = true;
        let waiting = std::mem::take(&mut stopping.waiting);
        drop(stopping);
        waiting.into_iter().for_each(|waker| ignore_panic(|| waker.wake()));
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stopping = self.lock();
        if stopping.set {
            return Poll::Ready(());
        }
        if !stopping.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            stopping.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Stopping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StopUnlessDone<'a>(Option<&'a Stop>);

impl StopUnlessDone<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for StopUnlessDone<'_> {
    fn drop(&mut self) {
        if let Some(stop) = self.0 {
            stop.set();
        }
    }
}

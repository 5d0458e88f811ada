//! Spawning from other threads.

use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::oneshot::{Receiver, Sender, oneshot};
use crate::remote::Address;
use crate::{JoinError, JoinHandle, context};

/// Spawns tasks on a runtime from any thread. Cheap to clone.
///
/// It does not keep the runtime alive.
///
/// # Examples
/// ```
/// let mut runtime = reactor::Runtime::new()?;
/// let handle = runtime.handle();
/// let thread = std::thread::spawn(move || {
///     // The closure runs on the runtime's thread, so its future may hold an `Rc`.
///     handle.spawn(|| async {
///         let answer = std::rc::Rc::new(42);
///         reactor::yield_now().await;
///         *answer
///     })
/// });
/// let task = thread.join().unwrap().unwrap();
/// assert_eq!(runtime.block_on(task).unwrap(), 42);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    address: Address,
}

/// A [`Handle`] of the runtime of this thread.
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn handle() -> Handle {
    context::with(|core| core.handle())
}

impl Handle {
    pub(crate) fn new(address: Address) -> Self {
        Self { address }
    }

    /// Makes a future on the runtime's thread and spawns it there. The future need not be
    /// [`Send`]; what makes it and what it returns must be.
    ///
    /// # Errors
    /// [`SpawnError`] when the runtime is gone, or when
    /// [`REMOTE_SPAWNS_MAX`](crate::REMOTE_SPAWNS_MAX) tasks wait to be taken in.
    pub fn spawn<M, F>(&self, make: M) -> Result<RemoteJoinHandle<F::Output>, SpawnError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = oneshot();
        let start = Box::new(move || {
            if sender.is_aborted() {
                return;
            }
            let task = crate::spawn(async move { make().await });
            crate::spawn(report(task, sender)).detach();
        });
        self.address.spawn(start)?;
        Ok(RemoteJoinHandle { receiver })
    }
}

/// Waits, on any thread, for a task that was spawned through a [`Handle`] or
/// [`spawn_blocking`](crate::spawn_blocking). Dropping it detaches the task. Cancel-safe.
///
/// # Panics
/// When polled again after it gave its result.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let answer = reactor::spawn_blocking(|| 6 * 7); // on a thread of the pool
/// assert_eq!(answer.await.unwrap(), 42);
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "dropping it detaches the task"]
pub struct RemoteJoinHandle<T> {
    receiver: Receiver<T>,
}

impl<T> RemoteJoinHandle<T> {
    pub(crate) fn new(receiver: Receiver<T>) -> Self {
        Self { receiver }
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        self.receiver.is_finished()
    }

    /// Ends the task, from any thread: before it is polled, if the runtime has not taken it in yet, else when the
    /// runtime hears of it, which may be one poll later. A closure for [`spawn_blocking`](crate::spawn_blocking)
    /// that runs goes on; one that waits for a thread is dropped instead of run when its turn comes.
    ///
    /// The result is then [`JoinError::is_cancelled`], unless it was over before, or runs on.
    pub fn abort(&self) {
        self.receiver.abort();
    }
}

impl<T> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.receiver.poll(cx)
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("RemoteJoinHandle");
        f.field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Why a task could not be sent to a runtime.
///
/// # Examples
/// ```
/// use reactor::{Runtime, SpawnError};
///
/// let mut runtime = Runtime::new()?;
/// let handle = runtime.block_on(async { reactor::handle() });
/// drop(runtime);
/// assert_eq!(handle.spawn(|| async {}).unwrap_err(), SpawnError::Gone);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The runtime was dropped.
    Gone,
    /// [`REMOTE_SPAWNS_MAX`](crate::REMOTE_SPAWNS_MAX) tasks wait to be taken in already.
    Full,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the runtime is gone",
            Self::Full => "the runtime's inbox is full",
        })
    }
}

impl std::error::Error for SpawnError {}

/// Sends the result of a task, which an abort ends.
async fn report<T>(mut task: JoinHandle<T>, sender: Sender<T>) {
    let result = poll_fn(|cx| {
        if sender.poll_aborted(cx).is_ready() {
            task.abort();
        }
        Pin::new(&mut task).poll(cx)
    });
    let result = result.await;
    sender.send(result);
}

/// Runs `f` and gives its result, or its panic.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, JoinError> {
    std::panic::catch_unwind(AssertUnwindSafe(f)).map_err(JoinError::panic)
}

//! The handle of a task: its result, its panic, its end.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cell::{allocate, message};
use super::header::TaskRef;
use super::{TaskId, wake};

/// Waits for a task. A future of what the task's future returns.
///
/// Dropping it detaches the task, which goes on. Awaiting is cancel-safe: a handle that was polled
/// and not finished can be awaited again.
///
/// # Panics
/// When polled again after it gave its result.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let task = reactor::spawn(async { 6 * 7 });
/// assert_eq!(task.await.unwrap(), 42);
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "dropping a JoinHandle detaches the task; say so with `drop(..)` or `.detach()`"]
pub struct JoinHandle<T> {
    task: TaskRef,
    /// What the task's future returns.
    output: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    /// Makes a task of a future, and the handle of its result.
    pub(crate) fn allocate<F>(future: F) -> (TaskRef, Self)
    where
        F: Future<Output = T> + 'static,
    {
        let (task, own) = allocate(future);
        (task, Self { task: own, output: PhantomData })
    }

    /// Ends the task: its future is dropped when its turn comes next, and never polled again. The
    /// result is then [`JoinError::is_cancelled`], unless the task was over before.
    ///
    /// A task that aborts itself runs on to its next await.
    pub fn abort(&self) {
        self.abort_handle().abort();
    }

    /// A handle that can abort the task and outlive this one.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { task: self.task.clone() }
    }

    /// Whether the future has ended: returned, panicked or been dropped.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Lets the task go on without a handle. The same as dropping it, said aloud.
    pub fn detach(self) {}
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the task was made of a future that returns `T` (`allocate`).
        unsafe { self.task.poll_join(cx) }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Ends a task, without a claim to its result. Cheap to clone.
///
/// It keeps the memory of the task until it is dropped, and a result that nobody has taken; the
/// future goes when the task ends.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let task = reactor::spawn(std::future::pending::<()>());
/// let abort = task.abort_handle();
/// abort.abort();
/// assert!(task.await.unwrap_err().is_cancelled());
/// assert!(abort.is_finished());
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct AbortHandle {
    task: TaskRef,
}

impl AbortHandle {
    /// See [`JoinHandle::abort`].
    pub fn abort(&self) {
        self.task.request_abort();
        match self.task.header().id() {
            // It came when its runtime was ending, and has no slot.
            TaskId::NOBODY => {}
            id => wake(id),
        }
    }

    /// See [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Why a task has no result.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let task = reactor::spawn(async { panic!("out of luck") });
/// let err = task.await.unwrap_err();
/// assert!(err.is_panic() && err.to_string().contains("out of luck"));
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct JoinError(Why);

enum Why {
    Cancelled,
    Rejected,
    Panicked(Payload),
}

/// The payload of a panic.
struct Payload(Box<dyn Any + Send>);

// SAFETY: through a shared reference the payload is only looked at as `&'static str` or `String`
// (`message`), which are `Sync`; of any other type nothing but its `TypeId` is read.
unsafe impl Sync for Payload {}

impl JoinError {
    pub(crate) fn cancelled() -> Self {
        Self(Why::Cancelled)
    }

    pub(crate) fn rejected() -> Self {
        Self(Why::Rejected)
    }

    pub(crate) fn panic(payload: Box<dyn Any + Send>) -> Self {
        Self(Why::Panicked(Payload(payload)))
    }

    /// The task was aborted, or its runtime was dropped.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Why::Cancelled)
    }

    /// The closure was never run: the pool of [`spawn_blocking`](crate::spawn_blocking) is full.
    pub fn is_rejected(&self) -> bool {
        matches!(self.0, Why::Rejected)
    }

    /// The task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Why::Panicked(_))
    }

    /// The payload of the task's panic, for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    /// This error itself, when the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.0 {
            Why::Panicked(payload) => Ok(payload.0),
            _ => Err(self),
        }
    }

    /// The payload of the task's panic.
    ///
    /// # Panics
    /// When the task did not panic.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.try_into_panic().expect("the task did not panic")
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Panicked(payload) => write!(f, "task panicked: {}", message(&*payload.0)),
            Why::Cancelled => f.write_str("task was cancelled"),
            Why::Rejected => f.write_str("the pool for blocking work is full"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(err: JoinError) -> Self {
        std::io::Error::other(err)
    }
}

//! Tasks: the cell a future lives in, its waker, and the handle that waits for its result.
//!
//! A task is one allocation, shared by the runtime's table and the [`JoinHandle`]. Its waker is no
//! pointer to it but its name (see `waker.rs`), so nothing outside can keep a task alive, and the
//! reference count is a plain one on the owner's thread.
#![allow(unsafe_code)]

mod cell;
mod header;
mod id;
mod join;
mod memory;
mod queue;
mod running;
mod set;
mod waker;

pub(crate) use cell::ignore_panic;
pub(crate) use id::{INDEX_MAX, RUNTIMES_MAX, TaskId};
pub use join::{AbortHandle, JoinError, JoinHandle};
pub(crate) use memory::InUse;
pub(crate) use queue::{Next, RunQueue, Scheduler};
pub(crate) use running::Running;
pub use set::JoinSet;
pub(crate) use waker::{named_by, wake, waker};

use std::future::poll_fn;
use std::task::Poll;

use crate::context;

/// Starts a task on the runtime of this thread, and returns the handle of its result.
///
/// The task runs when its turn in the queue comes, whether the handle is kept or not. Dropping
/// the handle detaches the task; [`JoinHandle::abort`] ends it.
///
/// # Panics
/// Outside a runtime, and with 2^28 - 1 tasks alive.
///
/// # Examples
/// ```
/// let answer = reactor::block_on(async {
///     let task = reactor::spawn(async { 6 * 7 });
///     task.await.unwrap()
/// });
/// assert_eq!(answer.unwrap(), 42);
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    context::with(|core| core.spawn(future))
}

/// Lets everyone who is ready run before this task goes on: the tasks in the run queue, and those
/// that the next look at descriptors, timers and other threads makes ready, if it is due.
///
/// That look comes at least once in [`Builder::tasks_per_turn`](crate::Builder::tasks_per_turn)
/// task polls, and once those who yield have been at it for 100 microseconds. So who yields in a loop
/// does not pay for a system call each time, and who computes between two yields holds the others up
/// for two such chunks of work.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context::defer(cx.waker());
        Poll::Pending
    })
    .await;
}

// They need epoll, which Miri knows only in part; those of `cell.rs` do not.
#[cfg(all(test, not(miri)))]
mod tests;

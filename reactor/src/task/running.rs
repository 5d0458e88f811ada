//! Which task is being polled, and whether it is that which asks.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::task::Waker;

use super::TaskId;
use super::header::{Header, TaskRef};
use super::waker::name_in;

/// The task that is being polled, or the future of `block_on`, which has a task's place.
///
/// A task that parks is told apart by the *address* of the waker it was polled with, which lies in its
/// header: one comparison says that the waker is ours, of this runtime, and whose. A clone of it, or
/// anybody else's waker, has another address and is looked at more closely.
pub(crate) struct Running {
    /// That of the task's waker; null when nobody is polled.
    waker: Cell<*const Waker>,
}

impl Default for Running {
    fn default() -> Self {
        Self { waker: Cell::new(ptr::null()) }
    }
}

impl Running {
    /// The name of the running task, if this is the waker itself that it is polled with.
    #[inline]
    pub(crate) fn polled_with(&self, waker: &Waker) -> Option<TaskId> {
        // SAFETY: at that address lies the waker in the header of a task that runs, which is ours, and
        // nothing else can lie there until `end`.
        ptr::eq(self.waker.get(), waker).then(|| unsafe { name_in(waker) })
    }

    /// The task has its turn.
    ///
    /// # Safety
    /// It stays alive until [`end`](Self::end), which is called when its turn is over.
    #[inline]
    pub(super) unsafe fn begin(&self, task: &TaskRef) {
        self.waker.set(Header::waker_of(task.as_ptr()));
    }

    /// Its turn is over. Says whose it was.
    #[inline]
    pub(super) fn end(&self) -> Option<NonNull<Header>> {
        let waker = self.waker.replace(ptr::null());
        (!waker.is_null()).then(|| Header::of_waker(waker))?
    }
}

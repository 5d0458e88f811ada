//! Wakers that are names, not pointers.
//!
//! The data word of a waker is the task's [`TaskId`]. It is never dereferenced, so:
//!
//! - cloning copies a word and dropping does nothing: no reference count, no atomic;
//! - a waker may be woken or dropped on any thread, after its task ended and after its runtime is
//!   gone. The name then finds nothing, or a generation that differs;
//! - a waker keeps nothing alive: a task that waits for itself through an I/O object is no leak.
//!
//! Rejected: a pointer to the task with a reference count (tokio, async-task). It needs atomics
//! or a biased count to be `Send`, and every race of "last reference" has to be thought through.
//!
//! On the runtime's own thread a wake-up links the task into the run queue. On any other it goes
//! through the inbox of `remote.rs`.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::TaskId;
use crate::{context, remote};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake_raw, wake_raw, forget);

/// The waker of a task. Dropping a waker does nothing, so the drop is left out.
#[inline]
pub(crate) fn waker(id: TaskId) -> ManuallyDrop<Waker> {
    let data = std::ptr::without_provenance(id.bits());
    // SAFETY: the contract of `RawWaker` asks for functions that are thread-safe and that treat
    // the data as an owned resource. The data is an integer that is only ever read as an integer,
    // and `context` and `remote` are sound from any thread.
    ManuallyDrop::new(unsafe { Waker::new(data, &VTABLE) })
}

/// A clone, without a call when the waker is one of ours.
#[inline]
pub(crate) fn clone_of(other: &Waker) -> Waker {
    match named_by(other) {
        Some(id) => ManuallyDrop::into_inner(waker(id)),
        None => other.clone(),
    }
}

/// The task a waker names, when it is one of ours.
#[inline]
pub(crate) fn named_by(waker: &Waker) -> Option<TaskId> {
    if std::ptr::eq(waker.vtable(), &VTABLE) {
        TaskId::from_bits(waker.data().addr())
    } else {
        None
    }
}

/// The task that a waker names, as [`named_by`], of one that [`waker`] has made.
///
/// # Safety
/// It has.
#[inline]
pub(super) unsafe fn name_in(ours: &Waker) -> TaskId {
    debug_assert!(std::ptr::eq(ours.vtable(), &VTABLE));
    // SAFETY: as the caller promises, the data is the bits of a name.
    unsafe { TaskId::from_bits(ours.data().addr()).unwrap_unchecked() }
}

/// Wakes a task, from any thread.
#[inline]
pub(crate) fn wake(id: TaskId) {
    if !context::schedule(id) {
        remote::wake(id);
    }
}

fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

fn wake_raw(data: *const ()) {
    if let Some(id) = TaskId::from_bits(data.addr()) {
        wake(id);
    }
}

fn forget(_: *const ()) {}

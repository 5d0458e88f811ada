//! The task cell: one allocation that holds first the future, then its result.

use std::any::Any;
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::header::{Header, State, TaskRef, Vtable};
use super::{JoinError, memory, named_by, wake};

/// A task with its type. The header comes first, so that a pointer to the cell is one to the header.
#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

/// The future, then its result. Which of them it is, the header's [`State`] says.
#[repr(C)]
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    result: ManuallyDrop<Result<F::Output, JoinError>>,
}

/// Makes a task, in one allocation, and the two references to it.
#[inline]
pub(crate) fn allocate<F: Future + 'static>(future: F) -> (TaskRef, TaskRef) {
    let cell = memory::allocate::<TaskCell<F>>();
    let task = TaskCell {
        header: Header::new(const { &TaskCell::<F>::VTABLE }),
        stage: UnsafeCell::new(Stage { future: ManuallyDrop::new(future) }),
    };
    // SAFETY: the memory is new, and made for this type.
    unsafe { cell.write(task) };
    let cell = cell.cast();
    // SAFETY: the pointer is to the whole cell, whose first field the header is and whose table is
    // that of its type; a new header counts two references.
    let first = unsafe { TaskRef::from_raw(cell) };
    // SAFETY: as above.
    let second = unsafe { TaskRef::from_raw(cell) };
    (first, second)
}

impl<F: Future> TaskCell<F> {
    const VTABLE: Vtable =
        Vtable { poll: poll::<F>, end: end::<F>, take: take::<F>, free: free::<F> };

    /// # Safety
    /// `header` is that of a live `TaskCell<F>`.
    unsafe fn of<'a>(header: NonNull<Header>) -> &'a Self {
        // SAFETY: the header is the first field of the cell, and the pointer has the provenance of
        // all of it (`allocate`). The cell is changed through its cells only.
        unsafe { header.cast::<Self>().as_ref() }
    }

    fn future(&self) -> *mut F {
        debug_assert_eq!(self.header.marks.state(), State::Running);
        // Fields of a `repr(C)` union share its address.
        self.stage.get().cast()
    }

    fn result(&self) -> *mut Result<F::Output, JoinError> {
        self.stage.get().cast()
    }

    /// Drops the future where it is, puts the result in its place, and wakes who waits for it.
    #[inline]
    fn end(&self, result: Result<F::Output, JoinError>) {
        // SAFETY: in state Running the future is there, and nobody but the one who set the state,
        // our caller, touches it. Whether or not the drop panics, it is overwritten below without
        // being read or dropped again.
        let drop_future = || unsafe { self.future().drop_in_place() };
        let dropped = if std::mem::needs_drop::<F>() {
            catch_unwind(AssertUnwindSafe(drop_future))
        } else {
            Ok(())
        };
        let result = match dropped {
            Ok(()) => result,
            Err(payload) => {
                ignore_panic(|| drop(result));
                Err(JoinError::panic(payload))
            }
        };
        // SAFETY: as above; the future is gone.
        unsafe { self.result().write(result) };
        self.header.marks.set_state(State::Done);
        if let Some(joiner) = self.header.joiner.take() {
            match named_by(&joiner) {
                Some(task) => {
                    // Its drop does nothing, at the price of a call.
                    std::mem::forget(joiner);
                    wake(task);
                }
                None => ignore_panic(|| joiner.wake()),
            }
        }
    }
}

/// [`Vtable::poll`].
///
/// # Safety
/// That of the table.
unsafe fn poll<F: Future>(header: NonNull<Header>, cx: &mut Context<'_>) -> bool {
    // SAFETY: as the caller promises.
    let cell = unsafe { TaskCell::<F>::of(header) };
    // SAFETY: in state Running the future is there, and nobody but this turn touches it.
    let future = unsafe { &mut *cell.future() };
    // SAFETY: the cell is never moved, and its future is dropped in place.
    let future = unsafe { Pin::new_unchecked(future) };
    match future.poll(cx) {
        Poll::Pending => {
            cell.header.marks.set_state(State::Waiting);
            false
        }
        Poll::Ready(output) => {
            cell.end(Ok(output));
            true
        }
    }
}

/// [`Vtable::end`].
///
/// # Safety
/// That of the table.
unsafe fn end<F: Future>(header: NonNull<Header>, err: JoinError) {
    // SAFETY: as the caller promises.
    unsafe { TaskCell::<F>::of(header) }.end(Err(err));
}

/// [`Vtable::take`].
///
/// # Safety
/// That of the table; `place` is for a `Result<F::Output, JoinError>`.
unsafe fn take<F: Future>(header: NonNull<Header>, place: NonNull<()>) {
    // SAFETY: as the caller promises.
    let cell = unsafe { TaskCell::<F>::of(header) };
    cell.header.marks.set_state(State::Taken);
    // SAFETY: the state was Done, so the result is there, and in state Taken nobody reads it again.
    let result = unsafe { cell.result().read() };
    // SAFETY: as the caller promises.
    unsafe { place.cast().write(result) };
}

/// [`Vtable::free`].
///
/// # Safety
/// That of the table; no reference to the task is left.
unsafe fn free<F: Future>(header: NonNull<Header>) {
    // What is dropped may panic, and all of it goes all the same.
    let _memory = Memory(header.cast::<TaskCell<F>>());
    // SAFETY: the header is read once and not used after that, as nobody else has the task.
    let header_read = unsafe { header.read() };
    // SAFETY: as the caller promises; the cell's memory stays until `_memory` goes.
    let cell = unsafe { TaskCell::<F>::of(header) };
    // SAFETY: nobody else has the task.
    let stage = unsafe { &mut *cell.stage.get() };
    match header_read.marks.state() {
        // SAFETY: the future is there, and not used any more.
        State::Waiting | State::Running => unsafe { ManuallyDrop::drop(&mut stage.future) },
        // SAFETY: the result is there, and not used any more.
        State::Done => unsafe { ManuallyDrop::drop(&mut stage.result) },
        State::Taken => {}
    }
}

/// The memory of a cell that nobody uses any more.
struct Memory<F: Future>(NonNull<TaskCell<F>>);

impl<F: Future> Drop for Memory<F> {
    fn drop(&mut self) {
        // SAFETY: `allocate` took it for this type, and a task never leaves its thread.
        unsafe { memory::free(self.0) };
    }
}

/// Runs code of users that nobody waits for (drops of values whose task is over, wakers that are not
/// ours) and throws its panic away.
pub(crate) fn ignore_panic(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        ignore(payload);
    }
}

/// Throws the payload of a panic away. Never panics.
#[cold]
pub(crate) fn ignore(payload: Box<dyn Any + Send>) {
    // The logger is code of users, and so are the drops of what panics carry. What a panic of such a
    // drop carries is left alone, or there would be no end.
    let log = || log::error!("ignored a panic: {}", message(&*payload));
    let again = catch_unwind(AssertUnwindSafe(log)).err();
    for payload in [Some(payload), again].into_iter().flatten() {
        std::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(payload))));
    }
}

pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("Box<dyn Any>")
}

#[cfg(test)]
mod tests;

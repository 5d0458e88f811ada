//! The task cell: one allocation that holds first the future, then its result.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::JoinError;

/// What the run queue does with a task, whatever its future is.
pub(crate) trait Task {
    /// Polls the future once, or drops it when the task was aborted. Returns whether the task is
    /// over. Panics of the future end up in the result.
    fn run(&self, cx: &mut Context<'_>) -> bool;

    /// Drops the future unless the task is over; its result is then "cancelled".
    fn cancel(&self);

    /// Makes the next [`run`](Self::run) cancel.
    fn request_abort(&self);

    /// Whether the future has ended.
    fn is_finished(&self) -> bool;
}

/// What a [`JoinHandle`](super::JoinHandle) does with a task, whatever its future is.
pub(crate) trait Join<T>: Task {
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>>;
}

/// Who may touch the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The stage holds the future, and `run` or `cancel` may take it up.
    Waiting,
    /// The future is being polled or dropped further up this stack, and nobody else touches it.
    Running,
    /// The stage holds the result, and the join handle may take it.
    Done,
    /// The result was taken. The stage is empty.
    Taken,
}

enum Stage<F: Future> {
    Future(F),
    Done(Result<F::Output, JoinError>),
    Empty,
}

/// A future, then its result, and whoever waits for it.
pub(crate) struct TaskCell<F: Future> {
    state: Cell<State>,
    abort: Cell<bool>,
    joiner: Cell<Option<Waker>>,
    stage: UnsafeCell<Stage<F>>,
}

impl<F: Future> TaskCell<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            state: Cell::new(State::Waiting),
            abort: Cell::new(false),
            joiner: Cell::new(None),
            stage: UnsafeCell::new(Stage::Future(future)),
        }
    }

    fn poll_future(&self, cx: &mut Context<'_>) -> Poll<F::Output> {
        debug_assert_eq!(self.state.get(), State::Running);
        // SAFETY: in state Running only the one who set it touches the stage, and that is our
        // caller; the cell is `!Sync`, so no other thread does either.
        let stage = unsafe { &mut *self.stage.get() };
        let Stage::Future(future) = stage else { unreachable!("Running without a future") };
        // SAFETY: the future lives in a cell that sits in an `Rc` and is never moved; it is
        // dropped in place, by `end` or with the cell.
        unsafe { Pin::new_unchecked(future) }.poll(cx)
    }

    /// Drops the future where it is and puts the result in its place.
    fn end(&self, result: Result<F::Output, JoinError>) {
        debug_assert_eq!(self.state.get(), State::Running);
        let stage = self.stage.get();
        // SAFETY: in state Running the stage is ours (see `poll_future`). Whether or not the drop
        // panics, the stage is overwritten below without being read or dropped again.
        let drop_future = || unsafe { std::ptr::drop_in_place(stage) };
        let dropped = if std::mem::needs_drop::<F>() {
            catch_unwind(AssertUnwindSafe(drop_future))
        } else {
            Ok(())
        };
        // SAFETY: as above. The old value was dropped a moment ago; from here on nobody finds it,
        // whatever the code of users below does.
        unsafe { stage.write(Stage::Empty) };
        let result = match dropped {
            Ok(()) => result,
            Err(payload) => {
                ignore_panic(|| drop(result));
                Err(JoinError::panic(payload))
            }
        };
        // SAFETY: as above; `Empty` needs no drop.
        unsafe { stage.write(Stage::Done(result)) };
        self.state.set(State::Done);
        if let Some(joiner) = self.joiner.take() {
            ignore_panic(|| joiner.wake());
        }
    }
}

impl<F: Future> Task for TaskCell<F> {
    fn run(&self, cx: &mut Context<'_>) -> bool {
        if self.abort.get() {
            self.cancel();
            return true;
        }
        debug_assert_eq!(self.state.get(), State::Waiting);
        self.state.set(State::Running);
        match catch_unwind(AssertUnwindSafe(|| self.poll_future(cx))) {
            Ok(Poll::Pending) => {
                self.state.set(State::Waiting);
                return false;
            }
            Ok(Poll::Ready(output)) => self.end(Ok(output)),
            Err(payload) => self.end(Err(JoinError::panic(payload))),
        }
        true
    }

    fn cancel(&self) {
        if self.state.get() == State::Waiting {
            self.state.set(State::Running);
            self.end(Err(JoinError::cancelled()));
        }
    }

    fn request_abort(&self) {
        self.abort.set(true);
    }

    fn is_finished(&self) -> bool {
        matches!(self.state.get(), State::Done | State::Taken)
    }
}

impl<F: Future> Join<F::Output> for TaskCell<F> {
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<F::Output, JoinError>> {
        match self.state.get() {
            State::Waiting | State::Running => {
                let old = self.joiner.replace(Some(cx.waker().clone()));
                drop(old);
                Poll::Pending
            }
            State::Done => {
                self.state.set(State::Taken);
                // SAFETY: in state Done nobody but the one join handle touches the stage, and
                // state Taken, set above, keeps it from coming here twice.
                let stage = unsafe { self.stage.get().replace(Stage::Empty) };
                let Stage::Done(result) = stage else { unreachable!("Done without a result") };
                Poll::Ready(result)
            }
            State::Taken => panic!("JoinHandle polled after it gave its result"),
        }
    }
}

/// Runs code of users that nobody waits for (drops of values whose task is over, wakers that are not
/// ours) and throws its panic away.
pub(crate) fn ignore_panic(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        log::error!("ignored a panic: {}", message(&*payload));
        // Its drop is code of users too. What a panic of that one carries is left alone, or there
        // would be no end.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
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

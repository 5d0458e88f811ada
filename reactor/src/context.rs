//! Which runtime this thread is in, if any.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use crate::netpoll::Netpoll;
use crate::runtime::Core;
use crate::task::{TaskId, named_by};

thread_local! {
    // What needs no drop at the end of its thread costs no look at whether it has been dropped. The
    // guard of `enter` takes it out.
    static CURRENT: RefCell<Option<ManuallyDrop<Rc<Core>>>> = const { RefCell::new(None) };
    static BUDGET: Cell<i32> = const { Cell::new(OPS_PER_POLL) };
}

/// Tries of operations that one poll of a task may make before it has to let others run.
pub(crate) const OPS_PER_POLL: i32 = 128;

/// Calls `f` with the runtime of this thread.
///
/// # Panics
/// Outside a runtime.
#[inline]
#[track_caller]
pub(crate) fn with<T>(f: impl FnOnce(&Rc<Core>) -> T) -> T {
    // The borrow is shared, as is every other but those of `enter` and its end, so `f` may come
    // back here.
    let result = CURRENT.with(|current| current.borrow().as_ref().map(|core| f(core)));
    // Not in the closure, which does not know who calls.
    match result {
        Some(result) => result,
        None => panic!("{OUTSIDE}"),
    }
}

/// The runtime of this thread.
pub(crate) fn current() -> Option<Rc<Core>> {
    CURRENT.with(|current| current.borrow().as_ref().map(|core| Rc::clone(core)))
}

const OUTSIDE: &str = "called outside a runtime: spawn, sleep and descriptors need a thread that \
                       is inside `Runtime::block_on`; other threads reach it by a `Handle`";

const INSIDE: &str = "block_on inside a runtime: this thread is already in one; `spawn` a task or \
                      `.await` instead";

/// The netpoll of the runtime of this thread.
#[inline]
pub(crate) fn netpoll() -> Option<Rc<Netpoll>> {
    CURRENT.with(|current| current.borrow().as_ref().map(|core| Rc::clone(&core.netpoll)))
}

/// What the clock of the runtime of this thread says.
#[inline]
pub(crate) fn clock_now() -> Option<Instant> {
    CURRENT.with(|current| current.borrow().as_ref().map(|core| core.netpoll.clock.now()))
}

/// Schedules a task if it belongs to the runtime of this thread, and says whether it does.
#[inline]
pub(crate) fn schedule(id: TaskId) -> bool {
    with_core_of(id, |core| core.schedule(id))
}

/// Calls `f` if the task belongs to the runtime of this thread, and says whether it does. `f` runs no
/// code of users.
#[inline]
fn with_core_of(id: TaskId, f: impl FnOnce(&Core)) -> bool {
    CURRENT.with(|current| match &*current.borrow() {
        Some(core) if core.id() == id.runtime() => {
            f(core);
            true
        }
        _ => false,
    })
}

/// Wakes the task once everyone who is ready has run.
#[inline]
pub(crate) fn defer(waker: &Waker) {
    let ours = named_by(waker);
    if !ours.is_some_and(|id| with_core_of(id, |core| core.schedule_last(id))) {
        defer_other(waker);
    }
}

#[cold]
fn defer_other(waker: &Waker) {
    // Of a clone, not of a borrow: cloning or waking a waker that is not ours is user code.
    match current() {
        Some(core) => core.defer(waker),
        None => {
            // No loop turns here that would do it.
            refill();
            waker.wake_by_ref();
        }
    }
}

/// Takes one operation from the budget of the task poll that is under way. `false`: it is used
/// up, and the caller is to [`defer`] itself and return `Pending`.
#[inline]
pub(crate) fn spend() -> bool {
    BUDGET.with(|budget| {
        // Down first and looked at then: two instructions instead of five.
        budget.set(budget.get() - 1);
        budget.get() >= 0 || overspent()
    })
}

#[cold]
fn overspent() -> bool {
    BUDGET.with(|budget| budget.set(0));
    false
}

/// A task poll begins.
#[inline]
pub(crate) fn refill() {
    BUDGET.with(|budget| budget.set(OPS_PER_POLL));
}

/// Makes `core` the runtime of this thread for as long as the guard lives.
///
/// # Panics
/// Inside a runtime: a loop inside a loop would stop the outer one.
#[track_caller]
pub(crate) fn enter(core: &Rc<Core>) -> Entered {
    let Some(entered) = enter_if_free(core) else { panic!("{INSIDE}") };
    entered
}

/// [`enter`], unless this thread is in a runtime.
pub(crate) fn enter_if_free(core: &Rc<Core>) -> Option<Entered> {
    CURRENT.with(|current| match current.try_borrow_mut() {
        Ok(mut current) if current.is_none() => {
            *current = Some(ManuallyDrop::new(Rc::clone(core)));
            Some(Entered)
        }
        _ => None,
    })
}

/// The guard of [`enter`].
pub(crate) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        let core = CURRENT.with(|current| current.borrow_mut().take());
        drop(core.map(ManuallyDrop::into_inner));
    }
}

//! Those who wait for one direction of a descriptor, and those who are to be woken.

use std::cell::Cell;
use std::task::Waker;

use crate::task::{self, TaskId, ignore_panic};

/// Those who wait, each in a place of its own.
///
/// Nearly always there is one, and it is a task of ours, whose waker is but a name: then parking is
/// two stores. All others stand in a list: second waiters, and wakers that are somebody else's code
/// (a `FuturesUnordered`, say). Cloning or dropping one of those may call back into this very
/// descriptor, so each function leaves the cells in order before it lets go of a waker.
#[derive(Default)]
pub(crate) struct Waiters {
    task: Cell<Option<TaskId>>,
    /// Where `task` parks.
    place: Cell<u32>,
    /// Whether `others` has anyone.
    crowded: Cell<bool>,
    #[expect(clippy::box_collection, reason = "8 bytes in every descriptor instead of 24")]
    others: Cell<Option<Box<Vec<Waiter>>>>,
}

struct Waiter {
    place: u32,
    waker: Waker,
}

/// Takes in those who are to run. It runs no code of users: wakers that are not ours wait in a list.
pub(crate) trait Wakes {
    fn task(&mut self, id: TaskId);
    fn wakers(&mut self) -> &mut Vec<Waker>;
}

/// Those who are to be woken once no borrow is held.
#[derive(Default)]
pub(crate) struct Woken {
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) wakers: Vec<Waker>,
}

impl Waiters {
    /// Parks a task where nobody is parked.
    #[inline]
    pub(crate) fn park_first(&self, place: u32, task: TaskId) {
        debug_assert!(self.task.get().is_none() && !self.crowded.get());
        self.task.set(Some(task));
        self.place.set(place);
    }

    /// Parks a task in `place`, in the stead of who is there.
    pub(crate) fn park(&self, place: u32, task: TaskId) {
        if !self.crowded.get() && (self.task.get().is_none() || self.place.get() == place) {
            self.task.set(Some(task));
            self.place.set(place);
        } else {
            self.park_among_others(place, Waker::clone(&task::waker(task)));
        }
    }

    /// Parks anyone in `place`, in the stead of who is there.
    #[cold]
    pub(crate) fn park_among_others(&self, place: u32, waker: Waker) {
        if self.task.get().is_some() && self.place.get() == place {
            self.task.set(None);
        }
        let waiter = Waiter { place, waker };
        let mut others = self.others.take().unwrap_or_default();
        let replaced = match others.iter_mut().find(|other| other.place == place) {
            Some(other) => Some(std::mem::replace(other, waiter)),
            None => {
                others.push(waiter);
                None
            }
        };
        self.put_back(others);
        drop(replaced);
    }

    /// Leaves a place.
    #[inline]
    pub(crate) fn remove(&self, place: u32) {
        if self.task.get().is_some() && self.place.get() == place {
            self.task.set(None);
        } else if self.crowded.get() {
            self.remove_from_others(place);
        }
    }

    #[cold]
    fn remove_from_others(&self, place: u32) {
        let mut others = self.others.take().unwrap_or_default();
        let at = others.iter().position(|other| other.place == place);
        let removed = at.map(|at| others.swap_remove(at));
        self.put_back(others);
        drop(removed);
    }

    #[expect(clippy::box_collection, reason = "see the field")]
    fn put_back(&self, others: Box<Vec<Waiter>>) {
        self.crowded.set(!others.is_empty());
        self.others.set((!others.is_empty()).then_some(others));
    }

    /// Hands everyone to `woken`.
    #[inline]
    pub(crate) fn take(&self, woken: &mut impl Wakes) {
        if let Some(id) = self.task.take() {
            woken.task(id);
        }
        if self.crowded.get() {
            self.take_others(woken.wakers());
        }
    }

    #[cold]
    fn take_others(&self, woken: &mut Vec<Waker>) {
        self.crowded.set(false);
        let others = self.others.take().unwrap_or_default();
        woken.extend(others.into_iter().map(|other| other.waker));
    }
}

impl Wakes for Woken {
    fn task(&mut self, id: TaskId) {
        self.tasks.push(id);
    }

    fn wakers(&mut self) -> &mut Vec<Waker> {
        &mut self.wakers
    }
}

impl Woken {
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.wakers.is_empty()
    }

    /// Wakes them all. Wakers that are not ours run code that is not ours.
    pub(crate) fn wake(&mut self) {
        self.tasks.drain(..).for_each(task::wake);
        self.wakers.drain(..).for_each(|waker| ignore_panic(|| waker.wake()));
    }
}

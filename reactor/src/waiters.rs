//! Those who wait for a descriptor, and those who are to be woken.

use std::cell::Cell;
use std::task::Waker;

use crate::polldesc::Direction;
use crate::task::{self, TaskId, ignore_panic};

/// Those who wait, each in a place of its own.
///
/// Nearly always there is one in a direction, and it is a task of ours, whose waker is but a name: then
/// parking is two stores. All others stand in a list: where there are several, and wakers that are
/// somebody else's code (a `FuturesUnordered`, say). Cloning or dropping one of those may call back into
/// this very descriptor, so each function leaves the cells in order before it lets go of a waker.
#[derive(Default)]
pub(crate) struct Waiters {
    /// Who waits alone; [`CROWD`] when the direction's waiters stand in the list.
    tasks: [Cell<Option<TaskId>>; 2],
    /// Where who waits alone is parked.
    places: [Cell<u32>; 2],
    #[expect(clippy::box_collection, reason = "8 bytes in every descriptor instead of 24")]
    others: Cell<Option<Box<Vec<Waiter>>>>,
}

/// Stands for those in the list.
const CROWD: TaskId = TaskId::NOBODY;

struct Waiter {
    dir: Direction,
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
    /// Parks a task in `place`, in the stead of who is there.
    #[inline]
    pub(crate) fn park(&self, dir: Direction, place: u32, task: TaskId) {
        if self.is_free(dir) {
            self.tasks[dir as usize].set(Some(task));
            self.places[dir as usize].set(place);
        } else {
            self.park_again(dir, place, task);
        }
    }

    #[cold]
    fn park_again(&self, dir: Direction, place: u32, task: TaskId) {
        if self.is_alone_in(dir, place) {
            self.tasks[dir as usize].set(Some(task));
        } else {
            self.park_among_others(dir, place, Waker::clone(&task::waker(task)));
        }
    }

    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_free(&self, dir: Direction) -> bool {
        self.tasks[dir as usize].get().is_none()
    }

    #[inline]
    fn is_crowded(&self, dir: Direction) -> bool {
        self.tasks[dir as usize].get() == Some(CROWD)
    }

    #[inline]
    fn is_alone_in(&self, dir: Direction, place: u32) -> bool {
        let alone = self.tasks[dir as usize].get().is_some_and(|task| task != CROWD);
        alone && self.places[dir as usize].get() == place
    }

    /// Parks anyone in `place`, in the stead of who is there.
    #[cold]
    pub(crate) fn park_among_others(&self, dir: Direction, place: u32, waker: Waker) {
        let mut others = self.others.take().unwrap_or_default();
        if let Some(task) = self.tasks[dir as usize].replace(Some(CROWD))
            && task != CROWD
        {
            let waker = Waker::clone(&task::waker(task));
            others.push(Waiter { dir, place: self.places[dir as usize].get(), waker });
        }
        let waiter = Waiter { dir, place, waker };
        let replaced = match others.iter_mut().find(|other| other.is_in(dir, place)) {
            Some(other) => Some(std::mem::replace(other, waiter)),
            None => {
                others.push(waiter);
                None
            }
        };
        self.others.set(Some(others));
        drop(replaced);
    }

    /// Leaves a place.
    #[inline]
    pub(crate) fn remove(&self, dir: Direction, place: u32) {
        if self.is_alone_in(dir, place) {
            self.tasks[dir as usize].set(None);
        } else if self.is_crowded(dir) {
            self.remove_from_others(dir, place);
        }
    }

    #[cold]
    fn remove_from_others(&self, dir: Direction, place: u32) {
        let mut others = self.others.take().unwrap_or_default();
        let at = others.iter().position(|other| other.is_in(dir, place));
        let removed = at.map(|at| others.swap_remove(at));
        if others.iter().all(|other| other.dir != dir) {
            self.tasks[dir as usize].set(None);
        }
        self.others.set((!others.is_empty()).then_some(others));
        drop(removed);
    }

    /// Hands everyone to `woken`.
    #[inline]
    pub(crate) fn take(&self, dir: Direction, woken: &mut impl Wakes) {
        let Some(task) = self.tasks[dir as usize].get() else { return };
        self.tasks[dir as usize].set(None);
        if task == CROWD {
            self.take_others(dir, woken.wakers());
        } else {
            woken.task(task);
        }
    }

    #[cold]
    fn take_others(&self, dir: Direction, woken: &mut Vec<Waker>) {
        let mut others = self.others.take().unwrap_or_default();
        woken.extend(others.extract_if(.., |other| other.dir == dir).map(|other| other.waker));
        self.others.set((!others.is_empty()).then_some(others));
    }
}

impl Waiter {
    fn is_in(&self, dir: Direction, place: u32) -> bool {
        self.dir == dir && self.place == place
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

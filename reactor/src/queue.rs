//! The tasks of a runtime and the queue of those that are ready.
//!
//! The queue is a linked list through the tasks' own slots: to schedule a task is to set two
//! numbers. A task stands in it at most once, so it is never longer than there are tasks.
//!
//! No user code runs in here, and tasks that are taken out are dropped by the caller, after its
//! borrow has ended.

use std::rc::Rc;

use slab::Slab;

use crate::task::{INDEX_MAX, Task, TaskId};

const NIL: u32 = u32::MAX;

/// What stands in the run queue.
pub(crate) enum Runnable {
    /// A spawned task, to be given back with [`RunQueue::put_back`] or [`RunQueue::remove`].
    Task(TaskId, Rc<dyn Task>),
    /// The future that `block_on` was called with. It lives on the stack of `block_on`.
    Root,
}

struct Slot {
    id: TaskId,
    /// The slot behind this one in the queue.
    next: u32,
    queued: bool,
    /// Not there while the task runs, and never for the root.
    task: Option<Rc<dyn Task>>,
    is_root: bool,
}

/// All tasks, and the order in which the ready ones run.
pub(crate) struct RunQueue {
    runtime: u16,
    slots: Slab<Slot>,
    head: u32,
    tail: u32,
    last_generation: u32,
    tasks: usize,
}

impl RunQueue {
    pub(crate) fn new(runtime: u16) -> Self {
        Self { runtime, slots: Slab::new(), head: NIL, tail: NIL, last_generation: 0, tasks: 0 }
    }

    /// Adds a task, ready to run.
    ///
    /// # Panics
    /// With `INDEX_MAX` tasks alive.
    pub(crate) fn insert(&mut self, task: Rc<dyn Task>) -> TaskId {
        self.tasks += 1;
        self.insert_slot(Some(task))
    }

    /// Adds the place of a root future, ready to run.
    pub(crate) fn insert_root(&mut self) -> TaskId {
        self.insert_slot(None)
    }

    fn insert_slot(&mut self, task: Option<Rc<dyn Task>>) -> TaskId {
        let index = self.slots.vacant_key();
        assert!(index <= INDEX_MAX, "more than {INDEX_MAX} tasks");
        self.last_generation = self.last_generation.wrapping_add(1);
        let id = TaskId::new(self.runtime, index, self.last_generation);
        let is_root = task.is_none();
        self.slots.insert(Slot { id, next: NIL, queued: true, task, is_root });
        self.link(index as u32);
        id
    }

    /// Puts a task at the end of the queue, unless it stands in it already or is over.
    #[inline]
    pub(crate) fn schedule(&mut self, id: TaskId) {
        let Some(slot) = self.slots.get_mut(id.index()) else { return };
        if slot.id != id || slot.queued {
            return;
        }
        slot.queued = true;
        slot.next = NIL;
        self.link(id.index() as u32);
    }

    /// Makes a slot, whose `next` is `NIL`, the last of the queue.
    #[inline]
    fn link(&mut self, index: u32) {
        match std::mem::replace(&mut self.tail, index) {
            NIL => self.head = index,
            tail => self.slots[tail as usize].next = index,
        }
    }

    /// Takes the first of the queue.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Runnable> {
        while self.head != NIL {
            let slot = &mut self.slots[self.head as usize];
            self.head = slot.next;
            if self.head == NIL {
                self.tail = NIL;
            }
            slot.queued = false;
            if let Some(task) = slot.task.take() {
                return Some(Runnable::Task(slot.id, task));
            }
            if slot.is_root {
                return Some(Runnable::Root);
            }
            // An ended task, whose slot waited for its place in the queue to come up.
            let index = slot.id.index();
            self.slots.remove(index);
        }
        None
    }

    /// Gives back a task that was taken by [`pop`](Self::pop) and is not over.
    #[inline]
    pub(crate) fn put_back(&mut self, id: TaskId, task: Rc<dyn Task>) {
        self.slots[id.index()].task = Some(task);
    }

    /// Gives up the slot of a task that was taken by [`pop`](Self::pop) and is over.
    pub(crate) fn remove(&mut self, id: TaskId) {
        let slot = &mut self.slots[id.index()];
        debug_assert!(slot.id == id && slot.task.is_none());
        if !std::mem::replace(&mut slot.is_root, false) {
            self.tasks -= 1;
        }
        if slot.queued {
            // It woke itself in its last moments. `pop` gives the slot up.
            return;
        }
        self.slots.remove(id.index());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// How many tasks are alive.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks
    }

    /// Takes the first task at or behind `index`, for the end of the runtime.
    pub(crate) fn take_from(&mut self, index: usize) -> Option<(TaskId, Rc<dyn Task>)> {
        (index..self.slots.capacity()).find_map(|index| {
            let slot = self.slots.get_mut(index)?;
            Some((slot.id, slot.task.take()?))
        })
    }
}

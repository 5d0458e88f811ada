//! The tasks of a runtime, and the queue of those that are ready.
//!
//! The queue is intrusive: a linked list through the tasks themselves, in which each stands at most
//! once, so it never needs memory and is never longer than there are tasks. A second list holds those
//! that yielded; they go behind everyone who is ready.
//!
//! **What keeps the links sound:** the table owns a reference to every task, and gives it up only when
//! the task neither stands in a list nor runs. A task that ends while it stands in one stays until its
//! turn comes; one that runs while the runtime ends stays for good (`cancel_from`).

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{Context, Waker};

use super::cell::{allocate, ignore, ignore_panic};
use super::header::{Header, Payload, TaskRef};
use super::id::next_generation;
use super::{INDEX_MAX, Running, TaskId};
use crate::table::{Entries, Table};

/// All tasks, and the order in which the ready ones run.
pub(crate) struct RunQueue {
    runtime: u16,
    table: RefCell<Table<TaskRef>>,
    ready: List,
    yielded: List,
    /// The place of a future that lives on the stack of `block_on`.
    root: Cell<Option<TaskId>>,
    last_generation: Cell<u32>,
    /// Tasks alive.
    tasks: Cell<usize>,
}

/// What came of a look at the head of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nobody is ready.
    Nobody,
    /// It is the turn of the root future, which is the caller's to poll.
    Root,
    /// A task had its turn.
    Ran,
}

/// What [`RunQueue::schedule_many`] lends.
pub(crate) struct Scheduler<'a> {
    tasks: Entries<'a, TaskRef>,
    ready: &'a List,
}

/// The place of a root future: what [`RunQueue::insert_root`] returns.
pub(crate) struct Root(TaskRef);

/// A list of tasks, linked through their headers.
#[derive(Default)]
struct List {
    head: Cell<Option<NonNull<Header>>>,
    tail: Cell<Option<NonNull<Header>>>,
}

impl RunQueue {
    pub(crate) fn new(runtime: u16) -> Self {
        Self {
            runtime,
            table: RefCell::default(),
            ready: List::default(),
            yielded: List::default(),
            root: Cell::new(None),
            last_generation: Cell::new(0),
            tasks: Cell::new(0),
        }
    }

    /// Adds a task, ready to run.
    ///
    /// # Panics
    /// With `INDEX_MAX` tasks alive.
    pub(crate) fn insert(&self, task: TaskRef) -> TaskId {
        let mut table = self.table.borrow_mut();
        let index = table.vacant_index();
        assert!(index <= INDEX_MAX, "more than {INDEX_MAX} tasks");
        let generation = next_generation(self.last_generation.get());
        self.last_generation.set(generation);
        let id = TaskId::new(self.runtime, index, generation);
        // SAFETY: the task is new: it has never been polled, and its waker not been asked for.
        unsafe { task.header().set_id(id) };
        task.header().marks.set_queued();
        let header = task.as_ptr();
        table.insert(task);
        // SAFETY: a new task stands in no list, and the table has taken its reference.
        unsafe { self.ready.push(header) };
        self.tasks.set(self.tasks.get() + 1);
        id
    }

    /// Adds the place of a root future, ready to run. There is one at a time.
    pub(crate) fn insert_root(&self) -> Root {
        let (root, ours) = allocate(std::future::pending::<()>());
        root.header().marks.set_root();
        let id = self.insert(root);
        self.root.set(Some(id));
        self.tasks.set(self.tasks.get() - 1);
        Root(ours)
    }

    /// Gives up the place of the root future.
    pub(crate) fn remove_root(&self) {
        if let Some(id) = self.root.take() {
            let root = self.table.borrow().get(id.index()).cloned();
            if let Some(root) = root {
                root.cancel();
                self.remove_unless_queued(&root);
            }
        }
    }

    /// Puts a task at the end of the queue, unless it stands in it already or is over.
    #[inline]
    pub(crate) fn schedule(&self, id: TaskId) {
        self.push_to(&self.ready, id);
    }

    /// Puts a task behind all that are ready when [`take_yielded`](Self::take_yielded) is called.
    #[inline]
    pub(crate) fn schedule_last(&self, id: TaskId) {
        self.push_to(&self.yielded, id);
    }

    /// Calls `f` to schedule many tasks, while no task is added or removed.
    pub(crate) fn schedule_many<T>(&self, f: impl FnOnce(Scheduler<'_>) -> T) -> T {
        let table = self.table.borrow();
        f(Scheduler { tasks: table.entries(), ready: &self.ready })
    }

    #[inline]
    fn push_to(&self, list: &List, id: TaskId) {
        list.push_named(&self.table.borrow().entries(), id);
    }

    #[inline]
    pub(crate) fn has_yielders(&self) -> bool {
        !self.yielded.is_empty()
    }

    /// Makes those that yielded ready. Says whether there were any.
    #[inline]
    pub(crate) fn take_yielded(&self) -> bool {
        let any = self.has_yielders();
        if any {
            self.ready.append(&self.yielded);
        }
        any
    }

    /// Gives the first of the queue its turn: polls it, or cancels it if that was asked for. `begin`
    /// is called just before, and `running` knows meanwhile whose turn it is.
    ///
    /// # Panics
    /// As the future does; then [`end_running`](Self::end_running) is to be called. As the drop of a
    /// result does that nobody waits for; the queue has then let go of the task.
    #[inline(always)]
    pub(crate) fn run_next(&self, running: &Running, begin: impl FnOnce()) -> Next {
        let Some(header) = self.ready.pop() else { return Next::Nobody };
        // SAFETY: the table keeps a reference to what stands in the queue, and `remove` is the last
        // that is done with it here.
        let task = ManuallyDrop::new(unsafe { TaskRef::from_raw(header) });
        if !task.header().marks.begin_turn() {
            return self.run_marked(&task, begin);
        }
        begin();
        // SAFETY: the table keeps a reference to it until `remove`, or `end_running`, which follows a panic.
        unsafe { running.begin(&task) };
        let over = task.poll(&mut Context::from_waker(task.header().waker()));
        running.end();
        if over {
            self.remove(&task);
        }
        Next::Ran
    }

    /// The turn of what is not simply to be polled.
    #[cold]
    fn run_marked(&self, task: &TaskRef, begin: impl FnOnce()) -> Next {
        if task.is_finished() {
            // It woke itself in its last moments, and its slot waited for this turn.
            self.remove_unless_queued(task);
            return Next::Ran;
        }
        if task.header().marks.is_root() {
            return Next::Root;
        }
        // It is to be cancelled.
        begin();
        task.cancel();
        assert!(task.is_finished(), "a task that runs stands in no queue");
        self.remove(task);
        Next::Ran
    }

    /// Ends the task that has just panicked in [`run_next`](Self::run_next); the panic is its result.
    #[cold]
    pub(crate) fn end_running(&self, running: &Running, payload: Payload) {
        let Some(header) = running.end() else { return ignore(payload) };
        // SAFETY: the table keeps a reference to a task that runs, as in `run_next`.
        let task = ManuallyDrop::new(unsafe { TaskRef::from_raw(header) });
        task.fail(payload);
        ignore_panic(|| self.remove(&task));
    }

    /// A task is over.
    #[inline]
    fn remove(&self, task: &TaskRef) {
        self.tasks.set(self.tasks.get() - 1);
        self.remove_unless_queued(task);
    }

    /// Gives up the slot of a task that is over. While it stands in the queue, its turn does so.
    #[inline]
    fn remove_unless_queued(&self, task: &TaskRef) {
        if task.header().marks.is_queued() {
            return;
        }
        let task = self.table.borrow_mut().remove(task.header().id().index());
        // A result that nobody waits for goes with it, which is user code.
        drop(task);
    }

    /// Whether nobody is ready and nobody yielded.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.yielded.is_empty()
    }

    /// How many tasks are alive. The root is not among them.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.get()
    }

    /// Cancels the task of the first slot at or behind `index`, for the end of the runtime, and says
    /// which slot that was. A task that runs stays.
    pub(crate) fn cancel_from(&self, index: usize) -> Option<usize> {
        let found = self.table.borrow().first_from(index).map(|(at, task)| (at, task.clone()));
        let (at, task) = found?;
        if !task.is_finished() {
            task.cancel();
            if !task.is_finished() {
                // It runs further up this stack, and has called `exit`, which drops the thread locals,
                // a runtime among them: its future is in use to the last.
                return Some(at);
            }
            self.tasks.set(self.tasks.get() - 1);
        }
        // Whoever was woken by that will not run, and must not stand in a list when it is freed.
        while self.ready.pop().is_some() || self.yielded.pop().is_some() {}
        let owned = self.table.borrow_mut().remove(at);
        ignore_panic(|| drop((owned, task)));
        Some(at)
    }
}

impl Root {
    /// What the root future is polled with.
    pub(crate) fn waker(&self) -> &Waker {
        self.0.header().waker()
    }

    /// Polls the root future by `poll`, which `running` knows meanwhile.
    pub(crate) fn run<T>(&self, running: &Running, poll: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a Running);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.end();
            }
        }
        // SAFETY: this reference outlives the poll.
        unsafe { running.begin(&self.0) };
        // Also when it panics.
        let _end = End(running);
        poll()
    }
}

impl Scheduler<'_> {
    /// See [`RunQueue::schedule`].
    #[inline]
    pub(crate) fn schedule(&self, id: TaskId) {
        self.ready.push_named(&self.tasks, id);
    }
}

impl List {
    fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// Pushes the task of a name, unless it stands in a list already or is over.
    #[inline]
    fn push_named(&self, tasks: &Entries<'_, TaskRef>, id: TaskId) {
        if let Some(task) = tasks.get(id.index())
            && task.header().id() == id
            && !task.header().marks.set_queued()
        {
            // SAFETY: it stood in no list, and the table keeps a reference.
            unsafe { self.push(task.as_ptr()) };
        }
    }

    /// # Safety
    /// The task stands in no list, and lives as long as it stands in this one.
    #[inline]
    unsafe fn push(&self, task: NonNull<Header>) {
        match self.tail.replace(Some(task)) {
            None => self.head.set(Some(task)),
            // SAFETY: it stands in this list, so it is alive, as its `push` was promised.
            Some(tail) => unsafe { tail.as_ref() }.next.set(Some(task)),
        }
    }

    /// Takes the first out, which is "queued" no longer.
    #[inline]
    fn pop(&self) -> Option<NonNull<Header>> {
        let first = self.head.get()?;
        // SAFETY: as in `push`.
        let header = unsafe { first.as_ref() };
        let next = header.next.take();
        self.head.set(next);
        if next.is_none() {
            self.tail.set(None);
        }
        header.marks.set_not_queued();
        Some(first)
    }

    /// Moves all of `other` behind what is here.
    #[inline]
    fn append(&self, other: &List) {
        let Some(first) = other.head.take() else { return };
        match self.tail.replace(other.tail.take()) {
            None => self.head.set(Some(first)),
            // SAFETY: as in `push`.
            Some(tail) => unsafe { tail.as_ref() }.next.set(Some(first)),
        }
    }
}

#[cfg(test)]
mod tests;

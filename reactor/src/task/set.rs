//! A set of tasks, joined in the order in which they end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::{AbortHandle, JoinError, JoinHandle};
use crate::context;

/// Tasks of one kind, to be awaited one after another or ended together.
///
/// Dropping the set aborts its tasks. It has as many entries as tasks that have not been joined.
///
/// # Examples
/// ```
/// reactor::block_on(async {
///     let mut set = reactor::JoinSet::new();
///     for i in 0..3 {
///         set.spawn(async move { i * 10 });
///     }
///     let mut sum = 0;
///     while let Some(result) = set.join_next().await {
///         sum += result.unwrap();
///     }
///     assert_eq!(sum, 30);
/// });
/// ```
pub struct JoinSet<T> {
    tasks: Slab<JoinHandle<T>>,
    ended: Rc<Ended>,
}

/// Keys of tasks that have ended, and whoever waits for one.
#[derive(Default)]
struct Ended {
    keys: RefCell<VecDeque<usize>>,
    waiter: Cell<Option<Waker>>,
}

impl Ended {
    fn next(&self) -> Option<usize> {
        self.keys.borrow_mut().pop_front()
    }

    /// Files a waker. Its clone, and the drop of the one before, are code of users, which may have ended
    /// a task: nobody would tell, so that is looked for behind them.
    fn wait(&self, waker: &Waker) -> Option<usize> {
        let old = self.waiter.replace(Some(waker.clone()));
        drop(old);
        self.next()
    }
}

/// Lives in the task beside its future, and reports its end, whatever that is.
struct Report {
    ended: Rc<Ended>,
    key: usize,
}

impl Drop for Report {
    fn drop(&mut self) {
        self.ended.keys.borrow_mut().push_back(self.key);
        if let Some(waiter) = self.ended.waiter.take() {
            waiter.wake();
        }
    }
}

impl<T: 'static> JoinSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self { tasks: Slab::new(), ended: Rc::default() }
    }

    /// Spawns a task into the set.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        // Panics before there is a report, which would name a task that there is not.
        context::with(|_| ());
        let entry = self.tasks.vacant_entry();
        let report = Report { ended: Rc::clone(&self.ended), key: entry.key() };
        let task = crate::spawn(async move {
            let _report = report;
            future.await
        });
        let abort = task.abort_handle();
        entry.insert(task);
        abort
    }

    /// Waits for the next task that ends; `None` when the set is empty. Cancel-safe.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// [`join_next`](Self::join_next) for poll functions.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        if self.tasks.is_empty() {
            return Poll::Ready(None);
        }
        let Some(key) = self.ended.next().or_else(|| self.ended.wait(cx.waker())) else {
            return Poll::Pending;
        };
        let Poll::Ready(result) = Pin::new(&mut self.tasks[key]).poll(cx) else {
            // Its future is being dropped further up this stack; the handle wakes us after that.
            self.ended.keys.borrow_mut().push_front(key);
            return Poll::Pending;
        };
        drop(self.tasks.remove(key));
        Poll::Ready(Some(result))
    }

    /// Aborts all tasks. They still have to be joined.
    pub fn abort_all(&self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }

    /// Aborts all tasks and waits until their futures are dropped.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Tasks that have not been joined.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether every task has been joined.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

impl<T: 'static> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.tasks.len()).finish_non_exhaustive()
    }
}

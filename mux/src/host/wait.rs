//! Those who wait for a host: for a dial, or for a stream to accept.

use std::cell::RefCell;
use std::task::{Context, Waker};

use crate::wait::WaitQueue;

/// A queue of those who wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    queue: RefCell<WaitQueue>,
}

impl Waiters {
    /// Wakes the one that has waited longest. It wakes the next, when it has what it wanted or
    /// leaves.
    pub(super) fn tell_one(&self) {
        let waker = self.queue.borrow_mut().tell_one();
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn tell_all(&self) {
        let mut wakers = Vec::new();
        self.queue.borrow_mut().tell_all(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A place in a queue; given up when it is dropped.
pub(super) struct Waiting<'q> {
    waiters: &'q Waiters,
    ticket: Option<u64>,
}

impl<'q> Waiting<'q> {
    pub(super) fn new(waiters: &'q Waiters) -> Self {
        Self { waiters, ticket: None }
    }

    /// From now on this task is told. To be looked after once more behind it: cloning and dropping
    /// wakers is code of others, which may have done something before anybody could be told.
    pub(super) fn park(&mut self, cx: &Context<'_>) {
        if self.waiters.queue.borrow().holds(self.ticket, cx) {
            return;
        }
        let waker = cx.waker().clone();
        let old = self.waiters.queue.borrow_mut().put(&mut self.ticket, waker);
        drop(old);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let own = self.waiters.queue.borrow_mut().leave(&mut self.ticket);
        drop(own);
        self.waiters.tell_one();
    }
}

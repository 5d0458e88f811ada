//! Who may go on, and who waits: a bounded number of permits, and a bounded queue before them.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::wait::WaitQueue;

/// The permits and the queue. A permit that is given up goes to the first in the queue, and nobody
/// who comes later gets it.
#[derive(Debug)]
pub(super) struct Gate {
    inner: RefCell<Inner>,
    pending_max: usize,
}

#[derive(Debug)]
struct Inner {
    free: usize,
    /// Who was told has a permit, which `free` does not count.
    queue: WaitQueue,
}

/// The right to go on; dropping it gives it up.
#[derive(Debug)]
pub(super) struct Permit(Rc<Gate>);

/// The queue is full.
#[derive(Debug)]
pub(super) struct Full;

impl Gate {
    pub(super) fn new(permits: usize, pending_max: usize) -> Rc<Self> {
        let inner = Inner { free: permits, queue: WaitQueue::default() };
        Rc::new(Self { inner: RefCell::new(inner), pending_max })
    }

    /// Those who wait.
    pub(super) fn pending(&self) -> usize {
        self.inner.borrow().queue.len()
    }

    pub(super) fn enter(self: &Rc<Self>) -> Enter {
        Enter { gate: Rc::clone(self), ticket: None }
    }

    fn give_up(&self) {
        let next = {
            let mut inner = self.inner.borrow_mut();
            let next = inner.queue.tell_one();
            inner.free += usize::from(next.is_none());
            next
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Waits for a permit. One that is dropped leaves the queue, or passes on its permit.
#[derive(Debug)]
pub(super) struct Enter {
    gate: Rc<Gate>,
    ticket: Option<u64>,
}

impl Enter {
    /// Ready with a permit that is there for it, or if there is no room to wait for one.
    fn attempt(&mut self) -> Poll<Result<Permit, Full>> {
        let mut inner = self.gate.inner.borrow_mut();
        if inner.queue.is_told(self.ticket) {
            // Told, it has no waker here.
            inner.queue.leave(&mut self.ticket);
        } else if self.ticket.is_none() && inner.free > 0 {
            inner.free -= 1;
        } else if self.ticket.is_none() && inner.queue.len() >= self.gate.pending_max {
            return Poll::Ready(Err(Full));
        } else {
            return Poll::Pending;
        }
        drop(inner);
        Poll::Ready(Ok(Permit(Rc::clone(&self.gate))))
    }
}

impl Future for Enter {
    type Output = Result<Permit, Full>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut outcome = this.attempt();
        if outcome.is_pending() && !this.gate.inner.borrow().queue.holds(this.ticket, cx) {
            // While it is cloned others may come and go, so it is tried once more.
            let waker = cx.waker().clone();
            outcome = this.attempt();
            if outcome.is_pending() {
                let old = this.gate.inner.borrow_mut().queue.put(&mut this.ticket, waker);
                drop(old);
            }
        }
        outcome
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let (waker, was_told) = {
            let queue = &mut self.gate.inner.borrow_mut().queue;
            let was_told = queue.is_told(self.ticket);
            (queue.leave(&mut self.ticket), was_told)
        };
        drop(waker);
        if was_told {
            self.gate.give_up();
        }
    }
}

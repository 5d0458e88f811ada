//! Futures that wait for the session: to open, to accept, for a pong, for the end.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::proto;
use crate::shared::Shared;

/// What a future waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Accept,
    Open,
    Pong,
    End,
}

/// Futures that wait for one thing, the longest waiting first. One that is dropped leaves.
///
/// It stands in a borrow of whoever has it, and cloning, waking or dropping a waker is code of
/// others, which may want that borrow. So a waker is cloned before it comes here, and what comes
/// back is woken or dropped afterwards.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    next_ticket: u64,
    waiting: BTreeMap<u64, Waker>,
    /// Told, and not yet polled since.
    told: BTreeSet<u64>,
}

impl WaitQueue {
    /// Whether a future waits with this very waker already.
    pub(crate) fn holds(&self, ticket: Option<u64>, cx: &Context<'_>) -> bool {
        let waker = ticket.and_then(|ticket| self.waiting.get(&ticket));
        waker.is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// From now on the future waits, at the end of the queue if it has no ticket yet. The waker
    /// that comes back is to be dropped when nothing is borrowed.
    pub(crate) fn put(&mut self, ticket: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        self.told.remove(&ticket);
        self.waiting.insert(ticket, waker)
    }

    /// The waker that comes back is to be dropped when nothing is borrowed.
    pub(crate) fn leave(&mut self, ticket: &mut Option<u64>) -> Option<Waker> {
        let ticket = ticket.take()?;
        self.told.remove(&ticket);
        self.waiting.remove(&ticket)
    }

    /// Tells the first that was not told: the waker is to be woken when nothing is borrowed.
    pub(crate) fn tell_one(&mut self) -> Option<Waker> {
        let (ticket, waker) = self.waiting.pop_first()?;
        self.told.insert(ticket);
        Some(waker)
    }

    pub(crate) fn tell_all(&mut self, wakers: &mut Vec<Waker>) {
        for (ticket, waker) in std::mem::take(&mut self.waiting) {
            self.told.insert(ticket);
            wakers.push(waker);
        }
    }

    /// Whether the future was told since it last came.
    pub(crate) fn is_told(&self, ticket: Option<u64>) -> bool {
        ticket.is_some_and(|ticket| self.told.contains(&ticket))
    }

    /// Those who wait and were not told.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Waits until `attempt` is ready. Cancel-safe: an attempt that is pending has taken nothing.
pub(crate) struct Wait<'s, F> {
    shared: &'s Shared,
    wanted: Wanted,
    ticket: Option<u64>,
    attempt: F,
}

enum Outcome<T> {
    Ready(T),
    /// Its waker is in the queue.
    Parked,
    /// It is not yet.
    Pending,
}

impl<'s, F> Wait<'s, F> {
    pub(crate) fn new(shared: &'s Shared, wanted: Wanted, attempt: F) -> Self {
        Self { shared, wanted, ticket: None, attempt }
    }

    fn attempt<T>(&mut self, cx: &Context<'_>, waker: Option<Waker>) -> Outcome<T>
    where
        F: FnMut(&mut proto::Session) -> Poll<T>,
    {
        let (outcome, old) = self.shared.with(|inner| {
            if let Poll::Ready(output) = (self.attempt)(&mut inner.proto) {
                return (Outcome::Ready(output), waker);
            }
            let queue = inner.queue(self.wanted);
            match waker {
                Some(waker) => (Outcome::Parked, queue.put(&mut self.ticket, waker)),
                None if queue.holds(self.ticket, cx) => (Outcome::Parked, None),
                None => (Outcome::Pending, None),
            }
        });
        drop(old);
        outcome
    }

    fn leave(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let (own, next) = {
            let mut inner = self.shared.inner.borrow_mut();
            let queue = inner.queue(self.wanted);
            (queue.leave(&mut self.ticket), queue.tell_one())
        };
        drop(own);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl<T, F> Future for Wait<'_, F>
where
    F: FnMut(&mut proto::Session) -> Poll<T> + Unpin,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let mut outcome = this.attempt(cx, None);
        if matches!(outcome, Outcome::Pending) {
            // While it is cloned what this waits for may come, so it is looked after once more.
            outcome = this.attempt(cx, Some(cx.waker().clone()));
        }
        let Outcome::Ready(output) = outcome else { return Poll::Pending };
        this.leave();
        this.shared.kick();
        Poll::Ready(output)
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        self.leave();
    }
}

//! Futures that wait for the session: to open, to accept, for a pong, for the end.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::proto;
use crate::shared::{Shared, park};

/// What a future waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Accept,
    Open,
    Pong,
    End,
}

/// Futures that wait for one thing, the longest waiting first. One that is dropped leaves.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    next_ticket: u64,
    /// No waker: told, and not yet polled since.
    waiting: BTreeMap<u64, Option<Waker>>,
}

impl WaitQueue {
    /// The waker that comes back is to be dropped when nothing is borrowed.
    fn enter(&mut self, ticket: &mut Option<u64>, cx: &Context<'_>) -> Option<Waker> {
        let ticket = self.ticket(ticket);
        park(self.waiting.entry(ticket).or_default(), cx)
    }

    /// As `enter`, with a waker that was cloned where nothing was borrowed.
    pub(crate) fn put(&mut self, ticket: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let ticket = self.ticket(ticket);
        self.waiting.insert(ticket, Some(waker)).flatten()
    }

    /// The waker that comes back is to be dropped when nothing is borrowed.
    pub(crate) fn leave(&mut self, ticket: &mut Option<u64>) -> Option<Waker> {
        self.waiting.remove(&ticket.take()?).flatten()
    }

    /// Tells the first that was not told. It tells the next, when it has what it wanted or leaves.
    pub(crate) fn tell_one(&mut self) -> Option<Waker> {
        self.waiting.values_mut().find_map(Option::take)
    }

    pub(crate) fn tell_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.waiting.values_mut().filter_map(Option::take));
    }

    fn ticket(&mut self, ticket: &mut Option<u64>) -> u64 {
        *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        })
    }
}

/// Waits until `attempt` is ready. Cancel-safe: an attempt that is pending has taken nothing.
pub(crate) struct Wait<'s, F> {
    shared: &'s Shared,
    wanted: Wanted,
    ticket: Option<u64>,
    attempt: F,
}

impl<'s, F> Wait<'s, F> {
    pub(crate) fn new(shared: &'s Shared, wanted: Wanted, attempt: F) -> Self {
        Self { shared, wanted, ticket: None, attempt }
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
        let (outcome, old) = this.shared.with(|inner| match (this.attempt)(&mut inner.proto) {
            Poll::Ready(output) => (Poll::Ready(output), None),
            Poll::Pending => (Poll::Pending, inner.queue(this.wanted).enter(&mut this.ticket, cx)),
        });
        drop(old);
        let Poll::Ready(output) = outcome else { return Poll::Pending };
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

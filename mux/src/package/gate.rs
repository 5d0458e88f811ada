//! Who may go on, and who waits: a bounded number of places, and a bounded queue before them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::shared::park;

/// The places and the queue. A place that is given up goes to the first in the queue, and nobody who comes
/// later gets it.
#[derive(Debug)]
pub(super) struct Gate {
    inner: RefCell<Inner>,
    pending_max: usize,
}

#[derive(Debug)]
struct Inner {
    free: usize,
    next_ticket: u64,
    /// In the order they came.
    waiting: BTreeMap<u64, Option<Waker>>,
    /// Have a place, and were not polled since.
    granted: BTreeSet<u64>,
}

/// A place; dropping it gives it up.
#[derive(Debug)]
pub(super) struct Place(Rc<Gate>);

/// The queue is full.
#[derive(Debug)]
pub(super) struct Full;

impl Gate {
    pub(super) fn new(places: usize, pending_max: usize) -> Rc<Self> {
        let (waiting, granted) = (BTreeMap::new(), BTreeSet::new());
        let inner = Inner { free: places, next_ticket: 0, waiting, granted };
        Rc::new(Self { inner: RefCell::new(inner), pending_max })
    }

    /// Those who wait.
    pub(super) fn pending(&self) -> usize {
        self.inner.borrow().waiting.len()
    }

    pub(super) fn enter(self: &Rc<Self>) -> Enter {
        Enter { gate: Rc::clone(self), ticket: None }
    }

    fn give_up(&self) {
        let next = {
            let mut inner = self.inner.borrow_mut();
            match inner.waiting.pop_first() {
                Some((ticket, waker)) => {
                    inner.granted.insert(ticket);
                    waker
                }
                None => {
                    inner.free += 1;
                    None
                }
            }
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Waits for a place. One that is dropped leaves the queue, or passes on its place.
#[derive(Debug)]
pub(super) struct Enter {
    gate: Rc<Gate>,
    ticket: Option<u64>,
}

impl Enter {
    /// A place that is free now, or a ticket.
    fn first(&mut self, inner: &mut Inner) -> Result<Option<Place>, Full> {
        if inner.free > 0 {
            inner.free -= 1;
            return Ok(Some(Place(Rc::clone(&self.gate))));
        }
        if inner.waiting.len() >= self.gate.pending_max {
            return Err(Full);
        }
        inner.next_ticket += 1;
        self.ticket = Some(inner.next_ticket);
        inner.waiting.insert(inner.next_ticket, None);
        Ok(None)
    }
}

impl Future for Enter {
    type Output = Result<Place, Full>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gate = Rc::clone(&self.gate);
        let mut inner = gate.inner.borrow_mut();
        if self.ticket.is_none() {
            match self.first(&mut inner) {
                Ok(None) => {}
                Ok(Some(place)) => return Poll::Ready(Ok(place)),
                Err(full) => return Poll::Ready(Err(full)),
            }
        }
        let Some(ticket) = self.ticket else { unreachable!("taken above") };
        if inner.granted.remove(&ticket) {
            self.ticket = None;
            return Poll::Ready(Ok(Place(Rc::clone(&gate))));
        }
        let old = inner.waiting.get_mut(&ticket).and_then(|place| park(place, cx));
        drop(inner);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let (waker, granted) = {
            let mut inner = self.gate.inner.borrow_mut();
            (inner.waiting.remove(&ticket), inner.granted.remove(&ticket))
        };
        drop(waker);
        if granted {
            self.gate.give_up();
        }
    }
}

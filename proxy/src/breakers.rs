//! A cluster's circuit breakers: how much of it may be in use at once.
//!
//! Counts and limits only. What finds its limit reached is refused at once (status 4 in Bolt's terms);
//! nothing is queued. The counts belong to one cluster of one worker: two clusters that name the same
//! host do not share them.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// The limits of one cluster on one worker. [`usize::MAX`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Connections that are open or being made.
    pub connections_max: usize,
    /// Requests that wait for a connection that is being made.
    pub pending_max: usize,
    /// Requests that wait for their answer, those included.
    pub requests_max: usize,
    /// Requests being tried again.
    pub retries_max: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        let none = usize::MAX;
        Thresholds {
            connections_max: none,
            pending_max: none,
            requests_max: none,
            retries_max: none,
        }
    }
}

/// What is in use, each against its limit.
#[derive(Debug)]
pub struct Breakers {
    /// See [`Thresholds::connections_max`].
    pub connections: Rc<Resource>,
    /// See [`Thresholds::pending_max`].
    pub pending: Resource,
    /// See [`Thresholds::requests_max`].
    pub requests: Resource,
    /// See [`Thresholds::retries_max`].
    pub retries: Rc<Resource>,
}

impl Breakers {
    /// Nothing in use.
    pub fn new(limits: &Thresholds) -> Self {
        Breakers {
            connections: Rc::new(Resource::new(limits.connections_max)),
            pending: Resource::new(limits.pending_max),
            requests: Resource::new(limits.requests_max),
            retries: Rc::new(Resource::new(limits.retries_max)),
        }
    }
}

/// One count with its limit.
pub struct Resource {
    used: Cell<usize>,
    max: usize,
}

impl Resource {
    /// None in use, at most `max`.
    pub fn new(max: usize) -> Self {
        Resource { used: Cell::new(0), max }
    }

    /// How many are in use.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether no further one may be taken.
    pub fn is_full(&self) -> bool {
        self.used.get() >= self.max
    }

    /// Takes one until the seat is dropped; `None` when it is full.
    ///
    /// ```
    /// use proxy::breakers::Resource;
    ///
    /// let retries = std::rc::Rc::new(Resource::new(1));
    /// let seat = retries.seat();
    /// assert!(seat.is_some() && retries.seat().is_none());
    /// drop(seat);
    /// assert_eq!(retries.used(), 0);
    /// ```
    pub fn seat(self: &Rc<Self>) -> Option<Seat> {
        if self.is_full() {
            return None;
        }
        self.up();
        Some(Seat(Rc::clone(self)))
    }

    pub(crate) fn up(&self) {
        self.used.set(self.used.get() + 1);
    }

    pub(crate) fn down(&self) {
        self.sub(1);
    }

    pub(crate) fn sub(&self, n: usize) {
        self.used.set(self.used.get() - n);
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.used.get(), self.max)
    }
}

/// One of a [`Resource`], given back when dropped.
#[derive(Debug)]
pub struct Seat(Rc<Resource>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.down();
    }
}

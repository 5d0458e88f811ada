//! The connections to one host: dialed when a request wants one, shared by all clients of the same
//! protocol.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::codec::Protocol;
use crate::config;
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};
use crate::upstream::{self, Upstream};
use crate::worker::Worker;

/// One host of one cluster. Two clusters that name the same address have two, each with its own
/// connections, ids and limits.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) worker: Rc<Worker>,
    pub(crate) in_flight_max: usize,
    pub(crate) connect_timeout: Duration,
    /// One for each of [`Protocol::ALL`].
    pools: [Pool; Protocol::ALL.len()],
    failures: Cell<u32>,
    /// Not before this is it dialed again.
    retry_at: Cell<Option<Instant>>,
}

/// Connections of one protocol.
struct Pool {
    slots: RefCell<Vec<Option<Rc<Upstream>>>>,
    next: Cell<usize>,
}

/// What a connection, a host or a cluster can do for a request now; the best comes first.
pub(crate) enum Candidate {
    /// Take it.
    Ready(Rc<Upstream>),
    /// Take it when some of what waits to be written to it has left.
    Congested(Rc<Upstream>),
    /// Take it, but the last dial failed and this one is not through yet.
    Doubtful(Rc<Upstream>),
    /// Nothing: too many requests in flight.
    Full,
    /// Nothing: a dial failed and it is too early for the next, or there is no host.
    Down,
}

impl Candidate {
    fn rank(&self) -> u8 {
        match self {
            Candidate::Ready(_) => 0,
            Candidate::Congested(_) => 1,
            Candidate::Doubtful(_) => 2,
            Candidate::Full => 3,
            Candidate::Down => 4,
        }
    }
}

/// Asks `count` places in turn, beginning with `first`, until one is ready; otherwise the best
/// answer, of equal ones the first.
pub(crate) fn best_in_turn(
    first: usize,
    count: usize,
    mut ask: impl FnMut(usize) -> Candidate,
) -> Candidate {
    let mut best = Candidate::Down;
    for n in 0..count {
        match ask((first + n) % count) {
            ready @ Candidate::Ready(_) => return ready,
            other if other.rank() < best.rank() => best = other,
            _ => {}
        }
    }
    best
}

impl Host {
    pub(crate) fn new(
        address: SocketAddr,
        config: &config::Cluster,
        worker: &Rc<Worker>,
    ) -> Rc<Self> {
        let pool = || Pool {
            slots: RefCell::new(vec![None; config.connections_per_host]),
            next: Cell::new(0),
        };
        Rc::new(Host {
            address,
            worker: Rc::clone(worker),
            in_flight_max: config.in_flight_max,
            connect_timeout: config.connect_timeout,
            pools: Protocol::ALL.map(|_| pool()),
            failures: Cell::new(0),
            retry_at: Cell::new(None),
        })
    }

    /// The next connection in turn that takes a request, or else what is best of the others.
    pub(crate) fn candidate(self: &Rc<Self>, protocol: Protocol, now: Instant) -> Candidate {
        let pool = self.pool(protocol);
        let slots = pool.slots.borrow().len();
        let first = pool.next.get();
        pool.next.set((first + 1) % slots);
        best_in_turn(first, slots, |slot| self.connection(protocol, slot, now))
    }

    /// The connection in this slot, dialed when there is none.
    fn connection(self: &Rc<Self>, protocol: Protocol, slot: usize, now: Instant) -> Candidate {
        let present = self.pool(protocol).slots.borrow()[slot].clone();
        let upstream = match present {
            Some(upstream) => upstream,
            None if self.is_resting(now) => return Candidate::Down,
            None => self.dial(protocol, slot),
        };
        if upstream.is_full() {
            Candidate::Full
        } else if upstream.is_congested() {
            Candidate::Congested(upstream)
        } else if upstream.is_dialing() && self.failures.get() > 0 {
            Candidate::Doubtful(upstream)
        } else {
            Candidate::Ready(upstream)
        }
    }

    fn dial(self: &Rc<Self>, protocol: Protocol, slot: usize) -> Rc<Upstream> {
        let upstream = Upstream::new(Rc::clone(self), protocol, slot);
        self.pool(protocol).slots.borrow_mut()[slot] = Some(Rc::clone(&upstream));
        reactor::spawn(upstream::run(Rc::clone(&upstream))).detach();
        upstream
    }

    /// Takes the connection out of its slot, if it is still there.
    pub(crate) fn vacate(&self, upstream: &Rc<Upstream>) {
        let (protocol, slot) = upstream.place();
        let mut slots = self.pool(protocol).slots.borrow_mut();
        if slots[slot].as_ref().is_some_and(|present| Rc::ptr_eq(present, upstream)) {
            slots[slot] = None;
        }
    }

    fn pool(&self, protocol: Protocol) -> &Pool {
        &self.pools[protocol as usize]
    }

    /// Whether it is too early to dial it again.
    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        self.retry_at.get().is_some_and(|at| now < at)
    }

    /// A dial succeeded.
    pub(crate) fn connected(&self) {
        self.retry_at.set(None);
    }

    /// An answer came: the host does what it is there for.
    pub(crate) fn proved(&self) {
        self.failures.set(0);
    }

    /// A dial failed, or a connection ended before its first answer. Of several that were dialed
    /// together the first to fail counts.
    pub(crate) fn failed(&self, now: Instant) {
        if self.is_resting(now) {
            return;
        }
        let failures = self.failures.get();
        self.retry_at.set(Some(now + backoff(failures)));
        self.failures.set(failures.saturating_add(1));
    }
}

/// The pause after the failure that follows `failures` others: doubling, up to a limit.
fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn dials_that_fail_together_count_as_one_failure() {
        let config = config::Cluster {
            name: "c".to_owned(),
            hosts: Vec::new(),
            in_flight_max: 1,
            connections_per_host: 2,
            connect_timeout: Duration::from_secs(1),
        };
        let worker = Rc::new(Worker::new(Limits::default()));
        let host = Host::new("127.0.0.1:1".parse().unwrap(), &config, &worker);
        let now = Instant::now();
        host.failed(now);
        host.failed(now + BACKOFF_MIN / 2);
        assert_eq!((host.failures.get(), host.retry_at.get()), (1, Some(now + BACKOFF_MIN)));
        host.failed(now + BACKOFF_MIN);
        assert_eq!((host.failures.get(), host.retry_at.get()), (2, Some(now + 3 * BACKOFF_MIN)));
    }

    #[test]
    fn the_pause_between_dials_doubles_up_to_its_limit() {
        let pauses: Vec<u128> = (0..8).map(|n| backoff(n).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}

//! One host of one cluster: its connections, and what is known about its health.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::JoinHandle;

use super::{Ask, Shared, checks};
use crate::balance::Labels;
use crate::codec::Protocol;
use crate::config;
use crate::health::Outlier;
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};
use crate::pool::{Candidate, Pool};
use crate::upstream::{self, Upstream};
use crate::worker::Worker;

/// Two clusters that name the same address have two, each with its own connections, ids and limits.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    /// The address, as a name for the balancer.
    pub(crate) name: String,
    pub(crate) shared: Rc<Shared>,
    pub(crate) worker: Rc<Worker>,
    weight: Cell<u32>,
    labels: RefCell<Rc<Labels>>,
    /// One for each of [`Protocol::ALL`].
    pools: [Pool; Protocol::ALL.len()],
    /// Requests that wait for their answer.
    requests: Cell<usize>,
    failures: Cell<u32>,
    /// Not before this is it dialed again.
    retry_at: Cell<Option<Instant>>,
    outlier: RefCell<Outlier>,
    /// What the active checks say.
    healthy: Cell<bool>,
    checking: Cell<Option<JoinHandle<()>>>,
}

impl Host {
    pub(super) fn new(config: &config::Host, shared: &Rc<Shared>) -> Rc<Self> {
        let host = Rc::new(Host {
            address: config.address,
            name: config.address.to_string(),
            shared: Rc::clone(shared),
            worker: Rc::clone(&shared.worker),
            weight: Cell::new(config.weight),
            labels: RefCell::new(Rc::new(config.labels.clone())),
            pools: Protocol::ALL.map(|_| Pool::new(&shared.config)),
            requests: Cell::new(0),
            failures: Cell::new(0),
            retry_at: Cell::new(None),
            outlier: RefCell::default(),
            healthy: Cell::new(true),
            checking: Cell::new(None),
        });
        if let Some(rules) = shared.config.check {
            host.checking.set(Some(reactor::spawn(checks::run(Rc::downgrade(&host), rules))));
        }
        host
    }

    /// The same host with what the configuration says about it now.
    pub(super) fn changed(self: Rc<Self>, config: &config::Host) -> Rc<Self> {
        self.weight.set(config.weight);
        if **self.labels.borrow() != config.labels {
            *self.labels.borrow_mut() = Rc::new(config.labels.clone());
        }
        self
    }

    /// It is no member any more: its connections end when nobody waits for an answer on them.
    pub(super) fn leave(&self) {
        if let Some(checking) = self.checking.take() {
            checking.abort();
        }
        for upstream in self.pools.iter().flat_map(Pool::connections) {
            upstream.retire();
        }
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight.get()
    }

    pub(super) fn labels(&self) -> Rc<Labels> {
        Rc::clone(&self.labels.borrow())
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.get()
    }

    pub(super) fn connections(&self) -> usize {
        self.pools.iter().map(|pool| pool.connections().len()).sum()
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.get()
    }

    /// What the active checks say now.
    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.set(healthy);
        self.shared.changed();
    }

    pub(super) fn ejected_until(&self, now: Instant) -> Option<Instant> {
        self.outlier.borrow().ejected_until(now)
    }

    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.healthy.get() && self.ejected_until(now).is_none()
    }

    /// The connection that takes a request, dialed when there is none, or what hinders it.
    pub(super) fn candidate(self: &Rc<Self>, ask: &Ask<'_>) -> Candidate {
        self.pool(ask.protocol).candidate(self, ask)
    }

    /// What this connection can do for a request.
    pub(crate) fn offer(upstream: Rc<Upstream>) -> Candidate {
        let host = upstream.host();
        let waits = upstream.is_dialing();
        if upstream.is_full() || waits && host.shared.breakers.pending.is_full() {
            Candidate::Full
        } else if upstream.is_congested() {
            Candidate::Congested(upstream)
        } else if waits && host.has_failed() {
            Candidate::Doubtful(upstream)
        } else {
            Candidate::Ready(upstream)
        }
    }

    /// Whether a connection may be made now for a request that will wait for it; if not, what hinders
    /// it.
    pub(crate) fn may_dial(&self, now: Instant) -> Result<(), Candidate> {
        let breakers = &self.shared.breakers;
        if self.is_resting(now) {
            Err(Candidate::Down)
        } else if breakers.connections.is_full() || breakers.pending.is_full() {
            Err(Candidate::Full)
        } else {
            Ok(())
        }
    }

    /// Makes a connection that has this place in the pool of its protocol.
    pub(crate) fn dial(self: &Rc<Self>, protocol: Protocol, slot: usize) -> Rc<Upstream> {
        let upstream = Upstream::new(Rc::clone(self), protocol, slot);
        reactor::spawn(upstream::run(Rc::clone(&upstream))).detach();
        upstream
    }

    pub(crate) fn pool(&self, protocol: Protocol) -> &Pool {
        &self.pools[protocol as usize]
    }

    /// A request went there that wants an answer.
    pub(crate) fn request_began(&self) {
        self.requests.set(self.requests.get() + 1);
        self.shared.breakers.requests.up();
    }

    /// It wants none any more.
    pub(crate) fn request_ended(&self) {
        self.requests.set(self.requests.get() - 1);
        self.shared.breakers.requests.down();
    }

    /// Whether it has given no answer since a dial or a connection failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failures.get() > 0
    }

    /// Whether it is too early to dial it again.
    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        self.retry_at.get().is_some_and(|at| now < at)
    }

    /// A dial succeeded.
    pub(crate) fn connected(&self) {
        self.retry_at.set(None);
    }

    /// The first answer, or acknowledged heartbeat, on a connection came: the host does what it is there for.
    pub(crate) fn proved(&self) {
        self.failures.set(0);
    }

    /// An answer came.
    pub(crate) fn succeeded(&self) {
        if self.shared.config.outliers.is_some() {
            self.outlier.borrow_mut().succeeded();
        }
    }

    /// A request got no answer: its time-out passed, or its connection was lost or never made.
    pub(crate) fn missed(&self, now: Instant) {
        let Some(rules) = &self.shared.config.outliers else { return };
        let may_eject = self.shared.may_eject();
        let ejected = self.outlier.borrow_mut().failed(rules, may_eject, now);
        if let Some(until) = ejected {
            self.shared.ejected(until);
            log::warn!(
                "cluster `{}`: host {} left out for {:?}: {} requests in a row got no answer",
                self.shared.config.name,
                self.address,
                until - now,
                rules.failures
            );
        }
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
    use crate::cluster::Cluster;
    use crate::limits::Limits;

    /// A host of a cluster of its own.
    fn host() -> Rc<Host> {
        let text = r#"{"servers": [{"listeners": [{"address": "127.0.0.1:1", "filter_chains": [
            {"filters": [{"type": "tcp_proxy", "config": {"cluster": "c"}}]}]}]}],
            "cluster_manager": {"clusters": [
                {"name": "c", "hosts": [{"address": "127.0.0.1:1"}]}]}}"#;
        let config = crate::Config::parse("test.json".as_ref(), text).unwrap();
        let worker = Rc::new(Worker::new(Limits::default()));
        let cluster = Cluster::new(&config.clusters[0], &worker);
        Rc::clone(&cluster.members.borrow().hosts[0])
    }

    #[test]
    fn a_host_that_has_answered_begins_anew_when_it_fails_again() {
        let (host, now) = (host(), Instant::now());
        host.failed(now);
        host.failed(now + BACKOFF_MIN);
        host.connected();
        assert!(!host.is_resting(now + BACKOFF_MIN), "a connection was made meanwhile");
        host.proved();
        host.failed(now + BACKOFF_MAX);
        assert_eq!(host.retry_at.get(), Some(now + BACKOFF_MAX + BACKOFF_MIN));
    }

    #[test]
    fn dials_that_fail_together_count_as_one_failure() {
        let (host, now) = (host(), Instant::now());
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

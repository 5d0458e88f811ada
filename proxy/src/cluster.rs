//! A group of hosts, and which of them takes the next request.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::codec::Codec;
use crate::config;
use crate::pool::{Candidate, Host};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Hosts that serve the same requests, taken in turn.
pub(crate) struct Cluster {
    name: String,
    hosts: Vec<Rc<Host>>,
    next: Cell<usize>,
}

/// Where a request can go now.
pub(crate) enum Pick {
    /// To this connection.
    Use(Rc<Upstream>),
    /// To no connection before this one has written some of what waits for it.
    Congested(Rc<Upstream>),
    /// Nowhere: every connection has as many requests in flight as it may.
    Full,
    /// Nowhere: there is no host, or none that could be dialed lately.
    Down,
}

impl Cluster {
    pub(crate) fn new(
        config: &config::Cluster,
        worker: &Rc<Worker>,
        codec: &'static dyn Codec,
    ) -> Self {
        let hosts = config.hosts.iter().map(|&address| Host::new(address, config, worker, codec));
        Cluster { name: config.name.clone(), hosts: hosts.collect(), next: Cell::new(0) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The first host, in turn, that takes the request. A host that failed before and is being
    /// tried again comes last, so that requests do not wait for it while another host lives.
    pub(crate) fn pick(&self, now: Instant) -> Pick {
        let first = self.turn();
        let mut second_choice = Pick::Down;
        for n in 0..self.hosts.len() {
            let host = &self.hosts[(first + n) % self.hosts.len()];
            match host.candidate(now) {
                Candidate::Ready(upstream) => return Pick::Use(upstream),
                other => second_choice = better(second_choice, other),
            }
        }
        second_choice
    }

    fn turn(&self) -> usize {
        let turn = self.next.get();
        let hosts = self.hosts.len().max(1);
        self.next.set((turn + 1) % hosts);
        turn
    }
}

/// Waiting for a busy host beats waiting for a doubtful one, and both beat a refusal.
fn better(so_far: Pick, candidate: Candidate) -> Pick {
    match (so_far, candidate) {
        (Pick::Congested(upstream), _) => Pick::Congested(upstream),
        (_, Candidate::Congested(upstream)) => Pick::Congested(upstream),
        (Pick::Use(upstream), _) | (_, Candidate::Doubtful(upstream)) => Pick::Use(upstream),
        (Pick::Full, _) | (_, Candidate::Full) => Pick::Full,
        (so_far, _) => so_far,
    }
}

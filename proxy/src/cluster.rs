//! A group of hosts, and which of them takes the next request.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::codec::Codec;
use crate::config;
use crate::pool::{Candidate, Host, best_in_turn};
use crate::worker::Worker;

/// Hosts that serve the same requests, taken in turn.
pub(crate) struct Cluster {
    name: String,
    hosts: Vec<Rc<Host>>,
    next: Cell<usize>,
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

    /// The first host, in turn, that takes the request, or else what is best of the others. A host
    /// that failed before and is being tried again comes last, so that requests do not wait for it
    /// while another host lives.
    pub(crate) fn pick(&self, now: Instant) -> Candidate {
        best_in_turn(self.turn(), self.hosts.len(), |host| self.hosts[host].candidate(now))
    }

    fn turn(&self) -> usize {
        let turn = self.next.get();
        let hosts = self.hosts.len().max(1);
        self.next.set((turn + 1) % hosts);
        turn
    }
}

//! A group of hosts, and which of them takes the next request.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use crate::codec::Protocol;
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
    pub(crate) fn new(config: &config::Cluster, worker: &Rc<Worker>) -> Self {
        let hosts = config.hosts.iter().map(|&address| Host::new(address, config, worker));
        Cluster { name: config.name.clone(), hosts: hosts.collect(), next: Cell::new(0) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The first host, in turn, that takes the request, or else what is best of the others. A host
    /// that failed before and is being tried again comes last, so that requests do not wait for it
    /// while another host lives.
    ///
    /// The host `avoid` is taken only when no other takes the request.
    pub(crate) fn pick(
        &self,
        protocol: Protocol,
        now: Instant,
        avoid: Option<SocketAddr>,
    ) -> Candidate {
        let turn = self.turn();
        let among = |may: &dyn Fn(&Host) -> bool| {
            best_in_turn(turn, self.hosts.len(), |host| {
                let host = &self.hosts[host];
                if may(host) { host.candidate(protocol, now) } else { Candidate::Down }
            })
        };
        match avoid {
            None => among(&|_| true),
            Some(avoid) => match among(&|host| host.address != avoid) {
                Candidate::Full | Candidate::Down => among(&|host| host.address == avoid),
                other => other,
            },
        }
    }

    /// Every host once, the next in turn first.
    pub(crate) fn hosts_in_turn(&self) -> impl Iterator<Item = &Rc<Host>> {
        let (before, from) = self.hosts.split_at(self.turn().min(self.hosts.len()));
        from.iter().chain(before)
    }

    fn turn(&self) -> usize {
        let turn = self.next.get();
        let hosts = self.hosts.len().max(1);
        self.next.set((turn + 1) % hosts);
        turn
    }
}

//! What a cluster is doing, for people and tests.

use std::net::SocketAddr;

use reactor::time;

use super::{Cluster, Host};

/// A cluster of one worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Its hosts; those that have left are not among them, even while requests wait for them.
    pub hosts: Vec<HostStatus>,
    /// Connections that are open or being made, to hosts that have left too.
    pub connections: usize,
    /// Requests that wait for a connection.
    pub pending: usize,
    /// Requests that wait for their answer.
    pub requests: usize,
    /// Requests being tried again.
    pub retries: usize,
}

/// One host of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// Its address.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// What the active checks say; `true` without them.
    pub healthy: bool,
    /// Whether it is left out because its requests failed.
    pub ejected: bool,
    /// Connections that are open or being made, without those that take no further requests.
    pub connections: usize,
    /// Requests that wait for their answer.
    pub requests: usize,
}

impl ClusterStatus {
    /// Whether no request is there; connections may be.
    pub fn is_idle(&self) -> bool {
        self.pending + self.requests + self.retries == 0
    }
}

impl Cluster {
    pub(crate) fn status(&self) -> ClusterStatus {
        let breakers = self.breakers();
        ClusterStatus {
            name: self.name().to_owned(),
            hosts: self.members.borrow().hosts.iter().map(|host| host.status()).collect(),
            connections: breakers.connections.used(),
            pending: breakers.pending.used(),
            requests: breakers.requests.used(),
            retries: breakers.retries.used(),
        }
    }
}

impl Host {
    fn status(&self) -> HostStatus {
        HostStatus {
            address: self.address,
            weight: self.weight(),
            healthy: self.is_healthy(),
            ejected: self.ejected_until(time::now()).is_some(),
            connections: self.connections(),
            requests: self.requests(),
        }
    }
}

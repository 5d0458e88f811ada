//! Which cluster a request goes to.
//!
//! The request's domain decides the virtual host, the first route of it whose conditions all hold
//! the clusters, their weights the cluster. Nothing here allocates, but for what a regular
//! expression needs when it is used first.

mod domains;
mod hash_key;
mod matcher;
mod table;
mod targets;

use std::rc::Rc;
use std::time::Duration;

use crate::balance::Labels;
use crate::cluster::Cluster;
use crate::codec::{Codec, CodecError, Frame};
use crate::config;
use crate::limits::{REQUEST_TIMEOUT, TIMEOUT_MAX};
use crate::random::Random;
use crate::retry::Retry;

use domains::Domains;
pub(crate) use hash_key::HashKey;
use matcher::Condition;
use table::Table;
use targets::Targets;

/// The routes of one listener on one thread.
pub(crate) struct Router {
    domain_header: Vec<u8>,
    domains: Domains,
    /// One for each virtual host.
    tables: Vec<Table>,
    random: Random,
}

/// One route.
pub(crate) struct Route {
    conditions: Vec<Condition>,
    targets: Targets,
    /// For requests that name no time-out themselves.
    timeout: Duration,
    /// What the host must have.
    pub(crate) labels: Rc<Labels>,
    pub(crate) retry: Option<Rc<Retry>>,
    /// What a consistent hash finds the request's host by.
    pub(crate) hash_key: HashKey,
}

impl Router {
    /// `seed` decides how weights are drawn; without one every router draws differently.
    pub(crate) fn new(
        config: &config::Router,
        clusters: &[Rc<Cluster>],
        seed: Option<u64>,
    ) -> Self {
        let hosts = &config.virtual_hosts;
        let table = |host: &config::VirtualHost| {
            Table::new(host.routes.iter().map(|route| Route::new(route, clusters)).collect())
        };
        Router {
            domain_header: config.domain_header.clone().into(),
            domains: Domains::new(hosts.iter().map(|host| &host.domains[..])),
            tables: hosts.iter().map(table).collect(),
            random: seed.map_or_else(Random::new, Random::with_seed),
        }
    }

    /// The first route of the request's virtual host that matches. Headers are looked at only when
    /// a domain or a route asks for one.
    pub(crate) fn find(
        &self,
        codec: &impl Codec,
        frame: &Frame,
        bytes: &[u8],
    ) -> Result<Option<&Route>, CodecError> {
        let domain = if self.domains.ask() {
            codec.header(frame, bytes, &self.domain_header)?
        } else {
            None
        };
        match self.domains.find(domain) {
            Some(number) => self.tables[number].find(codec, frame, bytes),
            None => Ok(None),
        }
    }

    /// The cluster that the next request of this route goes to; `None` when it does not exist.
    pub(crate) fn pick<'a>(&self, route: &'a Route) -> Option<&'a Rc<Cluster>> {
        route.targets.pick(&self.random)
    }
}

impl Route {
    fn new(config: &config::Route, clusters: &[Rc<Cluster>]) -> Self {
        Route {
            conditions: config.headers.iter().map(Condition::new).collect(),
            targets: Targets::new(&config.targets, clusters),
            timeout: config.timeout.unwrap_or(REQUEST_TIMEOUT).min(TIMEOUT_MAX),
            labels: Rc::new(config.labels.clone()),
            retry: config.retry_policy.clone().map(|policy| Rc::new(Retry::new(policy))),
            hash_key: HashKey::new(&config.hash_policy),
        }
    }

    /// The time-out of a request. One that names none, or one that is no time, still gets one: nothing
    /// waits for ever.
    pub(crate) fn timeout(&self, frame: &Frame) -> Duration {
        frame.timeout().unwrap_or(self.timeout)
    }

    fn matches(&self, codec: &impl Codec, frame: &Frame, bytes: &[u8]) -> Result<bool, CodecError> {
        for condition in &self.conditions {
            if !condition.holds(codec.header(frame, bytes, condition.name())?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;

//! A group of hosts, and which of them takes the next request.
//!
//! The hosts may change at any time ([`membership`]): those that stay keep their connections, those that
//! leave get no further requests and end when they have answered the last one. Which of them are worth
//! asking is looked at anew only when something has changed; a request costs one pick of its
//! [`Balancer`].

mod checks;
mod host;
mod membership;
mod resolver;
mod status;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::{JoinHandle, time};

use crate::balance::{Balancer, Group, Labels, Member, Policy, Rng, Subsets};
use crate::breakers::Breakers;
use crate::codec::Protocol;
use crate::config;
use crate::downstream::Downstream;
use crate::pool::{Candidate, best_of};
use crate::worker::Worker;

pub(crate) use host::Host;
pub(crate) use membership::hosts_in;
pub(crate) use resolver::Resolver;
pub use status::{ClusterStatus, HostStatus};

/// Picks of the balancer before all other hosts are asked in turn.
const PICKS_MAX: usize = 3;

/// What a request wants of a cluster.
pub(crate) struct Ask<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) now: Instant,
    /// What a consistent hash goes by.
    pub(crate) key: u64,
    /// The labels that its host must have.
    pub(crate) labels: &'a Labels,
    /// The host that has just failed it: asked only when all others are down. Others that are full are
    /// overloaded, and the bad one is no help.
    pub(crate) avoid: Option<SocketAddr>,
    /// Whose request it is.
    pub(crate) client: &'a Rc<Downstream>,
}

/// See the module's page.
pub(crate) struct Cluster {
    name: Rc<str>,
    shared: Rc<Shared>,
    members: RefCell<Members>,
    rng: RefCell<Rng>,
    /// What keeps the hosts up to date.
    watching: Cell<Option<JoinHandle<()>>>,
}

/// What a cluster's hosts and connections share.
pub(crate) struct Shared {
    pub(crate) config: config::Cluster,
    pub(crate) worker: Rc<Worker>,
    pub(crate) breakers: Breakers,
    /// Whether the groups are to be looked at anew.
    stale: Cell<bool>,
    /// When the next ejection ends.
    stale_at: Cell<Option<Instant>>,
    hosts: Cell<usize>,
    ejected: Cell<usize>,
}

#[derive(Default)]
struct Members {
    hosts: Vec<Rc<Host>>,
    all: Choice,
    subsets: Subsets,
    groups: Vec<Part>,
}

/// One group of them.
struct Part {
    /// Their indices.
    hosts: Vec<usize>,
    /// Made when the first request asks for it: there are as many groups as values of labels, at most one
    /// for each host and selector, but no more are asked for than there are routes.
    choice: Option<Choice>,
}

/// The hosts of one group that are worth asking, and the balancer that knows them.
#[derive(Default)]
struct Choice {
    hosts: Vec<Rc<Host>>,
    balancer: Option<Balancer>,
}

impl Cluster {
    /// The cluster, with the hosts that the configuration lists, and what looks for others started.
    pub(crate) fn new(config: &config::Cluster, worker: &Rc<Worker>) -> Rc<Self> {
        let shared = Rc::new(Shared {
            config: config.clone(),
            worker: Rc::clone(worker),
            breakers: Breakers::new(&config.breakers),
            stale: Cell::new(true),
            stale_at: Cell::new(None),
            hosts: Cell::new(0),
            ejected: Cell::new(0),
        });
        let cluster = Rc::new(Cluster {
            name: config.name.as_str().into(),
            shared,
            members: RefCell::default(),
            rng: RefCell::new(Rng::new(worker.seed_of(&config.name))),
            watching: Cell::new(None),
        });
        cluster.set_hosts(&config.hosts);
        cluster.watching.set(membership::watch(&cluster));
        cluster
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same, for whoever keeps it: not a copy.
    pub(crate) fn shared_name(&self) -> Rc<str> {
        Rc::clone(&self.name)
    }

    /// Time-out of a dial.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.shared.config.connect_timeout
    }

    /// Whether it goes by the key of a request.
    pub(crate) fn goes_by_key(&self) -> bool {
        self.shared.config.policy == Policy::Maglev
    }

    /// The host and connection for a request, or what hinders it.
    ///
    /// The balancer is asked a few times, so that a host that takes nothing now costs the others no
    /// balance; then everybody is. A host that failed before and is being tried again comes last, so
    /// that requests do not wait for it while another host lives.
    pub(crate) fn pick(&self, ask: &Ask<'_>) -> Candidate {
        if self.shared.breakers.requests.is_full() {
            return Candidate::Full;
        }
        if let Some(bound) = ask.client.bindings.find(&self.shared) {
            return Host::offer(bound);
        }
        let mut members = self.members.borrow_mut();
        self.refresh(&mut members, ask.now);
        let mut rng = self.rng.borrow_mut();
        match members.choice(ask.labels, &self.shared.config, ask.now, &mut rng) {
            Some(choice) => choice.pick(ask, &mut rng),
            None => Candidate::Down,
        }
    }

    /// Every host once, the balancer's pick first.
    pub(crate) fn hosts_in_turn(&self, key: u64) -> Vec<Rc<Host>> {
        let (mut members, now) = (self.members.borrow_mut(), time::now());
        self.refresh(&mut members, now);
        let mut rng = self.rng.borrow_mut();
        let config = &self.shared.config;
        let Some(choice) = members.choice(&Labels::default(), config, now, &mut rng) else {
            return Vec::new();
        };
        let first = choice.first(key, &mut rng).unwrap_or(0);
        let (before, from) = choice.hosts.split_at(first);
        from.iter().chain(before).map(Rc::clone).collect()
    }

    pub(crate) fn breakers(&self) -> &Breakers {
        &self.shared.breakers
    }

    /// Takes these hosts in place of those it has. What stays the same keeps its connections; what
    /// leaves gets no further requests.
    pub(crate) fn set_hosts(&self, hosts: &[config::Host]) {
        let mut members = self.members.borrow_mut();
        // Ordered: what leaves does so in the same order in every run of a seed.
        let mut before: BTreeMap<SocketAddr, Rc<Host>> =
            members.hosts.drain(..).map(|host| (host.address, host)).collect();
        let hosts: Vec<Rc<Host>> = hosts
            .iter()
            .map(|config| match before.remove(&config.address) {
                Some(host) => host.changed(config),
                None => Host::new(config, &self.shared),
            })
            .collect();
        self.shared.hosts.set(hosts.len());
        self.shared.stale.set(true);
        members.hosts = hosts;
        members.all = Choice::default();
        members.groups.clear();
        drop(members);
        before.into_values().for_each(|host| host.leave());
    }

    /// No further requests: its connections end when they have answered the last one. Nothing keeps its
    /// hosts up to date any more, and nobody asks after their health.
    pub(crate) fn retire(&self) {
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        let hosts = self.members.borrow().hosts.clone();
        hosts.iter().for_each(|host| host.leave());
    }

    /// Makes the groups anew if something has changed.
    fn refresh(&self, members: &mut Members, now: Instant) {
        let shared = &self.shared;
        if !shared.stale.get() && shared.stale_at.get().is_none_or(|at| now < at) {
            return;
        }
        shared.stale.set(false);
        let ends = members.hosts.iter().filter_map(|host| host.ejected_until(now));
        let ends: Vec<Instant> = ends.collect();
        shared.ejected.set(ends.len());
        shared.stale_at.set(ends.into_iter().min());
        members.regroup(&shared.config, now, &mut self.rng.borrow_mut());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        self.members.get_mut().hosts.drain(..).for_each(|host| host.leave());
    }
}

impl Shared {
    /// The groups are to be looked at anew.
    fn changed(&self) {
        self.stale.set(true);
    }

    /// Whether one more host may be ejected.
    fn may_eject(&self) -> bool {
        let rules = self.config.outliers.as_ref();
        rules.is_some_and(|rules| self.ejected.get() < rules.ejected_max(self.hosts.get()))
    }

    /// A host was ejected until then.
    fn ejected(&self, until: Instant) {
        self.ejected.set(self.ejected.get() + 1);
        let first = self.stale_at.get().map_or(until, |at| at.min(until));
        self.stale_at.set(Some(first));
        self.changed();
    }
}

impl Members {
    fn choice(
        &mut self,
        labels: &Labels,
        config: &config::Cluster,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<&mut Choice> {
        if self.groups.is_empty() {
            return Some(&mut self.all);
        }
        let Group(group) = self.subsets.find(labels)?;
        let Part { hosts, choice } = self.groups.get_mut(group)?;
        let hosts = hosts.iter().map(|host| &self.hosts[*host]);
        Some(choice.get_or_insert_with(|| Choice::new(hosts, config, now, rng)))
    }

    fn regroup(&mut self, config: &config::Cluster, now: Instant, rng: &mut Rng) {
        let Some(rules) = &config.subsets else {
            self.all = Choice::new(self.hosts.iter(), config, now, rng);
            return;
        };
        let labels: Vec<Rc<Labels>> = self.hosts.iter().map(|host| host.labels()).collect();
        let labels: Vec<&Labels> = labels.iter().map(|labels| &**labels).collect();
        let (subsets, groups) = Subsets::new(rules, &labels);
        self.groups = groups.into_iter().map(|hosts| Part { hosts, choice: None }).collect();
        self.subsets = subsets;
    }
}

impl Choice {
    /// Those of these hosts that are worth asking; all of them when none is: an answer that is
    /// unlikely is better than none.
    fn new<'a>(
        hosts: impl Iterator<Item = &'a Rc<Host>> + Clone,
        config: &config::Cluster,
        now: Instant,
        rng: &mut Rng,
    ) -> Self {
        let usable = hosts.clone().filter(|host| host.is_usable(now));
        let mut chosen: Vec<Rc<Host>> = usable.map(Rc::clone).collect();
        if chosen.is_empty() {
            chosen = hosts.map(Rc::clone).collect();
        }
        let members: Vec<Member<'_>> =
            chosen.iter().map(|host| Member { name: &host.name, weight: host.weight() }).collect();
        let balancer = Some(Balancer::new(config.policy, &members, rng));
        Choice { hosts: chosen, balancer }
    }

    fn first(&mut self, key: u64, rng: &mut Rng) -> Option<usize> {
        let Choice { hosts, balancer } = self;
        balancer.as_mut()?.pick(key, rng, |host| hosts[host].requests())
    }

    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng) -> Candidate {
        let mut best = Candidate::Down;
        let mut last = 0;
        for attempt in 0..PICKS_MAX.min(self.hosts.len()) as u64 {
            let Some(host) = self.first(ask.key.wrapping_add(attempt), rng) else { break };
            last = host;
            let host = &self.hosts[host];
            if ask.avoid != Some(host.address) && best_of(&mut best, host.candidate(ask)) {
                return best;
            }
        }
        let others = self.hosts[last..].iter().chain(&self.hosts[..last]);
        for host in others.filter(|host| ask.avoid != Some(host.address)) {
            if best_of(&mut best, host.candidate(ask)) {
                return best;
            }
        }
        let avoided = self.hosts.iter().find(|host| ask.avoid == Some(host.address));
        match (best, avoided) {
            (Candidate::Down, Some(host)) => host.candidate(ask),
            (best, _) => best,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_group_gets_its_balancer_when_it_is_asked_for() {
        let host = |n: u32| {
            format!(
                r#"{{"address": "10.0.0.{n}:1",
                     "metadata": {{"filter_metadata": {{"mosn.lb": {{"n": "{n}"}}}}}}}}"#
            )
        };
        let hosts: Vec<String> = (1..=100).map(host).collect();
        let text = format!(
            r#"{{"servers": [{{"listeners": [{{"address": "127.0.0.1:1", "filter_chains": [
                {{"filters": [{{"type": "tcp_proxy", "config": {{"cluster": "c"}}}}]}}]}}]}}],
                "cluster_manager": {{"clusters": [{{"name": "c", "lb_type": "LB_MAGLEV",
                "lb_subset_config": {{"fall_back_policy": 1, "subset_selectors": [["n"]]}},
                "hosts": [{}]}}]}}}}"#,
            hosts.join(",")
        );
        let config = crate::Config::parse("test.json".as_ref(), &text).unwrap();
        let worker = Rc::new(Worker::new(Limits::default()));
        let cluster = Cluster::new(&config.clusters[0], &worker);
        let mut members = cluster.members.borrow_mut();
        let now = Instant::now();
        cluster.refresh(&mut members, now);
        let made = |members: &Members| members.groups.iter().filter(|g| g.choice.is_some()).count();
        assert_eq!((members.groups.len(), made(&members)), (101, 0));
        let wanted = Labels::new([("n".to_owned(), "7".to_owned())]);
        for _ in 0..2 {
            let mut rng = Rng::new(1);
            let choice = members.choice(&wanted, &config.clusters[0], now, &mut rng).unwrap();
            assert_eq!(choice.hosts[0].name, "10.0.0.7:1");
            assert_eq!((choice.hosts.len(), made(&members)), (1, 1));
        }
    }
}

use super::*;
use crate::codec::{Decoded, FrameLimits};
use crate::config::RetryPolicy;
use crate::limits::{Limits, RETRY_BUDGET_MIN, RETRY_BUDGET_PERCENT};

/// Two clusters with one retry at a time each, and a route that retries.
struct Bed {
    worker: Rc<Worker>,
    clusters: [Rc<Cluster>; 2],
    labels: Rc<Labels>,
    retry: Rc<Retry>,
}

impl Bed {
    fn new() -> Bed {
        let text = r#"{"servers": [{"listeners": [{"address": "127.0.0.1:1", "filter_chains": [
            {"filters": [{"type": "tcp_proxy", "config": {"cluster": "a"}}]}]}]}],
            "cluster_manager": {"clusters": [
                {"name": "a", "hosts": [], "circuit_breakers": [{"max_retries": 1}]},
                {"name": "b", "hosts": [], "circuit_breakers": [{"max_retries": 1}]}]}}"#;
        let config = crate::Config::parse("test.json".as_ref(), text).unwrap();
        let worker = Rc::new(Worker::new(Limits::default()));
        let cluster = |at: usize| Cluster::new(&config.clusters[at], &worker);
        let retry = Retry::new(RetryPolicy { retries_max: 5, ..RetryPolicy::default() });
        Bed {
            clusters: [cluster(0), cluster(1)],
            worker,
            labels: Rc::default(),
            retry: Rc::new(retry),
        }
    }

    fn journey(&self, oneway: bool) -> Box<Journey> {
        let mut bytes = Vec::new();
        let request = crate::codec::bolt::Request { oneway, ..Default::default() };
        request.encode(&mut bytes).unwrap();
        let Ok(Decoded::Frame(frame)) = Protocol::Bolt.decode(&bytes, &FrameLimits::NONE) else {
            panic!("{bytes:?}");
        };
        let peer = (Protocol::Bolt, ([127, 0, 0, 1], 1).into());
        let mut journey = Journey::new(Stream::new(oneway), &frame, &bytes, peer, Instant::now());
        journey.kept = Some(Kept::new((&bytes[..]).into(), &self.worker));
        journey
    }

    fn route(&self, journey: &mut Journey, cluster: usize) {
        journey.take_route(&Found {
            cluster: &self.clusters[cluster],
            labels: &self.labels,
            key: 0,
            timeout: Duration::from_secs(1),
            retry: Some(&self.retry),
        });
    }

    /// Retries that are left in the budget, which is empty then.
    fn drain(&self) -> u32 {
        (0..).take_while(|_| self.retry.take(1).is_ok()).count() as u32
    }

    fn retries(&self) -> [usize; 2] {
        self.clusters.each_ref().map(|cluster| cluster.breakers().retries.used())
    }
}

#[test]
fn a_request_pays_into_the_budget_once_however_often_it_is_routed() {
    let bed = Bed::new();
    assert_eq!(bed.drain(), RETRY_BUDGET_MIN);
    for _ in 0..100 / RETRY_BUDGET_PERCENT {
        let mut journey = bed.journey(false);
        (0..5).for_each(|n| bed.route(&mut journey, n % 2));
    }
    assert_eq!(bed.drain(), 1);
}

#[test]
fn a_oneway_pays_for_no_retry() {
    let bed = Bed::new();
    bed.drain();
    (0..100).for_each(|_| bed.route(&mut bed.journey(true), 0));
    assert_eq!(bed.drain(), 0);
}

#[test]
fn a_request_that_changes_its_cluster_leaves_its_retry_and_its_bad_host_behind() {
    let bed = Bed::new();
    let mut journey = bed.journey(false);
    bed.route(&mut journey, 0);
    assert!(journey.may_retry(Instant::now()));
    journey.avoid = Some(([10, 0, 0, 1], 1).into());
    bed.route(&mut journey, 0);
    assert_eq!((bed.retries(), journey.avoid.is_some()), ([1, 0], true), "it is the same cluster");
    bed.route(&mut journey, 1);
    assert_eq!((bed.retries(), journey.avoid.is_some()), ([0, 0], false));
    assert!(journey.may_retry(Instant::now()));
    assert_eq!(bed.retries(), [0, 1]);
}

#[test]
fn a_retry_that_the_budget_denies_takes_no_seat() {
    let bed = Bed::new();
    let mut journey = bed.journey(false);
    bed.route(&mut journey, 0);
    bed.drain();
    assert!(!journey.may_retry(Instant::now()));
    assert_eq!(bed.retries(), [0, 0]);
    assert!(journey.record.flags.has(Flag::RetryLimit));
}

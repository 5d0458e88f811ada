//! A cluster in virtual time, from seeds: hosts die and come back, stall, answer late or twice or in
//! part, and say that they go; clients leave. Every request has exactly one outcome, and at the end
//! nothing is counted as there.

mod common;

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use proxy::Server;
use proxy::balance::Rng;
use proxy::codec::Kind;
use proxy::codec::bolt::status;
use proxy::stats::Snapshot;
use reactor::{JoinHandle, time};

const HOSTS: usize = 2;
const CLIENTS: usize = 4;
const REQUESTS: u32 = 60;

const POOLS: [&str; 3] = ["multiplex", "ping_pong", "binding"];
const POLICIES: [&str; 5] =
    ["LB_ROUNDROBIN", "LB_WEIGHTED_ROUNDROBIN", "LB_RANDOM", "LB_LEAST_REQUEST", "LB_MAGLEV"];

/// Chance that a seed replays, shared by all that play.
#[derive(Clone)]
struct Dice(Rc<RefCell<Rng>>);

impl Dice {
    fn below(&self, n: usize) -> usize {
        self.0.borrow_mut().below(n)
    }

    /// Once in `n` times.
    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    async fn pause(&self, ms_max: usize) {
        time::sleep(Duration::from_millis(self.below(ms_max) as u64)).await;
    }
}

/// A host that lives and dies at one address.
async fn host(address: SocketAddr, dice: Dice) {
    loop {
        let host = Host::at(address);
        let mut connections = Vec::new();
        let life = Duration::from_millis(100 + dice.below(2_000) as u64);
        let death = time::now() + life;
        while let Ok(peer) = time::timeout(death - time::now(), host.accept()).await {
            connections.push(reactor::spawn(serve(peer, dice.clone())));
        }
        drop(host);
        connections.iter().for_each(JoinHandle::abort);
        dice.pause(1_000).await;
    }
}

async fn serve(mut peer: Peer, dice: Dice) {
    let mut late = Vec::new();
    while let Some(got) = peer.next().await {
        if got.frame.kind != Kind::Request {
            continue;
        }
        let answer = response(got.id(), got.content());
        let bytes = match dice.below(40) {
            0 => return,
            1 => {
                // Cut at any byte.
                let _ = peer.stream.write_all(&answer[..dice.below(answer.len())]).await;
                return;
            }
            2 => {
                let mut go_away = heartbeat(0);
                go_away[3] = 100;
                [answer, go_away].concat()
            }
            3 | 4 => [answer.clone(), answer].concat(),
            5 | 6 => {
                late.push(answer);
                continue;
            }
            7 => continue,
            8 => {
                dice.pause(200).await;
                answer
            }
            _ => {
                late.push(answer);
                late.concat()
            }
        };
        if bytes.len() > late.iter().map(Vec::len).sum() || dice.one_in(2) {
            late.clear();
        }
        if peer.stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// A client that sends its requests and takes what comes; whether it was there until the last answer.
async fn client(address: SocketAddr, dice: Dice) -> bool {
    let mut peer = Peer::connect(address).await;
    let mut open = HashSet::new();
    for id in 0..REQUESTS {
        if dice.one_in(200) {
            return false;
        }
        let frame = request_with(id, 20 + dice.below(300) as i32, b"", &id.to_be_bytes());
        if peer.stream.write_all(&frame).await.is_err() {
            return false;
        }
        open.insert(id);
        dice.pause(30).await;
        while open.len() > 4 {
            if !take(&mut peer, &mut open).await {
                return false;
            }
        }
    }
    while !open.is_empty() {
        if !take(&mut peer, &mut open).await {
            return false;
        }
    }
    true
}

/// Takes one answer; whether there was one.
async fn take(peer: &mut Peer, open: &mut HashSet<u32>) -> bool {
    let Some(back) = peer.next().await else { return false };
    assert!(open.remove(&back.id()), "a second answer to {}", back.id());
    if back.frame.status == status::SUCCESS {
        assert_eq!(back.content(), back.id().to_be_bytes(), "somebody else's answer");
    }
    true
}

fn start(seed: u64, hosts: &[SocketAddr]) -> Server {
    let mut rng = Rng::new(seed);
    let mut cluster = format!(
        r#", "pool": "{}", "lb_type": "{}", "connect_timeout": "100ms""#,
        POOLS[seed as usize % POOLS.len()],
        POLICIES[rng.below(POLICIES.len())]
    );
    let mut maybe = |keys: &str| {
        if rng.below(2) == 0 {
            cluster += keys;
        }
    };
    maybe(r#", "circuit_breakers": [{"max_requests": 6, "max_pending_requests": 3}]"#);
    maybe(r#", "health_check": {"interval": "50ms", "timeout": "50ms"}"#);
    maybe(
        r#", "outlier_detection": {"consecutive_failures": 3, "base_ejection_time": "200ms",
            "max_ejection_percent": 60}"#,
    );
    Setup { hosts, cluster: &cluster, ..Setup::default() }.start()
}

async fn play(seed: u64) -> Snapshot {
    let dice = Dice(Rc::new(RefCell::new(Rng::new(seed))));
    let addresses: Vec<SocketAddr> = (0..HOSTS).map(|_| dead_address()).collect();
    let hosts: Vec<_> =
        addresses.iter().map(|address| reactor::spawn(host(*address, dice.clone()))).collect();
    let server = start(seed, &addresses);
    let proxy = server.addresses()[0];
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| reactor::spawn(client(proxy, dice.clone()))).collect();
    for client in clients {
        client.await.unwrap();
    }
    all_empty(&server).await;
    let cluster = server.clusters().remove(0);
    assert!(cluster.is_idle(), "{cluster:?}");
    assert!(cluster.hosts.iter().all(|host| host.requests == 0), "{cluster:?}");
    hosts.iter().for_each(JoinHandle::abort);
    // The last connections close by themselves, those of a ping-pong pool after a while.
    while server.clusters()[0].connections > 0 {
        time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(server.stats().upstream_connections, 0, "{}", server.stats());
    server.stats()
}

#[test]
fn every_request_has_one_outcome_whatever_its_hosts_do() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..15).collect(),
    };
    let mut reached = [0; 8];
    for &seed in &seeds {
        eprintln!("SEED={seed}");
        let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
        let stats = runtime.block_on(play(seed));
        let counts = [
            stats.answered,
            stats.timed_out,
            stats.lost_upstream,
            stats.late_answers,
            stats.duplicate_answers,
            stats.no_upstream,
            stats.overflow,
            stats.upstream_connect_failed,
        ];
        reached.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    // All seeds together have come to everything that can happen.
    assert!(seeds.len() == 1 || reached.iter().all(|count| *count > 0), "{reached:?}");
}

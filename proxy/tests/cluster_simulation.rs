//! A cluster in virtual time, from seeds: hosts die and come back, join and leave, stall, answer late
//! or twice or in part, and say that they go; clients leave, also within a frame. Every request has
//! exactly one outcome, a oneway has none, and at the end nothing is counted as there.

mod common;

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::numbered::List;
use common::*;
use proxy::Server;
use proxy::balance::Rng;
use proxy::codec::Kind;
use proxy::codec::bolt::{self, status};
use proxy::stats::Snapshot;
use reactor::{JoinHandle, time};

const HOSTS: usize = 3;
const CLIENTS: usize = 4;
const REQUESTS: u32 = 60;
/// The longest content: several reads, and not so much that the sockets are full. Whoever waits for the
/// kernel waits in real time, and virtual time would go on meanwhile.
const CONTENT_BYTES_MAX: usize = 64 << 10;
/// Longer than any time-out of a request, and than a host is away.
const PATIENCE: Duration = Duration::from_secs(10);

const POOLS: [&str; 3] = ["multiplex", "ping_pong", "binding"];
const POLICIES: [&str; 5] =
    ["LB_ROUNDROBIN", "LB_WEIGHTED_ROUNDROBIN", "LB_RANDOM", "LB_LEAST_REQUEST", "LB_MAGLEV"];

/// Chance that a seed replays. Whoever plays has its own: who of two is first when both may go on
/// changes nothing for the others.
struct Dice(RefCell<Rng>);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(RefCell::new(Rng::new(seed)))
    }

    /// For one more player.
    fn split(&self) -> Dice {
        Dice::new(self.0.borrow_mut().number())
    }

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
            connections.push(reactor::spawn(serve(peer, dice.split())));
        }
        drop(host);
        connections.iter().for_each(JoinHandle::abort);
        dice.pause(1_000).await;
    }
}

async fn serve(mut peer: Peer, dice: Dice) {
    let mut late = Vec::new();
    if dice.one_in(8) {
        // Ends within a request, or between two.
        let mut some = vec![0; 1 + dice.below(200)];
        let _ = peer.stream.read(&mut some).await;
        return;
    }
    while let Some(got) = peer.next().await {
        // Also a oneway is answered, now and then.
        if got.frame.kind == Kind::Oneway && dice.one_in(8) {
            let _ = peer.stream.write_all(&response(got.id(), b"nobody asked")).await;
        }
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
            2 => [answer, wire::go_away(peer.protocol).unwrap()].concat(),
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
            9 => busy(got.id()),
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

/// An answer that has the request tried again where that is allowed.
fn busy(id: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let status = status::SERVER_THREADPOOL_BUSY;
    bolt::Response { id, status, ..bolt::Response::default() }.encode(&mut out).unwrap();
    out
}

/// How a client's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All its requests had their outcome.
    Complete,
    /// It went by itself.
    Left,
    /// The proxy closed its connection.
    Closed,
}

/// A client that sends its requests and takes what comes.
async fn client(address: SocketAddr, dice: Dice) -> End {
    let mut peer = Peer::connect(address).await;
    let mut open = HashSet::new();
    for id in 0..REQUESTS {
        let frame = frame(id, &dice);
        if dice.one_in(200) {
            // Cut at any byte.
            let _ = peer.stream.write_all(&frame[..dice.below(frame.len())]).await;
            return End::Left;
        }
        if frame[1] == 1 {
            open.insert(id);
        }
        if !write(&peer, &frame, &dice).await {
            return End::Closed;
        }
        dice.pause(30).await;
        while open.len() > 4 {
            if !take(&mut peer, &mut open).await {
                return End::Closed;
            }
        }
    }
    while !open.is_empty() {
        if !take(&mut peer, &mut open).await {
            return End::Closed;
        }
    }
    End::Complete
}

/// Mostly a short request, sometimes a longer one or a oneway; its content follows from its id and length.
fn frame(id: u32, dice: &Dice) -> Vec<u8> {
    let bytes = dice.below(if dice.one_in(10) { CONTENT_BYTES_MAX } else { 64 });
    let content = content(id, bytes);
    match dice.below(10) {
        0 => oneway(id, &content),
        _ => request_with(id, 20 + dice.below(300) as i32, b"", &content),
    }
}

fn content(id: u32, bytes: usize) -> Vec<u8> {
    let mut content = id.to_be_bytes().repeat(bytes / 4 + 1);
    content.truncate(bytes);
    content
}

/// Writes it at once or in two parts.
async fn write(peer: &Peer, frame: &[u8], dice: &Dice) -> bool {
    let (first, second) = frame.split_at(if dice.one_in(4) { dice.below(frame.len()) } else { 0 });
    if peer.stream.write_all(first).await.is_err() {
        return false;
    }
    if !first.is_empty() {
        dice.pause(10).await;
    }
    peer.stream.write_all(second).await.is_ok()
}

/// Takes one answer; whether there was one before the connection was closed.
async fn take(peer: &mut Peer, open: &mut HashSet<u32>) -> bool {
    let next = time::timeout(PATIENCE, peer.next()).await;
    let Some(back) = next.unwrap_or_else(|_| panic!("no answer to any of {open:?}")) else {
        return false;
    };
    assert!(open.remove(&back.id()), "nobody waits for an answer to {}", back.id());
    if back.frame.status == status::SUCCESS {
        let got = back.content();
        assert!(got == content(back.id(), got.len()), "somebody else's answer");
    }
    true
}

/// The file of a list of hosts: one of them is missing from it, another one each time.
async fn change(list: Rc<List>, hosts: Vec<SocketAddr>, dice: Dice) {
    loop {
        dice.pause(500).await;
        let absent = dice.below(hosts.len());
        let left: Vec<SocketAddr> =
            hosts.iter().enumerate().filter(|(n, _)| *n != absent).map(|(_, host)| *host).collect();
        list.write(&left);
    }
}

fn start(seed: u64, hosts: &[SocketAddr], list: Option<&List>) -> Server {
    let mut rng = Rng::new(seed);
    let mut cluster = format!(
        r#", "pool": "{}", "lb_type": "{}", "connect_timeout": "100ms""#,
        pool(seed),
        POLICIES[rng.below(POLICIES.len())]
    );
    let mut maybe = |keys: &'static str| if rng.below(2) == 0 { keys } else { "" };
    cluster += maybe(r#", "circuit_breakers": [{"max_requests": 6, "max_pending_requests": 3}]"#);
    cluster += maybe(r#", "health_check": {"interval": "50ms", "timeout": "50ms"}"#);
    cluster += maybe(
        r#", "outlier_detection": {"consecutive_failures": 3, "base_ejection_time": "200ms",
            "max_ejection_percent": 60}"#,
    );
    let route = maybe(
        r#", "retry_policy": {"retry_on": true, "num_retries": 2, "retry_timeout": "40ms",
            "status_codes": [4]}"#,
    );
    let hosts = match list {
        Some(list) => {
            list.write(hosts);
            cluster += &list.keys("100ms");
            &[]
        }
        None => hosts,
    };
    let mut config = Setup { hosts, cluster: &cluster, route, ..Setup::default() }.config();
    config.seed = Some(seed);
    Server::start(&config).unwrap()
}

fn pool(seed: u64) -> &'static str {
    POOLS[seed as usize % POOLS.len()]
}

async fn play(seed: u64) -> (Snapshot, Vec<End>) {
    let dice = Dice::new(seed);
    let addresses: Vec<SocketAddr> = (0..HOSTS).map(|_| dead_address()).collect();
    let mut others: Vec<_> =
        addresses.iter().map(|address| reactor::spawn(host(*address, dice.split()))).collect();
    let list = dice.one_in(2).then(|| Rc::new(List::new(&format!("simulation-{seed}"))));
    let server = start(seed, &addresses, list.as_deref());
    if let Some(list) = &list {
        others.push(reactor::spawn(change(Rc::clone(list), addresses, dice.split())));
    }
    let ends = play_clients(server.addresses()[0], &dice).await;
    if pool(seed) != "binding" {
        // Only there do a client and a host share their fate.
        assert!(!ends.contains(&End::Closed), "{ends:?}");
    }
    all_empty(&server).await;
    let cluster = server.clusters().remove(0);
    assert!(cluster.is_idle(), "{cluster:?}");
    assert!(cluster.hosts.iter().all(|host| host.requests == 0), "{cluster:?}");
    others.iter().for_each(JoinHandle::abort);
    // The last connections close by themselves, those of a ping-pong pool after a while.
    while server.clusters()[0].connections > 0 {
        time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(server.stats().upstream_connections, 0, "{}", server.stats());
    (server.stats(), ends)
}

async fn play_clients(proxy: SocketAddr, dice: &Dice) -> Vec<End> {
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| reactor::spawn(client(proxy, dice.split()))).collect();
    let mut ends = Vec::new();
    for client in clients {
        ends.push(client.await.unwrap());
    }
    ends
}

#[test]
fn every_request_has_one_outcome_whatever_its_hosts_do() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..24).collect(),
    };
    let (mut sum, mut ends) = (Snapshot::default(), Vec::new());
    for &seed in &seeds {
        eprintln!("SEED={seed}");
        let (stats, some) = run_paused(play(seed));
        sum += stats;
        ends.extend(some);
    }
    // All seeds together have come to everything that can happen.
    let reached = [
        sum.answered,
        sum.timed_out,
        sum.lost_upstream,
        sum.late_answers,
        sum.duplicate_answers,
        sum.no_upstream,
        sum.overflow,
        sum.upstream_connect_failed,
        sum.retries,
        sum.answers_retried,
        sum.oneways_sent,
        sum.abandoned,
        sum.downstream_faulty,
    ];
    let one_seed = seeds.len() == 1;
    assert!(one_seed || reached.iter().all(|count| *count > 0), "{reached:?}");
    assert!(
        one_seed || [End::Complete, End::Left, End::Closed].iter().all(|end| ends.contains(end))
    );
}

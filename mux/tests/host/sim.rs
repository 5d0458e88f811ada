//! A host among peers that come and go, in virtual time: runs made from a seed.
//!
//! ```sh
//! cargo test -p mux --test host sim                       # a few hundred seeds
//! HOST_SIM_SEED=4711 cargo test -p mux --test host sim    # one of them again
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mux::host::{Attempts, Dial, Host, HostConfig, HostErrorKind};
use mux::{Config, Session};
use reactor::{JoinSet, time};

use crate::rng::Rng;
use crate::support::{End, pipe};

const SEEDS: u64 = 300;
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
const PEERS: [u32; 5] = [0, 1, 2, 3, 4];

/// What all that happens is held against.
struct World {
    rng: RefCell<Rng>,
    dials_max: usize,
    under_way: RefCell<HashMap<u32, usize>>,
    /// Until when a peer is left alone, as its last failure has said.
    retry_at: RefCell<HashMap<u32, Instant>>,
    servers: RefCell<Vec<Session>>,
    /// Streams that were asked for and not answered.
    open_calls: Cell<usize>,
    /// What the dialer was asked for, and what it has said.
    dialed: Cell<u64>,
    refused: Cell<u64>,
    connected: Cell<u64>,
    /// Dials that took too long, and were dropped when their time was up and not before.
    late: Cell<u64>,
    answers: RefCell<Vec<String>>,
}

impl World {
    fn below(&self, end: usize) -> usize {
        self.rng.borrow_mut().below(end)
    }

    fn note(&self, what: String) {
        self.answers.borrow_mut().push(what);
    }

    /// The other end of a connection: accepts, and now and then goes away.
    fn serve(&self, io: End, is_client: bool) {
        let config = Config { unacked_opens_max: 4, ..Config::default() };
        let (session, driver) = match is_client {
            true => {
                let (session, driver) = Session::client(io, config);
                (session, driver)
            }
            false => Session::server(io, config),
        };
        reactor::spawn(driver).detach();
        self.servers.borrow_mut().push(session);
    }
}

/// Counts a dial to a peer while it is there.
struct UnderWay<'w>(&'w World, u32);

impl<'w> UnderWay<'w> {
    fn new(world: &'w World, peer: u32) -> Self {
        let mut under_way = world.under_way.borrow_mut();
        let count = under_way.entry(peer).or_default();
        *count += 1;
        assert_eq!(*count, 1, "two dials to {peer} at once");
        assert!(under_way.values().sum::<usize>() <= world.dials_max);
        let retry_at = world.retry_at.borrow().get(&peer).copied();
        assert!(retry_at.is_none_or(|at| at <= time::now()), "{peer} was to be left alone");
        Self(world, peer)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.under_way.borrow_mut().get_mut(&self.1).unwrap() -= 1;
    }
}

/// Counts a dial that is dropped when its time is up.
struct Late<'w>(&'w World, Instant);

impl Drop for Late<'_> {
    fn drop(&mut self) {
        if time::now() >= self.1 {
            count(&self.0.late);
        }
    }
}

fn count(what: &Cell<u64>) {
    what.update(|count| count + 1);
}

#[derive(Clone)]
struct Dialer(Rc<World>);

impl Dial<u32> for Dialer {
    type Io = End;

    async fn dial(&self, peer: &u32, _: &Attempts<u32>) -> io::Result<End> {
        let _under_way = UnderWay::new(&self.0, *peer);
        count(&self.0.dialed);
        let begun = time::now();
        time::sleep(Duration::from_millis(self.0.below(3000) as u64)).await;
        let (near, far) = pipe(64 * 1024);
        match self.0.below(10) {
            0..4 => {
                count(&self.0.refused);
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            4 => {
                let _late = Late(&self.0, begun + DIAL_TIMEOUT);
                time::sleep(Duration::from_secs(20)).await;
                unreachable!("it takes too long")
            }
            5 => drop(far),
            _ => self.0.serve(far, false),
        }
        count(&self.0.connected);
        Ok(near)
    }
}

async fn call(host: Host<u32>, world: Rc<World>, peer: u32) {
    world.open_calls.update(|calls| calls + 1);
    let outcome = host.new_stream(&peer).await;
    world.open_calls.update(|calls| calls - 1);
    world.note(match &outcome {
        Ok(_) => format!("{peer} ok"),
        Err(err) => err.to_string(),
    });
    match outcome {
        Ok(stream) => {
            let hold = Duration::from_millis(world.below(4000) as u64);
            time::sleep(hold).await;
            drop(stream);
        }
        Err(err) => {
            assert_eq!(err.peer, peer);
            match err.kind {
                // A dial that went on without callers may have failed since the last that was seen.
                HostErrorKind::Dial { retry_at, .. } | HostErrorKind::BackOff { retry_at, .. } => {
                    let before = world.retry_at.borrow_mut().insert(peer, retry_at);
                    assert!(before.is_none_or(|before| before <= retry_at));
                }
                HostErrorKind::Session(_)
                | HostErrorKind::DialQueueFull { .. }
                | HostErrorKind::SessionsFull { .. } => {}
                other => panic!("{other}"),
            }
        }
    }
}

/// One thing that happens.
async fn step(host: &Host<u32>, world: &Rc<World>, calls: &mut Vec<reactor::JoinHandle<()>>) {
    let peer = PEERS[world.below(PEERS.len())];
    match world.below(12) {
        0..5 => calls.push(reactor::spawn(call(host.clone(), Rc::clone(world), peer))),
        5 if !calls.is_empty() => {
            let index = world.below(calls.len());
            calls.swap_remove(index).abort();
        }
        6 => {
            let (near, far) = pipe(64 * 1024);
            if host.add(peer, near).is_ok() {
                world.serve(far, true);
            }
        }
        7 => {
            let server = world.servers.borrow_mut().pop();
            drop(server.map(|server| server.close().now_or_never()));
        }
        8 => drop(host.close_peer(&peer).now_or_never()),
        9 => {
            let server = world.servers.borrow().last().cloned();
            if let Some(Some(Ok(stream))) = server.map(|server| server.open().now_or_never()) {
                stream.write_bytes("x".into()).now_or_never();
            }
        }
        10 => drop(host.accept().now_or_never()),
        _ => time::sleep(Duration::from_millis(world.below(5000) as u64)).await,
    }
}

fn config(rng: &mut Rng) -> HostConfig<u32> {
    HostConfig {
        session: Config { unacked_opens_max: 2, ..Config::default() },
        dial_timeout: DIAL_TIMEOUT,
        dials_max: rng.between(1, 4),
        dials_queued_max: rng.below(4),
        back_off_peers_max: PEERS.len(),
        sessions_max: rng.between(2, 8),
        sessions_per_peer_max: rng.between(1, 4),
        ended_sessions_max: rng.below(3),
        ..HostConfig::default()
    }
}

async fn scenario(seed: u64) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let config = config(&mut rng);
    let world = Rc::new(World {
        rng: RefCell::new(rng),
        dials_max: config.dials_max,
        under_way: RefCell::default(),
        retry_at: RefCell::default(),
        servers: RefCell::default(),
        open_calls: Cell::new(0),
        dialed: Cell::new(0),
        refused: Cell::new(0),
        connected: Cell::new(0),
        late: Cell::new(0),
        answers: RefCell::default(),
    });
    let host = Host::new(Dialer(Rc::clone(&world)), config.clone());
    let mut calls = Vec::new();
    for _ in 0..150 {
        step(&host, &world, &mut calls).await;
        let stats = host.stats();
        assert!(stats.attempts <= config.dials_max && stats.dials <= PEERS.len());
        assert!(stats.dials_queued <= config.dials_queued_max);
        assert!(stats.sessions <= config.sessions_max);
        assert!(stats.ended_sessions <= config.ended_sessions_max);
        assert!(stats.back_off_peers <= config.back_off_peers_max);
    }
    end(&host, &world, calls).await;
    drop(host);
    assert_eq!(Rc::strong_count(&world), 1, "something of the host is left");
    world.answers.take()
}

/// Every call has its answer, and then nothing is left.
async fn end(host: &Host<u32>, world: &Rc<World>, calls: Vec<reactor::JoinHandle<()>>) {
    // A server that does not accept may hold an open for ever; one that is gone does not.
    let accepting = accept_all(world);
    for call in calls {
        call.await.unwrap();
    }
    drop(accepting);
    drop(host.close().await);
    world.servers.take();
    while host.accept().await.is_some() {}
    time::sleep(Duration::from_secs(60)).await;
    let stats = host.stats();
    let held = [stats.sessions, stats.ended_sessions, stats.dials, stats.attempts];
    assert_eq!((held, host.peers().len()), ([0; 4], 0));
    let counted = [stats.dials_started, stats.dials_succeeded, stats.dials_failed];
    let failed = world.refused.get() + world.late.get();
    assert_eq!(counted, [world.dialed.get(), world.connected.get(), failed], "{stats:?}");
    // Those that gave up while they waited too.
    let given_up = world.dialed.get() - world.connected.get() - failed;
    assert!(stats.dials_cancelled >= given_up, "{stats:?}");
}

fn accept_all(world: &Rc<World>) -> JoinSet<()> {
    let mut accepting = JoinSet::new();
    let servers = world.servers.borrow().clone();
    for server in servers {
        accepting.spawn(async move { while server.accept().await.is_ok() {} });
    }
    accepting
}

fn play(seed: u64) -> Vec<String> {
    let played = catch_unwind(AssertUnwindSafe(|| crate::run(scenario(seed))));
    played.unwrap_or_else(|panic| {
        eprintln!(
            "seed {seed} failed; again: HOST_SIM_SEED={seed} cargo test -p mux --test host sim"
        );
        resume_unwind(panic)
    })
}

#[test]
fn a_host_keeps_its_promises_whatever_its_peers_do() {
    if let Ok(seed) = std::env::var("HOST_SIM_SEED") {
        play(seed.parse().expect("HOST_SIM_SEED is a number"));
        return;
    }
    let answers: Vec<_> = (0..SEEDS).flat_map(play).collect();
    // All of it has happened.
    for part in
        ["ok", "refused", "no connection in", "left alone", "wait already", "sessions already"]
    {
        assert!(answers.iter().any(|answer| answer.contains(part)), "never: {part}");
    }
}

#[test]
fn a_seed_replays() {
    for seed in 0..20 {
        assert_eq!(play(seed), play(seed), "seed {seed}");
    }
}

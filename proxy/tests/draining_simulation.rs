//! A proxy that stops in the middle of everything, in virtual time, from seeds: clients that go when
//! they are told lose no request, whatever they and their host were doing.

mod common;

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::*;
use proxy::Drained;
use proxy::balance::Rng;
use proxy::codec::Kind;
use proxy::codec::bolt::status;
use reactor::time;

const CLIENTS: usize = 6;
const IN_FLIGHT_MAX: usize = 4;
const GRACE: Duration = Duration::from_secs(30);
/// The proxy stops within this.
const LIFE_MS_MAX: usize = 2_000;
/// A host may take so long over an answer: longer than a client has to go.
const ANSWER_MS_MAX: usize = 3_000;
/// A client's pause, between two requests and within one: short beside the time that it has to go.
const PAUSE_MS_MAX: usize = 100;
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);
const POOLS: [&str; 3] = ["multiplex", "ping_pong", "binding"];

struct Dice(RefCell<Rng>);

impl Dice {
    fn below(&self, n: usize) -> usize {
        self.0.borrow_mut().below(n)
    }

    fn split(&self) -> Dice {
        Dice(RefCell::new(Rng::new(self.0.borrow_mut().number())))
    }

    fn time(&self, ms_max: usize) -> Duration {
        Duration::from_millis(self.below(ms_max) as u64)
    }
}

/// Answers every request after a time of its own.
async fn host(host: Host, dice: Dice) {
    loop {
        reactor::spawn(serve(host.accept().await, dice.split())).detach();
    }
}

async fn serve(mut peer: Peer, dice: Dice) {
    let mut owed: Vec<(Instant, Vec<u8>)> = Vec::new();
    loop {
        let first = owed.iter().map(|(at, _)| *at).min();
        let left = first.map_or(FOR_EVER, |at| at.saturating_duration_since(time::now()));
        match time::timeout(left, peer.next()).await {
            Ok(None) => return,
            Ok(Some(got)) if got.frame.kind == Kind::Request => {
                let at = time::now() + dice.time(ANSWER_MS_MAX);
                owed.push((at, response(got.id(), got.content())));
            }
            Ok(Some(_)) => {}
            Err(_) => {
                let due = owed.extract_if(.., |(at, _)| *at <= time::now());
                let answers: Vec<Vec<u8>> = due.map(|(_, answer)| answer).collect();
                peer.send(&answers.concat()).await;
            }
        }
    }
}

/// Sends until it is told to go, and takes what it is owed; how many requests it has sent.
async fn client(address: SocketAddr, dice: Dice) -> u32 {
    time::sleep(dice.time(LIFE_MS_MAX)).await;
    // It may be too late.
    let Ok(stream) = net::TcpStream::connect(address).await else { return 0 };
    let mut peer = Peer::new(stream);
    let (mut open, mut sent, mut told) = (HashSet::new(), 0, false);
    loop {
        if !told && open.len() < IN_FLIGHT_MAX {
            sent += 1;
            open.insert(sent);
            send(&peer, sent, &dice).await;
        }
        let pause = if told { FOR_EVER } else { dice.time(PAUSE_MS_MAX) };
        match time::timeout(pause, peer.next()).await {
            Err(_) => {}
            Ok(None) => break,
            Ok(Some(got)) if got.frame.kind == Kind::GoAway => told = true,
            Ok(Some(got)) => {
                assert!(open.remove(&got.id()), "nobody waits for an answer to {}", got.id());
                assert_eq!(got.frame.status, status::SUCCESS);
            }
        }
    }
    assert!(open.is_empty(), "closed before the answers to {open:?}");
    assert!(told, "closed without a word");
    sent
}

/// At once or in two parts.
async fn send(peer: &Peer, id: u32, dice: &Dice) {
    let frame = request(id, &id.to_be_bytes());
    let (first, second) = frame.split_at(dice.below(2) * dice.below(frame.len()));
    peer.send(first).await;
    time::sleep(dice.time(PAUSE_MS_MAX)).await;
    peer.send(second).await;
}

async fn play(seed: u64) -> u32 {
    let dice = Dice(RefCell::new(Rng::new(seed)));
    let at = Host::new();
    let cluster = format!(r#", "pool": "{}""#, POOLS[seed as usize % POOLS.len()]);
    let server = Setup {
        hosts: &[at.address()],
        cluster: &cluster,
        filter: r#", "extend_config": {"enable_bolt_goaway": true}"#,
        ..Setup::default()
    }
    .start();
    let hosting = reactor::spawn(host(at, dice.split()));
    let address = server.addresses()[0];
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| reactor::spawn(client(address, dice.split()))).collect();
    time::sleep(dice.time(LIFE_MS_MAX)).await;
    assert_eq!(server.drain(GRACE).await, Drained::default());
    let mut sent = 0;
    for client in clients {
        sent += client.await.unwrap();
    }
    all_empty(&server).await;
    let stats = server.stats();
    assert_eq!((stats.answered, stats.requests), (u64::from(sent), u64::from(sent)), "{stats}");
    assert_eq!(stats.upstream_connections, 0, "{stats}");
    hosting.abort();
    sent
}

#[test]
fn clients_that_go_when_they_are_told_lose_no_request() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..30).collect(),
    };
    let mut sent = 0;
    for &seed in &seeds {
        eprintln!("SEED={seed}");
        sent += run_paused(play(seed));
    }
    assert!(sent > seeds.len() as u32, "{sent} requests are no test");
}

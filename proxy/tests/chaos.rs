//! Clients, filters and hosts that do anything, by a seed: every request has exactly one outcome, and
//! nothing is left of it.

mod common;

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use common::*;
use proxy::balance::Rng;
use proxy::codec::LocalReply;
use proxy::codec::bolt::{self, status};
use proxy::filter::{Flow, Record, Request, Response, Resume, StreamFilter};
use proxy::{Filters, Server};
use reactor::time;

/// Requests of one client.
const REQUESTS: u32 = 40;

thread_local! {
    static RNG: RefCell<Rng> = RefCell::default();
    /// How often a filter heard of the end of each request: by client and id.
    static ENDS: RefCell<HashMap<(u16, u64), u32>> = RefCell::default();
}

/// A number below `n`, from the seed of this run.
fn below(n: u64) -> u64 {
    RNG.with_borrow_mut(|rng| rng.below(n as usize) as u64)
}

/// Says anything in every phase.
struct Any;

impl Any {
    fn flow(resume: impl FnOnce() -> Resume) -> Flow {
        match below(40) {
            0 => Flow::Reply(LocalReply::Denied),
            1 => Flow::Reroute,
            2 | 3 => Flow::Delay(Duration::from_millis(below(60))),
            4 => Flow::ReplyAfter(Duration::from_millis(below(60)), LocalReply::NoRoute),
            5 | 6 => {
                let resume = resume();
                reactor::spawn(async move {
                    time::sleep(Duration::from_millis(below(80))).await;
                    match below(3) {
                        0 => resume.go_on(),
                        1 => resume.reroute(),
                        _ => resume.reply(LocalReply::Overflow),
                    }
                })
                .detach();
                Flow::Stop
            }
            // For its time-out.
            7 => Flow::Stop,
            _ => Flow::Continue,
        }
    }
}

impl StreamFilter for Any {
    fn before_route(&mut self, request: &mut Request<'_>) -> Flow {
        Any::flow(|| request.resume_later())
    }

    fn after_route(&mut self, request: &mut Request<'_>) -> Flow {
        Any::flow(|| request.resume_later())
    }

    fn after_host(&mut self, request: &mut Request<'_>) -> Flow {
        Any::flow(|| request.resume_later())
    }

    fn on_response(&mut self, response: &mut Response<'_>) -> Flow {
        Any::flow(|| response.resume_later())
    }

    fn on_end(&mut self, record: &Record) {
        let key = (record.peer.port(), record.request_id);
        ENDS.with_borrow_mut(|ends| *ends.entry(key).or_default() += 1);
    }
}

/// A host that answers, late, twice, with a failure or not at all, and closes when it likes.
async fn play(host: Host) {
    loop {
        reactor::spawn(serve(host.accept().await)).detach();
    }
}

async fn serve(mut peer: Peer) {
    while let Some(got) = peer.next().await {
        let answer = match below(10) {
            0 => continue,
            1 => {
                let mut out = Vec::new();
                bolt::Response { id: got.id(), status: 4, ..bolt::Response::default() }
                    .encode(&mut out)
                    .unwrap();
                out
            }
            2 => [response(got.id(), got.content()), response(got.id(), b"again")].concat(),
            3 => {
                time::sleep(Duration::from_millis(below(120))).await;
                response(got.id(), got.content())
            }
            4 if below(4) == 0 => return,
            _ => response(got.id(), got.content()),
        };
        if peer.stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Sends requests, and checks that each is answered once; leaves early if it likes.
async fn call(mut peer: Peer) {
    let leaves_after = if below(3) == 0 { below(REQUESTS.into()) as u32 } else { REQUESTS };
    let mut frames = Vec::new();
    for id in 0..REQUESTS {
        frames.extend(request_with(id, 20 + below(200) as i32, b"", &id.to_be_bytes()));
        if below(5) == 0 {
            frames.extend(oneway(1_000_000 + id, b""));
        }
    }
    peer.send(&frames).await;
    let mut seen = vec![false; REQUESTS as usize];
    for _ in 0..leaves_after {
        let back = peer.frame().await;
        let id = back.id();
        assert!(!std::mem::replace(&mut seen[id as usize], true), "two answers to {id}");
        if back.frame.status == status::SUCCESS {
            assert_eq!(back.content(), id.to_be_bytes(), "the answer to another request");
        }
    }
}

/// Retries and late answers of this run.
fn chaos(seed: u64) -> (u64, u64) {
    RNG.set(Rng::new(seed));
    ENDS.take();
    run_paused(async {
        let hosts = [Host::new(), Host::new()];
        let addresses = [hosts[0].address(), hosts[1].address(), dead_address()];
        let mut filters = Filters::new();
        filters.add("any", |_| Ok(|| Box::new(Any) as Box<dyn StreamFilter>));
        let mut config = Setup {
            hosts: &addresses,
            listener: r#", "stream_filters": [{"type": "any"}, {"type": "any"}]"#,
            route: r#", "retry_policy": {"retry_on": true, "retry_timeout": "50ms",
                "num_retries": 3, "status_codes": [4]}"#,
            ..Setup::default()
        }
        .config_with(&filters);
        config.seed = Some(seed);
        let server = Server::start_with(&config, &filters).unwrap();
        for host in hosts {
            reactor::spawn(play(host)).detach();
        }
        let mut calls = Vec::new();
        for _ in 0..5 {
            let peer = Peer::connect(server.addresses()[0]).await;
            calls.push(reactor::spawn(call(peer)));
        }
        for call in calls {
            call.await.unwrap();
        }
        // A client that left is noticed; what waits for its time-out is waited for.
        all_empty(&server).await;
        let stats = server.stats();
        let ends = ENDS.take();
        assert!(
            ends.values().all(|&times| times == 2),
            "both filters hear of an end once: {ends:?}"
        );
        assert_eq!(ends.len() as u64, stats.requests + stats.oneways, "{stats}");
        (stats.retries, stats.late_answers)
    })
}

#[test]
fn every_request_has_one_outcome_whatever_filters_and_hosts_do() {
    let mut seen = (0, 0);
    for seed in 0..30 {
        let run = std::panic::catch_unwind(|| chaos(seed));
        let Ok((retries, late)) = run else { panic!("seed {seed}") };
        seen = (seen.0 + retries, seen.1 + late);
    }
    assert!(seen.0 > 0 && seen.1 > 0, "retries and late answers: {seen:?}");
}

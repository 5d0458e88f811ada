//! Tries: when another one is made, where, how often, and when not.

mod common;

use std::time::Duration;

use common::*;
use proxy::codec::bolt::{self, status};
use proxy::limits::{KEPT_BYTES_MAX, RETRY_FRAME_BYTES_MAX, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};
use reactor::time;

/// An echo at `host` that lasts as long as the runtime.
fn echo(host: Host) {
    reactor::spawn(async move {
        loop {
            let mut peer = host.accept().await;
            reactor::spawn(async move { peer.echo().await }).detach();
        }
    })
    .detach();
}

fn answer_with(status: u16, id: u32) -> Vec<u8> {
    let mut out = Vec::new();
    bolt::Response { id, status, ..bolt::Response::default() }.encode(&mut out).unwrap();
    out
}

const RETRY_ONCE: &str = r#", "retry_policy": {"retry_on": true, "num_retries": 1}"#;

#[test]
fn a_retry_skips_the_bad_host() {
    run_paused(async {
        let living = Host::new();
        let hosts = [dead_address(), living.address()];
        let server = Setup { hosts: &hosts, route: RETRY_ONCE, ..Setup::default() }.start();
        echo(living);
        let mut client = Peer::connect(server.addresses()[0]).await;
        for id in 0..100 {
            client.send(&request(id, b"x")).await;
            client.expect(id, status::SUCCESS).await;
        }
        // Only the one that found out.
        assert_eq!(server.stats().retries, 1, "{}", server.stats());
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_request_whose_connection_is_lost_is_tried_at_another_host() {
    run_paused(async {
        let (bad, good) = (Host::new(), Host::new());
        let hosts = [bad.address(), good.address()];
        let server = Setup { hosts: &hosts, route: RETRY_ONCE, ..Setup::default() }.start();
        echo(good);
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&[request(1, b"a"), request(2, b"b")].concat()).await;
        let mut peer = bad.accept().await;
        peer.frame().await;
        drop(peer);
        let mut ids = [client.frame().await, client.frame().await].map(|back| {
            assert_eq!(back.frame.status, status::SUCCESS);
            (back.id(), back.content().to_vec())
        });
        ids.sort_unstable();
        assert_eq!(ids, [(1, b"a".to_vec()), (2, b"b".to_vec())]);
        let stats = server.stats();
        assert_eq!((stats.retries, stats.lost_upstream, stats.answered), (1, 1, 2), "{stats}");
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_per_try_time_out_has_the_request_tried_elsewhere_and_the_late_answer_dropped() {
    run_paused(async {
        let (slow, good) = (Host::new(), Host::new());
        let hosts = [slow.address(), good.address()];
        let route = r#", "retry_policy": {"retry_on": true, "retry_timeout": "20ms"}"#;
        let server = Setup { hosts: &hosts, route, ..Setup::default() }.start();
        echo(good);
        let mut client = Peer::connect(server.addresses()[0]).await;
        // The first or the second has the slow host for its first try.
        let mut requests = 0;
        while server.stats().timed_out == 0 {
            requests += 1;
            client.send(&request(requests, b"x")).await;
            client.expect(requests, status::SUCCESS).await;
        }
        let mut peer = slow.accept().await;
        let got = peer.frame().await;
        peer.answer(&got).await;
        until(|| server.stats().late_answers == 1).await;
        let (stats, requests) = (server.stats(), u64::from(requests));
        let counts = (stats.sent, stats.timed_out, stats.answered);
        assert_eq!(counts, (requests + 1, 1, requests), "{stats}");
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn retries_stop_at_their_limit() {
    run_paused(async {
        let route = r#", "retry_policy":
            {"retry_on": true, "retry_timeout": "20ms", "num_retries": 2}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(1, b"x")).await;
        let mut host = bed.host.accept().await;
        for _ in 0..3 {
            assert_eq!(host.frame().await.content(), b"x");
        }
        client.expect(1, status::TIMEOUT).await;
        let stats = bed.server.stats();
        assert_eq!((stats.sent, stats.retries, stats.timed_out), (3, 2, 3), "{stats}");
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn an_answer_of_a_status_that_is_listed_is_a_failed_try() {
    run_paused(async {
        let route = r#", "retry_policy": {"retry_on": true, "status_codes": [4]}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(1, b"x")).await;
        let mut host = bed.host.accept().await;
        let first = host.frame().await;
        host.send(&answer_with(4, first.id())).await;
        let second = host.frame().await;
        assert_ne!(first.id(), second.id());
        host.send(&answer_with(1, second.id())).await;
        assert_eq!(client.frame().await.frame.status, 1);
        let stats = bed.server.stats();
        assert_eq!((stats.sent, stats.answers_retried, stats.answered), (2, 1, 1), "{stats}");
        // The last try's answer is passed on, whatever it says.
        client.send(&request(2, b"y")).await;
        for _ in 0..2 {
            let got = host.frame().await;
            host.send(&answer_with(4, got.id())).await;
        }
        assert_eq!(client.frame().await.frame.status, 4);
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn the_second_try_is_made_at_once_and_others_after_pauses_that_double() {
    run_paused(async {
        let route = r#", "retry_policy":
            {"retry_on": true, "num_retries": 7, "status_codes": [4]}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(1, b"x")).await;
        let mut host = bed.host.accept().await;
        let (mut pauses, mut last) = (Vec::new(), time::now());
        for _ in 0..8 {
            let got = host.frame().await;
            pauses.push(time::now() - last);
            last = time::now();
            host.send(&answer_with(4, got.id())).await;
        }
        assert_eq!(client.frame().await.frame.status, 4);
        assert_eq!(pauses[..2], [Duration::ZERO; 2], "the first and the second");
        let mut whole = RETRY_PAUSE_MIN;
        for pause in &pauses[2..] {
            // Up to half of it is taken off by chance.
            assert!((whole / 2..=whole).contains(pause), "{pause:?} of {whole:?}: {pauses:?}");
            whole = (whole * 2).min(RETRY_PAUSE_MAX);
        }
        assert_eq!(whole, RETRY_PAUSE_MAX);
    });
}

#[test]
fn the_budget_bounds_the_retries_of_all_requests_together() {
    run_paused(async {
        let route = r#", "retry_policy": {"retry_on": true, "status_codes": [4]}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let mut client = bed.client().await;
        let frames: Vec<u8> = (0..100).flat_map(|id| request(id, b"")).collect();
        client.send(&frames).await;
        let mut host = bed.host.accept().await;
        reactor::spawn(async move {
            while let Some(got) = host.next().await {
                host.send(&answer_with(4, got.id())).await;
            }
        })
        .detach();
        for _ in 0..100 {
            assert_eq!(client.frame().await.frame.status, 4);
        }
        // Ten to begin with, and a fifth of the requests.
        assert_eq!(bed.server.stats().retries, 30, "{}", bed.server.stats());
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_oneway_and_a_long_frame_are_sent_once() {
    run_paused(async {
        let route = r#", "retry_policy": {"retry_on": true, "status_codes": [4]}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&oneway(1, b"x")).await;
        client.send(&request(2, &vec![7; proxy::limits::RETRY_FRAME_BYTES_MAX])).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        let long = host.frame().await;
        host.send(&answer_with(4, long.id())).await;
        let back = client.frame().await;
        assert_eq!((back.id(), back.frame.status), (2, 4));
        assert_eq!(bed.server.stats().retries, 0);
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_dead_host_alone_is_answered_fast_all_the_same() {
    run_paused(async {
        let route = r#", "retry_policy": {"retry_on": true, "num_retries": 3}"#;
        let hosts = [dead_address()];
        let server = Setup { hosts: &hosts, route, ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        let start = time::now();
        client.send(&request(1, b"")).await;
        client.expect(1, status::CONNECTION_CLOSED).await;
        assert!(time::now() - start < Duration::from_millis(50));
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn the_time_out_of_the_request_bounds_all_its_tries() {
    run_paused(async {
        let route = r#", "retry_policy":
            {"retry_on": true, "retry_timeout": "40ms", "num_retries": 9}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let mut client = bed.client().await;
        let start = time::now();
        client.send(&request_with(1, 100, b"", b"x")).await;
        client.expect(1, status::TIMEOUT).await;
        let took = time::now() - start;
        assert!(
            (Duration::from_millis(100)..Duration::from_millis(110)).contains(&took),
            "{took:?}"
        );
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn time_outs_of_minus_1_and_0_are_the_routes_also_with_retries() {
    run_paused(async {
        let route = r#", "timeout": "50ms", "retry_policy": {"retry_on": true}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let mut client = bed.client().await;
        for (id, timeout_ms) in [(1, -1), (2, 0), (3, i32::MIN)] {
            client.send(&request_with(id, timeout_ms, b"", b"")).await;
            client.expect(id, status::TIMEOUT).await;
        }
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_client_that_leaves_between_two_tries_leaves_nothing_behind() {
    run_paused(async {
        let route = r#", "retry_policy":
            {"retry_on": true, "num_retries": 9, "status_codes": [4]}"#;
        let bed = Bed::new(Setup { route, ..Setup::default() });
        let client = bed.client().await;
        client.send(&request(1, b"x")).await;
        let mut host = bed.host.accept().await;
        for _ in 0..2 {
            let got = host.frame().await;
            host.send(&answer_with(4, got.id())).await;
        }
        until(|| bed.server.stats().answers_retried == 2).await;
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn above_the_limit_of_kept_bytes_frames_are_sent_and_not_kept() {
    // As much as the sockets hold waits for the kernel, and so for real time.
    run(async {
        let bed = Bed::new(Setup { route: RETRY_ONCE, ..Setup::default() });
        let client = bed.client().await;
        let frame = request(1, &vec![7; RETRY_FRAME_BYTES_MAX - 100]);
        assert!(frame.len() <= RETRY_FRAME_BYTES_MAX);
        let fit = KEPT_BYTES_MAX / frame.len();
        let more = 10;
        let sending = reactor::spawn(async move {
            for _ in 0..fit + more {
                client.send(&frame).await;
            }
            (client, frame.len())
        });
        let mut host = bed.host.accept().await;
        for _ in 0..fit + more {
            host.frame().await;
        }
        let (mut client, frame_bytes) = sending.await.unwrap();
        let stats = bed.server.stats();
        assert_eq!(stats.in_flight as usize, fit + more, "all are on their way");
        assert_eq!(stats.kept_bytes as usize, fit * frame_bytes);
        // Those that were not kept are not tried again, whatever the budget says.
        drop(host);
        for _ in 0..more {
            assert_eq!(client.frame().await.frame.status, status::CONNECTION_CLOSED);
        }
        drop((client, bed.host));
        all_empty(&bed.server).await;
    });
}

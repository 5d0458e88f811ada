//! Heartbeats on upstream connections, in virtual time: it goes on when nothing else is left to do.

mod common;

use std::time::Duration;

use common::*;
use proxy::codec::{Kind, Protocol};
use proxy::limits::{KEEPALIVE_FAILURES_MAX, KEEPALIVE_IDLE, KEEPALIVE_TIMEOUT};

/// A connection that has carried one request, from both sides.
async fn connected(bed: &Bed) -> (Peer, Peer) {
    let mut client = bed.client().await;
    let host = bed.host.accept_after(&mut client).await;
    (client, host)
}

#[test]
fn an_idle_connection_has_one_heartbeat_for_every_fifteen_seconds() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let (_client, mut host) = connected(&bed).await;
        let mut last = reactor::time::now();
        for beat in 1..=5 {
            let got = host.frame().await;
            assert_eq!(got.frame.kind, Kind::Heartbeat);
            let now = reactor::time::now();
            assert_eq!(now - last, KEEPALIVE_IDLE);
            last = now;
            host.send(&heartbeat_ack(&got)).await;
            assert_eq!(bed.server.stats().heartbeats_sent, beat);
        }
        assert_eq!(bed.server.stats().unexpected_frames, 0);
        assert_eq!(bed.server.clusters()[0].connections, 1);
    });
}

#[test]
fn a_busy_connection_has_no_heartbeat() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let (mut client, mut host) = connected(&bed).await;
        let before = reactor::time::now();
        client.send(&request_with(7, 600_000, b"", b"long")).await;
        let got = host.frame().await;
        reactor::time::sleep(Duration::from_secs(300)).await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"long");
        assert!(reactor::time::now() - before >= Duration::from_secs(300));
        assert_eq!(bed.server.stats().heartbeats_sent, 0);
    });
}

#[test]
fn a_silent_host_is_given_up_after_six_heartbeats_and_dialed_anew() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let (mut client, mut host) = connected(&bed).await;
        let start = reactor::time::now();
        for _ in 0..KEEPALIVE_FAILURES_MAX {
            assert_eq!(host.frame().await.frame.kind, Kind::Heartbeat);
        }
        host.closed().await;
        let took = reactor::time::now() - start;
        assert_eq!(took, KEEPALIVE_IDLE * KEEPALIVE_FAILURES_MAX + KEEPALIVE_TIMEOUT);
        assert_eq!(bed.server.clusters()[0].connections, 0);

        client.send(&request(8, b"anew")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"anew");
    });
}

#[test]
fn dubbo_has_its_own_heartbeat_and_thrift_none() {
    run_paused(async {
        for protocol in [Protocol::Dubbo, Protocol::Thrift] {
            let name = proxy::codec::Codec::name(&protocol);
            let bed = Bed::new(Setup { protocol: name, ..Setup::default() });
            let client = bed.client().await;
            client.send(&wire::oneway(protocol, 1, b"")).await;
            let mut host = bed.host.accept().await.speaking(protocol);
            host.frame().await;
            if protocol == Protocol::Dubbo {
                assert_eq!(host.frame().await.frame.kind, Kind::Heartbeat);
            } else {
                reactor::time::sleep(Duration::from_secs(600)).await;
                assert_eq!(bed.server.stats().heartbeats_sent, 0);
                assert_eq!(bed.server.clusters()[0].connections, 1);
            }
        }
    });
}

#[test]
fn a_ping_pong_connection_that_nobody_uses_is_closed() {
    run_paused(async {
        let bed = Bed::new(Setup { cluster: r#", "pool": "ping_pong""#, ..Setup::default() });
        let (_client, mut host) = connected(&bed).await;
        let start = reactor::time::now();
        while let Some(beat) = host.next().await {
            assert_eq!(beat.frame.kind, Kind::Heartbeat);
        }
        assert!(reactor::time::now() - start >= proxy::limits::PING_PONG_IDLE_MAX);
        assert_eq!(bed.server.clusters()[0].connections, 0);
    });
}

//! Hosts that take no connection, or that take one and say nothing: what it costs to ask them, in virtual
//! time.

mod common;

use std::time::Duration;

use common::*;
use proxy::Server;
use proxy::codec::Kind;
use proxy::codec::bolt::status;
use proxy::limits::{BACKOFF_MIN, CONNECT_TIMEOUT, KEEPALIVE_IDLE};
use reactor::time;

const POOLS: [&str; 3] =
    ["", r#", "pool": "ping_pong", "connections_per_host": 2"#, r#", "pool": "binding""#];

/// The status that a client of its own gets.
async fn ask(server: &Server, timeout_ms: i32) -> u16 {
    let mut client = Peer::connect(server.addresses()[0]).await;
    client.send(&request_with(1, timeout_ms, b"", b"")).await;
    client.frame().await.frame.status
}

fn connections(server: &Server) -> usize {
    server.clusters()[0].connections
}

#[test]
fn a_host_that_refuses_is_not_dialed_for_every_request_whatever_its_pool() {
    run_paused(async {
        for cluster in POOLS {
            let server = Setup { hosts: &[dead_address()], cluster, ..Setup::default() }.start();
            for dials in 1..=3 {
                for _ in 0..3 {
                    assert_eq!(ask(&server, 0).await, status::CONNECTION_CLOSED, "{cluster}");
                    assert_eq!(server.stats().upstream_connect_failed, dials, "{cluster}");
                }
                time::sleep(BACKOFF_MIN * 10).await;
            }
            all_empty(&server).await;
        }
    });
}

#[test]
fn a_dial_that_outlasts_its_only_request_ends_with_it_and_has_failed() {
    run_paused(async {
        let mute = Mute::new().await;
        let setup = Setup { hosts: &[mute.address], cluster: POOLS[1], ..Setup::default() };
        let server = setup.start();
        for _ in 0..5 {
            assert_eq!(ask(&server, 20).await, status::TIMEOUT);
            until(|| connections(&server) == 0).await;
            assert_eq!(ask(&server, 20).await, status::CONNECTION_CLOSED);
            time::sleep(CONNECT_TIMEOUT - Duration::from_millis(100)).await;
        }
        assert_eq!(server.stats().upstream_connect_failed, 5);
        all_empty(&server).await;
    });
}

#[test]
fn a_dial_whose_client_has_left_is_no_failure_of_the_host() {
    run_paused(async {
        let mute = Mute::new().await;
        let setup = Setup { hosts: &[mute.address], cluster: POOLS[1], ..Setup::default() };
        let server = setup.start();
        for _ in 0..5 {
            let client = Peer::connect(server.addresses()[0]).await;
            client.send(&request(1, b"")).await;
            until(|| connections(&server) == 1).await;
            drop(client);
            until(|| connections(&server) == 0).await;
        }
        assert_eq!(ask(&server, 20).await, status::TIMEOUT, "it was dialed");
        all_empty(&server).await;
    });
}

#[test]
fn one_request_dials_a_host_that_has_failed_once_and_not_once_for_every_place() {
    run_paused(async {
        let cluster = r#", "connections_per_host": 8"#;
        let server = Setup { hosts: &[dead_address()], cluster, ..Setup::default() }.start();
        for dials in 1..=4 {
            assert_eq!(ask(&server, 0).await, status::CONNECTION_CLOSED);
            assert_eq!(server.stats().upstream_connect_failed, dials);
            time::sleep(BACKOFF_MIN * 10).await;
        }
    });
}

#[test]
fn a_heartbeat_that_is_answered_proves_a_host_that_gets_oneways_only() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&oneway(1, b"")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        let beat = host.frame().await;
        assert_eq!(beat.frame.kind, Kind::Heartbeat);
        host.send(&heartbeat_ack(&beat)).await;
        // What is behind the acknowledgement is answered after it.
        host.send(&heartbeat(7)).await;
        assert_eq!(host.frame().await.frame.kind, Kind::HeartbeatAck);
        drop(host);
        until(|| connections(&bed.server) == 0).await;
        client.send(&request(2, b"at once")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"at once");
    });
}

#[test]
fn a_connection_whose_last_client_has_left_gets_its_heartbeats_in_time() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        let mut host = bed.host.accept_after(&mut client).await;
        client.send(&request_with(7, 600_000, b"", b"long")).await;
        host.frame().await;
        time::sleep(KEEPALIVE_IDLE * 2).await;
        drop(client);
        until(|| bed.server.stats().abandoned == 1).await;
        let start = time::now();
        assert_eq!(host.frame().await.frame.kind, Kind::Heartbeat);
        assert!(time::now() - start < KEEPALIVE_IDLE * 2, "{:?}", time::now() - start);
    });
}

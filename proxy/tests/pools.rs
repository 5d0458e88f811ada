//! Pools: which connection a request takes, and what ends with it.

mod common;

use common::*;
use proxy::codec::bolt::status;
use proxy::codec::{Codec, Protocol, dubbo};

const PING_PONG: &str = r#", "pool": "ping_pong""#;
const BINDING: &str = r#", "pool": "binding""#;

const RETRIES: &str = r#", "retry_policy": {"retry_on": true, "num_retries": 3}"#;

fn connections(bed: &Bed) -> usize {
    bed.server.clusters()[0].connections
}

#[test]
fn a_ping_pong_connection_carries_one_request_at_a_time_and_is_used_again() {
    run_paused(async {
        let bed = Bed::new(Setup { cluster: PING_PONG, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(1, b"one")).await;
        client.send(&request(2, b"two")).await;
        let (mut a, mut b) = (bed.host.accept().await, bed.host.accept().await);
        let (first, second) = (a.frame().await, b.frame().await);
        assert_eq!((first.content(), second.content()), (&b"one"[..], &b"two"[..]));
        b.answer(&second).await;
        assert_eq!(client.frame().await.id(), 2);
        for id in 3..20 {
            client.send(&request(id, b"again")).await;
            let got = b.frame().await;
            b.answer(&got).await;
            assert_eq!(client.frame().await.id(), id);
        }
        assert_eq!(connections(&bed), 2);
        a.answer(&first).await;
        assert_eq!(client.frame().await.id(), 1);
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_ping_pong_pool_at_its_limit_answers_with_status_4() {
    run_paused(async {
        let keys = r#", "pool": "ping_pong", "connections_per_host": 1"#;
        let bed = Bed::new(Setup { cluster: keys, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(1, b"")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        client.send(&request(2, b"")).await;
        client.expect(2, status::SERVER_THREADPOOL_BUSY).await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.id(), 1);
    });
}

#[test]
fn a_time_out_ends_its_ping_pong_connection_and_a_place_is_free_again() {
    run_paused(async {
        let keys = r#", "pool": "ping_pong", "connections_per_host": 1"#;
        let bed = Bed::new(Setup { cluster: keys, ..Setup::default() });
        let mut client = bed.client().await;
        for id in 1..=3 {
            client.send(&request_with(id, 20, b"", b"")).await;
            let mut host = bed.host.accept().await;
            host.frame().await;
            assert_eq!(client.frame().await.frame.status, status::TIMEOUT);
            host.closed().await;
        }
        drop(client);
        all_empty(&bed.server).await;
        until(|| connections(&bed) == 0).await;
    });
}

#[test]
fn each_client_has_a_bound_connection_of_its_own_with_all_its_requests() {
    run_paused(async {
        let bed = Bed::new(Setup { cluster: BINDING, ..Setup::default() });
        let mut clients = [bed.client().await, bed.client().await];
        let mut hosts = Vec::new();
        for (client, content) in clients.iter().zip([b"a", b"b"]) {
            client.send(&request(1, content)).await;
            let mut host = bed.host.accept().await;
            let got = host.frame().await;
            assert_eq!(got.content(), content);
            host.answer(&got).await;
            hosts.push(host);
        }
        for ((client, host), content) in clients.iter_mut().zip(&mut hosts).zip([b"a", b"b"]) {
            client.frame().await;
            client.send(&[request(2, content), request(3, content)].concat()).await;
            for _ in 0..2 {
                let got = host.frame().await;
                assert_eq!(got.content(), content);
                host.answer(&got).await;
                client.frame().await;
            }
        }
        assert_eq!(connections(&bed), 2);
    });
}

#[test]
fn a_client_that_closes_takes_its_bound_connection_along() {
    run_paused(async {
        let bed = Bed::new(Setup { cluster: BINDING, ..Setup::default() });
        let (client, mut other) = (bed.client().await, bed.client().await);
        client.send(&request(1, b"")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        let mut others = bed.host.accept_after(&mut other).await;
        drop(client);
        host.closed().await;
        other.send(&request(2, b"goes on")).await;
        let got = others.frame().await;
        others.answer(&got).await;
        assert_eq!(other.frame().await.content(), b"goes on");
        drop(other);
        others.closed().await;
        all_empty(&bed.server).await;
        assert_eq!(connections(&bed), 0);
    });
}

#[test]
fn a_host_that_closes_a_bound_connection_takes_the_client_along_behind_its_answers() {
    // There is nobody for the answer of another try.
    for route in ["", RETRIES] {
        run(async {
            let bed = Bed::new(Setup { cluster: BINDING, route, ..Setup::default() });
            let mut client = bed.client().await;
            for id in 1..=3 {
                client.send(&request(id, b"")).await;
            }
            let mut host = bed.host.accept().await;
            for _ in 0..3 {
                host.frame().await;
            }
            drop(host);
            for id in 1..=3 {
                let back = client.frame().await;
                assert_eq!((back.id(), back.frame.status), (id, status::CONNECTION_CLOSED));
            }
            client.closed().await;
            all_empty(&bed.server).await;
            let stats = bed.server.stats();
            assert_eq!((stats.sent, stats.retries, stats.kept_bytes), (3, 0, 0), "{stats}");
        });
    }
}

#[test]
fn a_bound_connection_that_cannot_be_made_is_answered_as_such_although_its_route_retries() {
    run(async {
        let protocol = Protocol::Dubbo;
        let (hosts, name) = ([dead_address()], protocol.name());
        let (cluster, route) = (BINDING, RETRIES);
        let server =
            Setup { hosts: &hosts, protocol: name, cluster, route, ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await.speaking(protocol);
        client.send(&wire::request(protocol, 1, b"")).await;
        let back = client.frame().await;
        let status = wire::status(protocol, &back.frame, &back.bytes);
        assert_eq!(status, i32::from(dubbo::status::SERVICE_NOT_FOUND));
        client.closed().await;
        all_empty(&server).await;
    });
}

#[test]
fn a_host_that_says_go_away_on_a_bound_connection_leaves_the_client_alone() {
    run_paused(async {
        let bed = Bed::new(Setup { cluster: BINDING, ..Setup::default() });
        let mut client = bed.client().await;
        let mut host = bed.host.accept_after(&mut client).await;
        host.send(&wire::go_away(proxy::codec::Protocol::Bolt).unwrap()).await;
        host.closed().await;
        client.send(&request(2, b"anew")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"anew");
    });
}

#[test]
fn the_close_of_a_client_in_flight_leaves_a_shared_connection_alone() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let (leaver, mut stayer) = (bed.client().await, bed.client().await);
        let mut host = bed.host.accept_after(&mut stayer).await;
        leaver.send(&request(1, b"lost")).await;
        let lost = host.frame().await;
        drop(leaver);
        until(|| bed.server.stats().abandoned == 1).await;
        host.answer(&lost).await;
        stayer.send(&request(2, b"kept")).await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(stayer.frame().await.content(), b"kept");
        drop(stayer);
        all_empty(&bed.server).await;
    });
}

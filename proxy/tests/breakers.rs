//! Circuit breakers: what is over a cluster's limit is refused at once, and nobody else's.

mod common;

use common::*;
use proxy::codec::bolt::status;
use proxy::{ClusterStatus, Server};

/// The counts of the only cluster.
fn cluster(server: &Server) -> ClusterStatus {
    server.clusters().remove(0)
}

fn limited(limits: &str) -> String {
    format!(r#", "circuit_breakers": [{{{limits}}}]"#)
}

#[test]
fn above_max_requests_requests_get_status_4_until_one_is_answered() {
    run_paused(async {
        let keys = limited(r#""max_requests": 2"#);
        let bed = Bed::new(Setup { cluster: &keys, ..Setup::default() });
        let (mut one, mut other) = (bed.client().await, bed.client().await);
        let mut host = bed.host.accept_after(&mut one).await;
        one.send(&request(1, b"a")).await;
        other.send(&request(2, b"b")).await;
        let first = host.frame().await;
        host.frame().await;
        assert_eq!(cluster(&bed.server).requests, 2);
        other.send(&request(3, b"c")).await;
        other.expect(3, status::SERVER_THREADPOOL_BUSY).await;

        host.answer(&first).await;
        let freed = if first.content() == b"a" { &mut one } else { &mut other };
        freed.frame().await;
        other.send(&request(4, b"d")).await;
        assert_eq!(host.frame().await.content(), b"d");
        drop((one, other));
        all_empty(&bed.server).await;
        assert!(cluster(&bed.server).is_idle());
    });
}

#[test]
fn above_max_pending_requests_a_dial_has_no_more_waiters() {
    run_paused(async {
        let mute = Mute::new().await;
        let keys = limited(r#""max_pending_requests": 2"#)
            + r#", "connect_timeout": "200ms", "connections_per_host": 3"#;
        let server = Setup { hosts: &[mute.address], cluster: &keys, ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        for id in 1..=3 {
            client.send(&request(id, b"")).await;
        }
        client.expect(3, status::SERVER_THREADPOOL_BUSY).await;
        let status = cluster(&server);
        assert_eq!((status.pending, status.connections), (2, 2), "nobody dials for the third");
        for id in [1, 2] {
            client.expect(id, status::CONNECTION_CLOSED).await;
        }
        drop((client, mute));
        all_empty(&server).await;
        assert_eq!((cluster(&server).pending, cluster(&server).connections), (0, 0));
    });
}

#[test]
fn a_request_that_leaves_while_it_waits_for_a_dial_is_not_counted_any_more() {
    run_paused(async {
        let mute = Mute::new().await;
        let keys = r#", "connect_timeout": "10s""#;
        let server = Setup { hosts: &[mute.address], cluster: keys, ..Setup::default() }.start();
        let client = Peer::connect(server.addresses()[0]).await;
        let mut other = Peer::connect(server.addresses()[0]).await;
        client.send(&request(1, b"")).await;
        until(|| cluster(&server).pending == 1).await;
        drop(client);
        other.send(&request_with(2, 20, b"", b"")).await;
        assert_eq!(other.frame().await.frame.status, status::TIMEOUT);
        until(|| cluster(&server).is_idle()).await;
    });
}

#[test]
fn max_connections_holds_for_each_cluster_although_they_share_a_host() {
    run_paused(async {
        let host = Host::new();
        let address = host.address();
        let keys = limited(r#""max_connections": 1"#);
        let server = two_clusters(address, &keys).start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        let mut other = Peer::connect(server.addresses()[0]).await;
        let to = |cluster: &[u8]| {
            let mut header = Vec::new();
            proxy::codec::bolt::push_header(b"cluster", cluster, &mut header);
            header
        };
        // One request at a time on a connection: the second needs another one.
        client.send(&request_with(1, 0, &to(b"c"), b"one")).await;
        let mut one = host.accept().await;
        let got = one.frame().await;
        client.send(&request_with(2, 0, &to(b"c"), b"two")).await;
        client.expect(2, status::SERVER_THREADPOOL_BUSY).await;
        other.send(&request_with(3, 0, &to(b"d"), b"three")).await;
        let mut two = host.accept().await;
        let third = two.frame().await;
        assert_eq!(third.content(), b"three");

        one.answer(&got).await;
        two.answer(&third).await;
        assert_eq!(client.frame().await.id(), 1);
        assert_eq!(other.frame().await.id(), 3);
        let used: Vec<usize> = server.clusters().iter().map(|c| c.connections).collect();
        assert_eq!(used, [1, 1]);
        drop((client, other, one, two));
        all_empty(&server).await;
        until(|| server.clusters().iter().all(|c| c.connections == 0)).await;
    });
}

/// Clusters `c` and `d` of one host each, the same one; a request's header `cluster` tells which.
struct Two(String);

fn two_clusters(address: std::net::SocketAddr, keys: &str) -> Two {
    let cluster = |name: &str| {
        format!(
            r#"{{"name": "{name}", "pool": "ping_pong", "hosts": [{{"address": "{address}"}}]{keys}}}"#
        )
    };
    let route = |name: &str| {
        format!(
            r#"{{"match": {{"headers": [{{"name": "cluster", "value": "{name}"}}]}},
                 "route": {{"cluster_name": "{name}"}}}}"#
        )
    };
    Two(format!(
        r#"{{"servers": [{{
             "routers": [{{"router_config_name": "r", "virtual_hosts": [{{
               "domains": ["*"], "routers": [{}, {}]}}]}}],
             "listeners": [{{"address": "127.0.0.1:0", "filter_chains": [{{"filters": [{{
               "type": "proxy",
               "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
           "cluster_manager": {{"clusters": [{}, {}]}}}}"#,
        route("c"),
        route("d"),
        cluster("c"),
        cluster("d")
    ))
}

impl Two {
    fn start(&self) -> Server {
        let config = proxy::Config::parse("two.json".as_ref(), &self.0).unwrap();
        Server::start(&config).unwrap()
    }
}

#[test]
fn max_connections_holds_for_plain_tcp_too() {
    run_paused(async {
        let host = Host::new();
        let text = format!(
            r#"{{"servers": [{{"listeners": [{{"address": "127.0.0.1:0", "filter_chains": [
              {{"filters": [{{"type": "tcp_proxy", "config": {{"cluster": "t"}}}}]}}]}}]}}],
              "cluster_manager": {{"clusters": [{{"name": "t",
                "circuit_breakers": [{{"max_connections": 1}}],
                "hosts": [{{"address": "{}"}}]}}]}}}}"#,
            host.address()
        );
        let config = proxy::Config::parse("tcp.json".as_ref(), &text).unwrap();
        let server = Server::start(&config).unwrap();
        let first = Peer::connect(server.addresses()[0]).await;
        let one = host.accept().await;
        let mut second = Peer::connect(server.addresses()[0]).await;
        second.closed().await;
        assert_eq!(cluster(&server).connections, 1);
        drop((first, one));
        until(|| cluster(&server).connections == 0).await;
        let _third = Peer::connect(server.addresses()[0]).await;
        host.accept().await;
    });
}

#[test]
fn no_more_requests_are_tried_again_at_once_than_max_retries() {
    run_paused(async {
        let keys = limited(r#""max_retries": 1"#);
        let route = r#", "retry_policy": {"retry_on": true, "num_retries": 2}"#;
        let bed = Bed::new(Setup { cluster: &keys, route, ..Setup::default() });
        let mut client = bed.client().await;
        let mut host = bed.host.accept_after(&mut client).await;
        client.send(&[request(1, b"one"), request(2, b"two")].concat()).await;
        host.frame().await;
        host.frame().await;
        drop(host);
        let denied = client.frame().await;
        assert_eq!(denied.frame.status, status::CONNECTION_CLOSED);
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        assert_eq!(cluster(&bed.server).retries, 1);
        host.answer(&got).await;
        let retried = client.frame().await;
        assert_eq!((retried.frame.status, retried.id() + denied.id()), (status::SUCCESS, 3));
        drop(client);
        all_empty(&bed.server).await;
        assert!(cluster(&bed.server).is_idle());
    });
}

//! Where requests go: by their domain, by weight, and past filters that cannot change them.

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::numbered::numbered;
use common::scene::Scene;
use common::*;
use proxy::codec::bolt::push_header;
use proxy::codec::{Kind, Protocol};
use proxy::{Config, Server};

/// A proxy of these virtual hosts, and clusters `c0`, `c1`, ... of one host each that answers with its
/// number.
fn start(virtual_hosts: &str) -> Server {
    let clusters: Vec<String> = (0..3)
        .map(|number| {
            let (address, task) = numbered(number);
            task.detach();
            format!(r#"{{"name": "c{number}", "hosts": [{{"address": "{address}"}}]}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"seed": 7, "servers": [{{
             "routers": [{{"router_config_name": "r", "virtual_hosts": {virtual_hosts}}}],
             "listeners": [{{"address": "127.0.0.1:0", "filter_chains": [{{"filters": [{{
               "type": "proxy",
               "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
           "cluster_manager": {{"clusters": [{}]}}}}"#,
        clusters.join(",")
    );
    let config = Config::parse(Path::new("routing.json"), &text).unwrap_or_else(|e| panic!("{e}"));
    Server::start(&config).unwrap()
}

/// Who answers a request with this header; `None`: no host does.
async fn ask(client: &mut Peer, header: &[u8]) -> Option<u8> {
    client.send(&request_with(1, 0, header, b"who?")).await;
    client.frame().await.content().first().copied()
}

#[test]
fn the_domain_of_a_request_decides_whose_routes_it_takes() {
    run(async {
        let server = start(
            r#"[
            {"domains": ["shop.example"],
             "routers": [{"match": {}, "route": {"cluster_name": "c0"}}]},
            {"domains": ["*.example"],
             "routers": [{"match": {"headers": [{"name": "service", "value": "s"}]},
                          "route": {"cluster_name": "c1"}}]},
            {"domains": ["*"], "routers": [{"match": {}, "route": {"cluster_name": "c2"}}]}]"#,
        );
        let mut client = Peer::connect(server.addresses()[0]).await;
        for (domain, expected) in [
            ("shop.example", Some(0)),
            ("SHOP.example", Some(0)),
            // Its virtual host has no route for it; the one of all others is not asked then.
            ("other.example", None),
            ("example.org", Some(2)),
        ] {
            let mut header = Vec::new();
            push_header(b"host", domain.as_bytes(), &mut header);
            assert_eq!(ask(&mut client, &header).await, expected, "{domain}");
        }
        let mut header = Vec::new();
        push_header(b"host", b"other.example", &mut header);
        push_header(b"service", b"s", &mut header);
        assert_eq!(ask(&mut client, &header).await, Some(1));
        assert_eq!(ask(&mut client, b"").await, Some(2), "without a domain");
        assert_eq!(server.stats().no_route, 1);
    });
}

#[test]
fn weighted_clusters_have_their_shares_of_the_requests() {
    run(async {
        let server = start(
            r#"[{"domains": ["*"], "routers": [{"match": {}, "route": {"weighted_clusters": [
                {"cluster": {"name": "c0", "weight": 60}},
                {"cluster": {"name": "c1", "weight": 30}},
                {"cluster": {"name": "c2", "weight": 10}}]}}]}]"#,
        );
        let mut client = Peer::connect(server.addresses()[0]).await;
        let mut answers: HashMap<u8, u32> = HashMap::new();
        for _ in 0..1000 {
            *answers.entry(ask(&mut client, b"").await.unwrap()).or_default() += 1;
        }
        // Some four standard deviations; the seed gives the same numbers every time.
        for (cluster, expected, off) in [(0, 600, 60), (1, 300, 60), (2, 100, 40)] {
            assert!(answers[&cluster].abs_diff(expected) <= off, "{answers:?}");
        }
    });
}

#[test]
fn frames_whose_headers_cannot_be_changed_pass_the_headers_filter_as_they_are() {
    for protocol in [Protocol::Dubbo, Protocol::Thrift] {
        run(async {
            let listener = r#", "stream_filters": [{"type": "headers", "config": {
                "request_headers_to_add": [{"header": {"key": "zone", "value": "z"}}],
                "request_headers_to_remove": ["service"],
                "response_headers_to_add": [{"header": {"key": "via", "value": "proxy"}}]}}]"#;
            let mut scene = Scene::new(protocol, Setup { listener, ..Setup::default() }).await;
            scene.ask(1, b"question").await;
            let mut host = scene.host().await;
            let got = host.frame().await;
            let id = got.frame.origin.id;
            assert_eq!(got.bytes, wire::request(protocol, id, b"question"));
            scene.answer(&host, &got, b"answer").await;
            let back = scene.client.frame().await;
            assert_eq!(back.frame.kind, Kind::Response);
            assert_eq!(back.bytes, wire::response(protocol, 1, b"answer"));
            scene.end().await;
        });
    }
}

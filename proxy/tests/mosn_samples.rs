//! Files in the shapes that the samples of MOSN have had.

mod common;

use std::path::Path;

use common::{Host, Peer, dead_address, request_with, run, until};
use proxy::codec::bolt;
use proxy::{Config, Server};

const SAMPLE: &str = include_str!("mosn_sofarpc.json");

fn parse(text: &str) -> Config {
    Config::parse(Path::new("config.json"), text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_has_no_effect_in_the_sofarpc_sample_is_said_once_for_each_key() {
    let config = parse(SAMPLE);
    for key in ["admin", "servers[0].default_log_path"] {
        let said = config.warnings.iter().filter(|line| line.starts_with(key)).count();
        assert_eq!(said, 1, "{key} in {:?}", config.warnings);
    }
    let twice = config.warnings.iter().filter(|line| line.contains("conn_buffer_limit_bytes"));
    assert!(twice.count() <= 1, "{:?}", config.warnings);
}

/// A call with the service that the sample routes, and its answer.
async fn call(client: &mut Peer, host: &Host) {
    let mut header = Vec::new();
    bolt::push_header(b"service", b"com.alipay.test.TestService:1.0", &mut header);
    client.send(&request_with(7, 0, &header, b"two hops")).await;
    let mut service = host.accept().await;
    let asked = service.frame().await;
    assert_eq!(asked.content(), b"two hops");
    service.answer(&asked).await;
    let answer = client.frame().await;
    assert_eq!((answer.id(), answer.content()), (7, &b"two hops"[..]));
}

#[test]
fn the_sofarpc_sample_runs_as_it_is_where_its_ports_are_free() {
    run(async {
        let Ok(listener) = net::TcpListener::bind("127.0.0.1:8080".parse().unwrap()) else {
            return eprintln!("not run: port 8080 is in use");
        };
        let server = match Server::start(&parse(SAMPLE)) {
            Ok(server) => server,
            Err(error) if error.error.kind() == std::io::ErrorKind::AddrInUse => {
                return eprintln!("not run: {error}");
            }
            Err(error) => panic!("{error}"),
        };
        let mut client = Peer::connect("127.0.0.1:2045".parse().unwrap()).await;
        call(&mut client, &Host::of(listener)).await;
        assert_eq!(server.stats().answered, 2, "one at each hop");
    });
}

#[test]
fn the_sofarpc_sample_carries_a_call_over_two_hops() {
    run(async {
        let host = Host::new();
        let (outer, inner) = (dead_address().to_string(), dead_address().to_string());
        let text = SAMPLE
            .replace("127.0.0.1:2045", &outer)
            .replace("127.0.0.1:2046", &inner)
            .replace("127.0.0.1:8080", &host.address().to_string());
        let server = Server::start(&parse(&text)).unwrap();
        let mut client = Peer::connect(outer.parse().unwrap()).await;
        call(&mut client, &host).await;
        assert_eq!(server.stats().answered, 2, "one at each hop");

        client.send(&request_with(8, 0, b"", b"no service")).await;
        assert_eq!(client.frame().await.frame.status, bolt::status::NO_PROCESSOR);
        drop(client);
        // What is left is the connection of one hop to the other.
        until(|| server.stats().downstream_connections == 1 && server.stats().in_flight == 0).await;
        assert_eq!(server.stats().lost(), 0);
    });
}

#[test]
fn a_router_in_the_filter_chain_and_names_in_capitals_are_read_too() {
    let router = r#"{"type": "connection_manager", "config": {
        "router_config_name": "own", "virtual_hosts": [{"domains": ["*"], "routers": [
          {"match": {"headers": [{"name": "service", "value": ".*"}]},
           "route": {"cluster_name": "serverCluster"}}]}]}}"#;
    let text = format!(
        r#"{{"servers": [{{"listeners": [{{
          "name": "l", "address": "127.0.0.1:2046", "bind_port": true, "log_path": "stdout",
          "filter_chains": [{{"tls_context": {{}}, "filters": [
            {{"type": "proxy", "config": {{"downstream_protocol": "X", "upstream_protocol": "X",
              "router_config_name": "own", "extend_config": {{"sub_protocol": "bolt"}}}}}},
            {router}]}}]}}]}}],
        "cluster_manager": {{"clusters": [{{"Name": "serverCluster", "type": "SIMPLE",
          "hosts": [{{"address": "127.0.0.1:8080"}}]}}]}}}}"#
    );
    let config = parse(&text);
    let expected = "requests with a header `service` to cluster `serverCluster`";
    assert!(config.explain().contains(expected), "{}", config.explain());
}

//! Hosts that come and go: weights, subsets, files and names.

mod common;

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use common::*;
use proxy::codec::bolt::{push_header, status};
use proxy::{Config, Server};

/// A host that answers every request with the number it was made with.
fn numbered(number: u8) -> (SocketAddr, reactor::JoinHandle<()>) {
    let host = Host::new();
    let address = host.address();
    let task = reactor::spawn(async move {
        loop {
            let mut peer = host.accept().await;
            reactor::spawn(async move {
                while let Some(got) = peer.next().await {
                    peer.send(&response(got.id(), &[number])).await;
                }
            })
            .detach();
        }
    });
    (address, task)
}

/// Which host answers; `None`: none does.
async fn ask(client: &mut Peer, id: u32) -> Option<u8> {
    client.send(&request(id, b"who?")).await;
    let back = client.frame().await;
    assert_eq!(back.id(), id);
    (back.frame.status == status::SUCCESS).then(|| back.content()[0])
}

async fn count(client: &mut Peer, requests: u32) -> HashMap<u8, u32> {
    let mut answers = HashMap::new();
    for id in 0..requests {
        *answers.entry(ask(client, id).await.expect("an answer")).or_default() += 1;
    }
    answers
}

/// A proxy of one cluster with these keys, and of one route with these.
fn start(cluster: &str, route: &str) -> Server {
    let text = format!(
        r#"{{"servers": [{{
             "routers": [{{"router_config_name": "r", "virtual_hosts": [{{"domains": ["*"],
               "routers": [{{"match": {{}}, "route": {{"cluster_name": "c"{route}}}}}]}}]}}],
             "listeners": [{{"address": "127.0.0.1:0", "filter_chains": [{{"filters": [{{
               "type": "proxy",
               "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
           "cluster_manager": {{"clusters": [{{"name": "c"{cluster}}}]}}}}"#
    );
    let config = Config::parse(Path::new("test.json"), &text).unwrap_or_else(|e| panic!("{e}"));
    Server::start(&config).unwrap()
}

#[test]
fn hosts_have_their_turns_by_weight() {
    run(async {
        let hosts = [numbered(0), numbered(1)];
        let keys = format!(
            r#", "lb_type": "LB_WEIGHTED_ROUNDROBIN", "hosts": [
               {{"address": "{}", "weight": 3}}, {{"address": "{}"}}]"#,
            hosts[0].0, hosts[1].0
        );
        let server = start(&keys, "");
        let mut client = Peer::connect(server.addresses()[0]).await;
        assert_eq!(count(&mut client, 40).await, HashMap::from([(0, 30), (1, 10)]));
        hosts.iter().for_each(|host| host.1.abort());
    });
}

#[test]
fn a_consistent_hash_keeps_a_client_with_its_host() {
    run(async {
        let hosts = [numbered(0), numbered(1), numbered(2)];
        let list: Vec<String> =
            hosts.iter().map(|host| format!(r#"{{"address": "{}"}}"#, host.0)).collect();
        let keys = format!(r#", "lb_type": "LB_MAGLEV", "hosts": [{}]"#, list.join(","));
        let server = start(&keys, "");
        let mut first = None;
        for _ in 0..3 {
            let mut client = Peer::connect(server.addresses()[0]).await;
            let answers = count(&mut client, 10).await;
            assert_eq!(answers.len(), 1, "{answers:?}");
            let host = *answers.keys().next().unwrap();
            assert_eq!(*first.get_or_insert(host), host);
        }
        hosts.iter().for_each(|host| host.1.abort());
    });
}

/// Which hosts answer requests with these values of `customer`, none where it is empty, each sent three
/// times; the route has these keys.
async fn hosts_by_customer(route: &str, customers: &[String]) -> Vec<u8> {
    let hosts = [numbered(0), numbered(1), numbered(2)];
    let list: Vec<String> =
        hosts.iter().map(|host| format!(r#"{{"address": "{}"}}"#, host.0)).collect();
    let server =
        start(&format!(r#", "lb_type": "LB_MAGLEV", "hosts": [{}]"#, list.join(",")), route);
    let mut answers = Vec::new();
    for customer in customers {
        let mut header = Vec::new();
        if !customer.is_empty() {
            push_header(b"customer", customer.as_bytes(), &mut header);
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            // Another connection each time: it is not the connection that is remembered.
            let mut client = Peer::connect(server.addresses()[0]).await;
            client.send(&request_with(1, 0, &header, b"")).await;
            seen.push(client.frame().await.content()[0]);
        }
        assert!(seen.iter().all(|host| *host == seen[0]), "{customer}: {seen:?}");
        answers.push(seen[0]);
    }
    hosts.iter().for_each(|host| host.1.abort());
    answers
}

fn customers() -> Vec<String> {
    (0..24).map(|n| format!("customer {n}")).collect()
}

fn different(mut hosts: Vec<u8>) -> usize {
    hosts.sort_unstable();
    hosts.dedup();
    hosts.len()
}

#[test]
fn a_consistent_hash_goes_by_the_header_that_the_route_names() {
    run(async {
        let policy = r#", "hash_policy": [{"header": {"key": "customer"}}]"#;
        assert_eq!(different(hosts_by_customer(policy, &customers()).await), 3);
    });
}

#[test]
fn a_consistent_hash_goes_by_the_address_without_the_header_or_a_policy() {
    run(async {
        let header = r#", "hash_policy": [{"header": {"key": "customer"}}]"#;
        let nobody = vec![String::new(); 3];
        assert_eq!(different(hosts_by_customer(header, &nobody).await), 1);
        for route in ["", r#", "hash_policy": []"#, r#", "hash_policy": [{"source_ip": {}}]"#] {
            assert_eq!(different(hosts_by_customer(route, &customers()).await), 1, "{route}");
        }
    });
}

#[test]
fn the_first_source_of_a_hash_that_a_request_has_is_taken() {
    run(async {
        let other =
            r#", "hash_policy": [{"header": {"key": "tenant"}}, {"header": {"key": "customer"}}]"#;
        assert_eq!(different(hosts_by_customer(other, &customers()).await), 3);
        let address = r#", "hash_policy": [{"source_ip": {}}, {"header": {"key": "customer"}}]"#;
        assert_eq!(different(hosts_by_customer(address, &customers()).await), 1);
    });
}

#[test]
fn a_header_map_that_cannot_be_read_for_a_hash_gets_status_9() {
    run(async {
        let (address, host) = numbered(0);
        let cluster = |lb| format!(r#", "lb_type": "{lb}", "hosts": [{{"address": "{address}"}}]"#);
        let policy = r#", "hash_policy": [{"header": {"key": "customer"}}]"#;
        for (lb, expected) in
            [("LB_MAGLEV", status::CODEC_EXCEPTION), ("LB_ROUNDROBIN", status::SUCCESS)]
        {
            let server = start(&cluster(lb), policy);
            let mut client = Peer::connect(server.addresses()[0]).await;
            client.send(&request_with(1, 0, b"\0\0\0\x09x", b"")).await;
            assert_eq!(client.frame().await.frame.status, expected, "{lb}");
            assert_eq!(ask(&mut client, 2).await, Some(0), "the next request is not touched");
        }
        host.abort();
    });
}

/// Which hosts answer requests that ask for `wanted`, where host 0 and 1 are of zone a and b.
async fn zones(fallback: &str, wanted: &str) -> Vec<u8> {
    let hosts = [numbered(0), numbered(1)];
    let labels = |zone: &str| format!(r#"{{"filter_metadata": {{"mosn.lb": {zone}}}}}"#);
    let keys = format!(
        r#", "lb_subset_config": {{{fallback}, "subset_selectors": [["zone"]]}}, "hosts": [
           {{"address": "{}", "metadata": {}}}, {{"address": "{}", "metadata": {}}}]"#,
        hosts[0].0,
        labels(r#"{"zone": "a"}"#),
        hosts[1].0,
        labels(r#"{"zone": "b"}"#)
    );
    let server = start(&keys, &format!(r#", "metadata_match": {}"#, labels(wanted)));
    let mut client = Peer::connect(server.addresses()[0]).await;
    let mut answers = Vec::new();
    for id in 0..8 {
        answers.extend(ask(&mut client, id).await);
    }
    hosts.iter().for_each(|host| host.1.abort());
    answers.sort_unstable();
    answers.dedup();
    answers
}

#[test]
fn a_request_goes_to_the_subset_of_its_route() {
    run(async {
        assert_eq!(zones(r#""fall_back_policy": 0"#, r#"{"zone": "a"}"#).await, [0]);
        assert_eq!(zones(r#""fall_back_policy": 0"#, r#"{"zone": "b"}"#).await, [1]);
    });
}

#[test]
fn without_a_subset_the_fallback_decides() {
    run(async {
        let default = r#""fall_back_policy": 2, "default_subset": {"zone": "b"}"#;
        for wanted in ["{}", r#"{"zone": "c"}"#] {
            assert_eq!(
                zones(r#""fall_back_policy": 0"#, wanted).await,
                Vec::<u8>::new(),
                "{wanted}"
            );
            assert_eq!(zones(r#""fall_back_policy": 1"#, wanted).await, [0, 1], "{wanted}");
            assert_eq!(zones(default, wanted).await, [1], "{wanted}");
        }
    });
}

/// A list of hosts in a file, removed at the end.
struct List(PathBuf);

impl List {
    fn new(name: &str) -> List {
        List(std::env::temp_dir().join(format!("proxy-{}-{name}.json", std::process::id())))
    }

    /// Puts these hosts in it, at once: whoever reads it sees the old list or the new one.
    fn write(&self, hosts: &[SocketAddr]) {
        let hosts: Vec<String> =
            hosts.iter().map(|host| format!(r#"{{"address": "{host}"}}"#)).collect();
        self.write_text(&format!("[{}]", hosts.join(",")));
    }

    fn write_text(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    fn start(&self) -> Server {
        let path = self.0.display();
        start(&format!(r#", "hosts_file": "{path}", "hosts_file_interval": "10ms""#), "")
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn members(server: &Server) -> Vec<SocketAddr> {
    server.clusters()[0].hosts.iter().map(|host| host.address).collect()
}

#[test]
fn hosts_updated_under_load_lose_no_request() {
    run(async {
        let hosts: Vec<_> = (0..4).map(numbered).collect();
        let address = |n: usize| hosts[n].0;
        let list = List::new("load");
        list.write(&[address(0)]);
        let server = Rc::new(list.start());
        until(|| members(&server).len() == 1).await;
        let done = Rc::new(Cell::new(false));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (server, done) = (Rc::clone(&server), Rc::clone(&done));
                reactor::spawn(async move {
                    let mut client = Peer::connect(server.addresses()[0]).await;
                    let mut id = 0;
                    while !done.get() {
                        ask(&mut client, id).await.expect("an answer");
                        id += 1;
                    }
                    id
                })
            })
            .collect();
        for round in 0..20 {
            let wanted = [address(round % 4), address((round + 1) % 4)];
            list.write(&wanted);
            until(|| members(&server) == wanted).await;
        }
        done.set(true);
        for client in clients {
            assert!(client.await.unwrap() > 0);
        }
        all_empty(&server).await;
        let left: Vec<SocketAddr> = members(&server);
        // Connections to hosts that have left are closed.
        until(|| server.clusters()[0].connections <= left.len()).await;
        assert!(server.clusters()[0].is_idle());
        hosts.iter().for_each(|host| host.1.abort());
    });
}

#[test]
fn a_request_in_flight_on_a_host_that_leaves_is_answered_and_then_its_connection_closed() {
    run(async {
        let (leaver, stayer) = (Host::new(), numbered(7));
        let list = List::new("leave");
        list.write(&[leaver.address()]);
        let server = list.start();
        until(|| members(&server).len() == 1).await;
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(1, b"in flight")).await;
        let mut host = leaver.accept().await;
        let got = host.frame().await;
        list.write(&[stayer.0]);
        until(|| members(&server) == [stayer.0]).await;
        assert_eq!(ask(&mut client, 2).await, Some(7));
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"in flight");
        host.closed().await;
        drop(client);
        all_empty(&server).await;
        stayer.1.abort();
    });
}

#[test]
fn a_list_that_cannot_be_read_changes_nothing_and_is_named_once() {
    run(async {
        let host = numbered(1);
        let list = List::new("bad");
        list.write(&[host.0]);
        let server = list.start();
        until(|| !members(&server).is_empty()).await;
        warnings();
        list.write_text("[\n  {\"address\": \"10.0.0.1:1\", \"wieght\": 1}\n]");
        let mut lines = Vec::new();
        until(|| {
            lines.extend(warnings());
            !lines.is_empty()
        })
        .await;
        let expected = format!("cluster `c`: keeps the hosts it has: {}:2:", list.0.display());
        assert!(lines[0].starts_with(&expected), "{lines:?}");
        assert!(lines[0].contains("[0].wieght: unknown field `wieght`"), "{lines:?}");
        let mut client = Peer::connect(server.addresses()[0]).await;
        assert_eq!(ask(&mut client, 1).await, Some(1));
        list.write(&[]);
        until(|| members(&server).is_empty()).await;
        assert_eq!(ask(&mut client, 2).await, None);
        assert_eq!(warnings(), Vec::<String>::new());
        host.1.abort();
    });
}

#[test]
fn a_name_is_resolved_to_its_addresses() {
    run(async {
        let host = numbered(3);
        // Numbers are names too, which need no server.
        let keys = format!(
            r#", "type": "STRICT_DNS", "dns_refresh_rate": "10ms",
               "hosts": [{{"address": "{}", "weight": 2}}]"#,
            host.0
        );
        let server = start(&keys, "");
        until(|| members(&server) == [host.0]).await;
        assert_eq!(server.clusters()[0].hosts[0].weight, 2);
        let mut client = Peer::connect(server.addresses()[0]).await;
        assert_eq!(ask(&mut client, 1).await, Some(3));
        host.1.abort();
    });
}

#[test]
fn localhost_is_found_and_a_name_that_is_none_is_named_in_the_log() {
    run(async {
        let start_at = |name: &str| {
            start(&format!(r#", "type": "STRICT_DNS", "hosts": [{{"address": "{name}"}}]"#), "")
        };
        let server = start_at("localhost:9");
        until(|| members(&server).iter().any(|host| host.ip().is_loopback())).await;
        let _server = start_at("no such name:9");
        let mut lines = Vec::new();
        until(|| {
            lines.extend(warnings());
            !lines.is_empty()
        })
        .await;
        let expected = "cluster `c`: keeps the hosts it has: no such name:9: ";
        assert!(lines[0].starts_with(expected), "{lines:?}");
    });
}

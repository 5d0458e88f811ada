//! Hosts that come and go: weights, subsets, files and names.

mod common;

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use common::numbered::{List, ask, count, numbered, start};
use common::*;
use proxy::Server;

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
fn the_seed_of_the_configuration_decides_which_hosts_are_drawn() {
    run(async {
        let hosts: Vec<_> = (0..4).map(numbered).collect();
        let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.0).collect();
        let drawn = async |policy: &str, seed| {
            let cluster = format!(r#", "lb_type": "{policy}""#);
            let mut config =
                Setup { hosts: &addresses, cluster: &cluster, ..Setup::default() }.config();
            config.seed = seed;
            let server = Server::start(&config).unwrap();
            let mut client = Peer::connect(server.addresses()[0]).await;
            let mut answers = Vec::new();
            for id in 0..30 {
                answers.push(ask(&mut client, id).await.unwrap());
            }
            answers
        };
        for policy in ["LB_RANDOM", "LB_LEAST_REQUEST"] {
            let first = drawn(policy, Some(7)).await;
            assert_eq!(drawn(policy, Some(7)).await, first, "{policy}");
            assert_ne!(drawn(policy, Some(8)).await, first, "{policy}");
            assert_ne!(drawn(policy, None).await, first, "{policy}");
        }
        hosts.iter().for_each(|host| host.1.abort());
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

fn members(server: &Server) -> Vec<SocketAddr> {
    server.clusters()[0].hosts.iter().map(|host| host.address).collect()
}

#[test]
fn a_host_of_which_only_the_weight_or_the_labels_change_is_changed() {
    run(async {
        let (address, host) = numbered(7);
        let list = List::new("changed");
        let write = |weight: u32, zone: &str| {
            list.write_text(&format!(
                r#"[{{"address": "{address}", "weight": {weight},
                     "metadata": {{"filter_metadata": {{"mosn.lb": {{"zone": "{zone}"}}}}}}}}]"#
            ));
        };
        write(1, "a");
        let wanted = r#", "metadata_match": {"filter_metadata": {"mosn.lb": {"zone": "b"}}}"#;
        let keys =
            r#", "lb_subset_config": {"fall_back_policy": 0, "subset_selectors": [["zone"]]}"#;
        let server = list.start_with(keys, wanted);
        until(|| members(&server).len() == 1).await;
        let mut client = Peer::connect(server.addresses()[0]).await;
        assert_eq!(ask(&mut client, 1).await, None);
        write(5, "a");
        until(|| server.clusters()[0].hosts[0].weight == 5).await;
        write(5, "b");
        let mut id = 2;
        while ask(&mut client, id).await.is_none() {
            id += 1;
        }
        host.abort();
    });
}

#[test]
fn a_host_that_stays_keeps_its_connection_and_what_is_known_of_its_health() {
    run_paused(async {
        let (host, dead) = (numbered(7), dead_address());
        let list = List::new("stays");
        list.write(&[host.0, dead]);
        let check = r#", "health_check": {"interval": "1h"}"#;
        let server = list.start_with(check, "");
        until(|| members(&server).len() == 2 && !server.clusters()[0].hosts[1].healthy).await;
        let mut client = Peer::connect(server.addresses()[0]).await;
        assert_eq!(ask(&mut client, 1).await, Some(7));
        let joiner = numbered(8);
        list.write(&[host.0, dead, joiner.0]);
        until(|| members(&server).len() == 3).await;
        let hosts = server.clusters().remove(0).hosts;
        assert!(!hosts[1].healthy, "it was not asked again");
        assert_eq!(hosts[0].connections, 1);
        for id in 2..6 {
            ask(&mut client, id).await.expect("an answer");
        }
        let stats = server.stats();
        assert_eq!((stats.upstream_connected, stats.upstream_closed), (2, 0), "{stats}");
        [host.1, joiner.1].iter().for_each(reactor::JoinHandle::abort);
    });
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
        assert_eq!(warnings(), Vec::<String>::new());
        host.1.abort();
    });
}

/// The next warning.
async fn warned() -> String {
    let mut lines = Vec::new();
    until(|| {
        lines.extend(warnings());
        !lines.is_empty()
    })
    .await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[test]
fn another_mistake_in_a_list_is_named_too_and_a_list_that_becomes_empty() {
    run(async {
        let host = numbered(1);
        let list = List::new("mistakes");
        let shown = list.0.display().to_string();
        list.write(&[host.0]);
        let server = list.start();
        warnings();
        let keeps = "cluster `c`: keeps the hosts it has: ";
        for (text, expected) in [
            ("[1]", format!("{keeps}{shown}:1:2: [0]: invalid type")),
            ("[{weight: 1}]", format!("{keeps}{shown}:1:3: [0]: key must be a string")),
            (r#"[{"weight": 1}]"#, format!("{keeps}{shown}:1:14: [0]: missing field `address`")),
        ] {
            list.write_text(text);
            let line = warned().await;
            assert!(line.starts_with(&expected), "{line}");
        }
        std::fs::remove_file(&list.0).unwrap();
        let line = warned().await;
        assert!(line.starts_with(&format!("{keeps}{shown}: cannot read the file")), "{line}");
        // What was wrong before is news again after it was right.
        list.write(&[host.0]);
        let mut client = Peer::connect(server.addresses()[0]).await;
        assert_eq!(ask(&mut client, 1).await, Some(1));
        list.write(&[]);
        assert_eq!(
            warned().await,
            "cluster `c`: has 0 hosts now: its requests are answered with \"no upstream\""
        );
        assert_eq!(ask(&mut client, 2).await, None);
        host.1.abort();
    });
}

#[test]
fn a_cluster_whose_list_is_missing_from_the_start_has_no_hosts_yet() {
    run(async {
        let list = List::new("missing");
        warnings();
        let _server = list.start();
        let line = warned().await;
        let expected = format!("cluster `c`: has no hosts yet: {}: cannot", list.0.display());
        assert!(line.starts_with(&expected), "{line}");
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
        let expected = "cluster `c`: has no hosts yet: no such name:9: ";
        assert!(lines[0].starts_with(expected), "{lines:?}");
    });
}

#[test]
fn the_hosts_of_a_file_are_there_before_the_first_client() {
    run(async {
        let host = numbered(5);
        let list = List::new("first");
        list.write(&[host.0]);
        let server = list.start();
        assert_eq!(members(&server), [host.0]);
        let mut client = Peer::connect(server.addresses()[0]).await;
        assert_eq!(ask(&mut client, 1).await, Some(5));
        host.1.abort();
    });
}

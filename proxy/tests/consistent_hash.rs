//! What a consistent hash goes by.

mod common;

use common::numbered::{ask, count, numbered, start};
use common::*;
use proxy::codec::bolt::{push_header, status};

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

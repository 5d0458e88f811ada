//! Listeners that find out what a connection speaks.

mod common;

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use common::bytes::{read, read_end};
use common::wire;
use common::*;
use proxy::Server;
use proxy::codec::{Codec, Protocol};

/// Bytes to a cluster `t`, for connections of no known protocol.
const FALLBACK: &str = r#", {"type": "tcp_proxy", "config": {"cluster": "t"}}"#;

/// A listener that takes every protocol in front of one host, and any other bytes for another.
struct Scene {
    server: Server,
    host: Host,
    other: Host,
}

impl Scene {
    fn with_fallback() -> Scene {
        let (host, other) = (Host::new(), Host::new());
        let server = start(&[host.address()], &[other.address()]);
        Scene { server, host, other }
    }

    async fn client(&self) -> Peer {
        Peer::connect(self.server.addresses()[0]).await
    }
}

fn start(hosts: &[SocketAddr], tcp_hosts: &[SocketAddr]) -> Server {
    let tcp_hosts: Vec<String> =
        tcp_hosts.iter().map(|host| format!(r#"{{"address": "{host}"}}"#)).collect();
    let cluster = format!(r#"}}, {{"name": "t", "hosts": [{}]"#, tcp_hosts.join(","));
    Setup {
        hosts,
        protocol: "Auto",
        filter: r#", "fallback_for_unknown_protocol": true"#,
        filters: FALLBACK,
        cluster: &cluster,
        ..Setup::default()
    }
    .start()
}

/// One call there and back.
async fn serves(client: &mut Peer, host: &mut Peer, id: u64) {
    let protocol = client.protocol;
    client.send(&wire::request(protocol, id, b"question")).await;
    answers(client, host, id).await;
}

async fn answers(client: &mut Peer, host: &mut Peer, id: u64) {
    let protocol = client.protocol;
    let got = host.frame().await;
    host.send(&wire::response(protocol, got.frame.origin.id, b"answer")).await;
    assert_eq!(client.frame().await.bytes, wire::response(protocol, id, b"answer"));
}

#[test]
fn all_protocols_are_served_by_one_listener_each_on_connections_of_its_own() {
    run(async {
        let bed = Bed::new(Setup { protocol: "Auto", ..Setup::default() });
        let mut open = Vec::new();
        for protocol in Protocol::ALL {
            let mut client = bed.client().await.speaking(protocol);
            client.send(&wire::request(protocol, 1, b"question")).await;
            let mut host = bed.host.accept().await.speaking(protocol);
            answers(&mut client, &mut host, 1).await;
            // A second client of the same protocol shares it.
            let mut second = bed.client().await.speaking(protocol);
            serves(&mut second, &mut host, 2).await;
            open.push((client, second, host));
        }
        assert_eq!(bed.server.stats().upstream_connected, 3);
        for (client, second, host) in &mut open {
            serves(client, host, 3).await;
            serves(second, host, 4).await;
        }
        drop(open);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_first_packet_of_one_byte_is_waited_upon() {
    run(async {
        let scene = Scene::with_fallback();
        for protocol in Protocol::ALL {
            let mut client = scene.client().await.speaking(protocol);
            for byte in wire::request(protocol, 1, b"question") {
                client.send(&[byte]).await;
                reactor::yield_now().await;
            }
            let mut host = scene.host.accept().await.speaking(protocol);
            answers(&mut client, &mut host, 1).await;
        }
        assert_eq!(scene.server.stats().tcp_accepted, 0);
        all_empty(&scene.server).await;
    });
}

#[test]
fn many_requests_in_the_first_packet_are_all_served() {
    run(async {
        let scene = Scene::with_fallback();
        let mut client = scene.client().await.speaking(Protocol::Dubbo);
        let frames: Vec<u8> =
            (0..20).flat_map(|id| wire::request(Protocol::Dubbo, id, b"question")).collect();
        client.send(&frames[..frames.len() - 3]).await;
        let mut host = scene.host.accept().await.speaking(Protocol::Dubbo);
        for id in 0..19 {
            answers(&mut client, &mut host, id).await;
        }
        client.send(&frames[frames.len() - 3..]).await;
        answers(&mut client, &mut host, 19).await;
        drop(client);
        all_empty(&scene.server).await;
    });
}

#[test]
fn what_is_no_protocol_falls_back_to_plain_tcp_with_every_byte() {
    run(async {
        let scene = Scene::with_fallback();
        for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00", b"\x01\x03"] {
            let client = scene.client().await;
            client.send(first).await;
            // A length of Thrift may begin with anything: its fifth byte tells.
            client.send(b"and more").await;
            let host = scene.other.accept().await;
            assert_eq!(read(&host, first.len() + 8).await, [first, b"and more"].concat());
            host.send(b"back").await;
            assert_eq!(read(&client, 4).await, b"back");
        }
        assert_eq!(scene.server.stats().tcp_accepted, 3);
        all_empty(&scene.server).await;
    });
}

#[test]
fn too_few_bytes_to_tell_fall_back_when_the_client_has_said_all_or_waits_too_long() {
    run_paused(async {
        let scene = Scene::with_fallback();
        let (said_all, waits) = (scene.client().await, scene.client().await);
        said_all.send(b"\0\0").await;
        said_all.stream.shutdown(Shutdown::Write).unwrap();
        let host = scene.other.accept().await;
        assert_eq!(read(&host, 2).await, b"\0\0");
        read_end(&host).await;
        host.send(b"heard").await;
        assert_eq!(read(&said_all, 5).await, b"heard");

        waits.send(b"\x01").await;
        let host = scene.other.accept().await;
        assert_eq!(read(&host, 1).await, b"\x01");
    });
}

#[test]
fn a_client_may_take_its_time_before_its_first_byte() {
    run_paused(async {
        let scene = Scene::with_fallback();
        let mut client = scene.client().await.speaking(Protocol::Bolt);
        // Not as much as an idle client has: 90 s.
        reactor::time::sleep(Duration::from_secs(80)).await;
        client.send(&wire::request(Protocol::Bolt, 1, b"question")).await;
        let mut host = scene.host.accept().await;
        answers(&mut client, &mut host, 1).await;
    });
}

#[test]
fn without_a_fallback_what_is_no_protocol_is_closed_and_named() {
    run(async {
        let bed = Bed::new(Setup { protocol: "Auto", ..Setup::default() });
        let mut client = bed.client().await;
        client.send(b"GET / HTTP/1.1\r\n\r\n").await;
        client.closed().await;
        let lines = warnings();
        let expected = r#"begins with "GET / HTTP/1.1\r\n", which is none of bolt, dubbo, thrift"#;
        assert!(lines.len() == 1 && lines[0].contains(expected), "{lines:?}");
        assert_eq!(bed.server.stats().undetected, 1);
        drop(client);
        let silent = bed.client().await;
        drop(silent);
        all_empty(&bed.server).await;
        assert!(warnings().is_empty(), "a connection without a byte is nobody's fault");
    });
}

#[test]
fn a_listener_takes_only_the_protocols_it_names() {
    run(async {
        let filter = r#", "extend_config": {"sub_protocol": "boltv2, dubbo"}"#;
        let bed = Bed::new(Setup { protocol: "X", filter, ..Setup::default() });
        let mut client = bed.client().await.speaking(Protocol::Dubbo);
        client.send(&wire::request(Protocol::Dubbo, 1, b"question")).await;
        let mut host = bed.host.accept().await.speaking(Protocol::Dubbo);
        answers(&mut client, &mut host, 1).await;
        let mut other = bed.client().await;
        other.send(&[1, 0, 0, 9, 0x80, 1]).await;
        other.closed().await;
    });
}

#[test]
fn the_names_of_protocols_are_those_of_mosn() {
    for (name, listens_for) in [
        ("bolt", "bolt"),
        ("boltv2", "bolt"),
        ("SofaRpc", "bolt"),
        ("dubbo", "dubbo"),
        ("thrift", "thrift"),
        ("Auto", "bolt, dubbo, thrift"),
    ] {
        let config = Setup { protocol: name, ..Setup::default() }.config();
        let names: Vec<&str> = config.listeners[0].protocols.iter().map(Codec::name).collect();
        assert_eq!(names.join(", "), listens_for);
        assert!(config.explain().starts_with(&format!("listens for {listens_for} on ")));
    }
}

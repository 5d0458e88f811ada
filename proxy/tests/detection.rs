//! Listeners that find out what a connection speaks, and plain TCP.

mod common;

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

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

/// Reads so many bytes.
async fn read(peer: &Peer, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < count {
        let mut buffer = vec![0; (count - out.len()).min(65536)];
        let n = peer.stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "closed after {} of {count} bytes", out.len());
        out.extend_from_slice(&buffer[..n]);
    }
    out
}

async fn read_end(peer: &Peer) {
    assert_eq!(peer.stream.read(&mut [0; 8]).await.unwrap(), 0, "the end was expected");
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
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    runtime.block_on(async {
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
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    runtime.block_on(async {
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

/// A listener of plain TCP in front of these hosts.
fn tcp(hosts: &[SocketAddr]) -> Server {
    let hosts: Vec<String> =
        hosts.iter().map(|host| format!(r#"{{"address": "{host}"}}"#)).collect();
    let text = format!(
        r#"{{"servers": [{{"listeners": [{{"address": "127.0.0.1:0", "filter_chains": [{{"filters":
             [{{"type": "tcp_proxy", "config": {{"cluster": "t", "routes": [{{"cluster": "t"}}]}}}}]
           }}]}}]}}],
           "cluster_manager": {{"clusters": [{{"name": "t", "hosts": [{}]}}]}}}}"#,
        hosts.join(",")
    );
    let config = proxy::Config::parse("tcp.json".as_ref(), &text);
    Server::start(&config.unwrap_or_else(|error| panic!("{error}"))).unwrap()
}

#[test]
fn a_host_that_speaks_first_is_heard() {
    run(async {
        let host = Host::new();
        let server = tcp(&[host.address()]);
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        host.send(b"220 ready").await;
        assert_eq!(read(&client, 9).await, b"220 ready");
        client.send(b"QUIT").await;
        assert_eq!(read(&host, 4).await, b"QUIT");
        drop(host);
        read_end(&client).await;
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_side_that_is_closed_is_passed_on_while_the_other_goes_on() {
    run(async {
        let host = Host::new();
        let server = tcp(&[host.address()]);
        let client = Peer::connect(server.addresses()[0]).await;
        client.send(b"question").await;
        client.stream.shutdown(Shutdown::Write).unwrap();
        let host = host.accept().await;
        assert_eq!(read(&host, 8).await, b"question");
        read_end(&host).await;
        for part in [&b"an answer"[..], b" in parts"] {
            host.send(part).await;
            assert_eq!(read(&client, part.len()).await, part);
        }
        host.stream.shutdown(Shutdown::Write).unwrap();
        read_end(&client).await;
        drop((client, host));
        all_empty(&server).await;
    });
}

#[test]
fn a_connection_that_breaks_ends_its_other_half() {
    run(async {
        let host = Host::new();
        let server = tcp(&[host.address()]);
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        // Closing with unread bytes resets the connection.
        client.send(b"never read").await;
        host.stream.readable().await.unwrap();
        drop(host);
        read_end_or_reset(&client).await;
        drop(client);
        all_empty(&server).await;
    });
}

async fn read_end_or_reset(peer: &Peer) {
    let read = peer.stream.read(&mut [0; 8]).await;
    assert!(!matches!(read, Ok(1..)), "the end was expected");
}

#[test]
fn megabytes_come_through_unchanged_both_ways_at_once() {
    run(async {
        let host = Host::new();
        let server = tcp(&[host.address()]);
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        let bytes = |seed: usize| -> Vec<u8> {
            (0..5_000_000).map(|n: usize| (n * 7 + n / 251 + seed) as u8).collect()
        };
        let (out, back) = (bytes(1), bytes(2));
        let (heard, answer, (), ()) = futures_util::join!(
            read(&host, out.len()),
            read(&client, back.len()),
            client.send(&out),
            host.send(&back)
        );
        assert!(heard == out && answer == back, "the bytes came through changed");
        drop((client, host));
        all_empty(&server).await;
    });
}

#[test]
fn a_reader_that_is_slow_stops_the_sender() {
    run(async {
        let host = Host::new();
        let server = tcp(&[host.address()]);
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        // Sends until the sockets are full and nothing has moved for a while.
        let mut sent = 0;
        let mut idle_turns = 0;
        while idle_turns < 1000 {
            match client.stream.try_write(&[7; 65536]) {
                Ok(bytes) => (sent, idle_turns) = (sent + bytes, 0),
                Err(_) => idle_turns += 1,
            }
            reactor::yield_now().await;
            assert!(sent < 100_000_000, "nothing stops the sender");
        }
        assert_eq!(read(&host, sent).await.len(), sent);
        drop((client, host));
        all_empty(&server).await;
    });
}

#[test]
fn a_host_that_refuses_is_passed_over_and_with_none_left_the_client_is_closed() {
    run(async {
        let host = Host::new();
        let server = tcp(&[dead_address(), host.address()]);
        for _ in 0..3 {
            let client = Peer::connect(server.addresses()[0]).await;
            client.send(b"x").await;
            assert_eq!(read(&host.accept().await, 1).await, b"x");
        }
        let server = tcp(&[dead_address()]);
        let client = Peer::connect(server.addresses()[0]).await;
        read_end(&client).await;
        assert_eq!(server.stats().tcp_no_upstream, 1);
        drop(client);
        all_empty(&server).await;
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

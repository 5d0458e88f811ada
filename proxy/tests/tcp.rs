//! Plain TCP.

mod common;

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use common::bytes::{read, read_end};
use common::*;
use proxy::Server;
use proxy::limits::{CONNECT_TIMEOUT, TCP_DIALS_MAX};
use reactor::time;

/// A listener of plain TCP in front of these hosts.
fn tcp(hosts: &[SocketAddr]) -> Server {
    tcp_with(hosts, "")
}

/// The same with further keys of the listener, each with a comma in front.
fn tcp_with(hosts: &[SocketAddr], keys: &str) -> Server {
    let hosts: Vec<String> =
        hosts.iter().map(|host| format!(r#"{{"address": "{host}"}}"#)).collect();
    let text = format!(
        r#"{{"servers": [{{"listeners": [{{"address": "127.0.0.1:0"{keys}, "filter_chains": [{{"filters":
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
fn the_bytes_of_both_ways_are_counted_when_a_connection_has_ended() {
    run(async {
        let host = Host::new();
        let server = tcp(&[host.address()]);
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        client.send(b"question").await;
        assert_eq!(read(&host, 8).await, b"question");
        host.send(b"a longer answer").await;
        assert_eq!(read(&client, 15).await, b"a longer answer");
        assert_eq!(server.stats().tcp_received_bytes, 0);
        drop((client, host));
        all_empty(&server).await;
        let stats = server.stats();
        assert_eq!((stats.tcp_received_bytes, stats.tcp_sent_bytes), (8, 15), "{stats}");
    });
}

#[test]
fn a_connection_on_which_nothing_moves_is_closed_on_both_sides_after_its_idle_time_out() {
    run_paused(async {
        let host = Host::new();
        let server = tcp_with(&[host.address()], r#", "connection_idle_timeout": "8s""#);
        let start = time::now();
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        read_end(&client).await;
        assert_eq!(time::now() - start, Duration::from_secs(8));
        read_end(&host).await;
        assert_eq!(server.stats().downstream_idle, 1);
        all_empty(&server).await;
    });
}

#[test]
fn a_connection_on_which_either_side_sends_is_not_idle() {
    run_paused(async {
        let host = Host::new();
        let server = tcp_with(&[host.address()], r#", "connection_idle_timeout": "8s""#);
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        for (from, to) in [(&client, &host), (&host, &client)].repeat(4) {
            time::sleep(Duration::from_secs(7)).await;
            from.send(b"x").await;
            assert_eq!(read(to, 1).await, b"x");
        }
        let last = time::now();
        read_end(&client).await;
        let silent = time::now() - last;
        let expected = Duration::from_secs(8)..=Duration::from_secs(10);
        assert!(expected.contains(&silent), "closed after {silent:?}");
        drop((client, host));
        all_empty(&server).await;
    });
}

#[test]
fn an_idle_time_out_of_zero_is_none() {
    run_paused(async {
        let host = Host::new();
        let server = tcp_with(&[host.address()], r#", "connection_idle_timeout": "0s""#);
        let client = Peer::connect(server.addresses()[0]).await;
        let host = host.accept().await;
        time::sleep(Duration::from_secs(100_000)).await;
        client.send(b"still here").await;
        assert_eq!(read(&host, 10).await, b"still here");
        drop((client, host));
        all_empty(&server).await;
    });
}

#[test]
fn a_client_is_tried_at_a_limited_number_of_hosts() {
    run(async {
        let hosts: Vec<SocketAddr> = (0..TCP_DIALS_MAX + 4).map(|_| dead_address()).collect();
        let server = tcp(&hosts);
        warnings();
        let client = Peer::connect(server.addresses()[0]).await;
        read_end(&client).await;
        let lines = warnings();
        let dials = lines.iter().filter(|line| line.contains("cannot connect")).count();
        assert_eq!(dials, TCP_DIALS_MAX, "{lines:?}");
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_client_of_hosts_that_do_not_answer_is_closed_after_at_most_two_time_outs() {
    run_paused(async {
        let mute = [Mute::new().await, Mute::new().await, Mute::new().await];
        let server = tcp(&mute.each_ref().map(|mute| mute.address));
        let start = time::now();
        let client = Peer::connect(server.addresses()[0]).await;
        read_end(&client).await;
        assert!(time::now() - start <= 2 * CONNECT_TIMEOUT, "{:?}", time::now() - start);
        drop((client, mute));
        all_empty(&server).await;
    });
}

#[test]
fn a_host_that_does_not_answer_is_passed_over() {
    run_paused(async {
        let (mute, host) = (Mute::new().await, Host::new());
        let server = tcp(&[mute.address, host.address()]);
        // Both are the first in turn once.
        for _ in 0..2 {
            let start = time::now();
            let client = Peer::connect(server.addresses()[0]).await;
            client.send(b"question").await;
            let host = host.accept().await;
            assert_eq!(read(&host, 8).await, b"question");
            assert!(time::now() - start < 2 * CONNECT_TIMEOUT, "{:?}", time::now() - start);
            host.send(b"answer").await;
            assert_eq!(read(&client, 6).await, b"answer");
        }
        assert_eq!(server.stats().tcp_no_upstream, 0);
        drop(mute);
        all_empty(&server).await;
    });
}

#[test]
fn a_client_that_resets_its_connection_is_not_dialed_for_any_longer() {
    run_paused(async {
        let mute = Mute::new().await;
        let server = tcp(&[mute.address]);
        let start = time::now();
        let client = Peer::connect(server.addresses()[0]).await;
        until(|| server.clusters()[0].connections == 1).await;
        client.stream.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        until(|| server.clusters()[0].connections == 0).await;
        assert!(time::now() - start < CONNECT_TIMEOUT / 10, "no time-out was waited for");
        drop(mute);
        all_empty(&server).await;
    });
}

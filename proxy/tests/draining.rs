//! A proxy that stops: what is in flight ends first.

mod common;

use std::io::Write;
use std::time::Duration;

use common::stopping::{GRACE, Stopping, TOLD, ended, refused};
use common::*;
use proxy::Drained;
use proxy::codec::{Codec, Kind, Protocol};
use proxy::limits::{GO_AWAY_TIME, LAST_ACCEPT_PAUSE};
use reactor::time;

#[test]
fn requests_in_flight_are_answered_and_then_their_connections_are_closed() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let mut clients = Vec::new();
        for id in 0..10 {
            let client = bed.client().await;
            client.send(&request(id, b"in flight")).await;
            clients.push(client);
        }
        let mut host = bed.host.accept().await;
        let mut asked = Vec::new();
        for _ in 0..10 {
            asked.push(host.frame().await);
        }
        let drained = bed.drain(GRACE);
        time::sleep(GRACE / 3).await;
        refused(&bed.server).await;
        for got in &asked {
            host.answer(got).await;
        }
        for (id, client) in (0..).zip(&mut clients) {
            client.expect(id, 0).await;
            ended(client).await;
        }
        drop(clients);
        assert_eq!(drained.await.unwrap(), Drained::default());
        host.closed().await;
        bed.is_over().await;
    });
}

#[test]
fn the_time_to_stop_in_is_the_longest_of_all_servers_and_30_s_when_none_names_one() {
    for (keys, expected) in [(["", ""], 30), (["2s", ""], 2), (["2s", "5s"], 5), (["0s", ""], 0)] {
        let server = |(n, time): (usize, &str)| {
            let key = format!(r#""graceful_timeout": "{time}","#);
            let key = if time.is_empty() { "" } else { &key };
            format!(
                r#"{{{key} "listeners": [{{"address": "127.0.0.1:{}", "filter_chains": [{{"filters":
                   [{{"type": "tcp_proxy", "config": {{"cluster": "t"}}}}]}}]}}]}}"#,
                n + 1
            )
        };
        let servers: Vec<String> = keys.into_iter().enumerate().map(server).collect();
        let text = format!(
            r#"{{"servers": [{}], "cluster_manager": {{"clusters": []}}}}"#,
            servers.join(",")
        );
        let config = proxy::Config::parse("grace.json".as_ref(), &text).unwrap();
        assert_eq!(config.graceful_timeout, Duration::from_secs(expected), "{keys:?}");
        assert!(config.warnings.iter().all(|line| !line.contains("graceful")), "{config:?}");
    }
}

#[test]
fn nobody_there_is_nobody_to_wait_for() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let start = time::now();
        assert_eq!(bed.server.drain(GRACE).await, Drained::default());
        assert_eq!(time::now() - start, LAST_ACCEPT_PAUSE);
        refused(&bed.server).await;
    });
}

#[test]
fn an_idle_client_is_told_to_go_where_it_can_be_and_has_a_while_to_do_so() {
    run_paused(async {
        for (protocol, keys) in [
            (Protocol::Bolt, TOLD),
            (Protocol::Bolt, ""),
            (Protocol::Dubbo, ""),
            (Protocol::Thrift, ""),
        ] {
            let filter = keys;
            let bed =
                Stopping::new(Setup { protocol: protocol.name(), filter, ..Setup::default() });
            let mut client = bed.client().await.speaking(protocol);
            until(|| bed.server.stats().downstream_connections == 1).await;
            let (start, drained) = (time::now(), bed.drain(GRACE));
            let is_told = protocol == Protocol::Dubbo || !keys.is_empty();
            if is_told {
                assert_eq!(client.frame().await.frame.kind, Kind::GoAway, "{protocol:?}");
            }
            ended(&mut client).await;
            assert_eq!(time::now() - start, GO_AWAY_TIME, "{protocol:?} {keys}");
            drop(client);
            assert_eq!(drained.await.unwrap(), Drained::default());
            bed.is_over().await;
        }
    });
}

#[test]
fn a_client_that_goes_when_it_is_told_is_not_waited_for_any_longer() {
    run_paused(async {
        let bed = Stopping::new(Setup { filter: TOLD, ..Setup::default() });
        let mut client = bed.client().await;
        until(|| bed.server.stats().downstream_connections == 1).await;
        let (start, drained) = (time::now(), bed.drain(GRACE));
        assert_eq!(client.frame().await.frame.kind, Kind::GoAway);
        drop(client);
        drained.await.unwrap();
        assert!(time::now() - start < GO_AWAY_TIME);
    });
}

#[test]
fn a_request_that_was_under_way_when_its_client_was_told_to_go_is_served() {
    run_paused(async {
        let bed = Stopping::new(Setup { filter: TOLD, ..Setup::default() });
        let mut client = bed.client().await;
        let mut host = bed.host.accept_after(&mut client).await;
        let drained = bed.drain(GRACE);
        assert_eq!(client.frame().await.frame.kind, Kind::GoAway);
        client.send(&request(7, b"crossed")).await;
        let got = host.frame().await;
        assert_eq!(got.content(), b"crossed");
        // It takes longer than an idle client has.
        time::sleep(2 * GO_AWAY_TIME).await;
        host.answer(&got).await;
        client.expect(7, 0).await;
        ended(&mut client).await;
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
        bed.is_over().await;
    });
}

#[test]
fn a_request_of_which_a_part_has_come_is_served_when_the_rest_does() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let mut client = bed.client().await;
        let frame = request(7, b"in two parts");
        let (first, second) = frame.split_at(10);
        client.send(first).await;
        until(|| bed.server.stats().downstream_connections == 1).await;
        let drained = bed.drain(GRACE);
        time::sleep(2 * GO_AWAY_TIME).await;
        client.send(second).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        client.expect(7, 0).await;
        ended(&mut client).await;
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
    });
}

#[test]
fn a_client_whose_connection_nobody_has_accepted_yet_is_served() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let address = bed.server.addresses()[0];
        drop(bed.client().await);
        until(|| bed.server.stats().downstream_accepted == 1).await;
        // Without a turn of the loop in between.
        let waiting: Vec<_> = (0..5)
            .map(|id| {
                let mut client = std::net::TcpStream::connect(address).unwrap();
                client.write_all(&request(id, b"early")).unwrap();
                client
            })
            .collect();
        let drained = bed.drain(GRACE);
        let mut host = bed.host.accept().await;
        for _ in 0..5 {
            let got = host.frame().await;
            host.answer(&got).await;
        }
        for (id, client) in (0..).zip(waiting) {
            let mut client = Peer::new(net::TcpStream::from_std(client).unwrap());
            client.expect(id, 0).await;
            ended(&mut client).await;
        }
        assert_eq!(drained.await.unwrap(), Drained::default());
    });
}

#[test]
fn what_has_not_ended_after_the_grace_is_cut_and_counted() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(1, b"never answered")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        warnings();
        let start = time::now();
        let drained = bed.drain(GRACE).await.unwrap();
        assert_eq!((drained.cut, time::now() - start), (1, GRACE));
        client.closed().await;
        let lines = warnings().join("\n");
        assert!(lines.contains("its time to do so is over; 1 requests were in flight"), "{lines}");
        assert_eq!(bed.server.stats().abandoned, 1);
        all_empty(&bed.server).await;
    });
}

#[test]
fn no_time_at_all_ends_everything_at_once_also_what_is_being_drained() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(1, b"never answered")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        let start = time::now();
        let slowly = bed.drain(GRACE);
        time::sleep(GRACE / 10).await;
        assert_eq!(bed.server.drain(Duration::ZERO).await.cut, 1);
        slowly.await.unwrap();
        assert_eq!(time::now() - start, GRACE / 10);
        client.closed().await;
        bed.is_over().await;
    });
}

#[test]
fn a_oneway_whose_host_is_still_being_dialed_reaches_it() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let client = bed.client().await;
        client.send(&oneway(1, b"told")).await;
        until(|| bed.server.stats().oneways == 1).await;
        drop(client);
        let drained = bed.drain(GRACE);
        let mut host = bed.host.accept().await;
        assert_eq!(host.frame().await.content(), b"told");
        host.closed().await;
        assert_eq!(drained.await.unwrap(), Drained::default());
    });
}

#[test]
fn a_silent_client_whose_protocol_is_not_known_yet_is_closed_and_one_that_speaks_is_served() {
    run_paused(async {
        let bed = Stopping::new(Setup { protocol: "Auto", ..Setup::default() });
        let (mut silent, mut client) = (bed.client().await, bed.client().await);
        until(|| bed.server.stats().downstream_connections == 2).await;
        let (start, drained) = (time::now(), bed.drain(GRACE));
        client.send(&request(1, b"at last")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        ended(&mut silent).await;
        assert_eq!(time::now() - start, GO_AWAY_TIME);
        host.answer(&got).await;
        client.expect(1, 0).await;
        ended(&mut client).await;
        drop((silent, client));
        assert_eq!(drained.await.unwrap(), Drained::default());
    });
}

#[test]
fn as_much_time_as_can_be_named_is_a_day() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let client = bed.client().await;
        client.send(&oneway(1, b"")).await;
        until(|| bed.server.stats().oneways == 1).await;
        drop(client);
        assert_eq!(bed.server.drain(Duration::MAX).await, Drained::default());
        bed.is_over().await;
    });
}

#[test]
fn who_is_cut_is_counted_also_when_the_stop_is_hurried_in_that_moment() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let client = bed.client().await;
        client.send(&request(1, b"never answered")).await;
        bed.host.accept().await.frame().await;
        let first = bed.server.drain(Duration::ZERO);
        let mut first = std::pin::pin!(first);
        // Up to the step in which it cuts, and no further.
        until(|| {
            let waker = std::task::Waker::noop();
            let _ = first.as_mut().poll(&mut std::task::Context::from_waker(waker));
            bed.server.stats().downstream_connections == 0
        })
        .await;
        assert_eq!(bed.server.drain(Duration::ZERO).await.cut, 1);
    });
}

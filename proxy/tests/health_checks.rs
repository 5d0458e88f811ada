//! Hosts that are checked, left out and taken back.

mod common;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use proxy::codec::bolt::status;
use proxy::codec::{Codec, Kind, Protocol};
use proxy::{HostStatus, Server};
use reactor::{JoinHandle, time};

fn host_status(server: &Server, address: SocketAddr) -> HostStatus {
    let cluster = server.clusters().remove(0);
    cluster.hosts.into_iter().find(|host| host.address == address).unwrap()
}

/// Answers every request, and every heartbeat while `alive`, on every connection.
fn play(host: Host, alive: Rc<Cell<bool>>) -> JoinHandle<()> {
    play_in(Protocol::Bolt, host, alive)
}

fn play_in(protocol: Protocol, host: Host, alive: Rc<Cell<bool>>) -> JoinHandle<()> {
    reactor::spawn(async move {
        loop {
            let peer = host.accept().await.speaking(protocol);
            reactor::spawn(serve(peer, Rc::clone(&alive))).detach();
        }
    })
}

async fn serve(mut peer: Peer, alive: Rc<Cell<bool>>) {
    while let Some(got) = peer.next().await {
        let (protocol, mut out) = (peer.protocol, Vec::new());
        match got.frame.kind {
            Kind::Heartbeat if alive.get() => protocol.heartbeat_ack(got.frame.origin, &mut out),
            Kind::Request => out = wire::response(protocol, got.frame.origin.id, b"answer"),
            _ => {}
        }
        peer.send(&out).await;
    }
}

#[test]
fn a_host_that_takes_no_connection_is_left_out_until_it_does() {
    run_paused(async {
        let (living, dead) = (Host::new(), dead_address());
        let keys = r#", "health_check": {"interval": "10ms", "timeout": "1s",
            "healthy_threshold": 2, "unhealthy_threshold": 2}"#;
        let hosts = [living.address(), dead];
        let server = Setup { hosts: &hosts, cluster: keys, ..Setup::default() }.start();
        let always = Rc::new(Cell::new(true));
        let playing = play(living, Rc::clone(&always));
        until(|| !host_status(&server, dead).healthy).await;
        assert!(host_status(&server, hosts[0]).healthy);
        let mut client = Peer::connect(server.addresses()[0]).await;
        for id in 0..50 {
            client.send(&request(id, b"x")).await;
            assert_eq!(client.frame().await.frame.status, status::SUCCESS, "request {id}");
        }
        let back = Host::at(dead);
        let others = play(back, always);
        until(|| host_status(&server, dead).healthy).await;
        drop(client);
        all_empty(&server).await;
        playing.abort();
        others.abort();
    });
}

#[test]
fn a_host_that_answers_no_heartbeat_is_left_out_although_it_takes_connections() {
    for protocol in [Protocol::Bolt, Protocol::Dubbo] {
        run_paused(async {
            let (host, other) = (Host::new(), Host::new());
            let hosts = [host.address(), other.address()];
            let name = protocol.name();
            let keys = format!(
                r#", "health_check": {{"protocol": "{name}", "interval": "1s", "timeout": "20ms"}}"#
            );
            let setup = Setup { hosts: &hosts, cluster: &keys, protocol: name, ..Setup::default() };
            let server = setup.start();
            let alive = Rc::new(Cell::new(false));
            let playing = [
                play_in(protocol, host, Rc::clone(&alive)),
                play_in(protocol, other, Rc::new(Cell::new(true))),
            ];
            until(|| !host_status(&server, hosts[0]).healthy).await;
            assert!(host_status(&server, hosts[1]).healthy);
            let mut client = Peer::connect(server.addresses()[0]).await.speaking(protocol);
            let mut ask = async |id| {
                client.send(&wire::request(protocol, id, b"x")).await;
                let got = client.frame().await;
                assert_eq!(wire::content(protocol, &got.frame, &got.bytes), b"answer");
                host_status(&server, hosts[0]).connections
            };
            for id in 1..=4 {
                assert_eq!(ask(id).await, 0, "request {id} went to the other");
            }
            alive.set(true);
            until(|| host_status(&server, hosts[0]).healthy).await;
            ask(5).await;
            assert_eq!(ask(6).await, 1, "both have their turns");
            playing.iter().for_each(JoinHandle::abort);
        });
    }
}

#[test]
fn the_only_host_is_asked_although_it_is_not_healthy() {
    run_paused(async {
        let host = Host::new();
        let address = host.address();
        let keys = r#", "health_check": {"protocol": "bolt", "timeout": "20ms"}"#;
        let server = Setup { hosts: &[address], cluster: keys, ..Setup::default() }.start();
        let playing = play(host, Rc::default());
        until(|| !host_status(&server, address).healthy).await;
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(1, b"x")).await;
        assert_eq!(client.frame().await.frame.status, status::SUCCESS);
        playing.abort();
    });
}

#[test]
fn a_host_whose_requests_fail_in_a_row_is_left_out_for_a_time() {
    run_paused(async {
        let (mute, living) = (Host::new(), Host::new());
        let hosts = [mute.address(), living.address()];
        let keys = r#", "outlier_detection": {"consecutive_failures": 3,
            "base_ejection_time": "300ms", "max_ejection_percent": 100}"#;
        let server = Setup { hosts: &hosts, cluster: keys, ..Setup::default() }.start();
        let playing = play(living, Default::default());
        let mut client = Peer::connect(server.addresses()[0]).await;
        let mut timed_out = 0;
        for id in 0..20 {
            client.send(&request_with(id, 10, b"", b"x")).await;
            timed_out += u32::from(client.frame().await.frame.status == status::TIMEOUT);
            if host_status(&server, hosts[0]).ejected {
                break;
            }
        }
        assert_eq!(timed_out, 3);
        assert!(!host_status(&server, hosts[1]).ejected);
        until(|| !host_status(&server, hosts[0]).ejected).await;
        let mut mute = mute.accept().await;
        for _ in 0..timed_out {
            mute.frame().await;
        }
        // It has its turn again.
        let answer = reactor::spawn(async move { mute.echo().await });
        let before = server.stats().answered;
        for id in 100..110 {
            client.send(&request(id, b"x")).await;
            assert_eq!(client.frame().await.frame.status, status::SUCCESS);
        }
        assert_eq!(server.stats().answered - before, 10);
        playing.abort();
        answer.abort();
    });
}

#[test]
fn no_more_hosts_are_ejected_than_may_be() {
    run_paused(async {
        let mutes = [Host::new(), Host::new(), Host::new()];
        let hosts = mutes.each_ref().map(|host| host.address());
        let keys = r#", "outlier_detection": {"consecutive_failures": 1,
            "base_ejection_time": "1h", "max_ejection_percent": 50}"#;
        let server = Setup { hosts: &hosts, cluster: keys, ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        for id in 0..10 {
            client.send(&request_with(id, 5, b"", b"x")).await;
            assert_eq!(client.frame().await.frame.status, status::TIMEOUT);
        }
        let ejected = server.clusters()[0].hosts.iter().filter(|host| host.ejected).count();
        assert_eq!(ejected, 1);
    });
}

/// One host of a cluster that ejects after two failures in a row, for an hour.
fn strict() -> Bed {
    let cluster = r#", "outlier_detection": {"consecutive_failures": 2,
        "base_ejection_time": "1h", "max_ejection_percent": 100}"#;
    Bed::new(Setup { cluster, ..Setup::default() })
}

fn is_ejected(bed: &Bed) -> bool {
    host_status(&bed.server, bed.host.address()).ejected
}

#[test]
fn an_answer_between_two_failures_keeps_a_host() {
    run_paused(async {
        let bed = strict();
        let mut client = bed.client().await;
        let mut host = bed.host.accept_after(&mut client).await;
        for answered in [false, true, false, true, false] {
            client.send(&request_with(1, 10, b"", b"x")).await;
            let got = host.frame().await;
            if answered {
                host.answer(&got).await;
            }
            assert_eq!(client.frame().await.frame.status == status::SUCCESS, answered);
            assert!(!is_ejected(&bed));
        }
        client.send(&request_with(1, 10, b"", b"x")).await;
        assert_eq!(client.frame().await.frame.status, status::TIMEOUT);
        assert!(is_ejected(&bed));
    });
}

#[test]
fn a_host_that_closes_in_place_of_an_answer_fails() {
    run_paused(async {
        let bed = strict();
        let mut client = bed.client().await;
        for lost in 1..=2 {
            client.send(&request(lost, b"x")).await;
            drop(bed.host.accept().await);
            assert_eq!(client.frame().await.frame.status, status::CONNECTION_CLOSED);
            assert_eq!(is_ejected(&bed), lost == 2);
            // It is dialed again when its pause is over.
            time::sleep(Duration::from_secs(1)).await;
        }
    });
}

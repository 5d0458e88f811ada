//! Hosts that are checked, left out and taken back.

mod common;

use std::net::SocketAddr;

use common::*;
use proxy::codec::bolt::status;
use proxy::{HostStatus, Server};

fn host_status(server: &Server, address: SocketAddr) -> HostStatus {
    let cluster = server.clusters().remove(0);
    cluster.hosts.into_iter().find(|host| host.address == address).unwrap()
}

/// Answers every request, and every heartbeat while `alive`, on every connection.
fn play(host: Host, alive: std::rc::Rc<std::cell::Cell<bool>>) -> reactor::JoinHandle<()> {
    reactor::spawn(async move {
        loop {
            let mut peer = host.accept().await;
            let alive = std::rc::Rc::clone(&alive);
            reactor::spawn(async move {
                while let Some(got) = peer.next().await {
                    match got.frame.kind {
                        proxy::codec::Kind::Heartbeat if alive.get() => {
                            peer.send(&heartbeat_ack(&got)).await;
                        }
                        proxy::codec::Kind::Request => peer.answer(&got).await,
                        _ => {}
                    }
                }
            })
            .detach();
        }
    })
}

#[test]
fn a_host_that_takes_no_connection_is_left_out_until_it_does() {
    run(async {
        let (living, dead) = (Host::new(), dead_address());
        let keys = r#", "health_check": {"interval": "10ms", "timeout": "1s",
            "healthy_threshold": 2, "unhealthy_threshold": 2}"#;
        let hosts = [living.address(), dead];
        let server = Setup { hosts: &hosts, cluster: keys, ..Setup::default() }.start();
        let always = std::rc::Rc::new(std::cell::Cell::new(true));
        let playing = play(living, std::rc::Rc::clone(&always));
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
    run(async {
        let host = Host::new();
        let address = host.address();
        let keys =
            r#", "health_check": {"protocol": "bolt", "interval": "10ms", "timeout": "20ms"}"#;
        let server = Setup { hosts: &[address], cluster: keys, ..Setup::default() }.start();
        let alive = std::rc::Rc::new(std::cell::Cell::new(false));
        let playing = play(host, std::rc::Rc::clone(&alive));
        until(|| !host_status(&server, address).healthy).await;
        // There is no other: it is asked all the same.
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(1, b"x")).await;
        assert_eq!(client.frame().await.frame.status, status::SUCCESS);
        alive.set(true);
        until(|| host_status(&server, address).healthy).await;
        playing.abort();
    });
}

#[test]
fn a_host_whose_requests_fail_in_a_row_is_left_out_for_a_time() {
    run(async {
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
    run(async {
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

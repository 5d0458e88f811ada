//! Time-outs, lost hosts, lost clients: every request has exactly one outcome.

mod common;

use std::time::Duration;

use common::*;
use proxy::codec::bolt::status;
use proxy::limits::BACKOFF_MIN;
use reactor::time;

#[test]
fn a_request_without_answer_gets_status_7_and_its_late_answer_is_dropped() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request_with(1, 20, b"", b"slow")).await;
        let mut host = bed.host.accept().await;
        let slow = host.frame().await;
        client.expect(1, status::TIMEOUT).await;
        assert_eq!(bed.server.stats().in_flight, 0);

        client.send(&request(2, b"next")).await;
        let next = host.frame().await;
        host.answer(&slow).await;
        host.answer(&next).await;
        let back = client.frame().await;
        assert_eq!((back.id(), back.content()), (2, &b"next"[..]));
        let stats = bed.server.stats();
        assert_eq!((stats.timed_out, stats.late_answers, stats.answered), (1, 1, 1), "{stats}");
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_frame_that_names_no_time_out_gets_the_one_of_its_route() {
    run_paused(async {
        let bed = Bed::new(Setup { route: r#", "timeout": "20ms""#, ..Setup::default() });
        let mut client = bed.client().await;
        for (id, timeout_ms) in [(1, 0), (2, -1), (3, i32::MIN)] {
            client.send(&request_with(id, timeout_ms, b"", b"")).await;
        }
        let mut host = bed.host.accept().await;
        for id in 1..=3 {
            host.frame().await;
            client.expect(id, status::TIMEOUT).await;
        }
    });
}

#[test]
fn a_time_out_that_no_clock_can_count_is_cut_short_and_not_a_panic() {
    run_paused(async {
        let host = Host::new();
        let mut config = Setup { hosts: &[host.address()], ..Setup::default() }.config();
        config.listeners[0].router.virtual_hosts[0].routes[0].timeout =
            Some(std::time::Duration::MAX);
        let server = proxy::Server::start(&config).unwrap();
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(1, b"patient")).await;
        let mut host = host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"patient");
    });
}

#[test]
fn time_outs_end_in_the_order_of_their_deadlines() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        let frames: Vec<u8> = [(1, 90), (2, 30), (3, 60)]
            .into_iter()
            .flat_map(|(id, ms)| request_with(id, ms, b"", b""))
            .collect();
        client.send(&frames).await;
        for id in [2, 3, 1] {
            client.expect(id, status::TIMEOUT).await;
        }
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_request_times_out_also_while_the_connection_is_being_made() {
    run_paused(async {
        let mute = Mute::new().await;
        let cluster = r#", "connect_timeout": "500ms""#;
        let server = Setup { hosts: &[mute.address], cluster, ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request_with(1, 30, b"", b"")).await;
        client.expect(1, status::TIMEOUT).await;
        drop((client, mute));
        all_empty(&server).await;
    });
}

#[test]
fn a_dial_that_takes_too_long_is_given_up() {
    run_paused(async {
        let mute = Mute::new().await;
        let cluster = r#", "connect_timeout": "30ms""#;
        let server = Setup { hosts: &[mute.address], cluster, ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(1, b"")).await;
        client.expect(1, status::CONNECTION_CLOSED).await;
        assert_eq!(server.stats().upstream_connect_failed, 1);
        drop((client, mute));
        all_empty(&server).await;
    });
}

#[test]
fn clients_held_back_by_a_dial_go_on_when_it_fails() {
    // The dial's time-out comes when nothing else is left to do, and not before.
    run_paused(async {
        let mute = Mute::new().await;
        let server = Setup {
            hosts: &[mute.address],
            limits: r#""output_high_bytes": 65536, "output_low_bytes": 16384"#,
            ..Setup::default()
        }
        .start();
        let address = server.addresses()[0];
        let mut clients = [Peer::connect(address).await, Peer::connect(address).await];
        for client in &clients {
            for id in 0..8 {
                client.send(&request(id, &[7; 32 * 1024])).await;
            }
        }
        until(|| server.stats().stalls >= 2).await;
        for client in &mut clients {
            for id in 0..8 {
                client.expect(id, status::CONNECTION_CLOSED).await;
            }
        }
        drop((clients, mute));
        all_empty(&server).await;
    });
}

#[test]
fn a_refused_host_is_answered_with_status_16_and_not_dialed_again_at_once() {
    run_paused(async {
        let server = Setup { hosts: &[dead_address()], ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        // One after the other, the first of them waiting for the refusal.
        for id in 1..=50 {
            client.send(&request(id, b"")).await;
            client.expect(id, status::CONNECTION_CLOSED).await;
        }
        let stats = server.stats();
        assert!(stats.upstream_connect_failed < 50, "{stats}");
        assert!(stats.no_upstream > 0, "{stats}");
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_dead_host_costs_nothing_while_another_lives() {
    run_paused(async {
        let living = Host::new();
        let server =
            Setup { hosts: &[dead_address(), living.address()], ..Setup::default() }.start();
        let echo = reactor::spawn(async move { living.accept().await.echo().await });
        let mut client = Peer::connect(server.addresses()[0]).await;
        let mut failed = 0;
        for id in 0..100 {
            client.send(&request(id, b"x")).await;
            let back = client.frame().await;
            failed += u32::from(back.frame.status != status::SUCCESS);
        }
        // Only the one that found out.
        assert_eq!(failed, 1, "{}", server.stats());
        drop(client);
        all_empty(&server).await;
        echo.abort();
    });
}

#[test]
fn nobody_waits_for_a_host_that_failed_and_is_dialed_again_while_another_lives() {
    run_paused(async {
        let (address, living) = (dead_address(), Host::new());
        let server = Setup { hosts: &[address, living.address()], ..Setup::default() }.start();
        let echo = reactor::spawn(async move { living.accept().await.echo().await });
        let mut client = Peer::connect(server.addresses()[0]).await;
        let mut id = 0;
        let mut ask = async |client: &mut Peer| {
            id += 1;
            client.send(&request(id, b"")).await;
            client.frame().await.frame.status
        };
        // The first that finds out is told so.
        while server.stats().upstream_connect_failed == 0 {
            ask(&mut client).await;
        }
        let mute = Mute::at(address).await;
        while server.clusters()[0].hosts[0].connections == 0 {
            assert_eq!(ask(&mut client).await, status::SUCCESS);
            time::sleep(BACKOFF_MIN / 10).await;
        }
        for _ in 0..20 {
            assert_eq!(ask(&mut client).await, status::SUCCESS);
        }
        assert_eq!(server.clusters()[0].hosts[0].connections, 1, "it is still being dialed");
        drop((client, mute));
        echo.abort();
    });
}

#[test]
fn a_connection_that_cannot_be_made_costs_nothing_while_another_to_the_host_lives() {
    run_paused(async {
        let bed = Bed::new(Setup { cluster: r#", "connections_per_host": 2"#, ..Setup::default() });
        let mut client = bed.client().await;
        let mut only = bed.host.accept_after(&mut client).await;
        drop(bed.host);
        let echo = reactor::spawn(async move { only.echo().await });
        client.send(&request(1, b"")).await;
        client.expect(1, status::CONNECTION_CLOSED).await;
        for id in 2..50 {
            client.send(&request(id, b"x")).await;
            client.expect(id, status::SUCCESS).await;
        }
        drop(client);
        all_empty(&bed.server).await;
        echo.abort();
    });
}

#[test]
fn a_host_that_comes_back_is_used_again() {
    run_paused(async {
        let address = dead_address();
        let server = Setup { hosts: &[address], ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(0, b"")).await;
        assert_eq!(client.frame().await.frame.status, status::CONNECTION_CLOSED);

        let listener = net::TcpListener::bind(address).unwrap();
        let echo = reactor::spawn(async move {
            Peer::new(listener.accept().await.unwrap().0).echo().await;
        });
        for id in 1.. {
            client.send(&request(id, b"again")).await;
            let back = client.frame().await;
            if back.frame.status == status::SUCCESS {
                assert_eq!(back.content(), b"again");
                break;
            }
            time::sleep(BACKOFF_MIN / 10).await;
        }
        echo.abort();
    });
}

#[test]
fn the_pauses_between_dials_double_up_to_their_limit() {
    run_paused(async {
        let step = BACKOFF_MIN / 20;
        let server = Setup { hosts: &[dead_address()], ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        let (mut pauses, mut last) = (Vec::new(), time::now());
        while pauses.len() < 8 {
            let dials = server.stats().upstream_connect_failed;
            client.send(&request(1, b"")).await;
            assert_eq!(client.frame().await.frame.status, status::CONNECTION_CLOSED);
            if server.stats().upstream_connect_failed > dials {
                pauses.push(time::now() - last);
                last = time::now();
            }
            time::sleep(step).await;
        }
        let pauses: Vec<u128> = pauses.iter().skip(1).map(Duration::as_millis).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000]);
    });
}

#[test]
fn a_lost_upstream_answers_each_waiting_request_once_and_is_dialed_anew() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let mut clients = [bed.client().await, bed.client().await];
        let mut host = bed.host.accept_after(&mut clients[0]).await;
        for client in &clients {
            for id in 10..20 {
                client.send(&request(id, b"")).await;
            }
        }
        for _ in 0..20 {
            host.frame().await;
        }
        drop(host);
        for client in &mut clients {
            let mut ids = Vec::new();
            for _ in 10..20 {
                let back = client.frame().await;
                assert_eq!(back.frame.status, status::CONNECTION_CLOSED);
                ids.push(back.id());
            }
            ids.sort_unstable();
            assert_eq!(ids, (10..20).collect::<Vec<_>>());
        }
        let stats = bed.server.stats();
        assert_eq!((stats.lost_upstream, stats.upstream_connections), (20, 0), "{stats}");
        let lines = warnings();
        assert!(lines.iter().any(|line| line.contains("20 requests were in flight")), "{lines:?}");

        clients[0].send(&request(30, b"new")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(clients[0].frame().await.content(), b"new", "nothing else came before it");
        drop(clients);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_client_that_leaves_takes_its_requests_along_and_leaves_the_upstream_alone() {
    run_paused(async {
        let bed = Bed::new(Setup::default());
        let leaver = bed.client().await;
        let peer = leaver.stream.local_addr().unwrap().to_string();
        for id in 0..3 {
            leaver.send(&request(id, b"leaver")).await;
        }
        let mut host = bed.host.accept().await;
        let orphans = [host.frame().await, host.frame().await, host.frame().await];
        drop(leaver);
        until(|| bed.server.stats().in_flight == 0).await;
        assert_eq!(bed.server.stats().abandoned, 3);
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(&peer) && lines[0].contains("3 requests"), "{lines:?}");

        let mut stayer = bed.client().await;
        stayer.send(&request(1, b"stayer")).await;
        let got = host.frame().await;
        for orphan in &orphans {
            host.answer(orphan).await;
        }
        host.answer(&got).await;
        assert_eq!(stayer.frame().await.content(), b"stayer");
        let stats = bed.server.stats();
        assert_eq!((stats.late_answers, stats.upstream_connected), (3, 1), "{stats}");
        drop(stayer);
        all_empty(&bed.server).await;
    });
}

#[test]
fn an_empty_cluster_is_answered_with_status_16() {
    run_paused(async {
        let server = Setup::default().start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(4, b"")).await;
        client.expect(4, status::CONNECTION_CLOSED).await;
        client.send(&oneway(5, b"")).await;
        client.send(&heartbeat(6)).await;
        assert_eq!(client.frame().await.id(), 6, "the oneway gets no answer");
    });
}

#[test]
fn a_missing_cluster_is_answered_with_status_6() {
    run_paused(async {
        let mut config = Setup::default().config();
        config.listeners[0].router.virtual_hosts[0].routes[0].targets[0].cluster =
            "nowhere".to_owned();
        let server = proxy::Server::start(&config).unwrap();
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(4, b"")).await;
        client.expect(4, status::NO_PROCESSOR).await;
    });
}

#[test]
fn a_port_in_use_is_named() {
    run_paused(async {
        let taken = Host::new();
        let mut config = Setup::default().config();
        config.listeners[0].address = taken.address();
        let error = proxy::Server::start(&config).unwrap_err().to_string();
        assert!(error.starts_with("test.json: servers[0].listeners[0].address: "), "{error}");
        assert!(error.contains(&format!("{}: the port is in use", taken.address())), "{error}");
    });
}

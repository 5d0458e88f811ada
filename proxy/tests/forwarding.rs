//! What the proxy does when everybody behaves.

mod common;

use std::rc::Rc;

use common::*;
use proxy::codec::Kind;
use proxy::codec::bolt::{self, status};
use proxy::ids;

#[test]
fn a_request_goes_out_under_a_new_id_and_its_answer_returns_under_the_old_one() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        let sent = request_with(0xDEAD_BEEF, 777, b"\0\0\0\x01k\0\0\0\x01v", b"payload");
        client.send(&sent).await;

        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        assert_ne!(got.id(), 0xDEAD_BEEF);
        assert_eq!(got.under(0xDEAD_BEEF), sent, "nothing but the id may differ");

        let answer = response(got.id(), b"answer");
        host.send(&answer).await;
        let back = client.frame().await;
        assert_eq!(back.bytes, response(0xDEAD_BEEF, b"answer"));

        drop(client);
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().upstream_connections, 1, "it stays for the next client");
    });
}

#[test]
fn many_clients_share_one_upstream_connection_and_each_gets_its_own_answers() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut clients = Vec::new();
        for n in 0..40u32 {
            let client = bed.client().await;
            // All of them use the same ids.
            for id in 0..5 {
                client.send(&request(id, format!("{n}/{id}").as_bytes())).await;
            }
            clients.push(client);
        }
        let mut host = bed.host.accept().await;
        let mut ids = std::collections::HashSet::new();
        for _ in 0..200 {
            let got = host.frame().await;
            assert!(ids.insert(got.id()), "two requests in flight under one id");
            host.answer(&got).await;
        }
        for (n, client) in clients.iter_mut().enumerate() {
            let mut seen: Vec<(u32, Vec<u8>)> = Vec::new();
            for _ in 0..5 {
                let got = client.frame().await;
                seen.push((got.id(), got.content().to_vec()));
            }
            for id in 0..5 {
                assert!(seen.contains(&(id, format!("{n}/{id}").into_bytes())), "{n}: {seen:?}");
            }
        }
        assert_eq!(bed.server.stats().upstream_connected, 1);
        drop(clients);
        all_empty(&bed.server).await;
    });
}

#[test]
fn answers_in_any_order_reach_the_right_requests() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        for id in 1..=3 {
            client.send(&request(id, &[id as u8])).await;
        }
        let mut host = bed.host.accept().await;
        let got = [host.frame().await, host.frame().await, host.frame().await];
        for at in [2, 0, 1] {
            host.answer(&got[at]).await;
        }
        for id in [3, 1, 2] {
            let back = client.frame().await;
            assert_eq!((back.id(), back.content()), (id, &[id as u8][..]));
        }
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn two_requests_under_one_client_id_are_both_answered() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&[request(7, b"one"), request(7, b"two")].concat()).await;
        let mut host = bed.host.accept().await;
        for _ in 0..2 {
            let got = host.frame().await;
            host.answer(&got).await;
        }
        let (first, second) = (client.frame().await, client.frame().await);
        assert_eq!((first.id(), first.content()), (7, &b"one"[..]));
        assert_eq!((second.id(), second.content()), (7, &b"two"[..]));
    });
}

#[test]
fn frames_that_come_byte_by_byte_are_forwarded_whole() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        let bytes = [request(1, b"first"), request(2, b"second")].concat();
        for byte in &bytes {
            client.send(&[*byte]).await;
            reactor::yield_now().await;
        }
        let mut host = bed.host.accept().await;
        for _ in 0..2 {
            let got = host.frame().await;
            host.answer(&got).await;
        }
        assert_eq!(client.frame().await.content(), b"first");
        assert_eq!(client.frame().await.content(), b"second");
    });
}

#[test]
fn bodies_of_all_sizes_come_through_unchanged() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        let host = bed.host;
        let echo = reactor::spawn(async move { host.accept().await.echo().await });
        for bytes in [0, 1, 127, 8_192, 16_384, 65_536, 65_537, 300_000, 5_000_000] {
            let content: Vec<u8> = (0..bytes).map(|n: u32| (n * 7 + n / 251) as u8).collect();
            let sent = request(bytes, &content);
            client.send(&sent).await;
            let back = client.frame().await;
            assert_eq!(back.id(), bytes);
            assert!(back.content() == content, "{bytes} bytes came back changed");
        }
        drop(client);
        all_empty(&bed.server).await;
        echo.abort();
    });
}

#[test]
fn long_and_short_frames_keep_their_order_both_ways() {
    run(async {
        let bed = Bed::new(Setup::default());
        let client = Rc::new(bed.client().await);
        let host = bed.host;
        let echo = reactor::spawn(async move { host.accept().await.echo().await });
        let content = |id: u32| vec![id as u8; [0, 70_000, 100, 20_000, 200_000][id as usize % 5]];
        let sending = reactor::spawn({
            let client = Rc::clone(&client);
            async move {
                let frames: Vec<Vec<u8>> = (0..200).map(|id| request(id, &content(id))).collect();
                client.send(&frames.concat()).await;
            }
        });
        let answer = |id| response(id, &content(id));
        let client = take_back(client, sending, 200, answer).await;
        drop(client);
        all_empty(&bed.server).await;
        echo.abort();
    });
}

#[test]
fn a_oneway_is_sent_and_leaves_no_entry() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&oneway(5, b"told")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        assert_eq!((got.frame.kind, got.content()), (Kind::Oneway, &b"told"[..]));
        assert_eq!(bed.server.stats().in_flight, 0);

        // A host that answers it all the same disturbs nobody.
        client.send(&request(6, b"asked")).await;
        let asked = host.frame().await;
        host.send(&response(got.id(), b"not wanted")).await;
        host.answer(&asked).await;
        assert_eq!(client.frame().await.content(), b"asked");
        let stats = bed.server.stats();
        assert_eq!((stats.oneways_sent, stats.sent, stats.late_answers), (1, 1, 1), "{stats}");
    });
}

#[test]
fn ids_begin_anew_behind_the_last_and_an_old_answer_is_known_for_late() {
    // Not in virtual time: it may pass while the kernel still carries so many bytes.
    run(async {
        // One slot, so that every id is the next generation of the same.
        let bed = Bed::new(Setup { cluster: r#", "max_request_per_conn": 1"#, ..Setup::default() });
        let id = |generation: u32| generation << ids::INDEX_BITS;
        let last = ids::IdWidth::Bits31.generation_max();
        let mut client = bed.client().await;
        client.send(&request(1, b"first")).await;
        let mut host = bed.host.accept().await;
        let first = host.frame().await;
        assert_eq!(first.id(), id(1));
        host.answer(&first).await;
        client.frame().await;

        // Oneways use the generations up to the last, in batches of equal length.
        let (batch, one) = (510, oneway(7, b""));
        let batches = (last - 1) / batch;
        assert_eq!(batches * batch, last - 1);
        let client = Rc::new(client);
        let (sender, some) = (Rc::clone(&client), one.repeat(batch as usize));
        let flooding = reactor::spawn(async move {
            for _ in 0..batches {
                sender.send(&some).await;
            }
        });
        let mut generation = 1;
        for _ in 0..batches {
            let frames = bytes::read(&host, batch as usize * one.len()).await;
            for frame in frames.chunks(one.len()) {
                generation += 1;
                assert_eq!(frame[5..9], id(generation).to_be_bytes());
            }
        }
        flooding.await.unwrap();
        assert_eq!(generation, last);

        let mut client = Rc::try_unwrap(client).ok().expect("the flood is over");
        client.send(&request(8, b"anew")).await;
        let got = host.frame().await;
        assert_eq!(got.id(), id(1));
        host.send(&[response(id(last), b"late"), response(id(last - 1), b"older")].concat()).await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"anew");
        let stats = bed.server.stats();
        assert_eq!((stats.late_answers, stats.unknown_answers, stats.answered), (1, 1, 2));
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn heartbeats_are_answered_on_both_sides_and_forwarded_on_neither() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&heartbeat(99)).await;
        let ack = client.frame().await;
        assert_eq!((ack.frame.kind, ack.id(), ack.frame.status), (Kind::HeartbeatAck, 99, 0));
        assert_eq!(bed.server.stats().upstream_connections, 0, "no upstream was needed");

        client.send(&request(1, b"x")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.send(&heartbeat(1234)).await;
        let ack = host.frame().await;
        assert_eq!((ack.frame.kind, ack.id()), (Kind::HeartbeatAck, 1234));
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"x");
    });
}

#[test]
fn hosts_are_taken_in_turn() {
    run(async {
        let hosts = [Host::new(), Host::new()];
        let server =
            Setup { hosts: &[hosts[0].address(), hosts[1].address()], ..Setup::default() }.start();
        let mut client = Peer::connect(server.addresses()[0]).await;
        for id in 0..10 {
            client.send(&request(id, b"")).await;
        }
        let mut peers = [hosts[0].accept().await, hosts[1].accept().await];
        for peer in &mut peers {
            for _ in 0..5 {
                let got = peer.frame().await;
                peer.answer(&got).await;
            }
        }
        for _ in 0..10 {
            client.frame().await;
        }
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_cluster_can_have_several_connections_to_each_host() {
    run(async {
        let bed = Bed::new(Setup { cluster: r#", "connections_per_host": 3"#, ..Setup::default() });
        let client = bed.client().await;
        for id in 0..6 {
            client.send(&request(id, b"")).await;
        }
        for _ in 0..3 {
            let mut peer = bed.host.accept().await;
            peer.frame().await;
            peer.frame().await;
        }
        assert_eq!(bed.server.stats().upstream_connections, 3);
    });
}

#[test]
fn requests_are_routed_by_header_and_the_rest_gets_status_6() {
    run(async {
        let matching = r#"{"headers": [{"name": "service", "value": "here"}]}"#;
        let bed = Bed::new(Setup { matching, ..Setup::default() });
        let mut client = bed.client().await;
        let mut here = Vec::new();
        bolt::push_header(b"service", b"here", &mut here);
        let mut elsewhere = Vec::new();
        bolt::push_header(b"service", b"elsewhere", &mut elsewhere);

        client.send(&request_with(1, 0, &elsewhere, b"")).await;
        client.expect(1, status::NO_PROCESSOR).await;
        let mut dropped = request_with(2, 0, &elsewhere, b"");
        dropped[1] = 2;
        client.send(&dropped).await;
        client.send(&request_with(3, 0, &here, b"found")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        let back = client.frame().await;
        assert_eq!((back.id(), back.content()), (3, &b"found"[..]), "the oneway gets no answer");
        let stats = bed.server.stats();
        assert_eq!((stats.no_route, stats.oneways_dropped), (1, 1));
    });
}

#[test]
fn a_malformed_header_map_gets_status_9_and_the_next_request_its_answer() {
    run(async {
        let matching = r#"{"headers": [{"name": "service", "value": ".*"}]}"#;
        let bed = Bed::new(Setup { matching, ..Setup::default() });
        let mut client = bed.client().await;
        let mut good = Vec::new();
        bolt::push_header(b"service", b"any", &mut good);
        client.send(&request_with(1, 0, b"\0\0\0\x09x", b"")).await;
        client.send(&request_with(2, 0, &good, b"fine")).await;
        client.expect(1, status::CODEC_EXCEPTION).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"fine");
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("header map: key of 9 bytes"), "{lines:?}");
    });
}

//! What every protocol gets from the proxy, and what each does in its own way.

mod common;

use common::scene::Scene;
use common::wire;
use common::*;
use proxy::codec::{Codec, Kind, Protocol};

/// The widest id of a client.
fn widest(protocol: Protocol) -> u64 {
    if protocol == Protocol::Dubbo { u64::MAX } else { u32::MAX.into() }
}

#[test]
fn a_request_goes_out_under_a_new_id_and_its_answer_returns_under_the_old_one() {
    run(async {
        for protocol in Protocol::ALL {
            let mut scene = Scene::plain(protocol).await;
            let id = widest(protocol);
            scene.ask(id, b"question").await;
            let mut host = scene.host().await;
            let got = host.frame().await;
            assert!(got.frame.origin.id != id && got.frame.origin.id != 0);
            let mut same = got.bytes.clone();
            protocol.set_id(&mut same, id);
            assert_eq!(same, wire::request(protocol, id, b"question"), "{protocol:?}");
            scene.answer(&host, &got, b"answer").await;
            let back = scene.client.frame().await;
            assert_eq!(back.bytes, wire::response(protocol, id, b"answer"));
            scene.end().await;
        }
    });
}

#[test]
fn answers_in_any_order_to_doubled_ids_reach_their_requests() {
    run(async {
        for protocol in Protocol::ALL {
            let mut scene = Scene::plain(protocol).await;
            for content in [b"a", b"b", b"c"] {
                scene.ask(7, content).await;
            }
            let mut host = scene.host().await;
            let got = [host.frame().await, host.frame().await, host.frame().await];
            for at in [2, 0, 1] {
                let content = scene.content(&got[at]);
                scene.answer(&host, &got[at], &content).await;
                let back = scene.client.frame().await;
                assert_eq!(back.frame.origin.id, 7);
                assert_eq!(scene.content(&back), content, "{protocol:?}");
            }
            scene.end().await;
        }
    });
}

#[test]
fn frames_that_come_byte_by_byte_are_forwarded_whole() {
    run(async {
        for protocol in Protocol::ALL {
            let mut scene = Scene::plain(protocol).await;
            let both =
                [wire::request(protocol, 1, b"first"), wire::request(protocol, 2, b"second")];
            for byte in both.concat() {
                scene.client.send(&[byte]).await;
                reactor::yield_now().await;
            }
            let mut host = scene.host().await;
            for content in [&b"first"[..], b"second"] {
                let got = host.frame().await;
                assert_eq!(scene.content(&got), content);
                scene.answer(&host, &got, content).await;
                assert_eq!(scene.heard().await, content);
            }
            scene.end().await;
        }
    });
}

#[test]
fn a_oneway_leaves_no_entry_and_its_answer_hits_nobody() {
    run(async {
        for protocol in Protocol::ALL {
            let mut scene = Scene::plain(protocol).await;
            scene.client.send(&wire::oneway(protocol, 5, b"told")).await;
            scene.ask(6, b"asked").await;
            let mut host = scene.host().await;
            let told = host.frame().await;
            assert_eq!((told.frame.kind, scene.content(&told)), (Kind::Oneway, b"told".to_vec()));
            let asked = host.frame().await;
            assert_eq!(scene.bed.server.stats().in_flight, 1);
            scene.answer(&host, &told, b"nobody asked").await;
            scene.answer(&host, &asked, b"answer").await;
            assert_eq!(scene.heard().await, b"answer");
            scene.end().await;
        }
    });
}

#[test]
fn late_doubled_and_made_up_answers_are_dropped() {
    run(async {
        for protocol in Protocol::ALL {
            let route = r#", "timeout": "20ms""#;
            let mut scene = Scene::new(protocol, Setup { route, ..Setup::default() }).await;
            scene.ask(1, b"slow").await;
            let mut host = scene.host().await;
            let slow = host.frame().await;
            assert_eq!(scene.status().await.0, 1, "the time-out's answer");
            scene.answer(&host, &slow, b"late").await;
            scene.ask(2, b"quick").await;
            let quick = host.frame().await;
            scene.answer(&host, &quick, b"once").await;
            scene.answer(&host, &quick, b"twice").await;
            host.send(&wire::response(protocol, 0x00C0_FFEE, b"made up")).await;
            // Agrees with a request's id in the low 32 bits only.
            if protocol == Protocol::Dubbo {
                let wide = quick.frame.origin.id | 1 << 50;
                host.send(&wire::response(protocol, wide, b"made up")).await;
            }
            let back = scene.client.frame().await;
            assert_eq!((back.frame.origin.id, scene.content(&back)), (2, b"once".to_vec()));
            let unknown = if protocol == Protocol::Dubbo { 2 } else { 1 };
            let server = &scene.bed.server;
            until(|| server.stats().unknown_answers == unknown).await;
            let stats = server.stats();
            assert_eq!((stats.late_answers, stats.duplicate_answers), (1, 1), "{stats}");
            scene.end().await;
        }
    });
}

/// The statuses of Bolt, Dubbo and Thrift for the same case.
fn own(protocol: Protocol, statuses: [i32; 3]) -> i32 {
    statuses[protocol as usize]
}

#[test]
fn the_proxys_own_answers_are_those_of_the_table() {
    run(async {
        for protocol in Protocol::ALL {
            let setup = Setup { protocol: protocol.name(), ..Setup::default() };

            let matching = r#"{"headers": [{"name": "service", "value": "another"}]}"#;
            let mut scene = Scene::new(protocol, Setup { matching, ..Setup::default() }).await;
            scene.ask(1, b"").await;
            assert_eq!(scene.status().await, (1, own(protocol, [6, 60, 1])), "no route");
            scene.end().await;

            for hosts in [&[][..], &[dead_address()]] {
                let server = Setup { hosts, ..setup }.start();
                let mut client = Peer::connect(server.addresses()[0]).await.speaking(protocol);
                client.send(&wire::request(protocol, 2, b"")).await;
                let got = client.frame().await;
                let status = wire::status(protocol, &got.frame, &got.bytes);
                assert_eq!(status, own(protocol, [0x10, 60, 0]), "no host: {hosts:?}");
            }

            let route = r#", "timeout": "20ms""#;
            let mut scene = Scene::new(protocol, Setup { route, ..Setup::default() }).await;
            scene.ask(3, b"").await;
            assert_eq!(scene.status().await, (3, own(protocol, [7, 30, 6])), "time-out");
            scene.end().await;

            let cluster = r#", "max_request_per_conn": 1"#;
            let mut scene = Scene::new(protocol, Setup { cluster, ..Setup::default() }).await;
            scene.ask(4, b"").await;
            scene.ask(5, b"").await;
            assert_eq!(scene.status().await, (5, own(protocol, [4, 40, 0])), "overflow");
            let host = scene.host().await;
            drop(host);
            assert_eq!(scene.status().await, (4, own(protocol, [0x10, 70, 6])), "lost");
            scene.end().await;
        }
    });
}

#[test]
fn an_exception_of_the_proxy_repeats_the_method_it_answers() {
    run(async {
        let mut scene = Scene::plain(Protocol::Thrift).await;
        let methods = ["a", "longer", &"m".repeat(900), "", "b"];
        for (id, method) in methods.iter().enumerate() {
            let message = proxy::codec::thrift::Message {
                id: id as i32,
                name: method.as_bytes(),
                body: &[0],
                ..Default::default()
            };
            let mut out = Vec::new();
            message.encode(&mut out);
            scene.client.send(&out).await;
        }
        let mut host = scene.host().await;
        for _ in methods {
            host.frame().await;
        }
        drop(host);
        for _ in methods {
            let got = scene.client.frame().await;
            let method = &got.bytes[got.frame.class.range()];
            assert_eq!(method, methods[got.id() as usize].as_bytes());
        }
        scene.end().await;
    });
}

#[test]
fn heartbeats_are_answered_on_both_sides_and_forwarded_on_neither() {
    run(async {
        for protocol in [Protocol::Bolt, Protocol::Dubbo] {
            let mut scene = Scene::plain(protocol).await;
            let heartbeat = |id| wire::heartbeat(protocol, id).unwrap();
            scene.client.send(&heartbeat(9)).await;
            let ack = scene.client.frame().await;
            assert_eq!((ack.frame.kind, ack.id()), (Kind::HeartbeatAck, 9));
            scene.ask(1, b"").await;
            let mut host = scene.host().await;
            let got = host.frame().await;
            host.send(&heartbeat(10)).await;
            let ack = host.frame().await;
            assert_eq!((ack.frame.kind, ack.id()), (Kind::HeartbeatAck, 10));
            scene.answer(&host, &got, b"answer").await;
            assert_eq!(scene.heard().await, b"answer");
            assert_eq!(scene.bed.server.stats().heartbeats, 2);
            scene.end().await;
        }
    });
}

#[test]
fn a_host_that_says_go_away_gets_no_further_requests() {
    run(async {
        for protocol in [Protocol::Bolt, Protocol::Dubbo] {
            let mut scene = Scene::plain(protocol).await;
            scene.ask(1, b"old").await;
            let mut old = scene.host().await;
            let got = old.frame().await;
            let heartbeat = wire::heartbeat(protocol, 7).unwrap();
            old.send(&[wire::go_away(protocol).unwrap(), heartbeat].concat()).await;
            assert_eq!(old.frame().await.frame.kind, Kind::HeartbeatAck);
            scene.ask(2, b"new").await;
            let mut new = scene.host().await;
            let other = new.frame().await;
            assert_eq!(scene.content(&other), b"new");
            scene.answer(&old, &got, b"old").await;
            assert_eq!(scene.heard().await, b"old");
            old.closed().await;
            scene.answer(&new, &other, b"new").await;
            assert_eq!(scene.heard().await, b"new");
            scene.end().await;
        }
    });
}

#[test]
fn a_call_from_a_host_is_refused_and_nothing_breaks() {
    run(async {
        for protocol in Protocol::ALL {
            let mut scene = Scene::plain(protocol).await;
            scene.ask(1, b"mine").await;
            let mut host = scene.host().await;
            let got = host.frame().await;
            host.send(&wire::request(protocol, 77, b"yours")).await;
            let refusal = host.frame().await;
            let status = wire::status(protocol, &refusal.frame, &refusal.bytes);
            assert_eq!((refusal.id(), status), (77, own(protocol, [6, 60, 1])));
            host.send(&wire::oneway(protocol, 78, b"told")).await;
            scene.answer(&host, &got, b"answer").await;
            assert_eq!(scene.heard().await, b"answer");
            assert_eq!(scene.bed.server.stats().unexpected_frames, 2);
            scene.end().await;
        }
    });
}

#[test]
fn an_announcement_of_4_gib_is_refused_and_closes_its_connection_only() {
    run(async {
        for (protocol, length_at, fixed_bytes) in
            [(Protocol::Bolt, 18, 22), (Protocol::Dubbo, 12, 16), (Protocol::Thrift, 0, 8)]
        {
            let mut scene = Scene::plain(protocol).await;
            let mut bytes = wire::request(protocol, 1, b"");
            bytes.truncate(fixed_bytes);
            bytes[length_at..length_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
            let mut bad = scene.bed.client().await;
            bad.send(&bytes).await;
            bad.closed().await;
            let lines = warnings();
            assert!(lines.len() == 1 && lines[0].contains("the limit is 8388608"), "{lines:?}");
            scene.ask(2, b"good").await;
            let mut host = scene.host().await;
            let got = host.frame().await;
            scene.answer(&host, &got, b"answer").await;
            assert_eq!(scene.heard().await, b"answer");
            drop(bad);
            scene.end().await;
        }
    });
}

#[test]
fn calls_are_routed_by_what_their_protocol_names() {
    run(async {
        for (protocol, name, value) in [
            (Protocol::Bolt, "service", wire::SERVICE),
            (Protocol::Dubbo, "service", wire::SERVICE),
            (Protocol::Dubbo, "version", "1.0"),
            (Protocol::Dubbo, "method", wire::METHOD),
            (Protocol::Thrift, "service", wire::SERVICE),
            (Protocol::Thrift, "method", wire::METHOD),
        ] {
            for (wanted, is_routed) in [(value, true), (".*", true), ("other", false)] {
                let matching =
                    format!(r#"{{"headers": [{{"name": "{name}", "value": "{wanted}"}}]}}"#);
                let setup = Setup { matching: &matching, ..Setup::default() };
                let scene = Scene::new(protocol, setup).await;
                scene.ask(1, b"").await;
                let server = &scene.bed.server;
                until(|| server.stats().requests == 1).await;
                let stats = server.stats();
                let expected = if is_routed { (1, 0) } else { (0, 1) };
                assert_eq!((stats.sent, stats.no_route), expected, "{protocol:?} {name} {wanted}");
            }
        }
    });
}

#[test]
fn a_dubbo_call_whose_names_cannot_be_read_gets_40_and_the_next_its_answer() {
    run(async {
        let matching = r#"{"headers": [{"name": "service", "value": ".*"}]}"#;
        let setup = Setup { matching, ..Setup::default() };
        let mut scene = Scene::new(Protocol::Dubbo, setup).await;
        let mut bad = Vec::new();
        proxy::codec::dubbo::Request { id: 1, oneway: false, body: b"\x7F" }.encode(&mut bad);
        scene.client.send(&bad).await;
        assert_eq!(scene.status().await, (1, 40));
        assert_eq!(scene.bed.server.stats().bad_header, 1);
        scene.ask(2, b"good").await;
        let mut host = scene.host().await;
        let got = host.frame().await;
        scene.answer(&host, &got, b"answer").await;
        assert_eq!(scene.status().await, (2, 20));
        scene.end().await;
    });
}

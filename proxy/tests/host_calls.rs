//! Calls that hosts make to the client that a bound connection belongs to.

mod common;

use std::rc::Rc;
use std::time::Duration;

use common::scene::Scene;
use common::*;
use proxy::codec::bolt::status;
use proxy::codec::{Kind, Protocol};
use proxy::{Config, Server};

const BINDING: &str = r#", "pool": "binding""#;
const HIGH: usize = 65_536;
const LOW_WATER: &str = r#""output_high_bytes": 65536, "output_low_bytes": 1024"#;

/// A client, and its own connection at the host, which has given one answer.
async fn pair(bed: &Bed) -> (Peer, Peer) {
    let mut client = bed.client().await;
    let host = bed.host.accept_after(&mut client).await;
    (client, host)
}

fn binding(limits: &str) -> Bed {
    Bed::new(Setup { cluster: BINDING, limits, ..Setup::default() })
}

async fn end(bed: &Bed, client: Peer, mut host: Peer) {
    drop(client);
    while host.next().await.is_some() {}
    all_empty(&bed.server).await;
    until(|| bed.server.stats().upstream_connections == 0).await;
}

#[test]
fn a_call_of_a_host_reaches_its_client_and_the_answer_returns_under_the_hosts_id() {
    for protocol in [Protocol::Bolt, Protocol::Dubbo] {
        run(async move {
            let setup = Setup { cluster: BINDING, ..Setup::default() };
            let mut scene = Scene::new(protocol, setup).await;
            scene.ask(7, b"the client's own").await;
            let mut host = scene.host().await;
            let own = host.frame().await;
            let call = wire::request(protocol, 0x7EAD_BEEF, b"callback");
            host.send(&call).await;

            let mut got = scene.client.frame().await;
            assert_eq!(got.frame.kind, Kind::Request);
            assert_ne!(got.frame.origin.id, 0x7EAD_BEEF);
            let id = got.frame.origin.id;
            proxy::codec::Codec::set_id(&protocol, &mut got.bytes, 0x7EAD_BEEF);
            assert_eq!(got.bytes, call, "nothing but the id may differ");

            scene.client.send(&wire::response(protocol, id, b"done")).await;
            let back = host.frame().await;
            assert_eq!((back.frame.kind, back.frame.origin.id), (Kind::Response, 0x7EAD_BEEF));
            assert_eq!(scene.content(&back), b"done");
            scene.answer(&host, &own, b"answer").await;
            assert_eq!(scene.heard().await, b"answer");
            let stats = scene.bed.server.stats();
            assert_eq!((stats.host_calls, stats.host_calls_answered), (1, 1), "{stats}");
            assert_eq!(stats.unexpected_frames, 0);
            scene.end().await;
        });
    }
}

#[test]
fn a_call_under_the_id_of_the_clients_own_request_is_not_mistaken_for_it() {
    run(async {
        let bed = binding("");
        let (mut client, mut host) = pair(&bed).await;
        host.send(&request(1, b"call")).await;
        let call = client.frame().await;
        // The client asks under the id that it was asked under.
        client.send(&request(call.id(), b"ask")).await;
        let ask = host.frame().await;
        assert_eq!(ask.content(), b"ask");
        host.send(&response(ask.id(), b"to the client")).await;
        client.send(&response(call.id(), b"to the host")).await;
        let (there, back) = (client.frame().await, host.frame().await);
        assert_eq!((there.id(), there.content()), (call.id(), &b"to the client"[..]));
        assert_eq!((back.id(), back.content()), (1, &b"to the host"[..]));
        end(&bed, client, host).await;
    });
}

#[test]
fn two_hosts_that_call_one_client_under_the_same_id_get_each_its_own_answer() {
    run(async {
        let hosts = [Host::new(), Host::new()];
        let server = two_clusters(&hosts);
        let mut client = Peer::connect(server.addresses()[0]).await;
        let mut peers = Vec::new();
        for (host, name) in hosts.iter().zip(["a", "b"]) {
            client.send(&to(name)).await;
            let mut peer = host.accept().await;
            let got = peer.frame().await;
            peer.answer(&got).await;
            client.frame().await;
            peers.push(peer);
        }
        for (peer, name) in peers.iter().zip(["a", "b"]) {
            peer.send(&request(5, name.as_bytes())).await;
        }
        let calls = [client.frame().await, client.frame().await];
        assert_ne!(calls[0].id(), calls[1].id());
        for call in calls.iter().rev() {
            client.answer(call).await;
        }
        for (peer, name) in peers.iter_mut().zip(["a", "b"]) {
            let back = peer.frame().await;
            assert_eq!((back.id(), back.content()), (5, name.as_bytes()));
        }
        drop(client);
        all_empty(&server).await;
    });
}

fn two_clusters(hosts: &[Host; 2]) -> Server {
    let route = |name| {
        format!(
            r#"{{"match": {{"headers": [{{"name": "service", "value": "{name}"}}]}},
                "route": {{"cluster_name": "{name}"}}}}"#
        )
    };
    let cluster = |name, host: &Host| {
        let address = host.address();
        format!(r#"{{"name": "{name}", "hosts": [{{"address": "{address}"}}], "pool": "binding"}}"#)
    };
    let text = format!(
        r#"{{"servers": [{{
            "routers": [{{"router_config_name": "r", "virtual_hosts": [
              {{"domains": ["*"], "routers": [{}, {}]}}]}}],
            "listeners": [{{"address": "127.0.0.1:0", "filter_chains": [{{"filters": [{{"type": "proxy",
              "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
          "cluster_manager": {{"clusters": [{}, {}]}}}}"#,
        route("a"),
        route("b"),
        cluster("a", &hosts[0]),
        cluster("b", &hosts[1])
    );
    Server::start(&Config::parse("test.json".as_ref(), &text).unwrap()).unwrap()
}

fn to(service: &str) -> Vec<u8> {
    let mut header = Vec::new();
    proxy::codec::bolt::push_header(b"service", service.as_bytes(), &mut header);
    request_with(1, 0, &header, b"")
}

#[test]
fn a_oneway_of_a_host_is_passed_on_and_leaves_no_entry() {
    run(async {
        let bed = binding("");
        let (mut client, mut host) = pair(&bed).await;
        host.send(&[oneway(5, b"news"), request(6, b"call")].concat()).await;
        let news = client.frame().await;
        assert_eq!((news.frame.kind, news.content()), (Kind::Oneway, &b"news"[..]));
        let call = client.frame().await;
        // A client that answers it all the same disturbs nobody.
        client.send(&response(news.id(), b"not wanted")).await;
        client.answer(&call).await;
        assert_eq!(host.frame().await.id(), 6);
        let stats = bed.server.stats();
        assert_eq!(
            (stats.host_oneways, stats.host_calls, stats.late_answers),
            (1, 1, 1),
            "{stats}"
        );
        end(&bed, client, host).await;
    });
}

#[test]
fn a_call_that_is_not_answered_in_time_gets_status_7_and_the_late_answer_nobody() {
    run(async {
        let bed = binding("");
        let (mut client, mut host) = pair(&bed).await;
        host.send(&request_with(5, 20, b"", b"slow")).await;
        let call = client.frame().await;
        host.expect(5, status::TIMEOUT).await;
        client.answer(&call).await;
        client.send(&heartbeat(9)).await;
        assert_eq!(client.frame().await.frame.kind, Kind::HeartbeatAck);
        let stats = bed.server.stats();
        assert_eq!((stats.host_calls_timed_out, stats.late_answers), (1, 1), "{stats}");
        end(&bed, client, host).await;
    });
}

#[test]
fn a_call_whose_frame_names_no_time_out_has_a_minute() {
    run_paused(async {
        let bed = binding(r#""client_idle_timeout": "0s""#);
        let (mut client, mut host) = pair(&bed).await;
        host.send(&[request_with(5, -1, b"", b""), request_with(6, 0, b"", b"")].concat()).await;
        let asked = reactor::time::now();
        let (first, _) = (client.frame().await, client.frame().await);
        assert_eq!(host.frame().await.frame.status, status::TIMEOUT);
        assert_eq!(reactor::time::now() - asked, Duration::from_secs(60));
        assert_eq!(host.frame().await.id(), 6);
        client.answer(&first).await;
        end(&bed, client, host).await;
    });
}

#[test]
fn the_earliest_of_many_calls_times_out_first_whenever_it_came() {
    run(async {
        let bed = binding("");
        let (mut client, mut host) = pair(&bed).await;
        host.send(&request_with(1, 60_000, b"", b"")).await;
        client.frame().await;
        host.send(&request_with(2, 30, b"", b"")).await;
        client.frame().await;
        host.expect(2, status::TIMEOUT).await;
        assert_eq!(bed.server.stats().host_calls_in_flight, 1);
        end(&bed, client, host).await;
    });
}

#[test]
fn the_calls_of_a_client_that_leaves_are_answered_before_the_connection_ends() {
    run(async {
        let bed = binding("");
        let (mut client, mut host) = pair(&bed).await;
        host.send(&[request(5, b""), request(6, b"")].concat()).await;
        client.frame().await;
        client.frame().await;
        drop(client);
        for id in [5, 6] {
            host.expect(id, status::CONNECTION_CLOSED).await;
        }
        host.closed().await;
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().host_calls_lost, 2);
    });
}

#[test]
fn a_host_that_leaves_within_its_call_takes_the_client_along_and_leaves_nothing() {
    run(async {
        let bed = binding("");
        let (mut client, host) = pair(&bed).await;
        host.send(&request(5, b"")).await;
        client.frame().await;
        drop(host);
        client.closed().await;
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().host_calls_lost, 1);
    });
}

#[test]
fn second_and_unknown_answers_of_a_client_are_dropped_and_named_once() {
    run(async {
        let bed = binding("");
        let (mut client, mut host) = pair(&bed).await;
        host.send(&request(5, b"call")).await;
        let call = client.frame().await;
        let unknown = response(0x7000_0001, b"?");
        let answer = response(call.id(), b"once");
        client.send(&[unknown.clone(), answer.clone(), answer, unknown].concat()).await;
        assert_eq!(host.frame().await.content(), b"once");
        client.send(&heartbeat(9)).await;
        client.frame().await;
        let stats = bed.server.stats();
        assert_eq!((stats.unknown_answers, stats.duplicate_answers), (2, 1), "{stats}");
        let lines = warnings();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("client ")), "{lines:?}");
        end(&bed, client, host).await;
    });
}

#[test]
fn calls_above_the_clients_limit_get_status_4_until_one_is_answered() {
    run(async {
        let bed = binding(r#""in_flight_max": 2"#);
        let (mut client, mut host) = pair(&bed).await;
        host.send(&[request(5, b""), request(6, b""), request(7, b""), oneway(8, b"")].concat())
            .await;
        host.expect(7, status::SERVER_THREADPOOL_BUSY).await;
        let first = client.frame().await;
        client.answer(&first).await;
        assert_eq!(host.frame().await.id(), 5);
        host.send(&request(9, b"now")).await;
        let kinds = [client.frame().await.frame.kind, client.frame().await.frame.kind];
        assert_eq!(kinds, [Kind::Request, Kind::Oneway], "a oneway takes nobody's place");
        assert_eq!(client.frame().await.content(), b"now");
        assert_eq!(bed.server.stats().host_calls_refused, 1);
        end(&bed, client, host).await;
    });
}

#[test]
fn a_host_that_says_go_away_still_gets_the_answer_to_its_call_and_may_not_call_again() {
    run(async {
        let bed = binding("");
        let (mut client, mut host) = pair(&bed).await;
        let go_away = wire::go_away(Protocol::Bolt).unwrap();
        host.send(&[request(5, b"last"), go_away, request(6, b"more")].concat()).await;
        let call = client.frame().await;
        host.expect(6, status::CONNECTION_CLOSED).await;
        // The client has a new connection meanwhile, and the old one is still there.
        client.send(&request(2, b"anew")).await;
        let mut new = bed.host.accept().await;
        let got = new.frame().await;
        new.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"anew");
        client.answer(&call).await;
        assert_eq!(host.frame().await.content(), b"last");
        host.closed().await;
        end(&bed, client, new).await;
    });
}

#[test]
fn a_client_that_does_not_read_stops_the_host_that_calls_it_and_loses_nothing() {
    run(async {
        let bed = binding(LOW_WATER);
        let (mut client, host) = pair(&bed).await;
        let host = Rc::new(host);
        const CALLS: u32 = 600;
        let calling = flood(&host, CALLS, 16 << 10);
        until(|| bed.server.stats().stalls > 0).await;
        for _ in 0..100 {
            reactor::yield_now().await;
        }
        let stats = bed.server.stats();
        assert!(stats.host_calls < u64::from(CALLS), "{stats}");
        assert!(stats.output_bytes as usize <= HIGH + (17 << 10), "{stats}");
        for n in 0..CALLS {
            let call = client.frame().await;
            assert_eq!(call.content(), vec![n as u8; 16 << 10]);
        }
        calling.await.unwrap();
        end(&bed, client, Rc::try_unwrap(host).ok().unwrap()).await;
    });
}

#[test]
fn a_host_that_does_not_read_answers_stops_the_client_that_gives_them_and_loses_nothing() {
    run(async {
        let bed = binding(LOW_WATER);
        let (mut client, mut host) = pair(&bed).await;
        const CALLS: u32 = 600;
        for id in 0..CALLS {
            host.send(&request(id, b"")).await;
        }
        let mut answers = Vec::new();
        for n in 0..CALLS {
            let call = client.frame().await;
            answers.push(response(call.id(), &vec![n as u8; 16 << 10]));
        }
        let client = Rc::new(client);
        let answering = {
            let client = Rc::clone(&client);
            reactor::spawn(async move {
                for answer in answers {
                    client.send(&answer).await;
                }
            })
        };
        until(|| bed.server.stats().stalls > 0).await;
        for _ in 0..100 {
            reactor::yield_now().await;
        }
        let stats = bed.server.stats();
        assert!(stats.output_bytes as usize <= HIGH + (17 << 10), "{stats}");
        for n in 0..CALLS {
            let back = host.frame().await;
            assert_eq!((back.id(), back.content()), (n, &vec![n as u8; 16 << 10][..]));
        }
        answering.await.unwrap();
        end(&bed, Rc::try_unwrap(client).ok().unwrap(), host).await;
    });
}

#[test]
fn a_client_that_leaves_while_a_call_is_held_back_leaves_nothing() {
    run(async {
        let bed = binding(LOW_WATER);
        let (client, host) = pair(&bed).await;
        let host = Rc::new(host);
        let calling = flood(&host, 600, 16 << 10);
        until(|| bed.server.stats().stalls > 0).await;
        drop(client);
        all_empty(&bed.server).await;
        until(|| bed.server.stats().upstream_connections == 0).await;
        calling.abort();
    });
}

#[test]
fn a_call_passes_two_proxies() {
    run(async {
        let bed = binding("");
        let near = bed.server.addresses()[0];
        let front = Setup { hosts: &[near], cluster: BINDING, ..Setup::default() }.start();
        let mut client = Peer::connect(front.addresses()[0]).await;
        let mut host = bed.host.accept_after(&mut client).await;
        host.send(&request(5, b"far")).await;
        let call = client.frame().await;
        assert_eq!(call.content(), b"far");
        client.answer(&call).await;
        let back = host.frame().await;
        assert_eq!((back.id(), back.content()), (5, &b"far"[..]));
        drop(client);
        host.closed().await;
        all_empty(&front).await;
        all_empty(&bed.server).await;
    });
}

#[test]
fn thrift_has_no_calls_from_hosts_and_they_are_answered() {
    run(async {
        let setup = Setup { cluster: BINDING, ..Setup::default() };
        let mut scene = Scene::new(Protocol::Thrift, setup).await;
        scene.ask(1, b"").await;
        let mut host = scene.host().await;
        let own = host.frame().await;
        host.send(&wire::request(Protocol::Thrift, 9, b"")).await;
        let back = host.frame().await;
        assert_eq!(wire::status(Protocol::Thrift, &back.frame, &back.bytes), 1);
        scene.answer(&host, &own, b"fine").await;
        assert_eq!(scene.heard().await, b"fine");
        scene.end().await;
    });
}

#[test]
fn a_client_that_is_called_is_not_idle() {
    run_paused(async {
        let bed = binding(r#""client_idle_timeout": "5s""#);
        let (mut client, mut host) = pair(&bed).await;
        host.send(&request_with(5, 50_000, b"", b"")).await;
        let call = client.frame().await;
        reactor::time::sleep(Duration::from_secs(40)).await;
        // Nor is the host, which has sent nothing for so long, asked whether it lives.
        assert_eq!(bed.server.stats().heartbeats_sent, 0);
        client.answer(&call).await;
        host.expect(5, status::SUCCESS).await;
        end(&bed, client, host).await;
    });
}

#[test]
fn a_client_that_is_told_something_now_and_then_is_not_idle() {
    run_paused(async {
        let bed = binding(r#""client_idle_timeout": "5s""#);
        let (mut client, host) = pair(&bed).await;
        for id in 0..10 {
            reactor::time::sleep(Duration::from_secs(4)).await;
            host.send(&oneway(id, b"news")).await;
            assert_eq!(client.frame().await.content(), b"news");
        }
        // Then nothing more is said.
        client.closed().await;
        let mut host = host;
        while host.next().await.is_some() {}
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_host_that_is_held_back_is_not_asked_whether_it_lives() {
    run_paused(async {
        let bed = binding(LOW_WATER);
        let (mut client, host) = pair(&bed).await;
        let calling = reactor::spawn(async move {
            for id in 0..600 {
                host.send(&oneway(id, &[7; 16 << 10])).await;
            }
            host
        });
        until(|| bed.server.stats().stalls > 0).await;
        // More than it takes to give up a connection on which nothing is heard.
        reactor::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(bed.server.stats().heartbeats_sent, 0);
        for _ in 0..600 {
            assert_eq!(client.frame().await.content(), &[7; 16 << 10]);
        }
        end(&bed, client, calling.await.unwrap()).await;
    });
}

#[test]
fn a_client_of_this_library_says_that_it_serves_nothing() {
    run(async {
        let bed = binding("");
        let client = proxy::Client::connect(bed.server.addresses()[0]).await.unwrap();
        let host = bed.host;
        let asking = reactor::spawn(async move {
            let mut host = host.accept().await;
            let asked = host.frame().await;
            host.send(&request(5, b"")).await;
            let refusal = host.frame().await;
            host.answer(&asked).await;
            (refusal.id(), refusal.frame.status, host)
        });
        client.call(&proxy::client::Call::new(b"")).await.unwrap();
        let (id, refusal, host) = asking.await.unwrap();
        assert_eq!((id, refusal), (5, status::NO_PROCESSOR));
        drop((client, host));
        all_empty(&bed.server).await;
    });
}

//! Stream filters of a library's user: what they are asked, and what they may say.

mod common;

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use common::*;
use proxy::codec::bolt::{Bolt, push_header, status};
use proxy::codec::{Codec, LocalReply};
use proxy::filter::{Flag, Flow, Record, Request, Response, Resume, StreamFilter};
use proxy::{Config, Filters, Server};
use reactor::time;

thread_local! {
    /// What filters of this test were asked.
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static STOPPED: RefCell<Vec<Resume>> = const { RefCell::new(Vec::new()) };
    static ENDED: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
}

/// A filter that does what its configuration names for each phase.
struct Script {
    name: String,
    flows: [Option<Flow>; 4],
}

impl Script {
    fn step(&mut self, phase: usize, resume: impl FnOnce() -> Resume) -> Flow {
        CALLS.with_borrow_mut(|calls| calls.push(format!("{}{phase}", self.name)));
        let flow = self.flows[phase].unwrap_or(Flow::Continue);
        if flow == Flow::Stop {
            // What is stopped once goes on to the next phase.
            STOPPED.with_borrow_mut(|stopped| stopped.push(resume()));
        }
        flow
    }
}

impl StreamFilter for Script {
    fn before_route(&mut self, request: &mut Request<'_>) -> Flow {
        self.step(0, || request.resume_later())
    }

    fn after_route(&mut self, request: &mut Request<'_>) -> Flow {
        self.step(1, || request.resume_later())
    }

    fn after_host(&mut self, request: &mut Request<'_>) -> Flow {
        self.step(2, || request.resume_later())
    }

    fn on_response(&mut self, response: &mut Response<'_>) -> Flow {
        self.step(3, || response.resume_later())
    }

    fn on_end(&mut self, record: &Record) {
        ENDED.with_borrow_mut(|ended| ended.push(record.clone()));
    }
}

/// The type `NAME`, which does `flow` in `phase`.
fn add_script(filters: &mut Filters, name: &'static str, phase: usize, flow: Flow) {
    filters.add(name, move |_| {
        Ok(move || {
            let mut flows = [None; 4];
            flows[phase] = Some(flow);
            Box::new(Script { name: name.to_owned(), flows }) as Box<dyn StreamFilter>
        })
    });
}

fn one_script(phase: usize, flow: Flow) -> Filters {
    let mut filters = Filters::new();
    add_script(&mut filters, "a", phase, flow);
    filters
}

const A: &str = r#", "stream_filters": [{"type": "a"}]"#;

fn bed(phase: usize, flow: Flow) -> Bed {
    Bed::with(Setup { listener: A, ..Setup::default() }, &one_script(phase, flow))
}

fn calls() -> Vec<String> {
    CALLS.take()
}

#[test]
fn filters_are_asked_in_order_on_the_way_out_and_in_the_opposite_one_on_the_way_back() {
    run(async {
        let mut filters = one_script(0, Flow::Continue);
        add_script(&mut filters, "b", 0, Flow::Continue);
        let listener = r#", "stream_filters": [{"type": "a"}, {"type": "b", "config": {}}]"#;
        let bed = Bed::with(Setup { listener, ..Setup::default() }, &filters);
        let mut client = bed.client().await;
        client.send(&[request(1, b"x"), oneway(2, b"y")].concat()).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"x");
        let way = ["a0", "b0", "a1", "b1", "a2", "b2"];
        assert_eq!(calls(), [&way[..], &way, &["b3", "a3"]].concat());
        drop(client);
        all_empty(&bed.server).await;
        let ended = ENDED.take();
        assert_eq!(ended.len(), 4, "both requests, each filter once");
        assert!(ended.iter().all(|record| record.flags.to_string() == "-"));
    });
}

#[test]
fn a_filter_answers_directly_in_every_phase() {
    for phase in 0..4 {
        run(async {
            let bed = bed(phase, Flow::Reply(LocalReply::Denied));
            let mut client = bed.client().await;
            client.send(&[request(1, b"x"), oneway(2, b"y")].concat()).await;
            if phase == 3 {
                let mut host = bed.host.accept().await;
                let got = host.frame().await;
                host.answer(&got).await;
            }
            client.expect(1, status::SERVER_EXCEPTION).await;
            drop(client);
            all_empty(&bed.server).await;
            assert_eq!(ENDED.take().len(), 2);
        });
    }
}

#[test]
fn an_answer_that_a_filter_delays_outlives_the_bound_connection_that_it_came_by() {
    run_paused(async {
        let delay = Duration::from_secs(1);
        let setup = Setup { listener: A, cluster: r#", "pool": "binding""#, ..Setup::default() };
        let bed = Bed::with(setup, &one_script(3, Flow::Delay(delay)));
        let mut client = bed.client().await;
        client.send(&[request(1, b"answered"), request(2, b"not answered")].concat()).await;
        let mut host = bed.host.accept().await;
        let (answered, _) = (host.frame().await, host.frame().await);
        host.answer(&answered).await;
        until(|| bed.server.stats().parked == 1).await;
        let start = time::now();
        drop(host);
        client.expect(2, status::CONNECTION_CLOSED).await;
        assert!(time::now() - start < delay);
        // Nobody would answer it.
        client.send(&request(3, b"too late")).await;
        client.expect(1, status::SUCCESS).await;
        client.closed().await;
        drop(client);
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().requests, 2, "the last one was not taken in");
    });
}

#[test]
fn a_filter_re_routes_by_changing_a_header() {
    struct ToB;
    impl StreamFilter for ToB {
        fn after_route(&mut self, request: &mut Request<'_>) -> Flow {
            if request.header("service").unwrap() == Some(b"b") {
                assert_eq!(request.record().cluster.as_deref(), Some("b"));
                return Flow::Continue;
            }
            request.set_header("service", "b").unwrap();
            Flow::Reroute
        }
    }
    run(async {
        let mut filters = Filters::new();
        filters.add("to_b", |_| Ok(|| Box::new(ToB) as Box<dyn StreamFilter>));
        let (a, b) = (Host::new(), Host::new());
        let text = format!(
            r#"{{"servers": [{{
                "routers": [{{"router_config_name": "r", "virtual_hosts": [{{
                    "domains": ["*"], "routers": [
                    {{"match": {{"headers": [{{"name": "service", "value": "a"}}]}},
                      "route": {{"cluster_name": "a"}}}},
                    {{"match": {{"headers": [{{"name": "service", "value": "b"}}]}},
                      "route": {{"cluster_name": "b"}}}}]}}]}}],
                "listeners": [{{"address": "127.0.0.1:0",
                    "stream_filters": [{{"type": "to_b"}}],
                    "filter_chains": [{{"filters": [{{"type": "proxy", "config":
                    {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
              "cluster_manager": {{"clusters": [
                {{"name": "a", "hosts": [{{"address": "{}"}}]}},
                {{"name": "b", "hosts": [{{"address": "{}"}}]}}]}}}}"#,
            a.address(),
            b.address()
        );
        let config = Config::parse_with(Path::new("t.json"), &text, &filters).unwrap();
        let server = Server::start_with(&config, &filters).unwrap();
        let mut client = Peer::connect(server.addresses()[0]).await;
        let mut header = Vec::new();
        push_header(b"service", b"a", &mut header);
        client.send(&request_with(5, 0, &header, b"x")).await;
        let mut host = b.accept().await;
        let got = host.frame().await;
        let service = Bolt.header(&got.frame, &got.bytes, b"service").unwrap();
        assert_eq!((service, got.content()), (Some(&b"b"[..]), &b"x"[..]));
        host.answer(&got).await;
        assert_eq!(client.frame().await.id(), 5);
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_filter_that_never_ends_re_routing_gets_no_route() {
    for phase in [1, 2] {
        run(async {
            let bed = bed(phase, Flow::Reroute);
            let mut client = bed.client().await;
            client.send(&request(1, b"x")).await;
            assert_eq!(client.frame().await.frame.status, status::NO_PROCESSOR);
            let asked = calls().into_iter().filter(|call| *call == format!("a{phase}")).count();
            assert_eq!(asked as u32, proxy::limits::REROUTES_MAX + 1);
            drop(client);
            all_empty(&bed.server).await;
        });
    }
}

#[test]
fn a_stopped_request_goes_on_later_in_every_phase_and_others_pass_it() {
    for phase in 0..4 {
        run(async {
            let bed = bed(phase, Flow::Stop);
            let mut client = bed.client().await;
            client.send(&request(1, b"first")).await;
            let reply = |host: Peer| async {
                let mut host = host;
                reactor::spawn(async move { host.echo().await }).detach();
            };
            if phase == 3 {
                reply(bed.host.accept().await).await;
            }
            until(|| STOPPED.with_borrow(Vec::len) == 1).await;
            until(|| bed.server.stats().parked == 1).await;
            client.send(&request(2, b"second")).await;
            until(|| STOPPED.with_borrow(Vec::len) == 2).await;
            let mut stopped = STOPPED.take();
            stopped.pop().unwrap().go_on();
            if phase != 3 {
                reply(bed.host.accept().await).await;
            }
            assert_eq!(client.frame().await.content(), b"second");
            stopped.pop().unwrap().go_on();
            assert_eq!(client.frame().await.content(), b"first");
            drop(client);
            all_empty(&bed.server).await;
        });
    }
}

#[test]
fn a_request_stopped_behind_its_host_is_given_another_when_that_one_is_gone() {
    run(async {
        let mut hosts = vec![Host::new(), Host::new()];
        let addresses = [hosts[0].address(), hosts[1].address()];
        let setup = Setup { hosts: &addresses, listener: A, ..Setup::default() };
        let server = setup.start_with(&one_script(2, Flow::Stop));
        let mut client = Peer::connect(server.addresses()[0]).await;
        client.send(&request(1, b"x")).await;
        until(|| server.clusters()[0].connections == 1).await;
        let members = server.clusters().remove(0).hosts;
        let chosen = hosts.remove(members.iter().position(|host| host.connections == 1).unwrap());
        drop(chosen.accept().await);
        drop(chosen);
        until(|| server.stats().upstream_closed == 1).await;
        STOPPED.take().pop().unwrap().go_on();
        until(|| STOPPED.with_borrow(Vec::len) == 1).await;
        STOPPED.take().pop().unwrap().go_on();
        let mut host = hosts[0].accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"x");
        assert_eq!(calls(), ["a0", "a1", "a2", "a2", "a3"]);
        drop(client);
        all_empty(&server).await;
    });
}

#[test]
fn a_stopped_request_ends_by_its_time_out_and_its_resume_does_nothing_then() {
    run_paused(async {
        let bed = bed(1, Flow::Stop);
        let mut client = bed.client().await;
        client.send(&request_with(1, 30, b"", b"x")).await;
        client.expect(1, status::TIMEOUT).await;
        STOPPED.take().pop().unwrap().go_on();
        reactor::yield_now().await;
        assert_eq!((bed.server.stats().sent, bed.server.stats().timed_out_unsent), (0, 1));
        drop(client);
        all_empty(&bed.server).await;
        let record = ENDED.take().pop().unwrap();
        assert!(record.flags.has(Flag::Timeout), "{record:?}");
    });
}

#[test]
fn a_stopped_request_can_be_answered_and_is_forgotten_with_its_client() {
    run(async {
        let bed = bed(0, Flow::Stop);
        let mut client = bed.client().await;
        client.send(&[request(1, b"x"), request(2, b"y")].concat()).await;
        until(|| STOPPED.with_borrow(Vec::len) == 2).await;
        let stopped = STOPPED.take();
        let [first, second] = <[Resume; 2]>::try_from(stopped).unwrap();
        first.reply(LocalReply::Denied);
        assert_eq!(client.frame().await.frame.status, status::SERVER_EXCEPTION);
        drop(client);
        all_empty(&bed.server).await;
        second.go_on();
        reactor::yield_now().await;
        let ended = ENDED.take();
        assert!(ended[1].flags.has(Flag::DownstreamGone), "{ended:?}");
    });
}

#[test]
fn a_client_whose_stopped_requests_take_too_much_memory_is_not_read_from() {
    run(async {
        let limits = r#""output_high_bytes": 4096, "output_low_bytes": 1024"#;
        let setup = Setup { listener: A, limits, ..Setup::default() };
        let bed = Bed::with(setup, &one_script(0, Flow::Stop));
        let client = bed.client().await;
        let frames: Vec<u8> = (0..100).flat_map(|id| request(id, &[1; 1000])).collect();
        client.send(&frames).await;
        until(|| bed.server.stats().stalls > 0).await;
        for _ in 0..20 {
            reactor::yield_now().await;
        }
        let stats = bed.server.stats();
        assert!(stats.parked < 10 && stats.kept_bytes < 6000, "{stats}");
        STOPPED.take();
        drop(client);
        // Nobody reads from it: its close is noticed when the time-outs of its requests let it.
        assert_eq!(bed.server.stats().sent, 0);
    });
}

#[test]
fn a_request_held_back_by_a_full_output_passes_its_filters_once() {
    run(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384"#;
        let setup = Setup { listener: A, limits, ..Setup::default() };
        let bed = Bed::with(setup, &one_script(0, Flow::Continue));
        let client = std::rc::Rc::new(bed.client().await);
        let flooding = flood(&client, 200, 64 * 1024);
        let mut host = bed.host.accept().await;
        until(|| bed.server.stats().stalls > 0).await;
        reactor::spawn(async move { host.echo().await }).detach();
        let answer = |id| response(id, &vec![id as u8; 64 * 1024]);
        let client = take_back(client, flooding, 200, answer).await;
        let asked = calls().into_iter().filter(|call| call == "a0").count();
        assert_eq!(asked, 200);
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_oneway_that_is_refused_while_it_waits_has_the_reason_in_its_record() {
    run_paused(async {
        let after = std::time::Duration::from_secs(1);
        let bed = bed(0, Flow::ReplyAfter(after, LocalReply::Overflow));
        let client = bed.client().await;
        client.send(&oneway(1, b"x")).await;
        until(|| bed.server.stats().oneways_dropped == 1).await;
        drop(client);
        all_empty(&bed.server).await;
        let record = ENDED.take().remove(0);
        assert_eq!(record.reply, Some(LocalReply::Overflow));
        assert!(record.flags.has(Flag::Overflow));
    });
}

//! One dial for each peer, shared by its callers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;

use futures_util::{FutureExt, poll};
use mux::Error;
use mux::host::{DialFailure, Host, HostConfig, HostErrorKind};
use reactor::time;

use crate::support::{End, pipe};
use crate::{Answer, Name, SECOND, ask, dial_in, host, host_with, kind, run, settle};

#[test]
fn callers_at_the_same_time_share_one_dial() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        let callers: Vec<_> = (0..100).map(|_| ask(&host, "bob")).collect();
        settle().await;
        assert_eq!((host.stats().dials, script.under_way()), (1, 1));
        let late = ask(&host, "bob");
        for caller in callers.into_iter().chain([late]) {
            caller.await.unwrap().unwrap();
        }
        assert_eq!(script.dials(), ["bob"]);
        let stats = host.stats();
        assert_eq!((stats.dials_started, stats.dials_succeeded, stats.dials), (1, 1, 0));
    });
}

#[test]
fn callers_share_the_failure_too() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::RefuseAfter(SECOND)]);
        let callers: Vec<_> = (0..10).map(|_| ask(&host, "bob")).collect();
        for caller in callers {
            let HostErrorKind::Dial { failure: DialFailure::Io(err), retry_at } =
                kind(caller.await.unwrap(), "bob")
            else {
                panic!("another error")
            };
            assert_eq!(err.to_string(), "nobody is there");
            assert_eq!(retry_at, time::now() + 5 * SECOND);
        }
        assert_eq!((script.dials().len(), host.stats().dials_failed), (1, 1));
    });
}

#[test]
fn the_first_caller_may_go_and_the_dial_goes_on_for_the_others() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        let first = ask(&host, "bob");
        settle().await;
        let second = ask(&host, "bob");
        settle().await;
        first.abort();
        second.await.unwrap().unwrap();
        assert_eq!((script.dials().len(), host.stats().dials_cancelled), (1, 0));
    });
}

#[test]
fn the_last_caller_takes_the_dial_along_and_nobody_is_blamed() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        let callers = [ask(&host, "bob"), ask(&host, "bob")];
        settle().await;
        callers[0].abort();
        settle().await;
        assert_eq!(script.under_way(), 1);
        callers[1].abort();
        settle().await;
        let stats = host.stats();
        assert_eq!((script.under_way(), stats.dials, stats.attempts), (0, 0, 0));
        assert_eq!((stats.dials_cancelled, stats.dials_failed, stats.back_off_peers), (1, 0, 0));
        // Not left alone: it can be dialed at once.
        host.new_stream(&"bob").await.unwrap();
        assert_eq!(script.dials().len(), 2);
    });
}

#[test]
fn a_caller_that_is_dropped_before_it_was_polled_has_done_nothing() {
    run(async {
        let (host, script) = host();
        drop(host.new_stream(&"bob"));
        settle().await;
        assert!(script.dials().is_empty());
        assert_eq!(host.stats(), Default::default());
    });
}

#[test]
fn a_call_at_once_after_the_last_one_was_dropped_is_a_dial_of_its_own() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        for _ in 0..3 {
            let mut call = Box::pin(host.new_stream(&"bob"));
            assert!(poll!(call.as_mut()).is_pending());
            reactor::yield_now().await;
        }
        host.new_stream(&"bob").await.unwrap();
        assert_eq!((script.dials().len(), script.under_way_max()), (4, 1), "never two at once");
    });
}

#[test]
fn a_dial_that_takes_too_long_has_failed() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND * 3600)]);
        let start = time::now();
        let outcome = host.new_stream(&"bob").await;
        let HostErrorKind::Dial { failure: DialFailure::Timeout { waited }, .. } =
            kind(outcome, "bob")
        else {
            panic!("another error")
        };
        assert_eq!((waited, time::now() - start), (15 * SECOND, 15 * SECOND));
        assert_eq!((script.under_way(), host.stats().attempts), (0, 0));

        let config = HostConfig { dial_timeout: SECOND, ..HostConfig::default() };
        let (host, script) = host_with(config);
        script.answer([Answer::ConnectAfter(SECOND * 3600)]);
        let start = time::now();
        assert!(host.new_stream(&"bob").await.is_err());
        assert_eq!(time::now() - start, SECOND);
    });
}

#[test]
fn a_dialer_that_panics_is_a_failed_dial() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::Panic]);
        let outcome = host.new_stream(&"bob").await;
        let failed = kind(outcome, "bob");
        assert!(matches!(failed, HostErrorKind::Dial { failure: DialFailure::Lost, .. }));
        let stats = host.stats();
        assert_eq!((stats.dials, stats.attempts, stats.dials_failed), (0, 0, 1));
    });
}

#[test]
fn a_connection_that_is_lost_at_once_is_tried_once_more_and_no_failed_dial() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectToNobody, Answer::Connect]);
        host.new_stream(&"bob").await.unwrap();
        assert_eq!(script.dials().len(), 2);

        let (host, script) = crate::host();
        script.answer([Answer::ConnectToNobody]);
        let lost = kind(host.new_stream(&"bob").await, "bob");
        assert!(matches!(lost, HostErrorKind::Session(Error::Closed { .. })), "{lost}");
        settle().await;
        let stats = host.stats();
        assert_eq!((script.dials().len(), stats.dials_failed), (2, 0));
        assert_eq!((stats.sessions, stats.back_off_peers), (0, 0));
    });
}

#[test]
fn dialing_oneself_is_an_error_under_each_of_ones_names() {
    run(async {
        let config = HostConfig { local: vec!["me", "myself"], ..HostConfig::default() };
        let (host, script) = host_with(config);
        for name in ["me", "myself"] {
            assert!(matches!(kind(host.new_stream(&name).await, name), HostErrorKind::DialSelf));
            assert!(matches!(kind(host.connect(&name).await, name), HostErrorKind::DialSelf));
        }
        assert!(script.dials().is_empty());
        host.new_stream(&"bob").await.unwrap();
    });
}

#[test]
fn who_waits_for_a_dial_takes_a_session_that_the_peer_makes_and_the_dial_goes_on() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        let start = time::now();
        let caller = ask(&host, "bob");
        settle().await;
        let (_far, theirs) = dial_in(&host, "bob");
        let stream = caller.await.unwrap().unwrap();
        assert!(time::now() - start < SECOND);
        assert_eq!((stream.id(), theirs.outbound_streams()), (2, 1));
        // Two that dial each other and both give up their own would have none.
        time::sleep(2 * SECOND).await;
        let stats = host.stats();
        assert_eq!((stats.dials_succeeded, stats.dials_cancelled, stats.sessions), (1, 0, 2));
    });
}

/// Each takes in the other's connection while it still waits for its own.
#[test]
fn two_hosts_that_dial_each_other_at_once_have_streams_both_ways() {
    type Hosts = Rc<RefCell<HashMap<Name, Host<Name>>>>;
    fn dialer(own: Name, hosts: &Hosts) -> impl mux::host::Dial<Name> {
        let hosts = Rc::clone(hosts);
        move |peer: Name| {
            let (near, far) = pipe(64 * 1024);
            let callee = hosts.borrow()[peer].clone();
            async move {
                time::sleep(SECOND / 100).await;
                callee.add(own, far).unwrap();
                // The answer is on its way.
                time::sleep(SECOND / 100).await;
                Ok(near)
            }
        }
    }
    run(async {
        let hosts = Hosts::default();
        for name in ["alice", "bob"] {
            let host = Host::new(dialer(name, &hosts), HostConfig::default());
            hosts.borrow_mut().insert(name, host);
        }
        let (alice, bob) = (hosts.borrow()["alice"].clone(), hosts.borrow()["bob"].clone());
        let calls = [ask(&alice, "bob"), ask(&bob, "alice")];
        for call in calls {
            let stream = call.await.unwrap().unwrap();
            stream.write_bytes("hello".into()).await.unwrap();
            time::sleep(SECOND).await;
            assert!(stream.read_bytes().now_or_never().is_none(), "it lives");
        }
        assert_eq!((alice.stats().sessions, bob.stats().sessions), (2, 2));
        assert_eq!(alice.accept().await.unwrap().0, "bob");
        assert_eq!(bob.accept().await.unwrap().0, "alice");
        hosts.take();
    });
}

#[test]
fn a_dial_outside_a_runtime_panics_and_nothing_has_happened() {
    let (host, script) = host();
    let call = AssertUnwindSafe(|| host.new_stream(&"bob").now_or_never().is_some());
    assert!(catch_unwind(call).is_err());
    assert_eq!(host.stats(), Default::default());
    assert!(script.dials().is_empty());
    run(async { host.new_stream(&"bob").await.map(drop).unwrap() });
}

#[test]
fn a_turn_that_comes_outside_a_runtime_is_taken_when_it_runs_again() {
    let (host, script) = host_with(HostConfig { dials_max: 1, ..HostConfig::default() });
    script.answer([Answer::ConnectAfter(SECOND)]);
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    let [first, second] = runtime.block_on(async {
        let calls = [&"a", &"b"].map(|name| Box::pin(host.new_stream(name)));
        let mut calls = calls;
        for call in &mut calls {
            assert!(poll!(call.as_mut()).is_pending());
        }
        settle().await;
        calls
    });
    drop(first);
    runtime.block_on(second).unwrap();
    assert_eq!(script.dials(), ["a", "b"]);
}

#[test]
fn dials_whose_runtime_is_gone_have_failed_begun_or_not() {
    let (host, script) = host_with(HostConfig { dials_max: 1, ..HostConfig::default() });
    script.answer([Answer::ConnectAfter(SECOND)]);
    let mut calls = [&"a", &"b"].map(|name| Box::pin(host.new_stream(name)));
    run(async {
        for call in &mut calls {
            assert!(poll!(call.as_mut()).is_pending());
        }
        settle().await;
    });
    for (call, name) in calls.iter_mut().zip(["a", "b"]) {
        let failed = kind(call.now_or_never().expect("it is over"), name);
        assert!(matches!(failed, HostErrorKind::Dial { failure: DialFailure::Lost, .. }));
    }
    let stats = host.stats();
    assert_eq!((script.dials().len(), stats.dials, stats.attempts), (1, 0, 0));
}

#[test]
fn a_function_is_a_dialer() {
    run(async {
        let refuse =
            async |_: &'static str| Err::<End, _>(std::io::ErrorKind::AddrNotAvailable.into());
        let host = Host::new(refuse, HostConfig::default());
        let mut call = pin!(host.new_stream(&"bob"));
        assert!(poll!(call.as_mut()).is_pending());
        let err = std::io::Error::from(call.await.unwrap_err());
        assert_eq!(err.kind(), std::io::ErrorKind::AddrNotAvailable);
    });
}

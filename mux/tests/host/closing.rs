//! How a host ends: closed, dropped, or left by its runtime.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::{FutureExt, poll};
use mux::host::{HostConfig, HostErrorKind};
use mux::{Error, Session};
use reactor::time;

use crate::support::pipe;
use crate::{Answer, SECOND, ask, dial_in, host, host_with, kind, run, settle};

#[test]
fn close_lets_streams_finish_and_then_nothing_is_left() {
    run(async {
        let (host, script) = host();
        let near = host.new_stream(&"bob").await.unwrap();
        let (carol, _) = dial_in(&host, "carol");
        let far = script.server(0).accept().await.unwrap();
        let closing = reactor::spawn({
            let host = host.clone();
            async move { host.close().await }
        });
        settle().await;
        assert!(host.is_closed() && !closing.is_finished());
        carol.closed().await.unwrap();
        near.write_bytes("still".into()).await.unwrap();
        assert_eq!(far.read_bytes().await.unwrap().unwrap(), "still");
        near.shutdown().unwrap();
        far.shutdown().unwrap();
        drop((near, far));
        closing.await.unwrap().unwrap();
        assert_eq!((host.stats().sessions, host.peers().len()), (0, 0));
        host.close().await.unwrap();
    });
}

#[test]
fn after_close_every_call_says_so() {
    run(async {
        let (host, script) = host();
        host.connect(&"bob").await.unwrap();
        let closing = host.close();
        let mut closing = Box::pin(closing);
        assert!(poll!(closing.as_mut()).is_pending());
        assert!(matches!(kind(host.new_stream(&"bob").await, "bob"), HostErrorKind::Closed));
        assert!(matches!(kind(host.connect(&"bob").await, "bob"), HostErrorKind::Closed));
        assert!(matches!(
            kind(host.new_stream_no_dial(&"bob").await, "bob"),
            HostErrorKind::Closed
        ));
        assert!(matches!(kind(host.add("eve", pipe(64).0), "eve"), HostErrorKind::Closed));
        assert!(host.session(&"bob").is_none() && host.accept().await.is_none());
        closing.await.unwrap();
        assert_eq!(script.dials().len(), 1);
    });
}

#[test]
fn close_ends_callers_and_acceptors_who_wait() {
    run(async {
        let (host, script) = host_with(HostConfig { dials_max: 1, ..HostConfig::default() });
        script.answer([Answer::ConnectAfter(SECOND)]);
        let (dialing, queued) = (ask(&host, "bob"), ask(&host, "carol"));
        let accepting = reactor::spawn({
            let host = host.clone();
            async move { host.accept().await.map(|accepted| accepted.0) }
        });
        settle().await;
        host.close().await.unwrap();
        assert!(matches!(kind(dialing.await.unwrap(), "bob"), HostErrorKind::Closed));
        assert!(matches!(kind(queued.await.unwrap(), "carol"), HostErrorKind::Closed));
        assert_eq!(accepting.await.unwrap(), None);
        settle().await;
        let stats = host.stats();
        assert_eq!((script.under_way(), stats.dials, stats.attempts), (0, 0, 0));
    });
}

#[test]
fn what_waits_to_be_accepted_can_be_while_the_host_is_closing() {
    run(async {
        let (host, _script) = host();
        let (bob, _) = dial_in(&host, "bob");
        let asked = bob.open().await.unwrap();
        settle().await;
        let closing = reactor::spawn({
            let host = host.clone();
            async move { host.close().await }
        });
        settle().await;
        let late = bob.open().await.unwrap();
        let (_, stream) = host.accept().await.unwrap();
        assert_eq!(stream.id(), asked.id());
        assert!(late.read_bytes().await.is_err(), "refused");
        stream.shutdown().unwrap();
        asked.shutdown().unwrap();
        drop((stream, asked, late));
        closing.await.unwrap().unwrap();
        assert!(host.accept().await.is_none());
    });
}

#[test]
fn streams_that_do_not_finish_are_cut_off_in_time() {
    run(async {
        let (host, _script) = host();
        let stream = host.new_stream(&"bob").await.unwrap();
        let start = time::now();
        let cut = kind(host.close().await, "bob");
        let HostErrorKind::Session(Error::DrainTimeout { waited }) = cut else { panic!("{cut}") };
        assert_eq!((waited, time::now() - start), (10 * SECOND, 10 * SECOND));
        assert!(matches!(stream.read_bytes().await, Err(Error::Closed { .. })));
        assert_eq!(host.stats().sessions, 0);
    });
}

#[test]
fn closing_goes_on_when_nobody_waits_for_it() {
    run(async {
        let config = HostConfig { drain_timeout: 2 * SECOND, ..HostConfig::default() };
        let (host, script) = host_with(config);
        let _stream = host.new_stream(&"bob").await.unwrap();
        assert!(host.close().now_or_never().is_none());
        let start = time::now();
        script.server(0).closed().await.unwrap();
        assert_eq!(time::now() - start, 2 * SECOND);
    });
}

#[test]
fn close_peer_closes_its_sessions_and_no_others_and_the_next_stream_dials() {
    run(async {
        let (host, script) = host();
        host.connect(&"bob").await.unwrap();
        let (bob, _) = dial_in(&host, "bob");
        host.connect(&"carol").await.unwrap();
        let mut closing = Box::pin(host.close_peer(&"bob"));
        assert!(poll!(closing.as_mut()).is_pending());
        assert_eq!(host.peers(), ["carol"], "at once");
        closing.await.unwrap();
        bob.closed().await.unwrap();
        script.server(0).closed().await.unwrap();
        assert_eq!((host.stats().sessions, host.peers()), (1, vec!["carol"]));
        host.new_stream(&"bob").await.unwrap();
        assert_eq!(script.dials(), ["bob", "carol", "bob"]);
        host.close_peer(&"nobody").await.unwrap();
    });
}

#[test]
fn close_peer_leaves_a_dial_in_flight() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        let call = ask(&host, "bob");
        settle().await;
        host.close_peer(&"bob").await.unwrap();
        call.await.unwrap().unwrap();
    });
}

#[test]
fn sessions_of_a_host_that_is_dropped_end_with_their_last_stream() {
    run(async {
        let (host, script) = host();
        let near = host.new_stream(&"bob").await.unwrap();
        let (carol, near_carol) = dial_in(&host, "carol");
        drop(near_carol);
        let far = script.server(0).accept().await.unwrap();
        drop(host);
        carol.closed().await.unwrap();
        near.write_bytes("on".into()).await.unwrap();
        assert_eq!(far.read_bytes().await.unwrap().unwrap(), "on");
        near.shutdown().unwrap();
        far.shutdown().unwrap();
        drop((near, far));
        script.server(0).closed().await.unwrap();
    });
}

#[test]
fn a_dial_that_was_kept_ends_with_its_host() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        let call = ask(&host, "bob");
        settle().await;
        let _bob = dial_in(&host, "bob");
        call.await.unwrap().unwrap();
        assert_eq!(script.under_way(), 1);
        drop(host);
        settle().await;
        assert_eq!(script.under_way(), 0);
    });
}

/// What the host spawned is dropped with the runtime, and tells a host that lives on.
#[test]
fn a_host_outlives_its_runtime() {
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    let (host, stream, session) = runtime.block_on(async {
        let (host, script) = host();
        let stream = host.new_stream(&"bob").await.unwrap();
        script.answer([Answer::ConnectAfter(SECOND)]);
        drop(ask(&host, "carol"));
        settle().await;
        let (_, session): (Session, _) = dial_in(&host, "dave");
        (host, stream, session)
    });
    assert_eq!((host.stats().sessions, host.stats().dials), (2, 1));
    drop(runtime);
    let stats = host.stats();
    assert_eq!((stats.sessions, stats.dials, stats.attempts), (0, 0, 0));
    assert!(matches!(stream.read_bytes().now_or_never(), Some(Err(Error::DriverGone))));
    assert!(session.is_closed() && host.accept().now_or_never().is_none());
}

#[test]
fn nothing_keeps_a_host_or_its_dialer() {
    run(async {
        let token = Rc::new(());
        let (held, far_ends) = (Rc::clone(&token), Rc::new(RefCell::new(Vec::new())));
        let kept = Rc::clone(&far_ends);
        let dialer = move |_: &'static str| {
            let (_held, (near, far)) = (&held, pipe(1024));
            kept.borrow_mut().push(far);
            std::future::ready(Ok(near))
        };
        let host = mux::host::Host::new(dialer, HostConfig::default());
        let stream = host.new_stream(&"bob").await.unwrap();
        host.new_stream(&"carol").await.unwrap();
        let _dave = dial_in(&host, "dave");
        assert_eq!(Rc::strong_count(&token), 2);
        drop(host);
        assert_eq!(Rc::strong_count(&token), 1, "though a stream is open");
        drop(stream);
    });
}

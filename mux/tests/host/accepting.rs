//! Streams that peers open.

use std::time::Duration;

use futures_util::{FutureExt, poll};
use mux::host::{Host, HostConfig};
use mux::{Config, Session};
use reactor::time;

use crate::{Name, SECOND, dial_in, host, host_with, run, settle};

async fn accept(host: &Host<Name>) -> (Name, String) {
    let (peer, stream) = host.accept().await.unwrap();
    let said = stream.read_bytes().await.unwrap().unwrap();
    (peer, String::from_utf8(said.to_vec()).unwrap())
}

async fn say(session: &Session, text: &str) {
    let stream = session.open().await.unwrap();
    stream.write_bytes(text.to_owned().into()).await.unwrap();
    stream.shutdown().unwrap();
    // The peer is to read the FIN before the reset of the drop.
    reactor::spawn(async move {
        stream.stopped().await.ok();
    })
    .detach();
}

#[test]
fn streams_come_with_the_name_of_their_peer_from_sessions_dialed_and_added() {
    run(async {
        let (host, script) = host();
        let (bob, _) = dial_in(&host, "bob");
        say(&bob, "I have dialed you").await;
        assert_eq!(accept(&host).await, ("bob", "I have dialed you".into()));
        host.connect(&"carol").await.unwrap();
        say(&script.server(0), "you have dialed me").await;
        assert_eq!(accept(&host).await, ("carol", "you have dialed me".into()));
        assert_eq!(host.stats().streams_accepted, 2);
    });
}

#[test]
fn peers_take_turns() {
    run(async {
        let (host, _script) = host();
        let (bob, _) = dial_in(&host, "bob");
        let (carol, _) = dial_in(&host, "carol");
        for _ in 0..3 {
            say(&bob, "b").await;
        }
        settle().await;
        for _ in 0..3 {
            say(&carol, "c").await;
        }
        settle().await;
        let mut peers = Vec::new();
        for _ in 0..6 {
            peers.push(accept(&host).await.0);
        }
        assert_eq!(peers, ["bob", "carol", "bob", "carol", "bob", "carol"]);
    });
}

#[test]
fn an_accept_waits_and_is_woken_by_a_stream() {
    run(async {
        let (host, _script) = host();
        let (bob, _) = dial_in(&host, "bob");
        let accepting = reactor::spawn({
            let host = host.clone();
            async move { accept(&host).await }
        });
        time::sleep(SECOND).await;
        assert!(!accepting.is_finished());
        say(&bob, "here").await;
        assert_eq!(accepting.await.unwrap(), ("bob", "here".into()));
    });
}

#[test]
fn an_accept_that_was_told_and_is_dropped_tells_the_next() {
    run(async {
        let (host, _script) = host();
        let (bob, _) = dial_in(&host, "bob");
        let mut first = Box::pin(host.accept());
        assert!(poll!(first.as_mut()).is_pending());
        let second = reactor::spawn({
            let host = host.clone();
            async move { accept(&host).await.1 }
        });
        settle().await;
        say(&bob, "for whom?").await;
        settle().await;
        assert!(!second.is_finished(), "the first was told");
        drop(first);
        assert_eq!(second.await.unwrap(), "for whom?");
    });
}

#[test]
fn as_many_accepts_as_streams_are_woken_though_they_come_at_once() {
    run(async {
        let (host, _script) = host();
        let (bob, _) = dial_in(&host, "bob");
        let accepting = [(); 3].map(|()| {
            let host = host.clone();
            reactor::spawn(async move { host.accept().await.unwrap().1.id() })
        });
        settle().await;
        let opened = [(); 3].map(|()| bob.open().now_or_never().unwrap().unwrap());
        for (accepting, opened) in accepting.into_iter().zip(&opened) {
            assert_eq!(accepting.await.unwrap(), opened.id());
        }
    });
}

#[test]
fn a_stream_is_accepted_when_somebody_takes_it_and_what_waits_is_bounded() {
    run(async {
        let session = Config { accept_backlog_max: 2, ..Config::default() };
        let (host, _script) = host_with(HostConfig { session, ..HostConfig::default() });
        let (bob, near) = dial_in(&host, "bob");
        let opened = [(); 3].map(|()| bob.open().now_or_never().unwrap().unwrap());
        settle().await;
        assert_eq!((near.inbound_streams(), near.stats().streams_refused), (2, 1));
        assert!(opened[2].read_bytes().await.is_err(), "refused");
        let mut unaccepted = Box::pin(opened[0].stopped());
        assert!(poll!(unaccepted.as_mut()).is_pending());
        assert_eq!(near.stats().backlog, 2);
        let first = host.accept().await.unwrap().1;
        let second = host.accept().await.unwrap().1;
        assert_eq!((first.id(), second.id(), near.stats().backlog), (1, 3, 0));
    });
}

#[test]
fn what_had_arrived_before_a_session_ended_still_comes() {
    run(async {
        let (host, _script) = host();
        let (bob, _) = dial_in(&host, "bob");
        say(&bob, "a last word").await;
        say(&bob, "and another").await;
        bob.close().await.unwrap();
        settle().await;
        let stats = host.stats();
        assert_eq!((stats.sessions, stats.ended_sessions, host.peers().len()), (0, 1, 0));
        assert_eq!(accept(&host).await, ("bob", "a last word".into()));
        assert_eq!(accept(&host).await, ("bob", "and another".into()));
        assert_eq!(host.stats().ended_sessions, 0);
        assert!(host.accept().now_or_never().is_none());
    });
}

#[test]
fn sessions_that_ended_with_streams_that_nobody_accepts_are_bounded() {
    run(async {
        let (host, _script) = host_with(HostConfig { ended_sessions_max: 2, ..Default::default() });
        for name in ["a", "b", "c", "d"] {
            let (far, _) = dial_in(&host, name);
            say(&far, name).await;
            far.close().await.unwrap();
            settle().await;
        }
        assert_eq!(host.stats().ended_sessions, 2);
        assert_eq!(accept(&host).await.0, "c");
        assert_eq!(accept(&host).await.0, "d");
        assert!(host.accept().now_or_never().is_none());

        let (host, _script) = host_with(HostConfig { ended_sessions_max: 0, ..Default::default() });
        let (far, _) = dial_in(&host, "a");
        say(&far, "a").await;
        far.close().await.unwrap();
        settle().await;
        assert_eq!(host.stats().ended_sessions, 0);
        assert!(host.accept().now_or_never().is_none());
    });
}

#[test]
fn an_accept_that_is_woken_for_a_stream_that_is_gone_goes_on_waiting() {
    run(async {
        let (host, _script) = host();
        let (bob, near) = dial_in(&host, "bob");
        let mut accepting = Box::pin(host.accept());
        assert!(poll!(accepting.as_mut()).is_pending());
        say(&bob, "x").await;
        settle().await;
        // It refuses what nobody has accepted.
        near.close().now_or_never();
        assert!(poll!(accepting.as_mut()).is_pending());
        let (carol, _) = dial_in(&host, "carol");
        say(&carol, "y").await;
        let accepted = time::timeout(Duration::from_secs(1), accepting).await;
        assert_eq!(accepted.unwrap().unwrap().0, "carol");
    });
}

/// An ended session stays for its streams: where nobody accepts, one of two limits has to be 0.
#[test]
fn where_nobody_accepts_a_limit_of_zero_lets_no_session_stay() {
    let no_backlog = Config { accept_backlog_max: 0, ..Config::default() };
    for (config, stay) in [
        (HostConfig::default(), 1),
        (HostConfig { ended_sessions_max: 0, ..HostConfig::default() }, 0),
        (HostConfig { session: no_backlog, ..HostConfig::default() }, 0),
    ] {
        run(async {
            let (host, _script) = host_with(config);
            let (far, _) = dial_in(&host, "bob");
            let stream = far.open().await.unwrap();
            drop(stream.write_bytes("x".into()).await);
            settle().await;
            drop(stream);
            far.close().await.unwrap();
            time::sleep(3600 * SECOND).await;
            let stats = host.stats();
            assert_eq!((stats.sessions, stats.ended_sessions), (0, stay));
        });
    }
}

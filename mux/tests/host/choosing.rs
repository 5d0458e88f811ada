//! Which session a stream is opened in.

use std::time::Duration;

use futures_util::{AsyncWriteExt, FutureExt};
use mux::host::{HostConfig, HostErrorKind};
use mux::{Config, Error, Initiator};
use reactor::time;

use crate::support::pipe;
use crate::{Answer, SECOND, ask, dial_in, host, host_with, kind, run, settle};

#[test]
fn a_stream_is_dialed_for_only_when_no_session_lives() {
    run(async {
        let (host, script) = host();
        let first = host.new_stream(&"bob").await.unwrap();
        let second = host.new_stream(&"bob").await.unwrap();
        assert_eq!((first.id(), second.id()), (1, 3), "in one session, as its client");
        let other = host.new_stream(&"carol").await.unwrap();
        assert_eq!(other.id(), 1);
        assert_eq!(script.dials(), ["bob", "carol"]);
        let mut peers = host.peers();
        peers.sort_unstable();
        assert_eq!(peers, ["bob", "carol"]);
        assert_eq!(host.stats().streams_opened, 3);
    });
}

#[test]
fn bytes_pass_both_ways() {
    run(async {
        let (host, script) = host();
        let near = host.new_stream(&"bob").await.unwrap();
        near.write_bytes("question".into()).await.unwrap();
        let far = script.server(0).accept().await.unwrap();
        assert_eq!(far.read_bytes().await.unwrap().unwrap(), "question");
        far.write_bytes("answer".into()).await.unwrap();
        assert_eq!(near.read_bytes().await.unwrap().unwrap(), "answer");
    });
}

#[test]
fn a_session_that_the_peer_has_dialed_is_as_good_as_one_of_our_own() {
    run(async {
        let (host, script) = host();
        let (theirs, _ours) = dial_in(&host, "bob");
        let near = host.new_stream(&"bob").await.unwrap();
        assert_eq!(near.id(), 2, "as the server of the session");
        theirs.accept().await.unwrap();
        assert!(script.dials().is_empty());
        assert_eq!((host.peers(), host.stats().sessions_added), (vec!["bob"], 1));
    });
}

#[test]
fn the_session_with_most_streams_is_taken_and_among_equals_the_newest() {
    run(async {
        let (host, _script) = host();
        let (_first, first) = dial_in(&host, "bob");
        let (second_far, second) = dial_in(&host, "bob");
        let a = host.new_stream(&"bob").await.unwrap();
        assert_eq!((first.outbound_streams(), second.outbound_streams()), (0, 1), "the newest");
        let b = host.new_stream(&"bob").await.unwrap();
        assert_eq!((first.outbound_streams(), second.outbound_streams()), (0, 2), "the busiest");
        let busy = [(); 3].map(|()| first.open().now_or_never().unwrap().unwrap());
        let c = host.new_stream(&"bob").await.unwrap();
        assert_eq!((first.outbound_streams(), second.outbound_streams()), (4, 2), "the busiest");
        let theirs = [(); 3].map(|()| second_far.open().now_or_never().unwrap().unwrap());
        settle().await;
        let d = host.new_stream(&"bob").await.unwrap();
        assert_eq!(second.outbound_streams(), 3, "the streams of the peer count too");
        drop((a, b, c, d, busy, theirs));
    });
}

#[test]
fn a_session_at_a_limit_is_not_taken_while_another_is_not() {
    for session in [
        Config { outbound_streams_max: 1, ..Config::default() },
        Config { unacked_opens_max: 1, ..Config::default() },
    ] {
        run(async {
            let (host, script) = host_with(HostConfig { session, ..HostConfig::default() });
            let (_first_far, first) = dial_in(&host, "bob");
            let (_second_far, second) = dial_in(&host, "bob");
            let a = host.new_stream(&"bob").await.unwrap();
            let b = host.new_stream(&"bob").now_or_never().expect("the other is empty").unwrap();
            assert_eq!((first.outbound_streams(), second.outbound_streams()), (1, 1));
            // With both at it, it waits, and does not dial.
            let waits = ask(&host, "bob");
            settle().await;
            assert!(!waits.is_finished() && script.dials().is_empty());
            drop((a, b));
        });
    }
}

#[test]
fn a_session_that_is_closed_or_has_gone_away_or_drains_is_not_taken() {
    run(async {
        let (host, script) = host();
        let stop: [fn(&mux::Session, &mux::Session); 4] = [
            |_, far| far.go_away(),
            |near, _| near.go_away(),
            |near, _| drop(near.drain(SECOND).now_or_never()),
            |near, _| drop(near.close().now_or_never()),
        ];
        for (index, stop) in stop.into_iter().enumerate() {
            let near = host.connect(&"bob").await.unwrap();
            assert_eq!(script.dials().len(), index + 1);
            let stream = near.open().await.unwrap();
            stop(&near, &script.server(index));
            settle().await;
            assert!(host.session(&"bob").is_none() && host.peers().is_empty(), "{index}");
            drop(stream);
        }
    });
}

#[test]
fn a_session_that_has_gone_away_closes_behind_its_last_stream() {
    run(async {
        let (host, script) = host();
        let go_away: [fn(&mux::Session, &mux::Session); 2] =
            [|_, far| far.go_away(), |near, _| near.go_away()];
        for (index, go_away) in go_away.into_iter().enumerate() {
            let stream = host.new_stream(&"bob").await.unwrap();
            let (near, far) = (host.session(&"bob").unwrap(), script.server(index));
            let their_end = far.accept().await.unwrap();
            go_away(&near, &far);
            time::sleep(SECOND).await;
            assert_eq!((host.stats().sessions, far.is_closed()), (1, false), "a stream is left");
            stream.write_bytes("x".into()).await.unwrap();
            assert_eq!(their_end.read_bytes().await.unwrap().unwrap(), "x");
            drop((stream, their_end));
            far.closed().await.unwrap();
            settle().await;
            assert_eq!(host.stats().sessions, 0);
        }
    });
}

#[test]
fn a_session_that_goes_away_itself_closes_at_once_behind_its_last_stream() {
    run(async {
        let (host, script) = host();
        let stream = host.new_stream(&"bob").await.unwrap();
        host.session(&"bob").unwrap().go_away();
        settle().await;
        assert_eq!(host.stats().sessions, 1);
        let start = time::now();
        drop(stream);
        script.server(0).closed().await.unwrap();
        assert_eq!(time::now(), start);
    });
}

/// `GoAway` of hashicorp/yamux says that it accepts nothing more; it may still open.
#[test]
fn a_peer_that_has_gone_away_may_open_streams_for_the_drain_timeout_behind_each() {
    const GO_AWAY: [u8; 12] = [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const SYN: [u8; 12] = [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
    const SYN_AND_FIN: [u8; 12] = [0, 1, 0, 5, 0, 0, 0, 3, 0, 0, 0, 0];
    run(async {
        let session = Config { keepalive: None, ..Config::default() };
        let config = HostConfig { drain_timeout: 10 * SECOND, session, ..HostConfig::default() };
        let (host, _script) = host_with(config);
        let (near, mut far) = pipe(64 * 1024);
        let session = host.add("bob", near).unwrap();
        far.write_all(&GO_AWAY).await.unwrap();
        time::sleep(9 * SECOND).await;
        assert!(host.session(&"bob").is_none() && !session.is_closed());
        far.write_all(&SYN).await.unwrap();
        let (peer, stream) = host.accept().await.unwrap();
        assert_eq!((peer, stream.id()), ("bob", 1));
        time::sleep(100 * SECOND).await;
        assert!(!session.is_closed(), "a stream is left");
        let start = time::now();
        drop(stream);
        time::sleep(9 * SECOND).await;
        far.write_all(&SYN_AND_FIN).await.unwrap();
        let (_, stream) = host.accept().await.unwrap();
        drop(stream);
        time::sleep(9 * SECOND).await;
        assert!(!session.is_closed());
        time::sleep(2 * SECOND).await;
        assert!(session.is_closed(), "after {:?}", time::now() - start);
        drop(far);
        settle().await;
        assert_eq!(host.stats().sessions, 0);
    });
}

#[test]
fn a_session_that_was_lost_leaves_the_table_and_the_next_stream_dials() {
    run(async {
        let (host, script) = host();
        let first = host.new_stream(&"bob").await.unwrap();
        script.server(0).close().now_or_never();
        settle().await;
        assert!(first.read_bytes().await.is_err());
        assert_eq!((host.stats().sessions, host.peers().len()), (0, 0));
        let second = host.new_stream(&"bob").await.unwrap();
        assert_eq!(second.id(), 1);
        assert_eq!(script.dials(), ["bob", "bob"]);
    });
}

#[test]
fn a_session_that_closes_under_the_open_is_replaced_once() {
    run(async {
        let session = Config { unacked_opens_max: 1, ..Config::default() };
        let (host, script) = host_with(HostConfig { session, ..HostConfig::default() });
        let _first = host.new_stream(&"bob").await.unwrap();
        let waits = ask(&host, "bob");
        settle().await;
        assert!(!waits.is_finished(), "the peer has not accepted the first");
        script.server(0).close().now_or_never();
        waits.await.unwrap().unwrap();
        assert_eq!(script.dials(), ["bob", "bob"]);
    });
}

#[test]
fn a_second_session_that_closes_under_the_open_is_the_end() {
    run(async {
        let session = Config { unacked_opens_max: 1, ..Config::default() };
        let (host, script) = host_with(HostConfig { session, ..HostConfig::default() });
        let _first = host.new_stream(&"bob").await.unwrap();
        let waits = ask(&host, "bob");
        settle().await;
        // A second one, which is full too. It is what the second try finds.
        let (second_far, second) = dial_in(&host, "bob");
        let _full = second.open().await.unwrap();
        script.server(0).close().now_or_never();
        settle().await;
        assert!(!waits.is_finished());
        second_far.close().now_or_never();
        let HostErrorKind::Session(err) = kind(waits.await.unwrap(), "bob") else { panic!() };
        assert!(matches!(err, Error::Closed { by: Initiator::Remote }), "{err}");
        assert_eq!(script.dials(), ["bob"]);
    });
}

#[test]
fn without_a_dial_there_is_a_stream_only_where_there_is_a_session() {
    run(async {
        let (host, script) = host();
        script.answer([Answer::ConnectAfter(SECOND)]);
        let none = host.new_stream_no_dial(&"bob").await;
        assert!(matches!(kind(none, "bob"), HostErrorKind::NoDial));
        let dialing = ask(&host, "bob");
        settle().await;
        let none = host.new_stream_no_dial(&"bob").now_or_never().expect("it does not wait");
        assert!(matches!(kind(none, "bob"), HostErrorKind::NoDial));
        dialing.await.unwrap().unwrap();
        let stream = host.new_stream_no_dial(&"bob").await.unwrap();
        assert_eq!((stream.id(), script.dials().len()), (3, 1));
        script.server(0).close().now_or_never();
        settle().await;
        let none = host.new_stream_no_dial(&"bob").await;
        assert!(matches!(kind(none, "bob"), HostErrorKind::NoDial));
        assert_eq!(script.dials().len(), 1);
    });
}

#[test]
fn without_a_dial_a_session_that_closes_under_the_open_is_replaced_by_another_or_none() {
    run(async {
        let session = Config { unacked_opens_max: 1, ..Config::default() };
        let (host, script) = host_with(HostConfig { session, ..HostConfig::default() });
        let _first = host.new_stream(&"bob").await.unwrap();
        let waits = reactor::spawn({
            let host = host.clone();
            async move { host.new_stream_no_dial(&"bob").await }
        });
        settle().await;
        script.server(0).close().now_or_never();
        assert!(matches!(kind(waits.await.unwrap(), "bob"), HostErrorKind::NoDial));
        assert_eq!(script.dials().len(), 1);
    });
}

#[test]
fn connect_dials_once_and_opens_no_stream() {
    run(async {
        let (host, script) = host();
        let session = host.connect(&"bob").await.unwrap();
        host.connect(&"bob").await.unwrap();
        assert_eq!((session.outbound_streams(), script.dials().len()), (0, 1));
        assert!(session.ping().await.unwrap() < Duration::from_secs(1));
    });
}

//! Peers that could not be dialed are left alone for a while.

use mux::host::{DialFailure, HostConfig, HostErrorKind};
use reactor::time;

use crate::{Answer, SECOND, dial_in, host, host_with, kind, run, settle};

const REFUSE: Answer = Answer::RefuseAfter(std::time::Duration::ZERO);

#[test]
fn after_a_failure_a_peer_is_not_dialed_until_the_error_says() {
    run(async {
        let (host, script) = host();
        script.answer([REFUSE]);
        for before in 0..20u32 {
            let failed = kind(host.new_stream(&"bob").await, "bob");
            let HostErrorKind::Dial { retry_at, .. } = failed else { panic!("{failed}") };
            assert_eq!(retry_at - time::now(), ((5 + before * before) * SECOND).min(300 * SECOND));
            let dials = script.dials().len();
            for left in [retry_at - time::now(), SECOND] {
                time::sleep(retry_at - time::now() - left).await;
                let rests = kind(host.new_stream(&"bob").await, "bob");
                let HostErrorKind::BackOff { retry_at: at, left: l, failures, last } = rests else {
                    panic!("{rests}")
                };
                assert_eq!((at, l, failures), (retry_at, left, before + 1));
                assert!(
                    matches!(last, DialFailure::Io(err) if err.to_string() == "nobody is there")
                );
            }
            assert_eq!(script.dials().len(), dials, "it is left alone");
            time::sleep(SECOND).await;
        }
        // Another one is not concerned.
        kind(host.new_stream(&"carol").await, "carol");
        assert_eq!(script.dials().last(), Some(&"carol"));
    });
}

#[test]
fn a_dial_that_succeeds_begins_anew() {
    run(async {
        let (host, script) = host();
        script.answer([REFUSE, REFUSE, Answer::Connect, REFUSE]);
        for pause in [5, 6] {
            kind(host.new_stream(&"bob").await, "bob");
            time::sleep(pause * SECOND).await;
        }
        host.new_stream(&"bob").await.unwrap();
        assert_eq!(host.stats().back_off_peers, 0);
        script.forget_servers();
        settle().await;
        let failed = kind(host.new_stream(&"bob").await, "bob");
        let HostErrorKind::Dial { retry_at, .. } = failed else { panic!("{failed}") };
        assert_eq!(retry_at - time::now(), 5 * SECOND);
    });
}

#[test]
fn a_peer_that_is_left_alone_and_comes_by_itself_is_welcome() {
    run(async {
        let (host, script) = host();
        script.answer([REFUSE]);
        kind(host.new_stream(&"bob").await, "bob");
        let (far, _near) = dial_in(&host, "bob");
        host.new_stream(&"bob").await.unwrap();
        // That it came does not say that it can be dialed.
        far.close().await.unwrap();
        settle().await;
        let rests = kind(host.new_stream(&"bob").await, "bob");
        assert!(matches!(rests, HostErrorKind::BackOff { .. }), "{rests}");
    });
}

#[test]
fn failed_peers_are_forgotten_by_time_and_by_number() {
    run(async {
        let config = HostConfig { back_off_peers_max: 3, ..HostConfig::default() };
        let (host, script) = host_with(config);
        script.answer([REFUSE]);
        for peer in ["a", "b", "c", "d"] {
            kind(host.new_stream(&peer).await, peer);
            time::sleep(SECOND / 10).await;
        }
        assert_eq!(host.stats().back_off_peers, 3);
        let again = kind(host.new_stream(&"a").await, "a");
        assert!(matches!(again, HostErrorKind::Dial { .. }), "it was forgotten first: {again}");
        time::sleep(11 * SECOND).await;
        assert_eq!(host.stats().back_off_peers, 0);
    });
}

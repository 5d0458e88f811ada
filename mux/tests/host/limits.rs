//! How much at once.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use futures_util::{FutureExt, poll};
use mux::host::{Attempt, Attempts, Dial, Host, HostConfig, HostErrorKind};
use reactor::time;

use crate::support::{End, pipe};
use crate::{Answer, Name, SECOND, ask, dial_in, host_with, kind, run, settle};

const NAMES: [Name; 6] = ["a", "b", "c", "d", "e", "f"];

fn few_dials() -> HostConfig<Name> {
    HostConfig { dials_max: 2, dials_queued_max: 3, ..HostConfig::default() }
}

#[test]
fn dials_beyond_the_limit_wait_in_order_and_beyond_the_queue_they_fail() {
    run(async {
        let (host, script) = host_with(few_dials());
        script.answer([Answer::ConnectAfter(SECOND)]);
        let start = time::now();
        let calls: Vec<_> = NAMES[..5].iter().map(|name| ask(&host, name)).collect();
        settle().await;
        let stats = host.stats();
        assert_eq!((stats.dials, stats.dials_queued, stats.attempts), (5, 3, 2));
        let full = kind(host.new_stream(&"f").await, "f");
        assert!(matches!(full, HostErrorKind::DialQueueFull { queued_max: 3 }), "{full}");
        // It is no dial of its own.
        let shared = ask(&host, "e");
        for call in calls.into_iter().chain([shared]) {
            call.await.unwrap().unwrap();
        }
        assert_eq!(time::now() - start, 3 * SECOND);
        assert_eq!((script.dials(), script.under_way_max()), (NAMES[..5].to_vec(), 2));
        let stats = host.stats();
        assert_eq!((stats.dials, stats.dials_queued, stats.attempts), (0, 0, 0));
    });
}

#[test]
fn by_default_160_dials_are_under_way_and_1024_wait() {
    run(async {
        let (under_way, config) = (Rc::new(RefCell::new(0)), HostConfig::default());
        let count = Rc::clone(&under_way);
        let dialer = move |_: u32| {
            *count.borrow_mut() += 1;
            std::future::pending::<io::Result<End>>()
        };
        let host = Host::new(dialer, config);
        let call = |peer: u32| {
            let host = host.clone();
            reactor::spawn(async move { host.new_stream(&peer).await.map(drop) })
        };
        let calls: Vec<_> = (0..160 + 1024).map(call).collect();
        settle().await;
        let stats = host.stats();
        assert_eq!((*under_way.borrow(), stats.attempts, stats.dials_queued), (160, 160, 1024));
        let full = call(9999).await.unwrap().unwrap_err().kind;
        assert!(matches!(full, HostErrorKind::DialQueueFull { queued_max: 1024 }), "{full}");
        time::sleep(7 * 15 * SECOND).await;
        assert_eq!(*under_way.borrow(), 160 + 1024, "the last began after seven dials of 15 s");
        time::sleep(15 * SECOND).await;
        assert!(calls.iter().all(|call| call.is_finished()));
    });
}

#[test]
fn the_time_of_a_dial_counts_from_its_beginning() {
    run(async {
        let config = HostConfig { dials_max: 1, dial_timeout: 10 * SECOND, ..Default::default() };
        let (host, script) = host_with(config);
        script.answer([Answer::ConnectAfter(8 * SECOND)]);
        let calls = ["a", "b", "c"].map(|name| ask(&host, name));
        for call in calls {
            call.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_caller_that_gives_up_leaves_the_queue_and_its_place_to_the_next() {
    run(async {
        let config = HostConfig { dials_max: 1, ..HostConfig::default() };
        let (host, script) = host_with(config);
        script.answer([Answer::ConnectAfter(SECOND)]);
        let start = time::now();
        let [first, second, third] = ["a", "b", "c"].map(|name| ask(&host, name));
        settle().await;
        second.abort();
        settle().await;
        assert_eq!(host.stats().dials_queued, 1);
        first.abort();
        third.await.unwrap().unwrap();
        assert!(time::now() - start < SECOND * 3 / 2, "it began when the first was gone");
        assert_eq!(script.dials(), ["a", "c"]);
        assert_eq!(host.stats().dials_cancelled, 2);
    });
}

#[test]
fn a_dial_begins_in_its_turn_though_nobody_polls_its_caller() {
    run(async {
        let config = HostConfig { dials_max: 1, ..HostConfig::default() };
        let (host, script) = host_with(config);
        script.answer([Answer::ConnectAfter(SECOND)]);
        let start = time::now();
        let first = ask(&host, "a");
        settle().await;
        let mut second = Box::pin(host.new_stream(&"b"));
        assert!(poll!(second.as_mut()).is_pending());
        let third = ask(&host, "c");
        first.await.unwrap().unwrap();
        third.await.unwrap().unwrap();
        assert_eq!((script.dials(), time::now() - start), (vec!["a", "b", "c"], 3 * SECOND));
        assert_eq!((script.under_way_max(), host.stats().attempts), (1, 0));
        second.now_or_never().expect("it was dialed meanwhile").unwrap();
    });
}

#[test]
fn a_caller_who_goes_as_the_turn_of_its_dial_comes_passes_it_on() {
    run(async {
        let config = HostConfig { dials_max: 1, ..HostConfig::default() };
        let (host, script) = host_with(config);
        script.answer([Answer::ConnectAfter(SECOND)]);
        let mut calls = [0, 1, 2].map(|name| Some(Box::pin(host.new_stream(&NAMES[name]))));
        for call in calls.iter_mut().flatten() {
            assert!(poll!(call.as_mut()).is_pending());
        }
        settle().await;
        // The first gives its turn to the second, which goes before it could begin.
        calls[0] = None;
        reactor::yield_now().await;
        calls[1] = None;
        calls[2].take().unwrap().await.unwrap();
        assert_eq!((script.dials().last(), script.under_way_max()), (Some(&"c"), 1));
        let stats = host.stats();
        assert_eq!((stats.attempts, stats.dials_cancelled), (0, 2));
        assert_eq!(stats.dials_started, script.dials().len() as u64);
    });
}

#[test]
fn limits_of_zero_count_as_one() {
    run(async {
        let config = HostConfig { dials_max: 0, dials_per_peer_max: 0, ..HostConfig::default() };
        let (host, _script) = host_with(config);
        host.new_stream(&"bob").await.unwrap();
    });
}

/// Takes as many attempts as it gets, and connects after a second.
struct Greedy(Rc<RefCell<Vec<usize>>>);

impl Dial<Name> for Greedy {
    type Io = End;

    async fn dial(&self, _: &Name, attempts: &Attempts<Name>) -> io::Result<End> {
        let further: Vec<Attempt<Name>> = std::iter::from_fn(|| attempts.try_another()).collect();
        self.0.borrow_mut().push(1 + further.len());
        time::sleep(SECOND).await;
        drop(further);
        assert!(attempts.try_another().is_some(), "there is room again");
        Ok(pipe(1024).0)
    }
}

#[test]
fn a_dialer_that_tries_several_addresses_is_held_to_eight_for_a_peer_and_160_in_all() {
    run(async {
        let taken = Rc::new(RefCell::new(Vec::new()));
        let host = Host::new(Greedy(Rc::clone(&taken)), HostConfig::default());
        host.connect(&"bob").await.unwrap();
        assert_eq!(*taken.borrow(), [8]);
        assert_eq!(host.stats().attempts, 0);

        let (taken, names) = (Rc::new(RefCell::new(Vec::new())), NAMES);
        let config = HostConfig { dials_max: 5, dials_per_peer_max: 3, ..HostConfig::default() };
        let host = Host::new(Greedy(Rc::clone(&taken)), config);
        let calls = [names[0], names[1], names[2]].map(|name| ask(&host, name));
        settle().await;
        assert_eq!(host.stats().attempts, 5);
        for call in calls {
            drop(call.await.unwrap());
        }
        assert_eq!(taken.borrow().iter().max(), Some(&3));
        assert_eq!(host.stats().attempts, 0);
    });
}

#[test]
fn an_attempt_counts_until_it_is_dropped_and_may_outlive_its_host() {
    run(async {
        let kept = Rc::new(RefCell::new(None));
        struct Keeps(Rc<RefCell<Option<Attempt<Name>>>>);
        impl Dial<Name> for Keeps {
            type Io = End;
            async fn dial(&self, _: &Name, attempts: &Attempts<Name>) -> io::Result<End> {
                let old = self.0.replace(attempts.try_another());
                drop(old);
                Ok(pipe(1024).0)
            }
        }
        let host = Host::new(Keeps(Rc::clone(&kept)), HostConfig::default());
        host.connect(&"bob").await.unwrap();
        assert_eq!(host.stats().attempts, 1);
        drop(kept.take());
        assert_eq!(host.stats().attempts, 0);
        settle().await;
        host.connect(&"bob").await.unwrap();
        drop(host);
        drop(kept.take());
    });
}

#[test]
fn sessions_beyond_the_limits_are_refused_dialed_or_added() {
    run(async {
        let config =
            HostConfig { sessions_max: 3, sessions_per_peer_max: 2, ..HostConfig::default() };
        let (host, script) = host_with(config);
        let first = dial_in(&host, "bob");
        let _second = dial_in(&host, "bob");
        let (near, far) = pipe(1024);
        let full = kind(host.add("bob", near), "bob");
        assert!(matches!(full, HostErrorKind::SessionsFull { sessions_max: 2 }), "{full}");
        let mut far = far;
        let end = futures_util::AsyncReadExt::read(&mut far, &mut [0; 8]).await;
        assert_eq!(end.unwrap(), 0, "the connection is closed");
        let _third = dial_in(&host, "carol");
        let full = kind(host.add("dave", pipe(1024).0), "dave");
        assert!(matches!(full, HostErrorKind::SessionsFull { sessions_max: 3 }), "{full}");
        let full = kind(host.new_stream(&"dave").await, "dave");
        assert!(matches!(full, HostErrorKind::SessionsFull { sessions_max: 3 }), "{full}");
        assert!(script.dials().is_empty(), "it would have been in vain");
        // A session that ends makes room.
        first.0.close().await.unwrap();
        settle().await;
        host.new_stream(&"dave").await.unwrap();
        assert_eq!(host.stats().sessions, 3);
    });
}

#[test]
fn a_dial_that_finds_the_table_full_closes_its_connection_and_the_peer_is_not_blamed() {
    run(async {
        let config = HostConfig { sessions_max: 1, ..HostConfig::default() };
        let (host, script) = host_with(config);
        script.answer([Answer::ConnectAfter(SECOND)]);
        let call = ask(&host, "bob");
        settle().await;
        let _other = dial_in(&host, "carol");
        let full = kind(call.await.unwrap(), "bob");
        assert!(matches!(full, HostErrorKind::SessionsFull { sessions_max: 1 }), "{full}");
        assert!(script.server(0).closed().await.is_ok());
        assert_eq!(host.stats().back_off_peers, 0);
    });
}

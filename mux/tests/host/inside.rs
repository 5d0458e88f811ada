//! Code of others that runs in the middle of ours, and uses the host: a dialer, wakers, what is
//! dropped.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt;
use mux::host::{Attempts, Dial, Host, HostConfig, HostErrorKind, WeakHost};

use crate::support::{End, pipe};
use crate::{SECOND, dial_in, host, run, settle};

type Place<P> = Rc<RefCell<Option<Host<P>>>>;

/// Uses the host, in each way that changes it.
fn use_it(place: &Place<Named>) -> bool {
    let host = place.borrow().clone();
    let Some(host) = host else { return false };
    let _ = host.stats();
    let _ = host.peers();
    drop(host.session(&Named::new("zoe")));
    drop(host.add(Named::new("zoe"), pipe(1024).0));
    drop(pin!(host.new_stream(&Named::new("yan"))).now_or_never());
    drop(host.accept().now_or_never());
    true
}

thread_local! {
    static DROPPED: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `DROPPED`, unless it is the reason for this.
fn dropped() {
    let run = DROPPED.with_borrow(|run| run.clone());
    let Some(run) = run else { return };
    if !BUSY.replace(true) {
        run();
        BUSY.set(false);
    }
}

/// A name that uses the host when it goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named(&'static str);

impl Named {
    fn new(name: &'static str) -> Self {
        Self(name)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        dropped();
    }
}

/// Refuses with an error that uses the host when it goes.
struct Refuses {
    place: Place<Named>,
}

#[derive(Debug)]
struct Refusal;

impl Drop for Refusal {
    fn drop(&mut self) {
        dropped();
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no")
    }
}

impl std::error::Error for Refusal {}

impl Dial<Named> for Refuses {
    type Io = End;

    async fn dial(&self, peer: &Named, attempts: &Attempts<Named>) -> io::Result<End> {
        let further = attempts.try_another();
        use_it(&self.place);
        drop(further);
        reactor::time::sleep(SECOND).await;
        match peer.0 {
            "bob" => Ok(pipe(1024).0),
            "slow" => std::future::pending().await,
            _ => Err(io::Error::other(Refusal)),
        }
    }
}

fn host_in_a_place(config: HostConfig<Named>) -> Place<Named> {
    let place: Place<Named> = Rc::default();
    let host = Host::new(Refuses { place: Rc::clone(&place) }, config);
    place.replace(Some(host));
    place
}

#[test]
fn whatever_is_dropped_may_use_the_host() {
    run(async {
        let config = HostConfig {
            back_off_peers_max: 2,
            ended_sessions_max: 1,
            dials_max: 3,
            sessions_per_peer_max: 2,
            ..HostConfig::default()
        };
        let place = host_in_a_place(config);
        let (used, count) = (Rc::clone(&place), Rc::new(Cell::new(0)));
        // Each use drops names, so without an end to it there would be none.
        let (counted, left) = (Rc::clone(&count), Rc::new(Cell::new(0)));
        let budget = Rc::clone(&left);
        DROPPED.set(Some(Rc::new(move || {
            if left.get() > 0 && use_it(&used) {
                left.set(left.get() - 1);
                counted.set(counted.get() + 1);
            }
        })));
        let host = place.borrow().clone().unwrap();
        for _ in 0..2 {
            for peer in ["bob", "a", "b", "c", "d"] {
                budget.set(100);
                drop(host.new_stream(&Named::new(peer)).await);
                // Cancelled while it runs, and while it waits.
                let calls = ["e", "f", "g", "h", "i"].map(|peer| {
                    let host = host.clone();
                    reactor::spawn(
                        async move { host.new_stream(&Named::new(peer)).await.map(drop) },
                    )
                });
                settle().await;
                calls.iter().for_each(|call| call.abort());
                settle().await;
            }
            budget.set(100);
            reactor::time::sleep(30 * SECOND).await;
            let _ = host.stats();
        }
        budget.set(100);
        assert!(count.get() > 500, "{}", count.get());
        drop(host.close().await);
        let last = place.take();
        drop((last, host));
        DROPPED.take();
    });
}

fn dial(host: &Host<Named>, peer: &'static str) {
    let host = host.clone();
    reactor::spawn(async move { host.new_stream(&Named::new(peer)).await.map(drop) }).detach();
}

/// Each way in which a call ends before there is a dial: the last name in it goes then.
#[test]
fn the_name_of_a_call_that_is_refused_may_use_the_host_when_it_goes() {
    let refused = |config: HostConfig<Named>, prepare: fn(&Host<Named>)| {
        run(async {
            let place = host_in_a_place(config);
            let host = place.borrow().clone().unwrap();
            prepare(&host);
            // A dial to "a" has failed by then.
            reactor::time::sleep(2 * SECOND).await;
            let (used, is_used) = (Rc::clone(&place), Rc::new(Cell::new(false)));
            let noted = Rc::clone(&is_used);
            DROPPED.set(Some(Rc::new(move || noted.set(use_it(&used)))));
            let peer = Named::new("a");
            let outcome = host.new_stream(&peer).await;
            assert!(is_used.get(), "nothing was dropped");
            DROPPED.take();
            let kind = outcome.err().unwrap().kind;
            let last = place.take();
            drop((last, host));
            kind
        })
    };
    let full = HostConfig { dials_max: 1, dials_queued_max: 0, ..HostConfig::default() };
    let kind = refused(full, |host| dial(host, "slow"));
    assert!(matches!(kind, HostErrorKind::DialQueueFull { .. }), "{kind}");
    let none = HostConfig { sessions_max: 0, ..HostConfig::default() };
    let kind = refused(none, |_| {});
    assert!(matches!(kind, HostErrorKind::SessionsFull { .. }), "{kind}");
    let kind = refused(HostConfig::default(), |host| drop(host.close().now_or_never()));
    assert!(matches!(kind, HostErrorKind::Closed), "{kind}");
    let kind = refused(HostConfig::default(), |host| dial(host, "a"));
    assert!(matches!(kind, HostErrorKind::BackOff { .. }), "{kind}");
}

/// Uses the host when it is woken, and when it is dropped.
struct Inline;

thread_local! {
    static WOKEN: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

fn inline() {
    WOKEN.with_borrow(|woken| woken.iter().for_each(|run| run()));
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        inline();
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        inline();
    }
}

fn poll_with<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::new(Inline));
    future.poll(&mut Context::from_waker(&waker))
}

#[test]
fn wakers_may_use_the_host_when_they_are_woken_and_when_they_go() {
    run(async {
        let (host, script) = host();
        script.answer([crate::Answer::ConnectAfter(SECOND)]);
        let (used, count) = (host.clone(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&count);
        WOKEN.set(Some(Box::new(move || {
            counted.set(counted.get() + 1);
            let _ = used.stats();
            drop(used.accept().now_or_never());
            drop(used.new_stream_no_dial(&"bob").now_or_never());
        })));
        let mut calls = [Box::pin(host.new_stream(&"bob")), Box::pin(host.new_stream(&"bob"))];
        let mut accept = Box::pin(host.accept());
        for _ in 0..2 {
            calls.iter_mut().for_each(|call| assert!(poll_with(call.as_mut()).is_pending()));
            assert!(poll_with(accept.as_mut()).is_pending());
        }
        reactor::time::sleep(2 * SECOND).await;
        assert!(calls.iter_mut().all(|call| poll_with(call.as_mut()).is_ready()));
        let (far, _near) = dial_in(&host, "carol");
        let _stream = far.open().await.unwrap();
        settle().await;
        drop(accept);
        drop(host.close().await);
        assert!(count.get() > 6, "{}", count.get());
        let woken = WOKEN.take();
        drop(woken);
    });
}

#[test]
fn a_waker_that_another_takes_the_place_of_may_wait_for_the_same() {
    run(async {
        let (host, script) = host();
        script.answer([crate::Answer::ConnectAfter(SECOND)]);
        let (used, count) = (host.clone(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&count);
        WOKEN.set(Some(Box::new(move || {
            counted.set(counted.get() + 1);
            drop(used.accept().now_or_never());
            drop(used.new_stream(&"bob").now_or_never());
        })));
        let mut accept = Box::pin(host.accept());
        assert!(poll_with(accept.as_mut()).is_pending());
        assert_eq!(count.get(), 0);
        assert!(poll_with(accept.as_mut()).is_pending());
        let after_accept = count.get();
        assert!(after_accept > 0, "the first waker is gone");
        let mut call = Box::pin(host.new_stream(&"bob"));
        assert!(poll_with(call.as_mut()).is_pending());
        assert!(poll_with(call.as_mut()).is_pending());
        assert!(count.get() > after_accept, "the first waker is gone");
        let woken = WOKEN.take();
        drop((woken, accept, call));
    });
}

#[test]
fn a_dropped_future_leaves_no_waker_behind() {
    struct Quiet;
    impl Wake for Quiet {
        fn wake(self: Arc<Self>) {}
    }
    run(async {
        let (host, script) = host();
        script.answer([crate::Answer::ConnectAfter(SECOND)]);
        let quiet = Arc::new(Quiet);
        let waker = Waker::from(Arc::clone(&quiet));
        let other = crate::ask(&host, "bob");
        settle().await;
        {
            let (mut call, mut accept) = (pin!(host.new_stream(&"bob")), pin!(host.accept()));
            let cx = &mut Context::from_waker(&waker);
            assert!(call.as_mut().poll(cx).is_pending() && accept.as_mut().poll(cx).is_pending());
            assert_eq!(Arc::strong_count(&quiet), 4);
        }
        assert_eq!(Arc::strong_count(&quiet), 2);
        other.await.unwrap().unwrap();
    });
}

#[test]
fn a_dialer_with_a_weak_handle_of_its_host_goes_with_it() {
    run(async {
        let own = Rc::new(RefCell::new(None::<WeakHost<&'static str>>));
        let (token, held) = (Rc::new(()), Rc::clone(&own));
        let counted = Rc::clone(&token);
        let dialer = move |_: &'static str| {
            let _ = &counted;
            let host = held.borrow().as_ref().and_then(WeakHost::upgrade);
            async move {
                assert_eq!(host.unwrap().stats().dials, 1);
                Err::<End, _>(io::ErrorKind::NotFound.into())
            }
        };
        let host = Host::new(dialer, HostConfig::default());
        own.replace(Some(host.downgrade()));
        assert!(host.new_stream(&"bob").await.is_err());
        assert!(own.borrow().as_ref().unwrap().upgrade().is_some());
        drop(host);
        settle().await;
        assert!(own.borrow().as_ref().unwrap().upgrade().is_none());
        assert_eq!(Rc::strong_count(&token), 1);
    });
}

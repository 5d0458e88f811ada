//! Calls that wait for their turn.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;

use futures_util::FutureExt;
use futures_util::future::join;
use mux::package::{CallConfig, Error, Stage};
use reactor::time;

use crate::cloned::while_cloned;
use crate::link::Service;
use crate::{SECOND, caller_with, echo, run, settle};

fn config(calls_max: usize, pending_max: usize) -> CallConfig {
    CallConfig { calls_max, pending_max, ..CallConfig::default() }
}

#[test]
fn a_call_beyond_the_queue_fails_at_once() {
    run(async {
        let service = Service::new(100);
        let caller = caller_with(&service, config(2, 3));
        let _served = [caller.call("1").await.unwrap(), caller.call("2").await.unwrap()];
        for _ in 0..3 {
            let caller = caller.clone();
            reactor::spawn(async move { caller.call("waits").await.map(drop) }).detach();
        }
        settle().await;
        assert_eq!((caller.pending(), service.connects()), (3, 2));
        let start = time::now();
        let err = caller.call("one more").await.unwrap_err();
        assert!(matches!(err, Error::QueueFull { pending_max: 3 }), "{err}");
        assert_eq!((time::now(), service.connects()), (start, 2), "at once, and nothing was sent");
    });
}

#[test]
fn a_queue_of_none_lets_nobody_wait() {
    run(async {
        let service = Service::new(100);
        let caller = caller_with(&service, config(0, 0));
        let reply = caller.call("1").await.unwrap();
        assert!(matches!(caller.call("2").await, Err(Error::QueueFull { pending_max: 0 })));
        drop(reply);
        caller.call("3").await.unwrap();
    });
}

#[test]
fn calls_have_their_turns_in_the_order_they_came_and_nobody_overtakes() {
    run(async {
        let service = Service::new(100);
        let caller = caller_with(&service, config(1, 100));
        let turns: Rc<RefCell<Vec<&str>>> = Rc::default();
        let call = |name: &'static str| {
            let (caller, turns) = (caller.clone(), Rc::clone(&turns));
            async move {
                let reply = caller.call(name).await.unwrap();
                turns.borrow_mut().push(name);
                reply
            }
        };
        let first = call("first").await;
        for name in ["second", "third", "fourth"] {
            reactor::spawn(call(name)).detach();
            settle().await;
        }
        // Its turn is over in this moment, and another comes before the second has noticed.
        drop(first);
        let late = call("late");
        let (late, ()) = join(late, settle()).await;
        assert_eq!(*turns.borrow(), ["first", "second", "third", "fourth", "late"]);
        drop(late);
        assert_eq!(caller.pending(), 0);
    });
}

#[test]
fn a_turn_is_free_when_the_reply_has_ended_though_it_is_kept() {
    run(async {
        let service = Service::new(100);
        let caller = caller_with(&service, config(1, 0));
        let _worker = echo(&service);
        let mut reply = caller.call("1").await.unwrap();
        assert_eq!(reply.next().await.unwrap().unwrap(), "1");
        assert!(matches!(caller.call("2").await, Err(Error::QueueFull { .. })));
        assert!(reply.next().await.unwrap().is_none());
        assert!(reply.next().await.unwrap().is_none());
        assert_eq!(reply.packages(), 1);
        caller.call("2").await.unwrap();
    });
}

#[test]
fn the_time_in_the_queue_counts() {
    run(async {
        let service = Service::new(100);
        let timeout = Some(10 * SECOND);
        let caller = caller_with(&service, CallConfig { call_timeout: timeout, ..config(1, 9) });
        let mut first = caller.call("first").await.unwrap();
        time::sleep(4 * SECOND).await;
        let start = time::now();
        let second = caller.call("second").await;
        assert!(matches!(second, Err(Error::DeadlineExceeded { during: Stage::Queue })));
        assert_eq!((time::now() - start, caller.pending()), (10 * SECOND, 0));
        // That of the first passed long ago.
        let err = first.next().await.unwrap_err();
        assert!(matches!(err, Error::DeadlineExceeded { during: Stage::Reply }), "{err}");
    });
}

#[test]
fn a_waker_may_call_while_it_is_cloned_and_its_call_keeps_its_turn() {
    run(async {
        let service = Service::new(1000);
        let caller = caller_with(&service, CallConfig { call_timeout: None, ..config(1, 9) });
        let served = caller.call("1").await.unwrap();
        let mut second = Box::pin(caller.call("2"));
        let used = caller.clone();
        let call_of_another = move || drop(pin!(used.call("another")).now_or_never());
        while_cloned(call_of_another, |waker| {
            let mut cx = Context::from_waker(waker);
            assert!(second.as_mut().poll(&mut cx).is_pending());
        });
        assert_eq!(caller.pending(), 1);
        // What the clone gives up is for whom it was cloned.
        let mut third = Box::pin(caller.call("3"));
        let served = Cell::new(Some(served));
        while_cloned(
            move || drop(served.take()),
            |waker| {
                let mut cx = Context::from_waker(waker);
                assert!(third.as_mut().poll(&mut cx).is_pending(), "the second comes first");
            },
        );
        drop(second.await.unwrap());
        third.await.unwrap();
    });
}

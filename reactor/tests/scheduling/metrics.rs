//! The counters count what their documentation says.

use std::future::{pending, poll_fn};
use std::io::Write;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use reactor::time::{now, sleep};
use reactor::{Metrics, spawn, yield_now};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_new_runtime_has_counted_nothing() {
    let runtime = Runtime::new().unwrap();
    assert_eq!(runtime.metrics(), Metrics::default());
}

#[test]
fn tasks_polls_and_wakes_are_counted() {
    block_on(async {
        let before = reactor::metrics();
        let task = spawn(async {
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(reactor::metrics().tasks, 1);
        task.await.unwrap();
        let after = reactor::metrics();
        assert_eq!(after.tasks, 0);
        assert_eq!(after.polls - before.polls, 3, "its start and two yields");
        assert_eq!(after.wakes - before.wakes, 3, "two yields, and this future by the end");
    });
}

#[test]
fn wake_ups_that_change_nothing_are_counted_too() {
    block_on(async {
        let before = reactor::metrics();
        poll_fn(|cx| {
            (0..10).for_each(|_| cx.waker().wake_by_ref());
            Poll::Ready(())
        })
        .await;
        assert_eq!(reactor::metrics().wakes - before.wakes, 10);
    });
}

#[test]
fn wake_ups_from_other_threads_are_counted_apart() {
    block_on(async {
        for woken in 1..=10 {
            let mut parked = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut parked, true) {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread::spawn(move || waker.wake());
                Poll::Pending
            })
            .await;
            assert_eq!(reactor::metrics().remote_wakes, woken);
        }
    });
}

#[test]
fn parks_events_and_descriptors_are_counted() {
    block_on(async {
        let (fd, mut peer) = pair();
        assert_eq!(reactor::metrics().descriptors, 0, "not before the first wait");
        let before = reactor::metrics();
        let read = spawn({
            let fd = Rc::clone(&fd);
            async move { fd.read(&mut [0; 8]).await }
        });
        yield_now().await;
        let parked = reactor::metrics();
        assert_eq!((parked.parks - before.parks, parked.descriptors), (1, 1));
        peer.write_all(b"abc").unwrap();
        read.await.unwrap().unwrap();
        let after = reactor::metrics();
        assert_eq!(after.parks, parked.parks);
        assert!(after.events > parked.events && after.waits > before.waits);
        assert!(after.turns > before.turns);
        fd.close();
        assert_eq!(reactor::metrics().descriptors, 0);
    });
}

#[test]
fn timers_are_counted_while_they_are_armed() {
    virtually(async {
        let sleeps: Vec<_> = (1..=3).map(|hours| spawn(sleep(HOUR * hours))).collect();
        let (fd, _peer) = pair();
        fd.set_deadline(Some(now() + HOUR));
        yield_now().await;
        assert_eq!(reactor::metrics().timers, 5);
        fd.close();
        assert_eq!(reactor::metrics().timers, 3);
        for (ended, sleep) in sleeps.into_iter().enumerate() {
            sleep.await.unwrap();
            assert_eq!(reactor::metrics().timers, 2 - ended);
        }
    });
}

#[test]
fn idle_time_is_measured_only_when_asked_for() {
    for measure in [false, true] {
        let mut runtime = Runtime::builder().measure_time(measure).build().unwrap();
        runtime.block_on(async { sleep(Duration::from_millis(1)).await });
        assert_eq!(!runtime.metrics().idle.is_zero(), measure);
    }
}

#[test]
fn counters_are_readable_between_two_runs() {
    let mut runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        spawn(pending::<()>()).detach();
        yield_now().await;
    });
    let metrics = runtime.metrics();
    assert_eq!((metrics.tasks, metrics.polls, runtime.tasks()), (1, 1, 1));
}

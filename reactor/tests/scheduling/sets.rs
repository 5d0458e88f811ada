//! Join sets.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use reactor::time::{sleep, timeout};
use reactor::{JoinSet, Runtime, spawn, yield_now};

use super::*;

/// Tasks that tell the log when they are dropped.
fn three_that_never_end(log: &Log) -> JoinSet<()> {
    let mut set = JoinSet::new();
    for i in 0..3 {
        let droplet = Droplet(Rc::clone(log), i);
        set.spawn(async move {
            let _droplet = droplet;
            pending::<()>().await;
        });
    }
    set
}

#[test]
fn tasks_are_joined_in_the_order_in_which_they_end() {
    virtually(async {
        let mut set = JoinSet::new();
        for ms in [30, 10, 50, 20, 40] {
            set.spawn(async move {
                sleep(Duration::from_millis(ms)).await;
                ms
            });
        }
        assert_eq!(set.len(), 5);
        let mut order = Vec::new();
        while let Some(result) = set.join_next().await {
            order.push(result.unwrap());
        }
        assert_eq!(order, [10, 20, 30, 40, 50]);
        assert!(set.is_empty());
        assert!(set.join_next().await.is_none(), "again and again");
    });
}

#[test]
fn tasks_that_ended_before_anyone_asked_are_joined_in_their_order() {
    block_on(async {
        let mut set = JoinSet::new();
        for i in 0..5 {
            set.spawn(async move { i });
        }
        yield_now().await;
        for i in 0..5 {
            assert_eq!(set.join_next().await.unwrap().unwrap(), i);
        }
    });
}

#[test]
fn a_panic_in_one_task_is_its_result_and_the_others_go_on() {
    block_on(async {
        let mut set = JoinSet::new();
        for i in 0..4 {
            set.spawn(async move {
                if i == 1 {
                    panic!("one of four");
                }
                i
            });
        }
        let (mut sum, mut panics) = (0, 0);
        while let Some(result) = set.join_next().await {
            match result {
                Ok(i) => sum += i,
                Err(err) => panics += u32::from(err.is_panic()),
            }
        }
        assert_eq!((sum, panics), (5, 1));
    });
}

#[test]
fn abort_all_ends_the_tasks_which_still_have_to_be_joined() {
    let log = Log::default();
    block_on(async {
        let mut set = three_that_never_end(&log);
        set.spawn(async {});
        yield_now().await;
        set.abort_all();
        assert!(log.borrow().is_empty());
        let (mut finished, mut cancelled) = (0, 0);
        while let Some(result) = set.join_next().await {
            match result {
                Ok(()) => finished += 1,
                Err(err) => cancelled += u32::from(err.is_cancelled()),
            }
        }
        assert_eq!((finished, cancelled), (1, 3));
    });
    assert_eq!(*log.borrow(), [0, 1, 2]);
}

#[test]
fn one_task_of_a_set_can_be_aborted_alone() {
    block_on(async {
        let mut set = JoinSet::new();
        let abort = set.spawn(pending::<u32>());
        set.spawn(async { 1 });
        yield_now().await;
        abort.abort();
        assert_eq!(set.join_next().await.unwrap().unwrap(), 1);
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn dropping_a_set_aborts_its_tasks() {
    let log = Log::default();
    block_on(async {
        let set = three_that_never_end(&log);
        yield_now().await;
        drop(set);
        yield_now().await;
        assert_eq!(*log.borrow(), [0, 1, 2]);
        assert_eq!(reactor::metrics().tasks, 0);
    });
}

#[test]
fn shutdown_returns_when_every_future_is_dropped() {
    let log = Log::default();
    block_on(async {
        let mut set = three_that_never_end(&log);
        set.shutdown().await;
        assert_eq!(log.borrow().len(), 3);
        assert!(set.is_empty());
        set.spawn(async {});
        set.join_next().await.unwrap().unwrap();
    });
}

#[test]
fn waiting_for_the_next_can_be_given_up_and_loses_nothing() {
    virtually(async {
        let mut set = JoinSet::new();
        set.spawn(async {
            sleep(Duration::from_secs(1)).await;
            5
        });
        for _ in 0..10 {
            assert!(timeout(Duration::from_millis(10), set.join_next()).await.is_err());
        }
        assert_eq!(set.join_next().await.unwrap().unwrap(), 5);
    });
}

#[test]
fn a_set_that_is_waited_for_by_another_task_later_wakes_that_one() {
    virtually(async {
        let mut set = JoinSet::new();
        set.spawn(sleep(Duration::from_secs(1)));
        let polled = poll_fn(|cx| Poll::Ready(set.poll_join_next(cx).is_pending()));
        assert!(polled.await);
        let other = spawn(async move { set.join_next().await.is_some() });
        assert!(other.await.unwrap());
    });
}

#[test]
fn a_set_grows_while_it_is_joined() {
    block_on(async {
        let mut set = JoinSet::new();
        set.spawn(async { 10u32 });
        let mut joined = 0;
        while let Some(result) = set.join_next().await {
            joined += 1;
            let left = result.unwrap();
            if left > 0 {
                set.spawn(async move { left - 1 });
            }
        }
        assert_eq!(joined, 11);
    });
}

#[test]
fn a_set_in_a_task_of_a_set_ends_with_it() {
    let log = Log::default();
    block_on(async {
        let mut outer = JoinSet::new();
        let droplet = Droplet(Rc::clone(&log), 1);
        outer.spawn(async move {
            let mut inner = JoinSet::new();
            inner.spawn(async move {
                let _droplet = droplet;
                pending::<()>().await;
            });
            inner.join_next().await;
        });
        yield_now().await;
        outer.shutdown().await;
        yield_now().await;
        assert_eq!(*log.borrow(), [1]);
    });
}

#[test]
fn a_set_dropped_with_the_runtime_leaves_nothing() {
    let log = Log::default();
    let mut runtime = Runtime::new().unwrap();
    let set = runtime.block_on(async {
        let mut set = JoinSet::new();
        let droplet = Droplet(Rc::clone(&log), 1);
        set.spawn(async move {
            let _droplet = droplet;
            pending::<()>().await;
        });
        set
    });
    drop(runtime);
    assert_eq!(*log.borrow(), [1]);
    drop(set);
}

/// The drop of the waiter before ends the tasks of the set, with their runtime.
#[test]
fn a_set_finds_the_task_that_ends_while_its_waiter_is_replaced() {
    thread_local! {
        static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
    }
    struct Ends;
    impl Wake for Ends {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Ends {
        fn drop(&mut self) {
            drop(RUNTIME.take());
        }
    }
    let mut runtime = Runtime::new().unwrap();
    let mut set = JoinSet::new();
    runtime.block_on(async { set.spawn(pending::<()>()) });
    RUNTIME.set(Some(runtime));
    let waiter = Waker::from(Arc::new(Ends));
    assert!(set.poll_join_next(&mut Context::from_waker(&waiter)).is_pending());
    drop(waiter);
    let joined = set.poll_join_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(joined, Poll::Ready(Some(Err(err))) if err.is_cancelled()));
}

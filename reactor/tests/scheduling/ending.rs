//! The ends of tasks: abort handles, detached tasks, panics, the end of the runtime.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::task::Poll;

use reactor::time::sleep;
use reactor::{AbortHandle, JoinHandle, spawn, yield_now};

use super::*;

/// A task that never ends by itself, and says when it is dropped.
fn endless(log: &Log, number: u32) -> JoinHandle<()> {
    let droplet = Droplet(Rc::clone(log), number);
    spawn(async move {
        let _droplet = droplet;
        pending().await
    })
}

#[test]
fn an_abort_handle_outlives_the_join_handle_and_the_task() {
    let log = Log::default();
    block_on(async {
        let task = endless(&log, 1);
        let abort = task.abort_handle();
        task.detach();
        yield_now().await;
        assert!(!abort.is_finished());
        abort.abort();
        assert!(log.borrow().is_empty(), "the future is dropped when its turn comes");
        yield_now().await;
        assert_eq!(*log.borrow(), [1]);
        assert!(abort.is_finished());
        abort.clone().abort();
    });
    assert_eq!(*log.borrow(), [1]);
}

#[test]
fn an_abort_handle_that_outlives_the_runtime_does_no_harm() {
    let log = Log::default();
    let (task, abort) = block_on(async {
        let task = endless(&log, 1);
        let abort = task.abort_handle();
        (task, abort)
    });
    assert_eq!(*log.borrow(), [1]);
    assert!(abort.is_finished());
    abort.abort();
    let mut successor = Runtime::new().unwrap();
    abort.abort();
    assert!(successor.block_on(task).unwrap_err().is_cancelled());
}

#[test]
fn an_abort_before_the_first_poll_means_that_it_never_runs() {
    block_on(async {
        let ran = Rc::new(Cell::new(false));
        let task = spawn({
            let ran = Rc::clone(&ran);
            async move { ran.set(true) }
        });
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!ran.get());
        assert_eq!(Rc::strong_count(&ran), 1);
    });
}

#[test]
fn an_abort_from_another_runtime_of_the_thread_reaches_the_task() {
    let log = Log::default();
    let mut first = Runtime::new().unwrap();
    let task = first.block_on(async { vec![endless(&log, 1)] }).pop().unwrap();
    block_on(async { task.abort() });
    assert!(first.block_on(task).unwrap_err().is_cancelled());
    assert_eq!(*log.borrow(), [1]);
}

#[test]
fn a_task_that_ended_in_the_same_turn_keeps_its_result_despite_an_abort() {
    block_on(async {
        let task = spawn(async { 7 });
        let abort = task.abort_handle();
        yield_now().await;
        abort.abort();
        yield_now().await;
        assert_eq!(task.await.unwrap(), 7);
    });
}

#[test]
fn tasks_can_abort_each_other() {
    let log = Log::default();
    block_on(async {
        let handles = Rc::new(RefCell::new(Vec::<AbortHandle>::new()));
        let tasks = [1, 2].map(|i| {
            let (handles, log) = (Rc::clone(&handles), Rc::clone(&log));
            spawn(async move {
                let _droplet = Droplet(log, i);
                yield_now().await;
                handles.borrow().iter().for_each(AbortHandle::abort);
                pending::<()>().await;
            })
        });
        handles.borrow_mut().extend(tasks.iter().map(JoinHandle::abort_handle));
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
    assert_eq!(*log.borrow(), [2, 1], "the second was ready when the first aborted both");
}

#[test]
fn a_dropped_future_may_abort_and_spawn() {
    struct Aborter(AbortHandle);
    impl Drop for Aborter {
        fn drop(&mut self) {
            self.0.abort();
            spawn(async {}).detach();
        }
    }
    let log = Log::default();
    block_on(async {
        let victim = endless(&log, 1);
        let aborter = Aborter(victim.abort_handle());
        let task = spawn(async move {
            let _aborter = aborter;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(victim.await.unwrap_err().is_cancelled());
    });
    assert_eq!(*log.borrow(), [1]);
}

#[test]
fn a_join_handle_that_was_polled_and_dropped_wakes_nobody() {
    block_on(async {
        let task = spawn(yield_now());
        let mut task = std::pin::pin!(task);
        let first = poll_fn(|cx| Poll::Ready(task.as_mut().poll(cx).is_pending()));
        assert!(first.await);
        task.await.unwrap();
    });
}

#[test]
#[should_panic(expected = "polled after it gave its result")]
fn a_join_handle_gives_its_result_once() {
    block_on(async {
        let mut task = spawn(async { 1 });
        (&mut task).await.unwrap();
        let _ = (&mut task).await;
    });
}

#[test]
fn a_panic_leaves_timers_descriptors_and_other_tasks_alone() {
    virtually(async {
        let sleeper = spawn(sleep(std::time::Duration::from_secs(1)));
        let panics: Vec<_> = (0..10)
            .map(|i| {
                spawn(async move {
                    yield_now().await;
                    if i % 2 == 0 {
                        panic!("number {i}");
                    }
                    i
                })
            })
            .collect();
        for (i, task) in panics.into_iter().enumerate() {
            match task.await {
                Ok(number) => assert_eq!(number, i),
                Err(err) => assert_eq!(err.to_string(), format!("task panicked: number {i}")),
            }
        }
        sleeper.await.unwrap();
    });
}

#[test]
fn a_panic_while_the_runtime_is_dropped_drops_the_others_all_the_same() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let log = Log::default();
    block_on(async {
        endless(&log, 1).detach();
        let bomb = Bomb;
        spawn(async move {
            let _bomb = bomb;
            pending::<()>().await;
        })
        .detach();
        endless(&log, 2).detach();
    });
    assert_eq!(*log.borrow(), [1, 2]);
}

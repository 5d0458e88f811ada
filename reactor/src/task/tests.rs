use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;

use crate::{PollFd, Runtime, block_on, is_closed, spawn, yield_now};

/// Counts its drops, and says when.
struct Droplet(Rc<RefCell<Vec<u32>>>, u32);

impl Drop for Droplet {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

#[test]
fn a_handle_gives_the_result_of_its_task() {
    let answer = block_on(async { spawn(async { 42 }).await.unwrap() });
    assert_eq!(answer.unwrap(), 42);
}

#[test]
fn a_panic_ends_its_task_alone_and_reaches_the_handle() {
    block_on(async {
        let bad = spawn(async { panic!("boom {}", std::hint::black_box(1)) });
        let good = spawn(async {
            yield_now().await;
            7
        });
        let err = bad.await.unwrap_err();
        assert!(err.is_panic() && !err.is_cancelled());
        assert_eq!(err.to_string(), "task panicked: boom 1");
        assert_eq!(*err.into_panic().downcast::<String>().unwrap(), "boom 1");
        assert_eq!(good.await.unwrap(), 7);
    })
    .unwrap();
}

#[test]
fn a_panic_in_the_drop_of_a_future_reaches_the_handle_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    block_on(async {
        let bomb = Bomb;
        let task = spawn(async move {
            let _bomb = bomb;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_panic());
        // A result nobody takes is dropped by the loop, which survives it.
        spawn(async { Bomb }).detach();
        yield_now().await;
        yield_now().await;
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn an_aborted_task_drops_its_future_once_and_says_cancelled() {
    let drops = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let droplet = Droplet(Rc::clone(&drops), 1);
        let task = spawn(async move {
            let _droplet = droplet;
            pending::<()>().await;
        });
        yield_now().await;
        assert!(!task.is_finished());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*drops.borrow(), [1]);
    })
    .unwrap();
}

#[test]
fn abort_after_the_end_changes_nothing() {
    block_on(async {
        let task = spawn(async { 5 });
        yield_now().await;
        assert!(task.is_finished());
        task.abort();
        assert_eq!(task.await.unwrap(), 5);
    })
    .unwrap();
}

#[test]
fn a_task_that_aborts_itself_runs_to_its_next_await() {
    block_on(async {
        let own = Rc::new(RefCell::new(None::<crate::JoinHandle<()>>));
        let reached = Rc::new(Cell::new(false));
        let (own2, reached2) = (Rc::clone(&own), Rc::clone(&reached));
        *own.borrow_mut() = Some(spawn(async move {
            own2.borrow().as_ref().unwrap().abort();
            reached2.set(true);
            yield_now().await;
            unreachable!("polled after its abort");
        }));
        yield_now().await;
        yield_now().await;
        assert!(reached.get());
        let task = own.borrow_mut().take().unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
    })
    .unwrap();
}

#[test]
fn a_dropped_handle_detaches_its_task() {
    let done = Rc::new(Cell::new(false));
    block_on(async {
        let done = Rc::clone(&done);
        drop(spawn(async move { done.set(true) }));
        yield_now().await;
    })
    .unwrap();
    assert!(done.get());
}

#[test]
fn dropping_the_runtime_drops_every_future_once_in_the_order_of_spawning() {
    let drops = Rc::new(RefCell::new(Vec::new()));
    let mut runtime = Runtime::new().unwrap();
    let late = runtime.block_on(async {
        let droplets = (1..=3).map(|i| Droplet(Rc::clone(&drops), i));
        let tasks = droplets.map(|droplet| {
            spawn(async move {
                let _droplet = droplet;
                pending::<()>().await;
            })
        });
        let tasks: Vec<_> = tasks.collect();
        yield_now().await;
        tasks
    });
    assert_eq!(runtime.tasks(), 3);
    assert!(drops.borrow().is_empty());
    drop(runtime);
    assert_eq!(*drops.borrow(), [1, 2, 3]);
    assert!(late.iter().all(|task| task.is_finished()));
}

#[test]
fn what_is_spawned_while_the_runtime_ends_is_dropped_at_once() {
    struct Spawner(Rc<RefCell<Vec<u32>>>);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let droplet = Droplet(Rc::clone(&self.0), 9);
            let task = spawn(async move {
                let _droplet = droplet;
                pending::<()>().await;
            });
            assert!(task.is_finished());
        }
    }
    let drops = Rc::new(RefCell::new(Vec::new()));
    let mut runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let spawner = Spawner(Rc::clone(&drops));
        drop(spawn(async move {
            let _spawner = spawner;
            pending::<()>().await;
        }));
        yield_now().await;
    });
    drop(runtime);
    assert_eq!(*drops.borrow(), [9]);
}

#[test]
fn tasks_left_over_go_on_in_the_next_block_on() {
    let mut runtime = Runtime::new().unwrap();
    let spawned = async {
        vec![spawn(async {
            yield_now().await;
            3
        })]
    };
    let task = runtime.block_on(spawned).pop().unwrap();
    assert_eq!(runtime.block_on(task).unwrap(), 3);
}

#[test]
#[should_panic(expected = "block_on inside a runtime")]
fn block_on_inside_a_runtime_is_refused() {
    let _ = block_on(async { block_on(async {}) });
}

#[test]
#[should_panic(expected = "called outside a runtime")]
fn spawn_outside_a_runtime_is_refused() {
    drop(spawn(async {}));
}

#[test]
fn a_panic_of_the_root_future_leaves_the_runtime_usable() {
    let mut runtime = Runtime::new().unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { panic!("root") })
    }));
    assert!(result.is_err());
    assert_eq!(runtime.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
}

#[test]
fn tasks_run_in_the_order_they_became_ready() {
    let order = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        for i in 0..5 {
            let order = Rc::clone(&order);
            drop(spawn(async move {
                order.borrow_mut().push(i);
                yield_now().await;
                order.borrow_mut().push(10 + i);
            }));
        }
        for _ in 0..3 {
            yield_now().await;
        }
    })
    .unwrap();
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
}

/// Waits until it is woken `n` times by anyone.
async fn woken_times(n: u32, lend: impl Fn(Waker)) {
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        if polls > n {
            return Poll::Ready(());
        }
        lend(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

#[test]
fn another_thread_wakes_a_sleeping_runtime() {
    block_on(async {
        woken_times(100, |waker| drop(thread::spawn(move || waker.wake()))).await;
    })
    .unwrap();
}

#[test]
fn a_thread_that_wakes_without_end_makes_the_inbox_grow_no_further() {
    let mut runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        woken_times(1, |waker| {
            let flood = thread::spawn(move || (0..100_000).for_each(|_| waker.wake_by_ref()));
            flood.join().unwrap();
        })
        .await;
    });
}

#[test]
fn wakers_outlive_their_task_and_their_runtime_on_any_thread() {
    let mut runtime = Runtime::new().unwrap();
    let kept = Rc::new(RefCell::new(None));
    runtime.block_on(async {
        let kept = Rc::clone(&kept);
        let task = spawn(async move {
            woken_times(1, |waker| {
                waker.wake_by_ref();
                *kept.borrow_mut() = Some(waker);
            })
            .await;
        });
        task.await.unwrap();
    });
    let waker = kept.borrow_mut().take().unwrap();
    let elsewhere = |waker: Waker| {
        thread::spawn(move || {
            waker.wake_by_ref();
            drop(waker);
        })
        .join()
        .unwrap();
    };
    waker.wake_by_ref();
    elsewhere(waker.clone());
    drop(runtime);
    waker.wake_by_ref();
    elsewhere(waker.clone());
    // A successor in the same place of the table takes no harm from it.
    let mut successor = Runtime::new().unwrap();
    elsewhere(waker.clone());
    assert_eq!(successor.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
}

thread_local! {
    /// What the clone of a [`closing_waker`] closes.
    static VICTIM: RefCell<Option<Rc<PollFd>>> = const { RefCell::new(None) };
}

fn closing_waker() -> Waker {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |_| {
            VICTIM.take().into_iter().for_each(|fd| fd.close());
            RawWaker::new(std::ptr::null(), &VTABLE)
        },
        |_| {},
        |_| {},
        |_| {},
    );
    // SAFETY: the functions use no data, and of each thread only what is its own.
    unsafe { Waker::new(std::ptr::null(), &VTABLE) }
}

#[test]
fn a_waker_whose_clone_closes_the_descriptor_does_not_park() {
    block_on(async {
        let (ours, _peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let fd = Rc::new(PollFd::from_socket(OwnedFd::from(ours)));
        VICTIM.set(Some(Rc::clone(&fd)));
        let mut buf = [0; 8];
        let read = pin!(fd.read(&mut buf)).poll(&mut Context::from_waker(&closing_waker()));
        assert!(matches!(read, Poll::Ready(Err(err)) if is_closed(&err)));
    })
    .unwrap();
}

#[test]
fn a_task_that_wakes_itself_while_it_ends_leaves_no_slot() {
    let mut runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        for _ in 0..1000 {
            let task = spawn(poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::Ready(())
            }));
            task.await.unwrap();
        }
    });
    assert_eq!(runtime.tasks(), 0);
}

#[test]
fn a_million_tasks() {
    let sum = block_on(async {
        let tasks: Vec<_> = (0..1_000_000u64)
            .map(|i| {
                spawn(async move {
                    yield_now().await;
                    i
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    assert_eq!(sum.unwrap(), 499_999_500_000);
}

//! What allocates and what does not. Counted for each thread, so that tests do not disturb each
//! other.

mod counting;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::join;
use reactor::time::{now, sleep, timeout};
use reactor::{PollFd, Runtime, spawn, yield_now};

/// Rounds before counting, in which vectors and slabs find their size.
const WARM_UP: usize = 500;
const COUNTED: usize = 2_000;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

/// How often a future allocates.
async fn allocations<T>(future: impl Future<Output = T>) -> u64 {
    let before = counting::allocations();
    future.await;
    counting::allocations() - before
}

fn pair() -> (PollFd, PollFd) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (PollFd::from_socket(OwnedFd::from(a)), PollFd::from_socket(OwnedFd::from(b)))
}

async fn echo(fd: PollFd) {
    let mut buf = [0; 64];
    loop {
        let n = fd.read(&mut buf).await.unwrap();
        if n == 0 {
            return;
        }
        fd.write(&buf[..n]).await.unwrap();
    }
}

/// Both sides park for every message: each waits for the other.
async fn ping_pong(fd: &PollFd, rounds: usize, before_read: impl Fn(&PollFd)) {
    for _ in 0..rounds {
        assert_eq!(fd.write(b"message").await.unwrap(), 7);
        before_read(fd);
        assert_eq!(fd.read(&mut [0; 64]).await.unwrap(), 7);
    }
}

#[test]
fn messages_over_a_socket_allocate_nothing() {
    block_on(async {
        let (near, far) = pair();
        let echo = spawn(echo(far));
        ping_pong(&near, WARM_UP, |_| ()).await;
        let parks = reactor::metrics().parks;
        assert_eq!(allocations(ping_pong(&near, COUNTED, |_| ())).await, 0);
        assert!(reactor::metrics().parks - parks >= 2 * COUNTED as u64, "both sides parked");
        drop(near);
        echo.await.unwrap();
    });
}

#[test]
fn a_deadline_that_is_pushed_on_before_every_read_allocates_nothing() {
    block_on(async {
        let (near, far) = pair();
        let echo = spawn(echo(far));
        let hour = |fd: &PollFd| fd.set_deadline(Some(now() + Duration::from_secs(3600)));
        ping_pong(&near, WARM_UP, hour).await;
        assert_eq!(allocations(ping_pong(&near, COUNTED, hour)).await, 0);
        drop(near);
        echo.await.unwrap();
    });
}

#[test]
fn readers_that_are_polled_and_dropped_allocate_nothing() {
    block_on(async {
        let (near, _far) = pair();
        let cancelled = async |times| {
            for _ in 0..times {
                assert!(timeout(Duration::ZERO, near.read(&mut [0; 8])).await.is_err());
            }
        };
        cancelled(WARM_UP).await;
        assert_eq!(allocations(cancelled(COUNTED)).await, 0);
    });
}

#[derive(Default)]
struct Court {
    ball: Cell<bool>,
    other: RefCell<Option<Waker>>,
}

/// Plays one side of a game in which each waits for the other to wake it.
async fn play(court: &Court, side: bool, rounds: usize) {
    for _ in 0..rounds {
        poll_fn(|cx| {
            if court.ball.get() != side {
                *court.other.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            court.ball.set(!side);
            if let Some(other) = court.other.borrow_mut().take() {
                other.wake();
            }
            Poll::Ready(())
        })
        .await;
    }
}

#[test]
fn tasks_that_wake_each_other_allocate_nothing() {
    block_on(async {
        let court = Rc::new(Court::default());
        let other = spawn({
            let court = Rc::clone(&court);
            async move { play(&court, true, WARM_UP + COUNTED).await }
        });
        play(&court, false, WARM_UP).await;
        assert_eq!(allocations(play(&court, false, COUNTED)).await, 0);
        other.await.unwrap();
    });
}

#[test]
fn yielding_allocates_nothing() {
    block_on(async {
        let yielding = async |times| {
            for _ in 0..times {
                yield_now().await;
            }
        };
        let others: Vec<_> = (0..10).map(|_| spawn(yielding(WARM_UP + COUNTED))).collect();
        yielding(WARM_UP).await;
        assert_eq!(allocations(yielding(COUNTED)).await, 0);
        drop(others);
    });
}

#[test]
fn timers_that_are_armed_and_cancelled_allocate_nothing() {
    block_on(async {
        let hour = Duration::from_secs(3600);
        let arm = async |times| {
            for _ in 0..times {
                let ended = join(timeout(hour, yield_now()), timeout(Duration::ZERO, sleep(hour)));
                assert!(matches!(ended.await, (Ok(()), Err(_))));
            }
        };
        arm(WARM_UP).await;
        assert_eq!(allocations(arm(COUNTED)).await, 0);
    });
}

/// Allocations for so many tasks after the first ones, whose memory they get: except in builds that
/// look for mistakes, where each has its own.
const fn allocations_of(tasks: usize) -> u64 {
    if cfg!(debug_assertions) { tasks as u64 } else { 0 }
}

#[test]
fn a_spawned_task_is_at_most_one_allocation() {
    block_on(async {
        let spawn_and_join = async |times| {
            for _ in 0..times {
                assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
            }
        };
        spawn_and_join(WARM_UP).await;
        assert_eq!(
            allocations(spawn_and_join(COUNTED)).await,
            allocations_of(COUNTED),
            "one by one"
        );
        let spawn_many = async || {
            for _ in 0..COUNTED {
                spawn(yield_now()).detach();
            }
            yield_now().await;
            yield_now().await;
        };
        spawn_many().await;
        assert_eq!(allocations(spawn_many()).await, allocations_of(COUNTED), "in a batch");
    });
}

#[test]
fn an_aborted_task_allocates_no_more() {
    block_on(async {
        let abort = async |times| {
            for _ in 0..times {
                let task = spawn(std::future::pending::<()>());
                yield_now().await;
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            }
        };
        abort(WARM_UP).await;
        assert_eq!(allocations(abort(COUNTED)).await, allocations_of(COUNTED));
    });
}

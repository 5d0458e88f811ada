//! Code of users that panics, drops, wakes or comes back in the wrong moment.

mod fragile;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use fragile::Fragile;
use futures_util::stream::{FuturesUnordered, StreamExt};
use reactor::time::{MissedTicks, interval, now, sleep, timeout};
use reactor::{
    JoinSet, PollFd, REMOTE_SPAWNS_MAX, Runtime, SignalKind, SpawnError, metrics, signal, spawn,
    yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

fn virtually<T>(future: impl Future<Output = T>) -> T {
    Runtime::builder().paused(true).build().unwrap().block_on(future)
}

fn pair() -> (PollFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (PollFd::from_socket(OwnedFd::from(ours)), theirs)
}

#[test]
fn a_future_and_a_value_that_both_panic_when_dropped_are_dropped_once() {
    let drops = Rc::new(Cell::new(0));
    let err = virtually(async { spawn(Fragile(Rc::clone(&drops))).await.err().unwrap() });
    assert_eq!(err.to_string(), "task panicked: drop of the future");
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_join_error_goes_wherever_errors_go() {
    fn boxed(err: reactor::JoinError) -> Box<dyn std::error::Error + Send + Sync> {
        err.into()
    }
    let err = virtually(async { spawn(async { panic!("boom") }).await.unwrap_err() });
    assert_eq!(boxed(err).to_string(), "task panicked: boom");
}

/// Wakes somebody when it is dropped, or panics when it is woken.
struct WakeOnDrop(Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// The waker of a task of `runtime`.
fn waker_of(runtime: &mut Runtime) -> Waker {
    runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())))
}

#[test]
fn a_refused_remote_task_may_wake_the_runtime_that_refuses_it() {
    let mut runtime = Runtime::new().unwrap();
    let (waker, handle) = (waker_of(&mut runtime), runtime.handle());
    for _ in 0..REMOTE_SPAWNS_MAX {
        drop(handle.spawn(|| async {}).unwrap());
    }
    let refused = |expected| {
        let wake = WakeOnDrop(waker.clone());
        let spawned = handle.spawn(move || {
            let _wake = wake;
            async {}
        });
        assert_eq!(spawned.err(), Some(expected));
    };
    refused(SpawnError::Full);
    drop(runtime);
    refused(SpawnError::Gone);
}

#[test]
fn work_that_panics_when_it_is_dropped_with_the_runtime_costs_nothing_else() {
    struct Sendable;
    impl Drop for Sendable {
        fn drop(&mut self) {
            panic!("dropped unused");
        }
    }
    // More than there are places for runtimes: each must give its own back.
    for _ in 0..4_200 {
        let runtime = Runtime::builder().blocking_threads_max(1).build().unwrap();
        let sendable = Sendable;
        let task = runtime.handle().spawn(move || async { drop(sendable) });
        drop(runtime);
        assert!(task.unwrap().is_finished());
    }
}

#[test]
fn a_descriptor_whose_runtime_is_gone_works_while_it_need_not_wait() {
    let (fd, _peer) = virtually(async { pair() });
    let mut cx = Context::from_waker(Waker::noop());
    // More than one task poll may do; nobody grants another.
    for _ in 0..1000 {
        let mut write = pin!(fd.write(b"x"));
        let ready = (0..2).any(|_| write.as_mut().poll(&mut cx).is_ready());
        assert!(ready, "it waits for a turn of a loop that is gone");
    }
}

#[test]
fn a_runtime_may_live_in_a_thread_local() {
    thread_local!(static RUNTIME: RefCell<Runtime> = RefCell::new(Runtime::new().unwrap()));
    let thread = thread::spawn(|| {
        RUNTIME.with(|runtime| {
            runtime.borrow_mut().block_on(async {
                spawn(pending::<()>()).detach();
                yield_now().await;
            });
        });
    });
    thread.join().unwrap();
}

/// Ends the process from within its poll. Dropped meanwhile, it ends it in another way.
struct Exits(bool);

impl Future for Exits {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0 = true;
        std::process::exit(0);
    }
}

impl Drop for Exits {
    fn drop(&mut self) {
        assert!(!self.0, "dropped while it is polled");
        std::process::abort();
    }
}

/// `exit` drops the thread locals of the thread that calls it, so a runtime that is in one ends while
/// it runs.
#[test]
fn a_task_that_ends_the_process_is_not_dropped_while_it_is_polled() {
    const NAME: &str = "a_task_that_ends_the_process_is_not_dropped_while_it_is_polled";
    thread_local!(static RUNTIME: RefCell<Runtime> = RefCell::new(Runtime::new().unwrap()));
    let who = std::env::var(NAME);
    match who.as_deref() {
        Ok("task") => RUNTIME.with_borrow_mut(|runtime| {
            runtime.block_on(async { spawn(Exits(false)).await.unwrap() });
        }),
        Ok(_) => RUNTIME.with_borrow_mut(|runtime| runtime.block_on(Exits(false))),
        Err(_) => {}
    }
    for who in ["task", "root"] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", NAME, "--nocapture"]).env(NAME, who).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("panicked"), "{who}: {said}");
    }
}

#[test]
fn a_copy_that_comes_back_under_the_number_of_a_closed_descriptor_is_registered() {
    virtually(async {
        let (ours, _peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let copy = ours.try_clone().unwrap();
        let fd = PollFd::from_socket(OwnedFd::from(ours));
        assert!(timeout(SECOND, fd.read(&mut [0; 8])).await.is_err());
        drop(fd);
        // Tests run side by side, so the number may be another's; then there is nothing to see.
        let again = PollFd::from_socket(OwnedFd::from(copy.try_clone().unwrap()));
        assert!(timeout(SECOND, again.read(&mut [0; 8])).await.is_err(), "it parks like any other");
    });
}

#[test]
fn an_interval_that_cannot_keep_up_starves_nobody() {
    Runtime::new().unwrap().block_on(async {
        let hopeless = spawn(async {
            let mut ticks = interval(Duration::from_nanos(1)).missed_ticks(MissedTicks::Burst);
            loop {
                ticks.tick().await;
            }
        });
        sleep(Duration::from_millis(1)).await;
        hopeless.abort();
        assert!(hopeless.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_ready_operation_wins_over_a_zero_time_out_also_when_the_budget_is_spent() {
    virtually(async {
        let (fd, _peer) = pair();
        for _ in 0..1000 {
            timeout(Duration::ZERO, fd.writable()).await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_deadline_beyond_all_counting_is_none() {
    virtually(async {
        let (fd, _peer) = pair();
        let far = (0..63).rev().find_map(|bit| now().checked_add(Duration::from_secs(1 << bit)));
        assert!(far.unwrap() > now() + SECOND * 86_400 * 365 * 585);
        fd.set_deadline(far);
        assert_eq!(metrics().timers, 0);
    });
}

#[test]
fn a_cleared_deadline_leaves_no_timer() {
    virtually(async {
        let (fd, _peer) = pair();
        fd.set_deadline(Some(now() + SECOND));
        assert_eq!(metrics().timers, 2);
        fd.set_deadline(None);
        assert_eq!(metrics().timers, 0);
    });
}

#[test]
fn a_signal_that_is_asked_for_outside_a_runtime_costs_no_listener() {
    const URGENT: SignalKind = SignalKind::from_raw(23);
    for _ in 0..2 * reactor::SIGNAL_LISTENERS_MAX {
        assert!(catch_unwind(|| signal(URGENT)).is_err());
    }
    virtually(async { drop(signal(URGENT).unwrap()) });
}

#[test]
fn a_spawn_into_a_set_that_panics_leaves_the_set_whole() {
    let mut set = JoinSet::new();
    let outside = catch_unwind(AssertUnwindSafe(|| set.spawn(async { 1 })));
    assert!(outside.is_err());
    virtually(async move {
        assert!(set.join_next().await.is_none());
        set.spawn(async { 2 });
        assert_eq!(set.join_next().await.unwrap().unwrap(), 2);
    });
}

/// A waker that panics.
struct Landmine;

impl Wake for Landmine {
    fn wake(self: Arc<Self>) {
        panic!("a waker that is not ours");
    }
}

#[test]
fn a_waker_that_panics_costs_nobody_else_his_wake_up() {
    virtually(async {
        let mut mined = pin!(sleep(SECOND));
        let waker = Waker::from(Arc::new(Landmine));
        assert!(mined.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // Due in the same turn, and woken through somebody else's waker too.
        let mut others: FuturesUnordered<_> = (0..3).map(|_| sleep(SECOND)).collect();
        while others.next().await.is_some() {}
    });
}

#[test]
fn a_joiner_that_panics_when_woken_leaves_the_count_of_tasks_right() {
    let mut runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut task = pin!(spawn(yield_now()));
        let waker = Waker::from(Arc::new(Landmine));
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        for _ in 0..3 {
            yield_now().await;
        }
        assert!(task.is_finished());
    });
    assert_eq!(runtime.tasks(), 0);
}

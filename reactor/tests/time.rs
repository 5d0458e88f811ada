//! Sleeping, time-outs and intervals, in virtual time but for what is named after the system's clock and
//! the thread.

use std::cell::RefCell;
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt, join_all};
use futures_util::poll;
use reactor::time::{MissedTicks, interval, interval_at, now, sleep, sleep_until, timeout};
use reactor::{Runtime, spawn, yield_now};

const SECOND: Duration = Duration::from_secs(1);

fn virtually<T>(future: impl Future<Output = T>) -> T {
    Runtime::builder().paused(true).build().unwrap().block_on(future)
}

/// A waker of no runtime.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn virtual_time_jumps_to_the_next_timer_and_no_further() {
    let real = Instant::now();
    virtually(async {
        let start = now();
        sleep(SECOND * 86_400 * 365).await;
        assert_eq!(now() - start, SECOND * 86_400 * 365);
    });
    assert!(real.elapsed() < SECOND * 86_400);
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    let order = Rc::new(RefCell::new(Vec::new()));
    virtually(async {
        let sleeps = [500, 1, 70, 3_600_000, 2, 66, 65].map(|ms| {
            let order = Rc::clone(&order);
            async move {
                sleep(Duration::from_millis(ms)).await;
                order.borrow_mut().push(ms);
            }
        });
        join_all(sleeps).await;
    });
    assert_eq!(*order.borrow(), [1, 2, 65, 66, 70, 500, 3_600_000]);
}

#[test]
fn a_sleep_of_nothing_and_of_the_past_are_over_at_once() {
    virtually(async {
        let start = now();
        sleep(Duration::ZERO).await;
        sleep_until(start - Duration::from_nanos(1)).await;
        assert_eq!(now(), start);
    });
}

/// On the system's clock, and as often as it takes to meet the moments between two looks at it.
#[test]
fn what_is_now_is_over_at_once_on_the_systems_clock_too() {
    for _ in 0..300 {
        reactor::block_on(async {
            assert_eq!(sleep_until(Instant::now()).now_or_never(), Some(()));
            assert!(interval(SECOND).tick().now_or_never().is_some());
        })
        .unwrap();
    }
}

#[test]
fn the_longest_sleep_never_ends() {
    virtually(async {
        assert!(timeout(SECOND, sleep(Duration::MAX)).await.is_err());
    });
}

#[test]
fn a_sleep_made_outside_a_runtime_counts_from_its_first_poll() {
    let sleeping = sleep(SECOND);
    assert_eq!(sleeping.deadline(), None);
    let mut runtime = Runtime::builder().paused(true).build().unwrap();
    let start = runtime.block_on(async {
        sleep(SECOND * 5).await;
        now()
    });
    runtime.block_on(sleeping);
    assert_eq!(runtime.block_on(async { now() }) - start, SECOND);
    assert!(runtime.block_on(timeout(SECOND, pending::<()>())).is_err());
}

#[test]
fn a_time_out_drops_its_future_and_says_so() {
    virtually(async {
        let held = Rc::new(());
        let future = {
            let held = Rc::clone(&held);
            async move {
                let _held = held;
                pending::<()>().await;
            }
        };
        let start = now();
        let err = timeout(SECOND, future).await.unwrap_err();
        assert_eq!(std::io::Error::from(err).kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(now() - start, SECOND);
        assert_eq!(Rc::strong_count(&held), 1);
    });
}

#[test]
fn a_ready_future_wins_over_a_zero_time_out() {
    virtually(async { assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1)) });
}

#[test]
fn a_sleep_can_be_reset_also_after_its_end() {
    virtually(async {
        let start = now();
        let mut sleep = sleep(SECOND);
        assert!(timeout(SECOND / 2, &mut sleep).await.is_err());
        sleep.reset(start + SECOND * 3);
        (&mut sleep).await;
        assert_eq!(now() - start, SECOND * 3);
        sleep.reset(start + SECOND * 4);
        sleep.await;
        assert_eq!(now() - start, SECOND * 4);
    });
}

#[test]
fn a_sleep_wakes_the_task_that_polled_it_last() {
    virtually(async {
        let mut asleep = sleep(SECOND);
        let first = spawn(async move {
            assert_eq!(poll!(&mut asleep), Poll::Pending);
            [asleep]
        });
        let [asleep] = first.await.unwrap();
        assert!(timeout(SECOND * 5, spawn(asleep)).await.is_ok());
    });
}

#[test]
fn a_sleep_wakes_the_foreign_waker_that_polled_it_last() {
    let (first, last) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
    virtually(async {
        let mut asleep = sleep(SECOND);
        for flag in [&first, &first, &last] {
            let waker = Waker::from(Arc::clone(flag));
            let polled = Pin::new(&mut asleep).poll(&mut Context::from_waker(&waker));
            assert_eq!(polled, Poll::Pending);
        }
        sleep(SECOND * 2).await;
    });
    assert!(!first.0.load(Relaxed) && last.0.load(Relaxed));
}

#[test]
fn an_interval_ticks_at_once_and_then_without_drift() {
    virtually(async {
        let start = now();
        let mut interval = interval(SECOND);
        for i in 0..5 {
            assert_eq!(interval.tick().await, start + SECOND * i);
            sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(now() - start, SECOND * 4 + Duration::from_millis(300));
    });
}

#[test]
fn missed_ticks_are_skipped_and_the_rhythm_is_kept() {
    virtually(async {
        let start = now();
        let mut interval = interval(SECOND);
        interval.tick().await;
        sleep(Duration::from_millis(3_500)).await;
        assert_eq!(interval.tick().await, start + SECOND, "the tick that was due comes at once");
        assert_eq!(interval.tick().await, start + SECOND * 4);
    });
}

#[test]
fn missed_ticks_can_come_in_a_burst_or_shift_the_rhythm() {
    virtually(async {
        for (missed, expected_ms) in [
            (MissedTicks::Burst, [2_500, 2_500, 3_000]),
            (MissedTicks::Delay, [2_500, 3_500, 4_500]),
        ] {
            let start = now();
            let mut interval = interval(SECOND).missed_ticks(missed);
            interval.tick().await;
            sleep(Duration::from_millis(2_500)).await;
            for ms in expected_ms {
                interval.tick().await;
                assert_eq!(now() - start, Duration::from_millis(ms), "{missed:?}");
            }
        }
    });
}

#[test]
fn an_interval_may_start_later() {
    virtually(async {
        let start = now();
        let mut interval = interval_at(start + SECOND * 5, SECOND);
        assert_eq!(interval.tick().await, start + SECOND * 5);
        assert_eq!(interval.tick().await, start + SECOND * 6);
    });
}

#[test]
fn ten_thousand_cancelled_time_outs_leave_no_timer() {
    virtually(async {
        for _ in 0..10_000 {
            timeout(SECOND * 3600, yield_now()).await.unwrap();
        }
        let start = now();
        sleep(SECOND).await;
        assert_eq!(now() - start, SECOND);
    });
}

#[test]
fn on_the_systems_clock_nothing_ends_early() {
    Runtime::new().unwrap().block_on(async {
        for us in [0, 1, 50, 999, 1_000, 1_001, 5_000] {
            let start = Instant::now();
            sleep(Duration::from_micros(us)).await;
            assert!(start.elapsed() >= Duration::from_micros(us), "{us} us");
        }
    });
}

#[test]
fn the_threads_timer_slack_is_its_own_again_after_block_on() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let file =
        std::path::Path::new("/proc").join(thread.file_name().unwrap()).join("timerslack_ns");
    let slack = || std::fs::read_to_string(&file);
    let before = slack().unwrap();
    Runtime::new().unwrap().block_on(async {
        sleep(Duration::from_micros(100)).await;
        assert_eq!(slack().unwrap().trim(), "1000");
    });
    assert_eq!(slack().unwrap(), before);
}

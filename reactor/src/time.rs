//! Time: sleeping, time-outs, intervals.
//!
//! Everything here counts on the runtime's clock, which is the system's monotonic clock, or a
//! virtual one under [`Builder::paused`](crate::Builder::paused). Nothing ends early. How late it
//! ends is up to the kernel's timer slack (50 us) and to the tasks that run meanwhile.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::context;
use crate::netpoll::{Alarm, Netpoll};
use crate::timer::TimerKey;

/// The present on the runtime's clock; outside a runtime, on the system's.
pub fn now() -> Instant {
    context::current().map_or_else(Instant::now, |core| core.netpoll.clock.now())
}

/// Waits for a while. A zero duration is over at once; the longest never ends.
///
/// # Panics
/// When polled outside a runtime.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let mut runtime = reactor::Runtime::builder().paused(true).build()?;
/// runtime.block_on(async {
///     let before = reactor::time::now();
///     reactor::time::sleep(Duration::from_secs(3600)).await;   // takes no time: it is virtual
///     assert_eq!(reactor::time::now() - before, Duration::from_secs(3600));
/// });
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn sleep(time: Duration) -> Sleep {
    Sleep { deadline: now().checked_add(time), armed: None }
}

/// Waits until a point in time. One that is past is over at once.
///
/// # Panics
/// When polled outside a runtime.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline: Some(deadline), armed: None }
}

/// Ends at a point in time. Made by [`sleep`] and [`sleep_until`]; cancel-safe.
#[must_use = "a Sleep does nothing unless awaited"]
pub struct Sleep {
    /// `None`: beyond what the clock can count. Never.
    deadline: Option<Instant>,
    armed: Option<(Rc<Netpoll>, TimerKey)>,
}

impl Sleep {
    /// When it ends; `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Makes it end at another time, also after it has ended. To be polled anew.
    pub fn reset(&mut self, deadline: Instant) {
        self.disarm();
        self.deadline = Some(deadline);
    }

    fn disarm(&mut self) {
        if let Some((netpoll, key)) = self.armed.take() {
            let cancelled = netpoll.timers.borrow_mut().cancel(key);
            drop(cancelled);
        }
    }

    fn arm(&mut self, deadline_ns: u64, cx: &mut Context<'_>) {
        let alarm = Alarm::Wake(cx.waker().clone());
        if let Some((netpoll, key)) = &self.armed {
            let mut timers = netpoll.timers.borrow_mut();
            if let Some(place) = timers.value_mut(*key) {
                let old = std::mem::replace(place, alarm);
                drop(timers);
                drop(old);
                return;
            }
        }
        let netpoll = context::with(|core| Rc::clone(&core.netpoll));
        let key = netpoll.timers.borrow_mut().arm(deadline_ns, alarm);
        self.armed = Some((netpoll, key));
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let (now_ns, deadline_ns) = context::with(|core| {
            let clock = &core.netpoll.clock;
            (clock.now_ns(), clock.ns_of(deadline))
        });
        if now_ns >= deadline_ns {
            self.disarm();
            return Poll::Ready(());
        }
        self.arm(deadline_ns, cx);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The time-out of [`timeout`] came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Gives a future so much time from now. It is polled before the clock is looked at, so a future
/// that is ready wins, also over a zero time-out.
///
/// # Errors
/// [`Elapsed`] when the time is over; the future is dropped then.
///
/// # Panics
/// When polled outside a runtime.
pub fn timeout<F: Future>(
    time: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    let mut sleep = sleep(time);
    async move {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed(())))
        })
        .await
    }
}

/// Ticks at once, then once in each period.
///
/// # Panics
/// With a zero period.
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks at `start`, then once in each period.
///
/// # Panics
/// With a zero period.
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period above zero");
    Interval { period, missed: MissedTicks::Skip, sleep: sleep_until(start) }
}

/// What an [`Interval`] does when its ticks were not waited for in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// The late tick comes at once, the next at the next multiple of the period: neither burst nor
    /// drift.
    #[default]
    Skip,
    /// Every missed tick comes at once, one after another, until the rhythm is caught up.
    Burst,
    /// The late tick comes at once, and the next a whole period later: the rhythm shifts.
    Delay,
}

/// Ticks in a steady rhythm. Made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    missed: MissedTicks,
    sleep: Sleep,
}

impl Interval {
    /// Says what becomes of missed ticks. Default: [`MissedTicks::Skip`].
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Waits for the next tick and returns when it was due. Cancel-safe: no tick is lost.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// [`tick`](Self::tick) for poll functions.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        std::task::ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline().expect("a sleep that never ends is never ready");
        match self.missed.next_tick(due, now(), self.period) {
            Some(next) => self.sleep.reset(next),
            None => self.sleep.deadline = None,
        }
        Poll::Ready(due)
    }

    /// The time from tick to tick.
    pub fn period(&self) -> Duration {
        self.period
    }
}

impl MissedTicks {
    /// `None`: beyond what the clock can count.
    fn next_tick(self, due: Instant, now: Instant, period: Duration) -> Option<Instant> {
        match self {
            Self::Burst => due.checked_add(period),
            Self::Delay => now.max(due).checked_add(period),
            Self::Skip => {
                let late_ns = now.saturating_duration_since(due).as_nanos();
                let whole_periods_ns = late_ns - late_ns % period.as_nanos();
                let whole_periods = Duration::from_nanos(u64::try_from(whole_periods_ns).ok()?);
                (due + whole_periods).checked_add(period)
            }
        }
    }
}

//! Time: sleeping, time-outs, intervals.
//!
//! Everything here counts on the runtime's clock, which is the system's monotonic clock, or a
//! virtual one under [`Builder::paused`](crate::Builder::paused). Nothing ends early. How late it
//! ends is up to the kernel's timer slack ([`TIMER_SLACK`](crate::TIMER_SLACK)) and to the tasks that
//! run meanwhile.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::clock::{Clock, saturating_ns};
use crate::context;
use crate::netpoll::{Alarm, Netpoll};
use crate::timer::TimerKey;

/// The present on the runtime's clock; outside a runtime, on the system's.
pub fn now() -> Instant {
    context::clock_now().unwrap_or_else(Instant::now)
}

/// Waits for a while, from this call on; made outside a runtime, from its first poll on. A zero
/// duration is over at once; one beyond what the clock can count (584 years) never is.
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
    Sleep::new(Until::After(time))
}

/// Waits until a point in time. One that is past is over at once.
///
/// # Panics
/// When polled outside a runtime.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(Until::At(deadline))
}

/// Ends at a point in time. Made by [`sleep`] and [`sleep_until`]; cancel-safe.
///
/// It belongs to the runtime it was made or first polled in, and ends only while that one runs.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// use std::{pin::pin, time::Duration};
/// use reactor::time::{now, sleep, timeout};
///
/// let mut nap = pin!(sleep(Duration::from_millis(2)));
/// assert!(timeout(Duration::ZERO, nap.as_mut()).await.is_err());
/// let end = nap.deadline().unwrap();
/// nap.await; // what is left of it
/// assert!(now() >= end);
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "a Sleep does nothing unless awaited"]
pub struct Sleep {
    state: State,
}

enum State {
    /// Made outside a runtime, and not polled yet.
    Unbound(Until),
    Bound(Bound),
}

/// What a sleep was asked for.
#[derive(Clone, Copy, Debug)]
enum Until {
    After(Duration),
    At(Instant),
}

impl Until {
    /// When that is, and whether it is over.
    #[inline]
    fn on(self, clock: &Clock) -> (u64, bool) {
        let now_ns = clock.now_ns();
        let deadline_ns = match self {
            Until::After(time) => now_ns.saturating_add(saturating_ns(time)),
            Until::At(deadline) => clock.ns_of(deadline),
        };
        (deadline_ns, deadline_ns <= now_ns)
    }
}

/// A sleep that knows its clock.
struct Bound {
    netpoll: Rc<Netpoll>,
    /// `u64::MAX` is never.
    deadline_ns: u64,
    /// The timer, from the first poll on. When it is gone, it has fired.
    armed: Option<TimerKey>,
    /// The deadline was past when it was set.
    is_over: bool,
}

impl Sleep {
    #[inline]
    fn new(until: Until) -> Self {
        let state = match context::netpoll() {
            Some(netpoll) => State::Bound(Bound::new(netpoll, until)),
            None => State::Unbound(until),
        };
        Self { state }
    }

    /// When it ends; `None` for never, and while that depends on its first poll.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Bound(bound) => bound.deadline(),
            State::Unbound(Until::At(deadline)) => Some(*deadline),
            State::Unbound(Until::After(_)) => None,
        }
    }

    /// Makes it end at another time, also after it has ended. To be polled anew.
    pub fn reset(&mut self, deadline: Instant) {
        match &mut self.state {
            State::Bound(bound) => bound.reset(Until::At(deadline)),
            State::Unbound(until) => *until = Until::At(deadline),
        }
    }

    /// The sleep in the runtime of this thread.
    fn bound(&mut self) -> &mut Bound {
        if let State::Unbound(until) = self.state {
            let netpoll = context::with(|core| Rc::clone(&core.netpoll));
            self.state = State::Bound(Bound::new(netpoll, until));
        }
        match &mut self.state {
            State::Bound(bound) => bound,
            State::Unbound(_) => unreachable!("bound above"),
        }
    }
}

impl Bound {
    #[inline]
    fn new(netpoll: Rc<Netpoll>, until: Until) -> Self {
        let (deadline_ns, is_over) = until.on(&netpoll.clock);
        Self { netpoll, deadline_ns, armed: None, is_over }
    }

    fn deadline(&self) -> Option<Instant> {
        self.netpoll.clock.instant_of(self.deadline_ns)
    }

    fn reset(&mut self, until: Until) {
        self.disarm();
        (self.deadline_ns, self.is_over) = until.on(&self.netpoll.clock);
    }

    fn never_ends(&mut self) {
        self.disarm();
        (self.deadline_ns, self.is_over) = (u64::MAX, false);
    }

    #[inline]
    fn disarm(&mut self) {
        if let Some(key) = self.armed.take() {
            let cancelled = self.netpoll.timers.borrow_mut().cancel(key);
            drop(cancelled);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over {
            return self.poll_over(cx);
        }
        if self.deadline_ns == u64::MAX {
            return Poll::Pending;
        }
        match self.armed {
            None => {
                let alarm = Alarm::of(cx.waker());
                self.armed = Some(self.netpoll.timers.borrow_mut().arm(self.deadline_ns, alarm));
                Poll::Pending
            }
            Some(key) => self.poll_armed(key, cx),
        }
    }

    fn poll_armed(&mut self, key: TimerKey, cx: &mut Context<'_>) -> Poll<()> {
        let wakes =
            self.netpoll.timers.borrow_mut().value_mut(key).map(|old| old.wakes(cx.waker()));
        match wakes {
            Some(true) => Poll::Pending,
            Some(false) => {
                let alarm = Alarm::of(cx.waker());
                let mut timers = self.netpoll.timers.borrow_mut();
                let old = timers.value_mut(key).map(|old| std::mem::replace(old, alarm));
                drop(timers);
                drop(old);
                Poll::Pending
            }
            None => {
                (self.armed, self.is_over) = (None, true);
                self.poll_over(cx)
            }
        }
    }

    /// An end counts as an operation: who loops over ends that are past is to let others run.
    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        if context::spend() {
            return Poll::Ready(());
        }
        context::defer(cx.waker());
        Poll::Pending
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.bound().poll(cx)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}

/// The time-out of [`timeout`] came first.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// use std::{future::pending, io, time::Duration};
/// use reactor::time::timeout;
///
/// let elapsed = timeout(Duration::ZERO, pending::<()>()).await.unwrap_err();
/// assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
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

/// Gives a future so much time from now. It is polled before the time-out is, so a future that is
/// ready wins, also over a zero time-out.
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
/// With a zero period. When polled outside a runtime.
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks at `start`, then once in each period.
///
/// # Panics
/// With a zero period. When polled outside a runtime.
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period above zero");
    Interval { period, missed: MissedTicks::Skip, sleep: sleep_until(start) }
}

/// What an [`Interval`] does when its ticks were not waited for in time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use reactor::time::{MissedTicks, interval, now, sleep};
///
/// # let mut runtime = reactor::Runtime::builder().paused(true).build()?;
/// # runtime.block_on(async {
/// let second = Duration::from_secs(1);
/// let mut ticks = interval(second).missed_ticks(MissedTicks::Skip);
/// let first = ticks.tick().await;
/// sleep(second * 5 / 2).await;
/// assert_eq!(ticks.tick().await - first, second); // late, at once
/// assert_eq!(ticks.tick().await - first, 3 * second); // in rhythm again
/// assert_eq!(now() - first, 3 * second);
/// # });
/// # Ok::<_, std::io::Error>(())
/// ```
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
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// use std::time::Duration;
/// use reactor::time::interval;
///
/// let mut ticks = interval(Duration::from_millis(1));
/// let first = ticks.tick().await; // at once
/// assert_eq!(ticks.tick().await - first, ticks.period());
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
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
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// [`tick`](Self::tick) for poll functions.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let sleep = self.sleep.bound();
        std::task::ready!(sleep.poll(cx));
        let due = sleep.deadline().expect("a sleep that never ends is never ready");
        let now = sleep.netpoll.clock.now();
        match self.missed.next_tick(due, now, self.period) {
            Some(next) => sleep.reset(Until::At(next)),
            None => sleep.never_ends(),
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

//! The runtime's clock: the system's monotonic one, or a virtual one for tests.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Tells time in nanoseconds since the runtime was built. 2^64 of them are 584 years.
pub(crate) struct Clock {
    start: Instant,
    /// The virtual time, when there is one.
    paused_at_ns: Option<Cell<u64>>,
}

impl Clock {
    pub(crate) fn new(paused: bool) -> Self {
        Self { start: Instant::now(), paused_at_ns: paused.then(|| Cell::new(0)) }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_at_ns.is_some()
    }

    /// Counted from the same [`Instant`] as [`ns_of`](Self::ns_of): from a reading of another kind, a
    /// moment later, what is past would be ahead for that moment.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.paused_at_ns {
            Some(now_ns) => now_ns.get(),
            None => saturating_ns(self.start.elapsed()),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        match &self.paused_at_ns {
            Some(now_ns) => self.start + Duration::from_nanos(now_ns.get()),
            None => Instant::now(),
        }
    }

    /// Moves virtual time forward, never back.
    pub(crate) fn advance_to(&self, to_ns: u64) {
        if let Some(now_ns) = &self.paused_at_ns {
            now_ns.set(now_ns.get().max(to_ns));
        }
    }

    /// `None` for the end of time.
    pub(crate) fn instant_of(&self, ns: u64) -> Option<Instant> {
        let since_start = (ns != u64::MAX).then(|| Duration::from_nanos(ns))?;
        self.start.checked_add(since_start)
    }

    /// An instant before the runtime was built is its beginning.
    pub(crate) fn ns_of(&self, at: Instant) -> u64 {
        saturating_ns(at.saturating_duration_since(self.start))
    }
}

#[inline]
pub(crate) fn saturating_ns(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that lags makes what is past seem ahead; one that leads ends sleeps early.
    #[test]
    fn the_systems_clock_neither_lags_nor_leads() {
        let clock = Clock::new(false);
        for _ in 0..if cfg!(miri) { 100 } else { 100_000 } {
            let before = Instant::now();
            let now_ns = clock.now_ns();
            let after = Instant::now();
            assert!((clock.ns_of(before)..=clock.ns_of(after)).contains(&now_ns));
        }
    }
}

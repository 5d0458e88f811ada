//! A limit on how often something may happen.

use std::time::{Duration, Instant};

/// So many in a row, and so many in a second after that (the generic cell rate algorithm of ATM:
/// each event moves a point in time, which may run ahead of the clock by the burst and no more).
#[derive(Debug, Default)]
pub(crate) struct Rate {
    ahead: Option<Instant>,
}

impl Rate {
    /// Notes one event; false if it is one too many.
    pub(crate) fn allows(&mut self, now: Instant, per_second: u32, burst: u32) -> bool {
        let each = Duration::from_secs(1) / per_second.max(1);
        let from = self.ahead.map_or(now, |ahead| ahead.max(now));
        let Some(next) = from.checked_add(each) else { return false };
        if next.duration_since(now) > each.saturating_mul(burst) {
            return false;
        }
        self.ahead = Some(next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let passed = |rate: &mut Rate, ms| (0..100).filter(|_| rate.allows(at(ms), 10, 5)).count();
        assert_eq!(passed(&mut rate, 0), 5);
        assert_eq!(passed(&mut rate, 99), 0);
        assert_eq!(passed(&mut rate, 100), 1);
        assert_eq!(passed(&mut rate, 300), 2);
        assert_eq!(passed(&mut rate, 60_000), 5, "what was not used is not kept beyond the burst");
    }
}

//! Active health checks.

use std::time::{Duration, Instant};

use crate::codec::Protocol;

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Connects, and closes.
    Connect,
    /// Connects, sends a heartbeat and waits for its acknowledgement.
    Heartbeat(Protocol),
}

/// How to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckRules {
    /// What is done.
    pub probe: Probe,
    /// From the end of a check to the next.
    pub interval: Duration,
    /// Up to this much is added to each interval, by chance, so that proxies do not check together.
    pub jitter: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// Before the first check.
    pub delay: Duration,
    /// Successes in a row that put a host back; at least 1.
    pub healthy_threshold: u32,
    /// Failures in a row that take a host out; at least 1.
    pub unhealthy_threshold: u32,
}

/// One host's checks. It counts as healthy until the first checks say otherwise, so that a proxy
/// that has just started serves.
#[derive(Clone, Debug)]
pub struct Check {
    healthy: bool,
    /// Results in a row that speak against what it counts as.
    against: u32,
    next_at: Instant,
}

impl Check {
    /// A host that was first heard of now.
    pub fn new(rules: &CheckRules, now: Instant) -> Self {
        Check { healthy: true, against: 0, next_at: now + rules.delay }
    }

    /// When to check next.
    pub fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Whether requests should go there.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// A check could not be made: it tells nothing, and the next is made in its time.
    pub fn put_off(&mut self, rules: &CheckRules, now: Instant, chance: u64) {
        let part = f64::from(chance as u32) / f64::from(u32::MAX);
        self.next_at = now + rules.interval + rules.jitter.mul_f64(part);
    }

    /// A check has ended, or was given up for its time-out. `chance` is any number: it picks the
    /// jitter. Whether [`is_healthy`](Self::is_healthy) has changed.
    pub fn ended(&mut self, passed: bool, rules: &CheckRules, now: Instant, chance: u64) -> bool {
        self.put_off(rules, now, chance);
        if passed == self.healthy {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let threshold = if passed { rules.healthy_threshold } else { rules.unhealthy_threshold };
        if self.against < threshold.max(1) {
            return false;
        }
        self.healthy = passed;
        self.against = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: CheckRules = CheckRules {
        probe: Probe::Connect,
        interval: Duration::from_secs(5),
        jitter: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        delay: Duration::from_secs(2),
        healthy_threshold: 2,
        unhealthy_threshold: 3,
    };

    #[test]
    fn only_failures_in_a_row_take_a_host_out_and_successes_in_a_row_put_it_back() {
        let now = Instant::now();
        let mut check = Check::new(&RULES, now);
        let mut states = Vec::new();
        for passed in [false, false, true, false, false, false, true, false, true, true] {
            let was = check.is_healthy();
            let changed = check.ended(passed, &RULES, now, 0);
            assert_eq!(changed, was != check.is_healthy());
            states.push(u8::from(check.is_healthy()));
        }
        assert_eq!(states, [1, 1, 1, 1, 1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn the_next_check_is_an_interval_after_the_end_of_the_last_and_at_most_the_jitter_later() {
        let now = Instant::now();
        let mut check = Check::new(&RULES, now);
        assert_eq!(check.next_at(), now + RULES.delay);
        for chance in [0, 1, u64::from(u32::MAX / 2), u64::from(u32::MAX), u64::MAX] {
            check.ended(true, &RULES, now, chance);
            assert!(check.next_at() >= now + RULES.interval);
            assert!(check.next_at() <= now + RULES.interval + RULES.jitter);
        }
    }
}

//! Ejection of hosts whose requests fail.

use std::time::{Duration, Instant};

/// When to eject a host, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierRules {
    /// Failures in a row that eject it; at least 1.
    pub failures: u32,
    /// Time of the first ejection; the second takes twice as long, the third three times.
    pub time_min: Duration,
    /// Longest time of one ejection.
    pub time_max: Duration,
    /// Most hosts of a cluster that may be ejected at once, in percent; but always one.
    pub percent_max: u32,
}

impl OutlierRules {
    /// How many of so many hosts may be ejected at once.
    pub fn ejected_max(&self, hosts: usize) -> usize {
        (hosts.saturating_mul(self.percent_max as usize) / 100).max(1)
    }
}

/// One host's record.
#[derive(Clone, Debug, Default)]
pub struct Outlier {
    failures: u32,
    /// Ejections that were not followed by as long a time in service.
    ejections: u32,
    until: Option<Instant>,
}

impl Outlier {
    /// No failures yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A request failed. When that ejects the host: until when. `may_eject` says whether another host
    /// may be ejected now; if not, the next failure asks again.
    pub fn failed(
        &mut self,
        rules: &OutlierRules,
        may_eject: bool,
        now: Instant,
    ) -> Option<Instant> {
        if self.is_ejected(now) {
            // One that was sent before.
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < rules.failures.max(1) || !may_eject {
            return None;
        }
        if self.until.is_some_and(|until| now - until >= time(rules, self.ejections)) {
            self.ejections = 0;
        }
        self.ejections = self.ejections.saturating_add(1);
        self.failures = 0;
        self.until = Some(now + time(rules, self.ejections));
        self.until
    }

    /// Whether it is out now.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until(now).is_some()
    }

    /// When the ejection ends, if there is one now.
    pub fn ejected_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }
}

fn time(rules: &OutlierRules, ejections: u32) -> Duration {
    rules.time_min.saturating_mul(ejections).min(rules.time_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: OutlierRules = OutlierRules {
        failures: 3,
        time_min: Duration::from_secs(30),
        time_max: Duration::from_secs(100),
        percent_max: 50,
    };

    /// Seconds of the ejection that three failures at `now` bring.
    fn eject(outlier: &mut Outlier, now: Instant) -> u64 {
        assert_eq!(outlier.failed(&RULES, true, now), None);
        assert_eq!(outlier.failed(&RULES, true, now), None);
        let until = outlier.failed(&RULES, true, now).expect("the third ejects");
        assert!(outlier.is_ejected(now) && !outlier.is_ejected(until));
        (until - now).as_secs()
    }

    #[test]
    fn failures_count_only_in_a_row() {
        let (now, mut outlier) = (Instant::now(), Outlier::new());
        for _ in 0..10 {
            assert_eq!(outlier.failed(&RULES, true, now), None);
            assert_eq!(outlier.failed(&RULES, true, now), None);
            outlier.succeeded();
        }
        assert_eq!(eject(&mut outlier, now), 30);
        assert_eq!(outlier.failed(&RULES, true, now), None, "it is out already");
    }

    #[test]
    fn each_ejection_is_longer_up_to_the_limit_until_the_host_has_served_as_long() {
        let mut outlier = Outlier::new();
        let mut now = Instant::now();
        let mut times = Vec::new();
        for _ in 0..5 {
            let seconds = eject(&mut outlier, now);
            times.push(seconds);
            now += Duration::from_secs(seconds + 1);
        }
        assert_eq!(times, [30, 60, 90, 100, 100]);
        now += Duration::from_secs(100);
        assert_eq!(eject(&mut outlier, now), 30);
    }

    #[test]
    fn a_host_that_may_not_be_ejected_is_as_soon_as_it_may() {
        let (now, mut outlier) = (Instant::now(), Outlier::new());
        for _ in 0..5 {
            assert_eq!(outlier.failed(&RULES, false, now), None);
        }
        assert!(outlier.failed(&RULES, true, now).is_some());
    }

    #[test]
    fn no_more_hosts_are_ejected_than_the_percentage_says_but_always_one() {
        let counts: Vec<usize> = (0..8).map(|hosts| RULES.ejected_max(hosts)).collect();
        assert_eq!(counts, [1, 1, 1, 1, 2, 2, 3, 3]);
    }
}

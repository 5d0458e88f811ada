//! A histogram of durations in fixed memory.

use std::time::Duration;

/// Values of one power of two share this many buckets, so a bucket is at most 1/64 of its values
/// wide.
const BUCKETS_PER_OCTAVE: usize = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 6;
/// Values below 128 have a bucket each; the 57 octaves above them have 64 each.
const BUCKETS: usize = (64 - OCTAVE_BITS as usize + 1) * BUCKETS_PER_OCTAVE;

/// Counts durations in log-linear buckets and answers quantiles.
///
/// It takes 30 KiB, however much is recorded, and never allocates after [`Histogram::new`].
/// Durations are kept in whole nanoseconds up to `u64::MAX` (584 years; longer ones count as that).
/// A quantile is at most 1/64 above the recorded value, never below it.
///
/// ```
/// use examples::Histogram;
/// use std::time::Duration;
///
/// let mut latencies = Histogram::new();
/// for millis in 1..=100 {
///     latencies.record(Duration::from_millis(millis));
/// }
/// assert_eq!(latencies.max(), Some(Duration::from_millis(100)));
/// let median = latencies.quantile(0.5).unwrap();
/// assert!(median >= Duration::from_millis(50) && median < Duration::from_millis(51));
/// ```
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, max_ns: 0 }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest duration, exact; `None` when nothing was recorded.
    pub fn max(&self) -> Option<Duration> {
        (self.total > 0).then(|| Duration::from_nanos(self.max_ns))
    }

    /// The duration that a share of `q` of the recorded ones do not exceed; `None` when nothing was
    /// recorded.
    ///
    /// `q` below 0 counts as 0 (the shortest), above 1 as 1 (the longest).
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let upper_ns = index.map_or(self.max_ns, highest_of_bucket);
        Some(Duration::from_nanos(upper_ns.min(self.max_ns)))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// How far the values of `index` are shifted to leave their leading bit and the six bits behind it.
fn shift_of_bucket(index: usize) -> u32 {
    (index / BUCKETS_PER_OCTAVE).saturating_sub(1) as u32
}

fn bucket(value: u64) -> usize {
    let octave = value.checked_ilog2().unwrap_or(0);
    let shift = octave.saturating_sub(OCTAVE_BITS);
    shift as usize * BUCKETS_PER_OCTAVE + (value >> shift) as usize
}

fn highest_of_bucket(index: usize) -> u64 {
    let shift = shift_of_bucket(index);
    let lowest = ((index - shift as usize * BUCKETS_PER_OCTAVE) as u64) << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_the_bucket_that_claims_it() {
        let near_powers = (0..64).flat_map(|bit| {
            let power = 1u64 << bit;
            [power - 1, power, power + 1, power | power >> 1]
        });
        for value in near_powers.chain([u64::MAX, 0, 1000, 123_456_789]) {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value} is in bucket {index}");
            assert!(value <= highest_of_bucket(index), "{value} is above bucket {index}");
            assert!(index == 0 || value > highest_of_bucket(index - 1), "{value} is below {index}");
        }
    }

    #[test]
    fn buckets_are_at_most_a_sixty_fourth_wide() {
        for index in 1..BUCKETS {
            let (low, high) = (highest_of_bucket(index - 1) + 1, highest_of_bucket(index));
            assert!(high - low <= low / 64, "bucket {index} is {low}..={high}");
        }
        assert_eq!(highest_of_bucket(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn quantiles_of_a_known_sequence() {
        let mut histogram = Histogram::new();
        for ns in 1..=100_000u64 {
            histogram.record(Duration::from_nanos(ns));
        }
        let quantiles = [(0.0, 1), (0.5, 50_000), (0.99, 99_000), (0.999, 99_900), (1.0, 100_000)];
        for (q, exact) in quantiles {
            let found = histogram.quantile(q).unwrap().as_nanos() as u64;
            assert!(found >= exact && found <= exact + exact / 64, "{q}: {found} for {exact}");
        }
        assert_eq!(histogram.count(), 100_000);
    }

    #[test]
    fn a_single_long_value_is_the_maximum_and_not_the_median() {
        let mut histogram = Histogram::new();
        for _ in 0..999 {
            histogram.record(Duration::from_micros(5));
        }
        histogram.record(Duration::from_secs(3));
        assert!(histogram.quantile(0.999).unwrap() < Duration::from_micros(6));
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_secs(3)));
        assert_eq!(histogram.max(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(Histogram::new().quantile(0.5), None);
        assert_eq!(Histogram::new().max(), None);
    }

    #[test]
    fn durations_too_long_for_the_buckets_count_as_the_longest() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.max(), Some(Duration::from_nanos(u64::MAX)));
    }
}

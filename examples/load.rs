//! What the programs that make load have in common.

use std::time::Duration;

use crate::Histogram;

/// The quantiles of `latencies` on one line, in microseconds.
pub fn latency_line(latencies: &Histogram) -> String {
    let micros = |latency: Option<Duration>| latency.unwrap_or_default().as_nanos() as f64 / 1e3;
    format!(
        "latency us  p50 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1}",
        micros(latencies.quantile(0.5)),
        micros(latencies.quantile(0.99)),
        micros(latencies.quantile(0.999)),
        micros(latencies.max()),
    )
}

/// An endless sequence of pseudo-random bytes that can be entered at any position: what is sent
/// need not be kept in order to be checked when it comes back.
pub struct Pattern {
    /// One period and the beginning of the next, so that every chunk is one slice.
    bytes: Vec<u8>,
}

impl Pattern {
    /// The longest slice of the sequence to be had in one piece.
    pub const CHUNK_BYTES: usize = 64 * 1024;
    /// The sequence repeats after this many bytes: a prime, so that no message size falls in step
    /// with it.
    const PERIOD: usize = 131_071;

    /// The sequence; it is the same in every process.
    pub fn new() -> Self {
        let mut state = 1_u32;
        let mut bytes = Vec::with_capacity(Self::PERIOD + Self::CHUNK_BYTES);
        for _ in 0..Self::PERIOD {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.push((state >> 24) as u8);
        }
        bytes.extend_from_within(..Self::CHUNK_BYTES);
        Self { bytes }
    }

    /// The `length` bytes from `position` on.
    ///
    /// # Panics
    /// When `length` is above [`Pattern::CHUNK_BYTES`].
    pub fn chunk(&self, position: u64, length: usize) -> &[u8] {
        assert!(length <= Self::CHUNK_BYTES, "a chunk of {length} bytes");
        let start = (position % Self::PERIOD as u64) as usize;
        &self.bytes[start..start + length]
    }

    /// The `length` bytes from `position` on, in pieces.
    pub fn chunks(&self, position: u64, length: usize) -> impl Iterator<Item = &[u8]> {
        (0..length).step_by(Self::CHUNK_BYTES).map(move |done| {
            self.chunk(position + done as u64, Self::CHUNK_BYTES.min(length - done))
        })
    }

    /// Whether `bytes` are those from `position` on.
    pub fn matches(&self, position: u64, bytes: &[u8]) -> bool {
        let expected = self.chunks(position, bytes.len());
        bytes.chunks(Self::CHUNK_BYTES).eq(expected)
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_goes_on_across_its_period() {
        let pattern = Pattern::new();
        let period = Pattern::PERIOD as u64;
        let across = pattern.chunk(period - 10, 20);
        assert_eq!(across[..10], *pattern.chunk(period - 10, 10));
        assert_eq!(across[10..], *pattern.chunk(0, 10));
    }

    #[test]
    fn pieces_make_up_the_whole() {
        let pattern = Pattern::new();
        for length in [0, 1, Pattern::CHUNK_BYTES, Pattern::CHUNK_BYTES + 1, 500_000] {
            let whole = pattern.chunks(7, length).collect::<Vec<_>>().concat();
            assert_eq!(whole.len(), length);
            assert!(pattern.matches(7, &whole));
        }
    }

    #[test]
    fn a_wrong_a_missing_and_a_shifted_byte_are_noticed() {
        let pattern = Pattern::new();
        let mut bytes = pattern.chunks(0, 200_000).collect::<Vec<_>>().concat();
        assert!(!pattern.matches(1, &bytes));
        bytes[150_000] ^= 1;
        assert!(!pattern.matches(0, &bytes));
        bytes.remove(150_000);
        assert!(!pattern.matches(0, &bytes));
    }
}

//! Random numbers that need not surprise anybody: to spread requests, never to keep a secret.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A sequence of numbers that its seed decides: splitmix64 (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", 2014).
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// The sequence of this seed.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Random(Cell::new(seed))
    }

    /// One that is another every time.
    pub(crate) fn new() -> Self {
        Random::with_seed(RandomState::new().hash_one(0))
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, all of them equally likely but for 1 in 2^32.
    pub(crate) fn below(&self, end: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_sequence() {
        let numbers = |seed| {
            let random = Random::with_seed(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_ne!(Random::new().next(), Random::new().next());
        // The first number that the authors' code gives for the seed 0.
        assert_eq!(numbers(0)[0], 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn every_number_below_the_end_comes_and_no_other() {
        let random = Random::with_seed(1);
        let mut seen = [0; 7];
        for _ in 0..7000 {
            seen[random.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
    }
}

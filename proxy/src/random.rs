//! Random numbers that need not surprise anybody: to spread requests, never to keep a secret.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use crate::balance::Rng;

/// An [`Rng`] that many may ask.
pub(crate) struct Random(Cell<Rng>);

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

impl Random {
    /// The sequence of this seed.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Random(Cell::new(Rng::new(seed)))
    }

    /// One that is another every time.
    pub(crate) fn new() -> Self {
        Random::with_seed(RandomState::new().hash_one(0))
    }

    /// See [`Rng::number`].
    pub(crate) fn next(&self) -> u64 {
        self.with(Rng::number)
    }

    /// See [`Rng::below`].
    pub(crate) fn below(&self, end: u32) -> u32 {
        self.with(|rng| rng.below(end as usize)) as u32
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Rng) -> T) -> T {
        let mut rng = self.0.take();
        let answer = ask(&mut rng);
        self.0.set(rng);
        answer
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

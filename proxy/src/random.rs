//! Random numbers that need not surprise anybody: to spread requests, never to keep a secret.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use crate::balance::{self, Rng};

/// The seed of what has this name. `seed` decides it; without one it is another every time.
pub(crate) fn seed_of(seed: Option<u64>, name: &str) -> u64 {
    match seed {
        Some(seed) => seed ^ balance::hash(name.as_bytes()),
        None => RandomState::new().hash_one(name),
    }
}

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
    fn what_has_another_name_draws_otherwise_and_with_a_seed_always_the_same() {
        assert_eq!(seed_of(Some(7), "a"), seed_of(Some(7), "a"));
        assert_ne!(seed_of(Some(7), "a"), seed_of(Some(7), "b"));
        assert_ne!(seed_of(Some(7), "a"), seed_of(Some(8), "a"));
        assert_ne!(seed_of(None, "a"), seed_of(None, "a"));
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

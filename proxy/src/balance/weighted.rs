//! Turns in proportion to weights: earliest deadline first.
//!
//! A host of weight `w` has a deadline every `1/w` of a virtual second; whoever has the earliest is
//! next. So a heavy host's turns lie evenly between the others' (a, b, a, c, a, b, a, ...) rather
//! than in a row, and at every moment two hosts' turns per weight differ by at most one turn of the
//! lighter. Envoy and MOSN do the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A virtual second: deadlines are multiples of `SECOND / weight`, which is never 0. A host of weight
/// 1 can have 2^64 turns before its deadlines overflow.
const SECOND: u128 = 1 << 64;

/// See the module's page. A pick takes O(log n).
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    weights: Vec<u32>,
    /// Deadline and host; of equal deadlines the host that comes first.
    turns: BinaryHeap<Reverse<(u128, usize)>>,
}

impl Weighted {
    pub(super) fn new(weights: &[u32]) -> Self {
        let turns = weights.iter().enumerate().map(|(host, &w)| Reverse((period(w), host)));
        Weighted { weights: weights.to_vec(), turns: turns.collect() }
    }

    pub(super) fn pick(&mut self) -> Option<usize> {
        let mut first = self.turns.peek_mut()?;
        let Reverse((deadline, host)) = *first;
        *first = Reverse((deadline + period(self.weights[host]), host));
        Some(host)
    }
}

fn period(weight: u32) -> u128 {
    SECOND / u128::from(weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn turns_of_a_heavy_host_lie_between_the_others() {
        let mut weighted = Weighted::new(&[4, 2, 1]);
        let turns: Vec<usize> = (0..7).map(|_| weighted.pick().unwrap()).collect();
        assert_eq!(turns, [0, 0, 1, 0, 0, 1, 2]);
        let again: Vec<usize> = (0..7).map(|_| weighted.pick().unwrap()).collect();
        assert_eq!(again, turns);
    }

    #[test]
    fn nobody_has_no_turn() {
        assert_eq!(Weighted::new(&[]).pick(), None);
    }

    proptest! {
        #[test]
        fn turns_per_weight_never_differ_by_more_than_one_turn_of_the_lighter(
            weights in prop::collection::vec(1..200u32, 1..20),
            picks in 1..2_000usize,
        ) {
            let mut weighted = Weighted::new(&weights);
            let mut turns = vec![0f64; weights.len()];
            for _ in 0..picks {
                turns[weighted.pick().unwrap()] += 1.0;
            }
            // With c turns the next deadline is (c + 1) / w, and lies within 1 / w of the earliest.
            for (a, b) in (0..weights.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                let share = |i: usize| turns[i] / f64::from(weights[i]);
                let bound = 1.0 / f64::from(weights[a].min(weights[b])) + 1e-9;
                prop_assert!((share(a) - share(b)).abs() <= bound, "{turns:?} for {weights:?}");
            }
        }
    }
}

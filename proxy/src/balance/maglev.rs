//! Consistent hashing: the same key goes to the same host, and stays there when others come or go.
//!
//! Maglev's table (Eisenbud et al., NSDI 2016, section 3.4): every host has an order of its own in
//! which it would like the slots of the table, and the hosts take turns in taking the first one that
//! is left. A heavy host has more turns. A pick is one index; a host that leaves gives its slots to
//! the others, and of theirs only few change hands.
//!
//! The table depends on the hosts' names and weights alone, not on their order or on chance: every
//! worker and every proxy sends a key to the same host.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::rng::mix;

/// Slots: a prime, well above a hundred for each of several hundred hosts, as the paper advises.
pub const SLOTS: usize = 65_537;
/// Slots when there are more hosts than [`SLOTS`] serves well.
pub const SLOTS_MANY: usize = 655_373;
/// Most hosts in a table of [`SLOTS`].
const HOSTS_MAX: usize = SLOTS / 100;

const FREE: u32 = u32::MAX;

/// See the module's page. A pick takes O(1).
#[derive(Clone, Debug)]
pub(super) struct Maglev {
    /// The host of each slot; empty when there are no hosts.
    slots: Vec<u32>,
}

/// What one host wants: its next turn, and the slots `offset`, `offset + skip`, `offset + 2 * skip`, ...
struct Wish {
    host: u32,
    next: usize,
    skip: usize,
    weight: u64,
    /// Turns that it has had.
    turns: u64,
}

impl Maglev {
    pub(super) fn new(weights: &[u32], names: &[&str]) -> Self {
        let count = if weights.len() > HOSTS_MAX { SLOTS_MANY } else { SLOTS };
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|&host| names[host]);
        let mut wishes: Vec<Wish> = order
            .into_iter()
            .map(|host| Wish::new(host, names[host], weights[host], count))
            .collect();
        Maglev { slots: if wishes.is_empty() { Vec::new() } else { fill(&mut wishes, count) } }
    }

    pub(super) fn pick(&self, hash: u64) -> Option<usize> {
        let slot = usize::try_from(hash % self.slots.len().max(1) as u64).ok()?;
        self.slots.get(slot).map(|&host| host as usize)
    }
}

impl Wish {
    fn new(host: usize, name: &str, weight: u32, slots: usize) -> Self {
        let hash = super::hash(name.as_bytes());
        Wish {
            host: host as u32,
            next: (hash % slots as u64) as usize,
            // The number of slots is prime: any step below it comes to all of them.
            skip: (mix(hash) % (slots as u64 - 1)) as usize + 1,
            weight: u64::from(weight.max(1)),
            turns: 0,
        }
    }

    /// The round in which it has saved up for its next turn: in each it gets its weight, and a turn costs
    /// the greatest.
    fn round(&self, heaviest: u64) -> u64 {
        ((self.turns + 1) * heaviest).div_ceil(self.weight)
    }

    /// The first slot it likes that is free. There is one.
    fn take(&mut self, slots: &mut [u32]) {
        while slots[self.next] != FREE {
            self.next = (self.next + self.skip) % slots.len();
        }
        slots[self.next] = self.host;
        self.turns += 1;
    }
}

/// In every round a host of the greatest weight takes one slot, and one of half of it every other
/// round. O(slots * log hosts), whatever the weights.
fn fill(wishes: &mut [Wish], count: usize) -> Vec<u32> {
    let heaviest = wishes.iter().map(|wish| wish.weight).max().unwrap_or(1);
    let mut slots = vec![FREE; count];
    let turns = wishes.iter().enumerate();
    let mut turns: BinaryHeap<Reverse<(u64, usize)>> =
        turns.map(|(at, wish)| Reverse((wish.round(heaviest), at))).collect();
    for _ in 0..count {
        let Some(mut first) = turns.peek_mut() else { break };
        let wish = &mut wishes[first.0.1];
        wish.take(&mut slots);
        first.0.0 = wish.round(heaviest);
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("10.0.{}.{}:12200", n / 250, n % 250)).collect()
    }

    fn maglev(weights: &[u32], names: &[String]) -> Maglev {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Maglev::new(weights, &names)
    }

    fn slots_of(maglev: &Maglev, hosts: usize) -> Vec<usize> {
        let mut count = vec![0; hosts];
        maglev.slots.iter().for_each(|&host| count[host as usize] += 1);
        count
    }

    #[test]
    fn a_key_stays_with_its_host_and_nobody_takes_no_key() {
        let table = maglev(&[1; 10], &names(10));
        let host = table.pick(0xdead_beef);
        assert!(host.is_some());
        assert_eq!(table.pick(0xdead_beef), host);
        assert_eq!(maglev(&[], &[]).pick(7), None);
    }

    #[test]
    fn equal_hosts_have_equally_many_slots() {
        for hosts in [1, 2, 3, 7, 100] {
            for slots in slots_of(&maglev(&vec![5; hosts], &names(hosts)), hosts) {
                assert!((SLOTS / hosts..=SLOTS.div_ceil(hosts)).contains(&slots), "{slots}");
            }
        }
        assert_eq!(maglev(&[1; 700], &names(700)).slots.len(), SLOTS_MANY);
    }

    #[test]
    fn the_order_of_the_hosts_changes_nothing() {
        let (names, weights) = (names(9), [3, 1, 4, 1, 5, 9, 2, 6, 5]);
        let mirrored: Vec<String> = names.iter().rev().cloned().collect();
        let table = maglev(&weights, &names);
        let mirror = maglev(&weights.iter().rev().copied().collect::<Vec<_>>(), &mirrored);
        let same = table.slots.iter().zip(&mirror.slots).all(|(a, b)| a + b == 8);
        assert!(same);
    }

    #[test]
    fn a_host_that_leaves_takes_few_keys_of_others_along() {
        for hosts in [3, 10, 50] {
            let names = names(hosts);
            let before = maglev(&vec![1; hosts], &names);
            let after = maglev(&vec![1; hosts - 1], &names[..hosts - 1]);
            let gone = hosts as u32 - 1;
            let pairs = before.slots.iter().zip(&after.slots);
            let moved = pairs.filter(|(was, is)| **was != gone && was != is).count();
            // Its own 1 / hosts must move. That no more than as many others do is what the paper's
            // figure 12 shows for tables of this size; a plain modulo would move nearly all.
            assert!(moved < SLOTS / hosts, "{moved} slots of others moved with {hosts} hosts");
        }
    }

    #[test]
    fn a_table_of_very_unlike_hosts_takes_no_pass_over_all_of_them_for_each_slot() {
        let mut weights = vec![1; 10_000];
        weights[7] = 65_536;
        let slots = slots_of(&maglev(&weights, &names(10_000)), 10_000);
        assert!(slots[7] > SLOTS_MANY / 10 * 8, "{}", slots[7]);
        assert!(slots.iter().all(|&slots| slots >= 8));
    }

    /// The rule as it is written down: everybody saves up, round by round.
    fn by_rounds(weights: &[u32], names: &[String]) -> Vec<u32> {
        let heaviest = u64::from(*weights.iter().max().unwrap());
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|&host| &names[host]);
        let wish = |host: usize| Wish::new(host, &names[host], weights[host], SLOTS);
        let mut wishes: Vec<(Wish, u64)> = order.into_iter().map(|host| (wish(host), 0)).collect();
        let mut slots = vec![FREE; SLOTS];
        let mut left = SLOTS;
        loop {
            for (wish, saved) in &mut wishes {
                *saved += wish.weight;
                if *saved >= heaviest && left > 0 {
                    *saved -= heaviest;
                    wish.take(&mut slots);
                    left -= 1;
                }
            }
            if left == 0 {
                return slots;
            }
        }
    }

    proptest! {
        // Each case fills a table of 65,537 slots.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn turns_come_in_the_order_of_their_rounds(
            weights in prop::collection::vec(1..50u32, 1..12),
        ) {
            let names = names(weights.len());
            prop_assert!(maglev(&weights, &names).slots == by_rounds(&weights, &names));
        }

        #[test]
        fn slots_are_in_proportion_to_weights(
            weights in prop::collection::vec(1..50u32, 1..12),
        ) {
            let hosts = weights.len();
            let slots = slots_of(&maglev(&weights, &names(hosts)), hosts);
            // A host of f = weight / heaviest has r * f slots, rounded down, after r rounds, and the
            // last round may be cut short. Summed over all hosts that bounds r, and so each share.
            let heaviest = f64::from(*weights.iter().max().unwrap());
            let sum: f64 = weights.iter().map(|&w| f64::from(w) / heaviest).sum();
            for (host, &weight) in weights.iter().enumerate() {
                let part = f64::from(weight) / heaviest;
                let fair = SLOTS as f64 * part / sum;
                let have = slots[host] as f64;
                prop_assert!(have >= fair - part - 1.0, "{have} of {fair}: {weights:?}");
                let above = (hosts as f64 / sum + 1.0) * part;
                prop_assert!(have <= fair + above, "{have} of {fair}: {weights:?}");
            }
        }
    }
}

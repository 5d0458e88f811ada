//! Which of several hosts takes the next request.
//!
//! A [`Balancer`] knows its hosts by their indices, weights and names. It does no I/O and reads no
//! clock; chance comes from the [`Rng`] it is given. It is made anew when the set of hosts changes,
//! which is rare; a pick takes O(1), or O(log n) with weights in turn.
//!
//! | policy | picks | cost | uses |
//! |---|---|---|---|
//! | [`Policy::RoundRobin`] | each in turn | O(1) | |
//! | [`Policy::Weighted`] | each in turn, heavy ones more often (EDF) | O(log n) | weights |
//! | [`Policy::Random`] | any, heavy ones more often | O(log n) | weights, chance |
//! | [`Policy::LeastRequest`] | of two at random the one with fewer requests in flight per weight | O(1) | weights, chance, load |
//! | [`Policy::Maglev`] | always the same for the same key | O(1) | weights, names, key |

mod maglev;
mod rng;
mod subset;
mod weighted;

pub use maglev::{SLOTS, SLOTS_MANY};
pub use rng::Rng;
pub use subset::{Fallback, Group, Labels, Rules, Subsets};

use maglev::Maglev;
use weighted::Weighted;

/// How to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Each in turn.
    RoundRobin,
    /// Each in turn, in proportion to the weights.
    Weighted,
    /// Any, in proportion to the weights.
    Random,
    /// Of two hosts at random the one with less to do ("power of two choices").
    LeastRequest,
    /// By a key of the request.
    Maglev,
}

/// What is known about a host.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Unique among the hosts; the address will do.
    pub name: &'a str,
    /// How much it takes compared to the others; 0 counts as 1.
    pub weight: u32,
}

/// Chooses among a fixed set of hosts. See the module's page.
///
/// ```
/// use proxy::balance::{Balancer, Member, Policy, Rng};
///
/// let hosts = [Member { name: "10.0.0.1:80", weight: 3 }, Member { name: "10.0.0.2:80", weight: 1 }];
/// let mut rng = Rng::new(1);
/// let mut balancer = Balancer::new(Policy::Weighted, &hosts, &mut rng);
/// let turns = (0..8).filter(|_| balancer.pick(0, &mut rng, |_| 0) == Some(0)).count();
/// assert_eq!(turns, 6);
/// ```
#[derive(Clone, Debug)]
pub struct Balancer {
    hosts: usize,
    choice: Choice,
}

#[derive(Clone, Debug)]
enum Choice {
    Turn {
        next: usize,
    },
    Weighted(Weighted),
    /// The sum of the weights up to and with each host.
    Random {
        sums: Vec<u64>,
    },
    LeastRequest {
        weights: Vec<u32>,
    },
    Maglev(Maglev),
}

impl Balancer {
    /// A balancer for these hosts. The turn begins anywhere, so that workers and proxies that start
    /// together do not all begin with the same host.
    pub fn new(policy: Policy, hosts: &[Member<'_>], rng: &mut Rng) -> Self {
        let weights: Vec<u32> = hosts.iter().map(|host| host.weight.max(1)).collect();
        let choice = match policy {
            Policy::Weighted if weights.iter().any(|weight| *weight != weights[0]) => {
                let mut weighted = Weighted::new(&weights);
                for _ in 0..rng.below(hosts.len()) {
                    weighted.pick();
                }
                Choice::Weighted(weighted)
            }
            Policy::RoundRobin | Policy::Weighted => Choice::Turn { next: rng.below(hosts.len()) },
            Policy::Random => Choice::Random { sums: sums(&weights) },
            Policy::LeastRequest => Choice::LeastRequest { weights },
            Policy::Maglev => {
                let names: Vec<&str> = hosts.iter().map(|host| host.name).collect();
                Choice::Maglev(Maglev::new(&weights, &names))
            }
        };
        Balancer { hosts: hosts.len(), choice }
    }

    /// The index of a host; `None` when there are none. `key` decides where [`Policy::Maglev`] goes,
    /// and `load` tells [`Policy::LeastRequest`] how many requests a host has in flight.
    pub fn pick(
        &mut self,
        key: u64,
        rng: &mut Rng,
        load: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        if self.hosts == 0 {
            return None;
        }
        match &mut self.choice {
            Choice::Turn { next } => {
                let host = *next;
                *next = (host + 1) % self.hosts;
                Some(host)
            }
            Choice::Weighted(weighted) => weighted.pick(),
            Choice::Random { sums } => {
                let point = rng.below(*sums.last()? as usize) as u64;
                Some(sums.partition_point(|sum| *sum <= point))
            }
            Choice::LeastRequest { weights } => {
                let (a, b) = (rng.below(self.hosts), rng.below(self.hosts));
                // (load + 1) / weight, without a division.
                let cost = |host: usize, other: usize| {
                    (load(host) as u64 + 1).saturating_mul(weights[other].into())
                };
                Some(if cost(b, a) < cost(a, b) { b } else { a })
            }
            Choice::Maglev(maglev) => maglev.pick(key),
        }
    }

    /// Number of hosts.
    pub fn hosts(&self) -> usize {
        self.hosts
    }
}

fn sums(weights: &[u32]) -> Vec<u64> {
    let add = |sum: &mut u64, weight: &u32| {
        *sum += u64::from(*weight);
        Some(*sum)
    };
    weights.iter().scan(0, add).collect()
}

/// A key from bytes: FNV-1a, with its bits spread. The same everywhere and for ever: two proxies
/// must agree on it.
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    rng::mix(fnv)
}

#[cfg(test)]
mod tests;

//! What all connections of one thread share.

use crate::buffers::Buffers;
use crate::limits::Limits;
use crate::random::Random;
use crate::stats::Stats;

/// Memory, limits and counters of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) buffers: Buffers,
    pub(crate) limits: Limits,
    pub(crate) stats: Stats,
    pub(crate) random: Random,
}

impl Worker {
    pub(crate) fn new(limits: Limits) -> Self {
        Worker { buffers: Buffers::new(), limits, stats: Stats::default(), random: Random::new() }
    }
}

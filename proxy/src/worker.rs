//! What all connections of one thread share.

use std::sync::Arc;

use crate::buffers::Buffers;
use crate::limits::Limits;
use crate::random::Random;
use crate::stats::Stats;

/// Memory, limits and counters of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) buffers: Buffers,
    pub(crate) limits: Limits,
    /// Read by other threads too.
    pub(crate) stats: Arc<Stats>,
    pub(crate) random: Random,
}

impl Worker {
    pub(crate) fn new(limits: Limits) -> Self {
        Worker::counting(limits, Arc::default())
    }

    /// One that counts here.
    pub(crate) fn counting(limits: Limits, stats: Arc<Stats>) -> Self {
        Worker { buffers: Buffers::new(), limits, stats, random: Random::new() }
    }
}

//! What all connections of one thread share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::access_log::AccessLog;
use crate::buffers::Buffers;
use crate::cluster::Resolver;
use crate::drain::Drain;
use crate::limits::Limits;
use crate::random::{self, Random};
use crate::stats::Stats;

/// Memory, limits and counters of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) buffers: Buffers,
    pub(crate) limits: Limits,
    /// Read by other threads too.
    pub(crate) stats: Arc<Stats>,
    pub(crate) random: Random,
    /// Decides what is drawn; without one it is drawn differently every time.
    pub(crate) seed: Option<u64>,
    pub(crate) resolver: Resolver,
    pub(crate) drain: Drain,
    /// Those that requests are noted in.
    pub(crate) logs: RefCell<Vec<Rc<AccessLog>>>,
}

impl Worker {
    pub(crate) fn new(limits: Limits) -> Self {
        Worker::counting(limits, Arc::default(), None)
    }

    /// One that counts here.
    pub(crate) fn counting(limits: Limits, stats: Arc<Stats>, seed: Option<u64>) -> Self {
        let random = Random::with_seed(random::seed_of(seed, ""));
        Worker {
            buffers: Buffers::new(),
            limits,
            stats,
            random,
            seed,
            resolver: Resolver::default(),
            drain: Drain::default(),
            logs: RefCell::default(),
        }
    }

    /// The seed of what has this name.
    pub(crate) fn seed_of(&self, name: &str) -> u64 {
        random::seed_of(self.seed, name)
    }
}

//! Peers that are left alone for a while, because dialing them has failed. Pure: the time is an
//! argument.
//!
//! One entry for each such peer, as long as it says something: until the pause is over, and so long
//! after that as the next pause would be. A failure within that time counts as one in a row; a
//! later one is the first again.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::trash::Trash;
use super::{DialFailure, HostConfig};

#[derive(Debug)]
pub(super) struct BackOff<P> {
    base: Duration,
    step: Duration,
    max: Duration,
    peers_max: usize,
    resting: HashMap<Rc<P>, Resting>,
    /// When entries are forgotten, the first first. As many as in `resting`.
    forgotten: BTreeMap<(Instant, u64), Rc<P>>,
    /// Tells entries of one instant apart.
    next_id: u64,
}

/// A peer that is left alone, or was until lately.
#[derive(Clone, Debug)]
pub(super) struct Resting {
    pub(super) retry_at: Instant,
    /// In a row.
    pub(super) failures: u32,
    /// Why the last dial failed.
    pub(super) last: DialFailure,
    /// Its key in `forgotten`.
    forgotten: (Instant, u64),
}

impl<P: Eq + Hash> BackOff<P> {
    pub(super) fn new(config: &HostConfig<P>) -> Self {
        Self {
            base: config.back_off_base,
            step: config.back_off_step,
            max: config.back_off_max,
            peers_max: config.back_off_peers_max,
            resting: HashMap::new(),
            forgotten: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// Why the peer is not to be dialed now.
    pub(super) fn check(&self, peer: &P, now: Instant) -> Option<Resting> {
        self.resting.get(peer).filter(|resting| now < resting.retry_at).cloned()
    }

    /// A dial has failed: says from when on there may be another.
    pub(super) fn failed(
        &mut self,
        peer: Rc<P>,
        failure: DialFailure,
        now: Instant,
        trash: &mut Trash<P>,
    ) -> Instant {
        self.expire(now, trash);
        let before = self.remove(&peer, trash);
        let retry_at = now + self.pause(before);
        let failures = before.saturating_add(1);
        if self.peers_max == 0 {
            trash.names.push(peer);
            trash.failures.push(failure);
            return retry_at;
        }
        if self.resting.len() >= self.peers_max {
            self.forget_first(trash);
        }
        self.next_id += 1;
        let forgotten = (retry_at + self.pause(failures), self.next_id);
        self.forgotten.insert(forgotten, Rc::clone(&peer));
        self.resting.insert(peer, Resting { retry_at, failures, last: failure, forgotten });
        retry_at
    }

    /// A dial has succeeded.
    pub(super) fn succeeded(&mut self, peer: &P, trash: &mut Trash<P>) {
        self.remove(peer, trash);
    }

    /// Forgets what says nothing any more.
    pub(super) fn expire(&mut self, now: Instant, trash: &mut Trash<P>) {
        while self.forgotten.first_key_value().is_some_and(|(&(at, _), _)| at <= now) {
            self.forget_first(trash);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.resting.len()
    }

    /// 5 s + 1 s * n^2, at most 5 min; n: how many failures there were before.
    fn pause(&self, before: u32) -> Duration {
        let square = before.saturating_mul(before);
        self.base.saturating_add(self.step.saturating_mul(square)).min(self.max)
    }

    fn forget_first(&mut self, trash: &mut Trash<P>) {
        let Some((_, peer)) = self.forgotten.pop_first() else { return };
        if let Some((name, resting)) = self.resting.remove_entry(&*peer) {
            trash.names.push(name);
            trash.failures.push(resting.last);
        }
        trash.names.push(peer);
    }

    /// How many dials had failed.
    fn remove(&mut self, peer: &P, trash: &mut Trash<P>) -> u32 {
        let Some((name, resting)) = self.resting.remove_entry(peer) else { return 0 };
        trash.names.push(name);
        trash.names.extend(self.forgotten.remove(&resting.forgotten));
        trash.failures.push(resting.last);
        resting.failures
    }
}

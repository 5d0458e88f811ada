//! Dials: one in flight for each peer, shared by its callers, and no more at once than the limits
//! allow. Pure: it knows neither tasks nor wakers.
//!
//! ```text
//!   (none) -- begin --> Running                    has a slot
//!   (none) -- begin, at a limit --> Queued         waits for one, and for all that came before
//!   Queued -- grant, a slot is free --> Running
//!   Queued -- the last caller leaves --> (none)
//!   Running -- finish, or the last caller leaves --> (none)
//! ```
//!
//! A *slot* is the right to one attempt to connect. It is counted here and held by the attempt,
//! which gives it back with `release` when nothing of it is left. So a dial that was cancelled can
//! keep its slot for a while longer than its entry here: until its socket is closed.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::rc::Rc;

use super::HostConfig;
use super::trash::Trash;

/// Tells a dial from an earlier one to the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DialId(u64);

/// `T` is what the callers of a dial share.
#[derive(Debug)]
pub(super) struct Dials<P, T> {
    attempts_max: usize,
    per_peer_max: usize,
    queued_max: usize,
    /// Slots that are taken.
    attempts: usize,
    /// The same by peer: never 0.
    attempts_of: HashMap<Rc<P>, usize>,
    flights: HashMap<Rc<P>, Flight<T>>,
    /// Those in [`Stage::Queued`], in the order in which they came.
    queue: BTreeMap<DialId, Rc<P>>,
    last_id: u64,
}

#[derive(Debug)]
struct Flight<T> {
    id: DialId,
    stage: Stage,
    /// Who waits for it.
    callers: usize,
    /// Goes on when the last caller leaves: one was answered by another session, and nobody has
    /// given the dial up.
    kept: bool,
    shared: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for a slot, and for all that came before it.
    Queued,
    /// It has a slot.
    Running,
}

/// As many dials wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

impl<P: Eq + Hash, T: Clone> Dials<P, T> {
    pub(super) fn new(config: &HostConfig<P>) -> Self {
        Self {
            attempts_max: config.dials_max,
            per_peer_max: config.dials_per_peer_max,
            queued_max: config.dials_queued_max,
            attempts: 0,
            attempts_of: HashMap::new(),
            flights: HashMap::new(),
            queue: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// One more caller for the dial in flight, if there is one.
    pub(super) fn join(&mut self, peer: &P) -> Option<(DialId, T)> {
        let flight = self.flights.get_mut(peer)?;
        flight.callers += 1;
        Some((flight.id, flight.shared.clone()))
    }

    /// A dial to a peer that has none in flight, with one caller. Whether it has a slot: else it
    /// waits until `grant` names it.
    pub(super) fn begin(&mut self, peer: &Rc<P>, shared: T) -> Result<(DialId, bool), QueueFull> {
        debug_assert!(!self.flights.contains_key(&**peer), "one dial in flight for each peer");
        let has_slot = self.has_slot(peer);
        if !has_slot && self.queue.len() >= self.queued_max {
            return Err(QueueFull);
        }
        self.last_id += 1;
        let id = DialId(self.last_id);
        let stage = if has_slot {
            self.take_slot(peer);
            Stage::Running
        } else {
            self.queue.insert(id, Rc::clone(peer));
            Stage::Queued
        };
        let flight = Flight { id, stage, callers: 1, kept: false, shared };
        self.flights.insert(Rc::clone(peer), flight);
        Ok((id, has_slot))
    }

    /// A caller needs the dial no more, but does not give it up: it goes on.
    pub(super) fn keep(&mut self, peer: &P, id: DialId) {
        if let Some(flight) = self.flights.get_mut(peer).filter(|flight| flight.id == id) {
            flight.kept = true;
        }
    }

    /// A caller waits no more. Gives back what the callers shared if the dial is to be cancelled.
    pub(super) fn leave(&mut self, peer: &P, id: DialId, trash: &mut Trash<P>) -> Option<T> {
        let flight = self.flights.get_mut(peer).filter(|flight| flight.id == id)?;
        flight.callers -= 1;
        // One that waits has reached nobody: there is nothing to keep.
        if flight.callers > 0 || (flight.kept && flight.stage == Stage::Running) {
            return None;
        }
        self.remove(peer, trash)
    }

    /// The dial has an outcome: gives back what its callers share, unless it was cancelled.
    pub(super) fn finish(&mut self, peer: &P, id: DialId, trash: &mut Trash<P>) -> Option<T> {
        self.flights.get(peer).filter(|flight| flight.id == id)?;
        self.remove(peer, trash)
    }

    /// A further slot for the dial of a peer, beside those that it has.
    pub(super) fn try_another(&mut self, peer: &Rc<P>) -> bool {
        let has_slot = self.has_slot(peer);
        if has_slot {
            self.take_slot(peer);
        }
        has_slot
    }

    /// A slot is free again.
    pub(super) fn release(&mut self, peer: &P, trash: &mut Trash<P>) {
        self.attempts -= 1;
        let Some(count) = self.attempts_of.get_mut(peer) else { return };
        *count -= 1;
        if *count == 0 {
            trash.names.extend(self.attempts_of.remove_entry(peer).map(|(name, _)| name));
        }
    }

    /// Gives a free slot to the next that waits: what its callers share.
    pub(super) fn grant(&mut self, trash: &mut Trash<P>) -> Option<T> {
        if self.attempts >= self.attempts_max {
            return None;
        }
        // The first, unless attempts of an earlier dial to its peer are not over yet.
        let next = self.queue.iter().find(|(_, peer)| self.has_slot(peer)).map(|(id, _)| *id)?;
        let peer = self.queue.remove(&next)?;
        self.take_slot(&peer);
        let flight = self.flights.get_mut(&*peer)?;
        flight.stage = Stage::Running;
        let shared = flight.shared.clone();
        trash.names.push(peer);
        Some(shared)
    }

    fn remove(&mut self, peer: &P, trash: &mut Trash<P>) -> Option<T> {
        let (name, flight) = self.flights.remove_entry(peer)?;
        trash.names.push(name);
        trash.names.extend(self.queue.remove(&flight.id));
        Some(flight.shared)
    }

    fn has_slot(&self, peer: &P) -> bool {
        self.attempts < self.attempts_max
            && self.attempts_of.get(peer).is_none_or(|count| *count < self.per_peer_max)
    }

    fn take_slot(&mut self, peer: &Rc<P>) {
        self.attempts += 1;
        *self.attempts_of.entry(Rc::clone(peer)).or_default() += 1;
    }

    /// What the callers of the dial in flight share.
    pub(super) fn in_flight(&self, peer: &P) -> Option<T> {
        self.flights.get(peer).map(|flight| flight.shared.clone())
    }

    /// Dials that have begun or wait, those that wait, and slots that are taken.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.flights.len(), self.queue.len(), self.attempts)
    }

    /// Gives up all dials: what their callers share.
    pub(super) fn clear(&mut self, trash: &mut Trash<P>) -> Vec<T> {
        let peers: Vec<_> = self.flights.keys().cloned().collect();
        let shared = peers.iter().filter_map(|peer| self.remove(peer, trash)).collect();
        trash.names.extend(peers);
        shared
    }
}

impl<P, T> Dials<P, T> {
    /// What the callers of each dial share.
    pub(super) fn shared(&self) -> impl Iterator<Item = &T> {
        self.flights.values().map(|flight| &flight.shared)
    }
}

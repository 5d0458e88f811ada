//! Dials: one in flight for each peer, shared by its callers, and no more at once than the limits
//! allow. Pure: it knows neither tasks nor wakers.
//!
//! ```text
//!            begin                        begin, at a limit
//!   (none) --------> Granted <-- a place -- Queued
//!                       | start
//!                       v
//!                    Running -- finish, or the last caller leaves --> (none)
//! ```
//!
//! A dial has a *place* from `Granted` on. While it is `Granted` the dial itself holds it; `start` hands it
//! to whoever runs the dial, who gives it back with `release` when nothing of the attempt is left. A dial
//! that was cancelled can keep its place for a while longer than its entry here: until its socket is
//! closed.

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
    /// Places that are taken.
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
    /// Goes on when the last caller leaves: one was answered by another session, and nobody has given
    /// the dial up.
    kept: bool,
    shared: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for a place, and for all that came before it.
    Queued,
    /// It has a place, and waits for a caller to start it.
    Granted,
    /// Somebody runs it and holds its place.
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

    /// A dial to a peer that has none in flight, with one caller.
    pub(super) fn begin(&mut self, peer: &Rc<P>, shared: T) -> Result<DialId, QueueFull> {
        debug_assert!(!self.flights.contains_key(&**peer), "one dial in flight for each peer");
        let stage = match self.has_place(peer) {
            true => Stage::Granted,
            false if self.queue.len() < self.queued_max => Stage::Queued,
            false => return Err(QueueFull),
        };
        self.last_id += 1;
        let id = DialId(self.last_id);
        match stage {
            Stage::Queued => drop(self.queue.insert(id, Rc::clone(peer))),
            _ => self.take_place(peer),
        }
        let flight = Flight { id, stage, callers: 1, kept: false, shared };
        self.flights.insert(Rc::clone(peer), flight);
        Ok(id)
    }

    /// True for one caller of a dial that has a place: it runs the dial, and holds the place.
    pub(super) fn start(&mut self, peer: &P, id: DialId) -> bool {
        match self.flights.get_mut(peer) {
            Some(flight) if flight.id == id && flight.stage == Stage::Granted => {
                flight.stage = Stage::Running;
                true
            }
            _ => false,
        }
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
        // Without a caller nobody would start it.
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

    /// A further place for the dial of a peer, beside those that it has.
    pub(super) fn try_another(&mut self, peer: &Rc<P>) -> bool {
        let has_place = self.has_place(peer);
        if has_place {
            self.take_place(peer);
        }
        has_place
    }

    /// A place is free again.
    pub(super) fn release(&mut self, peer: &P, trash: &mut Trash<P>) {
        self.attempts -= 1;
        let Some(count) = self.attempts_of.get_mut(peer) else { return };
        *count -= 1;
        if *count == 0 {
            trash.names.extend(self.attempts_of.remove_entry(peer).map(|(name, _)| name));
        }
    }

    /// Gives free places to those that wait: each call to one. Its callers are to be told.
    pub(super) fn grant(&mut self, trash: &mut Trash<P>) -> Option<T> {
        if self.attempts >= self.attempts_max {
            return None;
        }
        // The first, unless attempts of an earlier dial to its peer are not over yet.
        let next = self.queue.iter().find(|(_, peer)| self.has_place(peer)).map(|(id, _)| *id)?;
        let peer = self.queue.remove(&next)?;
        self.take_place(&peer);
        let flight = self.flights.get_mut(&*peer)?;
        flight.stage = Stage::Granted;
        let shared = flight.shared.clone();
        trash.names.push(peer);
        Some(shared)
    }

    fn remove(&mut self, peer: &P, trash: &mut Trash<P>) -> Option<T> {
        let (name, flight) = self.flights.remove_entry(peer)?;
        trash.names.push(name);
        match flight.stage {
            Stage::Queued => trash.names.extend(self.queue.remove(&flight.id)),
            Stage::Granted => self.release(peer, trash),
            Stage::Running => {}
        }
        Some(flight.shared)
    }

    fn has_place(&self, peer: &P) -> bool {
        self.attempts < self.attempts_max
            && self.attempts_of.get(peer).is_none_or(|count| *count < self.per_peer_max)
    }

    fn take_place(&mut self, peer: &Rc<P>) {
        self.attempts += 1;
        *self.attempts_of.entry(Rc::clone(peer)).or_default() += 1;
    }

    /// What the callers of the dial in flight share.
    pub(super) fn in_flight(&self, peer: &P) -> Option<T> {
        self.flights.get(peer).map(|flight| flight.shared.clone())
    }

    /// Dials that have begun or wait, those that wait, and places that are taken.
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

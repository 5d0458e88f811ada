//! The sessions of a host: those of each peer, and those with streams to be accepted.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

use slab::Slab;

use super::HostConfig;
use super::trash::Trash;
use crate::Session;

/// Names a session, and no other that comes to its place later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionKey {
    index: usize,
    id: u64,
}

#[derive(Debug)]
pub(super) struct Sessions<P> {
    sessions_max: usize,
    per_peer_max: usize,
    ended_max: usize,
    entries: Slab<Entry<P>>,
    /// Those that live, of each peer, the oldest first. Never empty.
    of_peer: HashMap<Rc<P>, Vec<SessionKey>>,
    live: usize,
    /// Those with streams to be accepted, once each: each gives one and goes to the end.
    ready: VecDeque<SessionKey>,
    /// Those that have ended with streams to be accepted, the first to end first.
    ended: VecDeque<SessionKey>,
    last_id: u64,
}

#[derive(Debug)]
struct Entry<P> {
    id: u64,
    peer: Rc<P>,
    session: Session,
    state: State,
    /// In `ready`.
    is_ready: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its driver runs.
    Live,
    /// Its driver is gone; it is here for the streams that nobody has accepted.
    Ended,
}

/// As many sessions live as may: how many that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionsFull(pub(super) usize);

/// What the choice between the sessions of a peer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Neither closed nor closing, and neither side has gone away.
    pub(super) takes_streams: bool,
    /// It has as many as it may, and takes the next when one of them has ended.
    pub(super) is_full: bool,
    pub(super) streams: usize,
}

impl Candidate {
    fn new(session: &Session) -> Self {
        Self {
            takes_streams: session.can_open(),
            is_full: session.is_at_open_limit(),
            streams: session.inbound_streams() + session.outbound_streams(),
        }
    }
}

/// The best of the sessions of a peer, the oldest first: one that takes streams, and at once if
/// there is such a one, with the most of them; among equals the newest.
pub(super) fn best(candidates: impl Iterator<Item = Candidate>) -> Option<usize> {
    candidates
        .enumerate()
        .filter(|(_, candidate)| candidate.takes_streams)
        .max_by_key(|&(age, candidate)| (!candidate.is_full, candidate.streams, age))
        .map(|(age, _)| age)
}

impl<P: Eq + Hash> Sessions<P> {
    pub(super) fn new(config: &HostConfig<P>) -> Self {
        Self {
            sessions_max: config.sessions_max,
            per_peer_max: config.sessions_per_peer_max,
            ended_max: config.ended_sessions_max,
            entries: Slab::new(),
            of_peer: HashMap::new(),
            live: 0,
            ready: VecDeque::new(),
            ended: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Whether there is room for one more with the peer.
    pub(super) fn room(&self, peer: &P) -> Result<(), SessionsFull> {
        if self.live >= self.sessions_max {
            return Err(SessionsFull(self.sessions_max));
        }
        let of_peer = self.of_peer.get(peer).map_or(0, Vec::len);
        if of_peer >= self.per_peer_max { Err(SessionsFull(self.per_peer_max)) } else { Ok(()) }
    }

    pub(super) fn insert(&mut self, peer: &Rc<P>, session: Session) -> SessionKey {
        self.last_id += 1;
        let id = self.last_id;
        let (peer_of_entry, state) = (Rc::clone(peer), State::Live);
        let entry = Entry { id, peer: peer_of_entry, session, state, is_ready: false };
        let key = SessionKey { index: self.entries.insert(entry), id };
        self.of_peer.entry(Rc::clone(peer)).or_default().push(key);
        self.live += 1;
        key
    }

    /// The best session for a new stream to the peer.
    pub(super) fn best(&self, peer: &P) -> Option<&Session> {
        let keys = self.of_peer.get(peer)?;
        let sessions = || keys.iter().filter_map(|key| self.get(*key)).map(|entry| &entry.session);
        sessions().nth(best(sessions().map(Candidate::new))?)
    }

    /// The streams that wait to be accepted may have become more.
    pub(super) fn arrived(&mut self, key: SessionKey) -> bool {
        let Some(entry) = self.get_mut(key) else { return false };
        let news = !std::mem::replace(&mut entry.is_ready, true);
        if news {
            self.ready.push_back(key);
        }
        news
    }

    /// A session with streams to be accepted, whose turn it is. To be given back with `accepted`.
    pub(super) fn next_ready(&mut self) -> Option<(SessionKey, Rc<P>, Session)> {
        while let Some(key) = self.ready.pop_front() {
            let Some(entry) = self.get_mut(key) else { continue };
            entry.is_ready = false;
            return Some((key, Rc::clone(&entry.peer), entry.session.clone()));
        }
        None
    }

    /// A stream was accepted, and `more` wait. One that has ended and has none left goes.
    pub(super) fn accepted(&mut self, key: SessionKey, more: bool, trash: &mut Trash<P>) {
        if more {
            self.arrived(key);
        } else if self.get(key).is_some_and(|entry| entry.state == State::Ended) {
            self.ended.retain(|ended| *ended != key);
            self.remove(key, trash);
        }
    }

    /// The driver is gone. What was not accepted still can be, if it is not too much.
    pub(super) fn ended(&mut self, key: SessionKey, trash: &mut Trash<P>) {
        let Some(entry) = self.get_mut(key) else { return };
        let (peer, unaccepted) = (Rc::clone(&entry.peer), entry.session.has_backlog());
        entry.state = State::Ended;
        self.live -= 1;
        self.leave_peer(&peer, key, trash);
        trash.names.push(peer);
        if !unaccepted {
            return self.remove(key, trash);
        }
        self.arrived(key);
        self.ended.push_back(key);
        if self.ended.len() > self.ended_max {
            let first = self.ended.pop_front();
            first.into_iter().for_each(|first| self.remove(first, trash));
        }
    }

    fn leave_peer(&mut self, peer: &P, key: SessionKey, trash: &mut Trash<P>) {
        let Some(keys) = self.of_peer.get_mut(peer) else { return };
        keys.retain(|of_peer| *of_peer != key);
        if keys.is_empty() {
            trash.names.extend(self.of_peer.remove_entry(peer).map(|(name, _)| name));
        }
    }

    fn remove(&mut self, key: SessionKey, trash: &mut Trash<P>) {
        if self.get(key).is_none() {
            return;
        }
        let entry = self.entries.remove(key.index);
        trash.names.push(entry.peer);
        trash.sessions.push(entry.session);
        // Else it would grow by sessions that come and go while nobody accepts.
        if entry.is_ready {
            self.ready.retain(|ready| *ready != key);
        }
    }

    /// All that live with the peer.
    pub(super) fn of_peer(&self, peer: &P) -> Vec<Session> {
        let keys = self.of_peer.get(peer).into_iter().flatten();
        keys.filter_map(|key| self.get(*key)).map(|entry| entry.session.clone()).collect()
    }

    /// All that live, with their peers.
    pub(super) fn all(&self) -> Vec<(Rc<P>, Session)> {
        let live = self.entries.iter().filter(|(_, entry)| entry.state == State::Live);
        live.map(|(_, entry)| (Rc::clone(&entry.peer), entry.session.clone())).collect()
    }

    /// The peers that a stream can be opened to.
    pub(super) fn peers(&self) -> Vec<Rc<P>> {
        self.of_peer.keys().filter(|peer| self.best(peer).is_some()).cloned().collect()
    }

    /// Those that live, and those that have ended with streams to be accepted.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.live, self.ended.len())
    }

    /// What is held for those with streams to be accepted.
    #[cfg(test)]
    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    fn get(&self, key: SessionKey) -> Option<&Entry<P>> {
        self.entries.get(key.index).filter(|entry| entry.id == key.id)
    }

    fn get_mut(&mut self, key: SessionKey) -> Option<&mut Entry<P>> {
        self.entries.get_mut(key.index).filter(|entry| entry.id == key.id)
    }
}

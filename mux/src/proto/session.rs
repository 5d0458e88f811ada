//! The session: its tables.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use slab::Slab;

use super::budget::Rate;
use super::control::{ControlQueue, remove_last};
use super::outbox::Outbox;
use super::parse::Parser;
use super::ping::Pings;
use super::stats::SessionStats;
use super::stream::{Events, Key, Owner, Stream};
use super::timing::Timing;
use super::trash::Trash;
use crate::{Config, Error, Initiator};

/// Which side of the connection this is. It decides the parity of the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Streams come and go.
    Open,
    /// Closed by the application: no new stream, no further write; what was written is being sent.
    Draining,
    /// The GoAway is in the control queue, nothing comes after it. Input is ignored.
    Parting,
    /// Everything is written. The connection is to be closed, and read until the peer does so too.
    HangUp,
    /// Over. The connection is to be dropped.
    Over,
}

/// What has happened to the session since its signals were last taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signals {
    /// A stream waits to be accepted.
    pub(crate) accept: bool,
    /// A stream can be opened.
    pub(crate) open: bool,
    /// A ping was answered.
    pub(crate) pong: bool,
    /// Something ended: everyone who waits has an answer.
    pub(crate) all: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(super) role: Role,
    pub(super) config: Config,
    pub(super) phase: Phase,
    /// Why nothing passes any more. Set at the latest with [`Phase::Parting`].
    pub(super) fate: Option<Error>,
    pub(super) streams: Slab<Stream>,
    /// Streams that frames may still belong to. Keyed by SipHash: the peer chooses ids.
    pub(super) ids: HashMap<u32, u32>,
    pub(super) next_id: Option<u32>,
    pub(super) backlog: VecDeque<Key>,
    pub(super) inbound: usize,
    pub(super) outbound: usize,
    pub(super) unacked: usize,
    /// Bytes that have arrived and that nobody has read, of all streams.
    pub(super) unread: usize,
    /// What windows hold beyond the initial one, of all streams.
    pub(super) reserved: usize,
    pub(super) control: ControlQueue,
    /// Streams that wait for their turn, once each; gone with the stream.
    pub(super) active: VecDeque<Key>,
    /// What streams hold that can be sent.
    pub(super) sendable: usize,
    /// The same, and what waits for credit.
    pub(super) unsent: usize,
    /// Streams whose writers wait for their turn, once each; gone with the stream.
    pub(super) writers: VecDeque<Key>,
    /// Bytes of the turns that were given last and are not used yet.
    pub(super) turns_given: usize,
    /// Data was taken to be sent since turns were given.
    pub(super) data_moved: bool,
    pub(super) outbox: Outbox,
    pub(super) parser: Parser,
    /// Streams that hold parts of what was fed last.
    pub(super) borrowers: Vec<Key>,
    pub(super) empty_frames: u32,
    /// Flags of streams that are gone, and not counted as empty.
    pub(super) late_frames: u64,
    /// Resets that the peer has caused.
    pub(super) resets: Rate,
    /// Streams with events.
    pub(super) changed: VecDeque<Key>,
    pub(super) signals: Signals,
    pub(super) pings: Pings,
    pub(super) timing: Timing,
    pub(super) went_away: bool,
    pub(super) peer_went_away: bool,
    /// No stream is opened any more, or taken from the peer. The session closes after its last one.
    pub(super) retiring: bool,
    /// Nobody is left who could accept.
    pub(super) orphaned: bool,
    pub(super) counts: SessionStats,
    trash: Vec<Trash>,
}

impl Session {
    pub(crate) fn new(role: Role, config: Config, now: Instant) -> Self {
        Self {
            role,
            config: config.in_range(),
            phase: Phase::Open,
            fate: None,
            streams: Slab::new(),
            ids: HashMap::new(),
            next_id: Some(match role {
                Role::Client => 1,
                Role::Server => 2,
            }),
            backlog: VecDeque::new(),
            inbound: 0,
            outbound: 0,
            unacked: 0,
            unread: 0,
            reserved: 0,
            control: ControlQueue::default(),
            active: VecDeque::new(),
            sendable: 0,
            unsent: 0,
            writers: VecDeque::new(),
            turns_given: 0,
            data_moved: false,
            outbox: Outbox::default(),
            parser: Parser::default(),
            borrowers: Vec::new(),
            empty_frames: 0,
            late_frames: 0,
            resets: Rate::default(),
            changed: VecDeque::new(),
            signals: Signals::default(),
            pings: Pings::default(),
            timing: Timing::new(now),
            went_away: false,
            peer_went_away: false,
            retiring: false,
            orphaned: false,
            counts: SessionStats::default(),
            trash: Vec::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Streams of the peer and of ours that are alive.
    pub(crate) fn stream_counts(&self) -> (usize, usize) {
        (self.inbound, self.outbound)
    }

    pub(super) fn why_ended(&self) -> Option<Error> {
        let draining = self.phase == Phase::Draining;
        self.fate.clone().or(draining.then_some(Error::Closed { by: Initiator::Local }))
    }

    /// The next stream with events, and what they are.
    pub(crate) fn take_events(&mut self) -> Option<(Key, Events)> {
        while let Some(key) = self.changed.pop_front() {
            if let Some(stream) = self.get(key) {
                return Some((key, std::mem::take(&mut stream.events)));
            }
        }
        None
    }

    pub(crate) fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// What is to be dropped when nothing is borrowed. `trash` is empty before, and keeps its
    /// capacity.
    pub(crate) fn swap_trash(&mut self, trash: &mut Vec<Trash>) {
        std::mem::swap(&mut self.trash, trash);
    }

    pub(super) fn discard(&mut self, trash: Trash) {
        self.trash.push(trash);
    }

    /// Notes events of a stream, for the next `take_events`. Nobody waits for a stream without a
    /// handle; so the queue holds what handles there are, whatever a peer opens and resets.
    pub(super) fn changed(&mut self, key: Key, note: impl FnOnce(&mut Events)) {
        let Some(stream) = self.get(key).filter(|stream| stream.owner == Owner::Handle) else {
            return;
        };
        let known = stream.events != Events::default();
        note(&mut stream.events);
        if !known {
            self.changed.push_back(key);
        }
    }

    pub(super) fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        // Bounded by the stream limits, far below 2^32.
        let index = self.streams.insert(stream) as u32;
        self.ids.insert(id, index);
        Key { index, id }
    }

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Stream> {
        self.streams.get_mut(key.index as usize).filter(|stream| stream.id == key.id)
    }

    /// The stream of a handle: it lives as long as the handle.
    pub(super) fn stream(&mut self, key: Key) -> &mut Stream {
        let stream = &mut self.streams[key.index as usize];
        debug_assert_eq!(stream.id, key.id, "a handle outlived its stream");
        stream
    }

    pub(super) fn free_open_slot(&mut self, key: Key) {
        let held = self.get(key).is_some_and(|stream| std::mem::take(&mut stream.unacked));
        if held {
            self.unacked -= 1;
            self.signals.open = true;
        }
    }

    /// Lets go of what waits to be sent.
    pub(super) fn drop_unsent(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        let sendable = stream.sendable_bytes();
        let queue = std::mem::take(&mut stream.send);
        self.sendable -= sendable;
        self.unsent -= queue.len();
        if !queue.is_empty() {
            self.discard(Trash::Queue(queue));
        }
    }

    /// Lets go of what waits to be read; true if there was any.
    pub(super) fn drop_unread(&mut self, key: Key) -> bool {
        let Some(stream) = self.get(key) else { return false };
        // Its chunks are our own.
        let bytes = std::mem::take(&mut stream.recv).len();
        self.unread -= bytes;
        bytes > 0
    }

    /// Forgets a stream that is over and that nobody holds.
    pub(super) fn forget(&mut self, key: Key) {
        if self.get(key).is_none() {
            return;
        }
        self.drop_unsent(key);
        self.drop_unread(key);
        let stream = self.streams.remove(key.index as usize);
        self.reserved -= stream.window.extra() as usize;
        self.timing.forget(stream.alarms.as_deref(), key);
        if stream.in_control {
            self.control.remove_update(key);
        }
        if stream.in_active {
            remove_last(&mut self.active, |active| *active == key);
        }
        if stream.in_writers {
            remove_last(&mut self.writers, |writer| *writer == key);
        }
        match stream.opened_by {
            Initiator::Remote => self.inbound -= 1,
            Initiator::Local => {
                self.outbound -= 1;
                self.signals.open = true;
            }
        }
    }
}

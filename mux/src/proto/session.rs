//! The session: its tables, and what the application asks of it.

use std::collections::{HashMap, VecDeque};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

use super::control::{Control, ControlQueue, remove_last};
use super::frame::GoAwayCode;
use super::outbox::Outbox;
use super::ping::Pings;
use super::receive::Parser;
use super::state::Step;
use super::stream::{End, Events, Key, Owner, Stream};
use super::timing::Timing;
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
    next_id: Option<u32>,
    pub(super) backlog: VecDeque<Key>,
    pub(super) inbound: usize,
    outbound: usize,
    unacked: usize,
    pub(super) control: ControlQueue,
    /// Streams that wait for their turn, once each; gone with the stream.
    pub(super) active: VecDeque<Key>,
    pub(super) outbox: Outbox,
    pub(super) parser: Parser,
    pub(super) empty_frames: u32,
    /// Streams with events.
    pub(super) changed: VecDeque<Key>,
    pub(super) signals: Signals,
    pub(super) pings: Pings,
    pub(super) timing: Timing,
    pub(super) went_away: bool,
    pub(super) peer_went_away: bool,
    pub(super) orphaned: bool,
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
            control: ControlQueue::default(),
            active: VecDeque::new(),
            outbox: Outbox::default(),
            parser: Parser::default(),
            empty_frames: 0,
            changed: VecDeque::new(),
            signals: Signals::default(),
            pings: Pings::default(),
            timing: Timing::new(now),
            went_away: false,
            peer_went_away: false,
            orphaned: false,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Streams of the peer and of ours that are alive.
    pub(crate) fn stream_counts(&self) -> (usize, usize) {
        (self.inbound, self.outbound)
    }

    /// Opens a stream. Pending at one of the limits.
    pub(crate) fn open(&mut self) -> Poll<Result<Key, Error>> {
        if let Some(err) = self.why_no_open() {
            return Poll::Ready(Err(err));
        }
        let config = &self.config;
        if self.unacked >= config.unacked_opens_max || self.outbound >= config.outbound_streams_max
        {
            return Poll::Pending;
        }
        let Some(id) = self.next_id else {
            return Poll::Ready(Err(Error::IdsExhausted));
        };
        self.next_id = id.checked_add(2);
        self.outbound += 1;
        self.unacked += 1;
        let key = self.insert(Stream::outbound(id, self.config.window_bytes));
        self.update_later(key);
        Poll::Ready(Ok(key))
    }

    fn why_no_open(&self) -> Option<Error> {
        if let Some(err) = self.why_ended() {
            return Some(err);
        }
        let by = match (self.went_away, self.peer_went_away) {
            (true, _) => Initiator::Local,
            (_, true) => Initiator::Remote,
            _ => return None,
        };
        Some(Error::GoAway { by, code: GoAwayCode::Normal })
    }

    pub(super) fn why_ended(&self) -> Option<Error> {
        let draining = self.phase == Phase::Draining;
        self.fate.clone().or(draining.then_some(Error::Closed { by: Initiator::Local }))
    }

    /// Takes the oldest stream of the backlog and acknowledges it.
    pub(crate) fn accept(&mut self) -> Poll<Result<Key, Error>> {
        if let Some(key) = self.backlog.pop_front() {
            let stream = &mut self.streams[key.index as usize];
            stream.owner = Owner::Handle;
            stream.state = stream.state.after(Step::Accepted);
            stream.ack_due = true;
            self.update_later(key);
            return Poll::Ready(Ok(key));
        }
        if let Some(err) = self.why_ended() {
            return Poll::Ready(Err(err));
        }
        if self.went_away {
            let code = GoAwayCode::Normal;
            return Poll::Ready(Err(Error::GoAway { by: Initiator::Local, code }));
        }
        Poll::Pending
    }

    /// Reads what is there; `Ok(0)` at the end. Buffered data comes before any error.
    pub(crate) fn read(&mut self, key: Key, buf: &mut [u8]) -> Poll<Result<usize, Error>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let read = self.stream(key).recv.read(buf);
        match read {
            0 => self.why_empty(key).map_ok(|()| 0),
            _ => {
                self.consumed(key, read);
                Poll::Ready(Ok(read))
            }
        }
    }

    /// Takes the next chunk as it is; `None` at the end.
    pub(crate) fn read_bytes(&mut self, key: Key) -> Poll<Result<Option<Bytes>, Error>> {
        match self.stream(key).recv.pop(usize::MAX) {
            None => self.why_empty(key).map_ok(|()| None),
            Some(chunk) => {
                self.consumed(key, chunk.len());
                Poll::Ready(Ok(Some(chunk)))
            }
        }
    }

    /// `Ok` at the end of the stream.
    fn why_empty(&mut self, key: Key) -> Poll<Result<(), Error>> {
        let stream = self.stream(key);
        if stream.reset_by == Some(Initiator::Local) && !stream.fin_received {
            return Poll::Ready(Err(Error::Reset { by: Initiator::Local }));
        }
        if stream.fin_received {
            return Poll::Ready(Ok(()));
        }
        if let Some(by) = stream.reset_by {
            return Poll::Ready(Err(Error::Reset { by }));
        }
        match &self.fate {
            Some(err) => Poll::Ready(Err(err.clone())),
            None => Poll::Pending,
        }
    }

    fn consumed(&mut self, key: Key, bytes: usize) {
        let stream = self.stream(key);
        // At most the window, which is 32 bits wide.
        stream.window.consume(bytes as u32);
        self.update_later(key);
    }

    /// Bytes that can be written now, at least 1.
    pub(crate) fn poll_room(&mut self, key: Key) -> Poll<Result<usize, Error>> {
        if let Some(err) = self.why_no_write(key) {
            return Poll::Ready(Err(err));
        }
        let max = self.config.send_queue_bytes_max;
        match max.saturating_sub(self.stream(key).send.len()) {
            0 => Poll::Pending,
            room => Poll::Ready(Ok(room)),
        }
    }

    fn why_no_write(&mut self, key: Key) -> Option<Error> {
        let ended = self.why_ended();
        let stream = self.stream(key);
        if let Some(by) = stream.reset_by {
            return Some(Error::Reset { by });
        }
        ended.or((stream.end != End::Open).then_some(Error::WriteAfterShutdown))
    }

    /// Queues a copy. Only after [`poll_room`](Self::poll_room), and not more than that.
    pub(crate) fn write(&mut self, key: Key, data: &[u8]) {
        self.stream(key).send.push_slice(data);
        self.activate(key);
    }

    /// Queues a chunk of any size. Only after [`poll_room`](Self::poll_room).
    pub(crate) fn write_bytes(&mut self, key: Key, data: Bytes) {
        self.stream(key).send.push_bytes(data);
        self.activate(key);
    }

    /// Whether everything written, and the FIN behind it, has been taken to be sent.
    pub(crate) fn poll_flushed(&mut self, key: Key) -> Poll<Result<(), Error>> {
        let stream = self.stream(key);
        if let Some(by) = stream.reset_by {
            return Poll::Ready(Err(Error::Reset { by }));
        }
        if !stream.cut && !stream.is_unsent() {
            return Poll::Ready(Ok(()));
        }
        match &self.fate {
            Some(err) => Poll::Ready(Err(err.clone())),
            None => Poll::Pending,
        }
    }

    /// Queues the FIN behind what was written. Doing so again is no error.
    pub(crate) fn shutdown(&mut self, key: Key) -> Result<(), Error> {
        match self.why_no_write(key) {
            None => {
                self.stream(key).end = End::Fin;
                self.activate(key);
                Ok(())
            }
            Some(Error::WriteAfterShutdown) => Ok(()),
            Some(err) => Err(err),
        }
    }

    /// Says GoAway now: the streams there are go on, new ones are refused.
    pub(crate) fn go_away(&mut self) {
        if self.phase == Phase::Open && !self.went_away {
            self.went_away = true;
            self.control.push(Control::GoAway(GoAwayCode::Normal));
            self.signals.all = true;
        }
    }

    /// Begins to close: sends what was written, then GoAway, then hangs up.
    pub(crate) fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
            self.refuse_backlog();
            self.signals.all = true;
        }
    }

    /// Nobody is left who could open or accept: refuses what comes, and closes after the last
    /// stream.
    pub(crate) fn orphan(&mut self) {
        self.orphaned = true;
        self.refuse_backlog();
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

    /// Forgets a stream that is over and that nobody holds.
    pub(super) fn forget(&mut self, key: Key) {
        if self.get(key).is_none() {
            return;
        }
        let stream = self.streams.remove(key.index as usize);
        self.timing.stop_lingering(stream.linger_until, key);
        if stream.in_control {
            self.control.remove_update(key);
        }
        if stream.in_active {
            remove_last(&mut self.active, |active| *active == key);
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

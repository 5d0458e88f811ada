//! What an application does on one stream, and what it must see there.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::poll;
use mux::{Error, Initiator, ResetCode, Scope, Session, Stream};
use reactor::{JoinHandle, time};

use crate::calls::{by_itself, pause, read_some, write_some};
use crate::limits::assert_within_limits;
use crate::link::Wire;
use crate::plan::{Half, Last, Plan, Trouble};
use crate::wire::{Referee, Rng, Side};

/// What both applications know of each other, beside the wire.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) wire: Rc<RefCell<Wire>>,
    /// By stream and side.
    ledger: RefCell<HashMap<(u32, Side), Written>>,
    /// Streams that an application holds.
    pub(crate) playing: Cell<usize>,
    /// The tasks of the streams that were accepted.
    pub(crate) players: RefCell<Vec<JoinHandle<()>>>,
    /// By side, unless the run forgets it.
    pub(crate) sessions: RefCell<[Option<Session>; 2]>,
    /// The run has come to its end.
    pub(crate) closing: Cell<bool>,
    /// When the driver of a side has ended.
    pub(crate) ended: Cell<[Option<Instant>; 2]>,
    /// What the applications of each side have heard of the end of their session.
    pub(crate) ends_heard: RefCell<[Vec<Error>; 2]>,
}

/// For a SYN to a session that takes no more streams.
const SHUTDOWN: u32 = ResetCode::SHUTDOWN.value();

/// What one side has written on a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    bytes: usize,
    /// A FIN is behind it.
    finished: bool,
    /// Nothing but a FIN may be behind it.
    only_finished: bool,
}

/// A sequence without a short period; each direction of each stream begins at a place of its own.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut rng = Rng::new(0);
    (0..PATTERN_BYTES / 8).flat_map(|_| rng.next().to_be_bytes()).collect()
});

/// More than a plan writes on a stream, and room for the places where they begin.
const PATTERN_BYTES: usize = 1 << 20;

/// What `side` writes on stream `id`, from `position` on.
fn pattern(id: u32, side: Side, position: usize, bytes: usize) -> Bytes {
    let from = (id as usize * 2 + side as usize) * 1031 % 65_536 + position;
    PATTERN.slice(from..from + bytes)
}

impl World {
    pub(crate) fn new(plan: Plan, wire: Rc<RefCell<Wire>>) -> Self {
        Self {
            plan,
            wire,
            ledger: RefCell::default(),
            playing: Cell::new(0),
            players: RefCell::default(),
            sessions: RefCell::default(),
            closing: Cell::new(false),
            ended: Cell::default(),
            ends_heard: RefCell::default(),
        }
    }

    pub(crate) fn referee(&self, side: Side) -> RefMut<'_, Referee> {
        RefMut::map(self.wire.borrow_mut(), |wire| &mut wire.referees[side as usize])
    }

    /// Looks at what the session of a side holds, now that a call has returned that was begun then.
    pub(crate) fn check_call(&self, side: Side, begun: Instant) {
        // Or nobody has told the caller that the session is over.
        let ended = self.ended.get()[side as usize];
        let late = ended.is_some_and(|ended| time::now() > ended.max(begun));
        assert!(!late, "{side:?} waited for a session that was over");
        self.check(side);
    }

    /// Looks at what the session of a side holds.
    pub(crate) fn check(&self, side: Side) {
        if let Some(session) = &self.sessions.borrow()[side as usize] {
            assert_within_limits(session, &self.plan, side);
        }
    }

    /// An application has been told that, and will look whether all were told the same.
    pub(crate) fn note_end(&self, side: Side, err: &Error) {
        if err.scope() == Scope::Session {
            self.ends_heard.borrow_mut()[side as usize].push(err.clone());
        }
    }

    fn is_touched(&self, id: u32) -> bool {
        self.wire.borrow().touched.contains(&id)
    }

    /// Plays one side of a stream.
    pub(crate) async fn play(&self, side: Side, stream: Stream) {
        self.playing.set(self.playing.get() + 1);
        let half = self.plan.half(stream.id(), side);
        let stream = if half.split {
            let (reader, writer) = stream.into_split();
            self.play_half(side, reader.as_ref(), writer.as_ref(), &half).await;
            reader.reunite(writer).expect("of one stream")
        } else {
            self.play_half(side, &stream, &stream, &half).await;
            stream
        };
        self.note_drop(side, stream.id(), &half);
        self.referee(side).lets_go(stream.id());
        drop(stream);
        self.check(side);
        self.playing.set(self.playing.get() - 1);
    }

    /// What a side had written when it closed in order has reached the other, unless that one
    /// wanted no more of it.
    pub(crate) fn assert_all_arrived(&self, from: Side) {
        let peer = &self.wire.borrow().referees[from.other() as usize];
        for (&(id, side), written) in &*self.ledger.borrow() {
            let wanted = self.plan.is_orderly(id) && !self.plan.may_refuse(from);
            if side == from && wanted {
                let (arrived, _) = peer.arrived_and_read(id);
                assert_eq!(
                    arrived, written.bytes as u64,
                    "{from:?} lost data of stream {id} in closing"
                );
            }
        }
    }

    /// A handle that is dropped when everything was read, up to the peer's FIN, leaves a FIN behind.
    fn note_drop(&self, side: Side, id: u32, half: &Half) {
        if self.wire.borrow().referees[side as usize].has_read_all(id) {
            let mut ledger = self.ledger.borrow_mut();
            let written = ledger.entry((id, side)).or_default();
            written.finished = true;
            written.only_finished = half.last != Last::Reset;
        }
    }

    fn written(&self, id: u32, side: Side) -> Written {
        self.ledger.borrow().get(&(id, side)).copied().unwrap_or_default()
    }

    fn note_written(&self, id: u32, side: Side, bytes: usize, finished: bool) {
        let written = Written { bytes, finished, only_finished: false };
        self.ledger.borrow_mut().insert((id, side), written);
    }

    async fn play_half(&self, side: Side, reader: &Stream, writer: &Stream, half: &Half) {
        let mut stopped = pin!(writer.stopped());
        let early = poll!(stopped.as_mut());
        self.read_and_write(side, reader, writer, half).await;
        let outcome = if early.is_ready() { early } else { poll!(stopped.as_mut()) };
        if let Poll::Ready(outcome) = outcome {
            self.judge_stop(side, writer, outcome);
        }
    }

    /// Whoever watches a stream learns of its end, and of no other than readers and writers do.
    fn judge_stop(&self, side: Side, stream: &Stream, outcome: Result<(), Error>) {
        let id = stream.id();
        let ended = Side::BOTH.into_iter().all(|side| self.written(id, side).finished);
        let ended = ended || self.is_touched(id);
        assert!(outcome.is_err() || ended, "{side:?} sees stream {id} stop, and nobody has ended");
        self.judge(side, stream, outcome);
    }

    async fn read_and_write(&self, side: Side, reader: &Stream, stream: &Stream, half: &Half) {
        let writing = pin!(by_itself(self.write(side, stream, half)));
        let reading = pin!(by_itself(self.read(side, reader, half)));
        match select(writing, reading).await {
            Either::Left((written, reading)) => {
                self.judge(side, stream, written);
                if half.last != Last::Drop {
                    self.judge_read(side, stream, reading.await);
                }
            }
            Either::Right((read, writing)) => {
                let stopped = matches!(read, Ok(false));
                self.judge_read(side, stream, read);
                // If both sides stopped and went on writing, they would wait for ever.
                if !stopped {
                    self.judge(side, stream, writing.await);
                }
            }
        }
    }

    async fn write(&self, side: Side, stream: &Stream, half: &Half) -> Result<(), Error> {
        let id = stream.id();
        let mut rng = half.rng.fork(1);
        let mut position = 0;
        for &bytes in &half.writes {
            pause(half.write_pause).await;
            let mut rest = pattern(id, side, position, bytes);
            while !rest.is_empty() {
                let begun = time::now();
                let written = write_some(stream, &rest, rng.below(5)).await;
                self.check_call(side, begun);
                let written = written?;
                position += written;
                rest = rest.slice(written..);
                self.note_written(id, side, position, false);
            }
        }
        match half.last {
            Last::Fin => {
                self.referee(side).lets_go(id);
                stream.shutdown()?;
                self.note_written(id, side, position, true);
            }
            Last::Reset => {
                self.referee(side).lets_go(id);
                stream.reset(id);
            }
            Last::Drop => {}
        }
        self.check(side);
        Ok(())
    }

    /// True at the end of the stream, false when it was told to stop before.
    async fn read(&self, side: Side, stream: &Stream, half: &Half) -> Result<bool, Error> {
        let id = stream.id();
        let mut rng = half.rng.fork(2);
        let mut position = 0;
        while position < half.read_until {
            pause(half.read_pause).await;
            let begun = time::now();
            let chunk = read_some(stream, half.read_bytes_max, rng.below(4)).await;
            self.check_call(side, begun);
            let chunk = chunk?;
            if chunk.is_empty() {
                return Ok(true);
            }
            let expected = pattern(id, side.other(), position, chunk.len());
            let right = chunk == expected || self.is_touched(id);
            assert!(right, "{side:?} reads other bytes on stream {id} from {position}");
            position += chunk.len();
            self.referee(side).read(id, chunk.len());
        }
        Ok(false)
    }

    fn judge(&self, side: Side, stream: &Stream, outcome: Result<(), Error>) {
        if let Err(err) = outcome {
            self.judge_error(side, stream, &err);
        }
    }

    fn judge_read(&self, side: Side, stream: &Stream, outcome: Result<bool, Error>) {
        let id = stream.id();
        let (arrived, read) = self.referee(side).arrived_and_read(id);
        match outcome {
            Ok(false) => {}
            Ok(true) if self.is_touched(id) => {}
            Ok(true) => {
                let written = self.written(id, side.other());
                assert!(written.finished, "{side:?} sees an end of stream {id} that nobody wrote");
                let bytes = written.bytes as u64;
                assert_eq!(read, bytes, "{side:?} sees the end of stream {id} too soon");
            }
            Err(err) => {
                if self.is_after_the_data(side, id, &err) {
                    assert_eq!(read, arrived, "{side:?} lost data of stream {id} to [{err}]");
                }
                self.judge_error(side, stream, &err);
            }
        }
    }

    fn judge_error(&self, side: Side, stream: &Stream, err: &Error) {
        self.note_end(side, err);
        let (plan, id) = (&self.plan, stream.id());
        let touched = self.is_touched(id);
        let expected = match err {
            Error::Reset { by: Initiator::Local, code } => {
                let broke_a_rule = touched && *code == ResetCode::PROTOCOL_VIOLATION;
                broke_a_rule || plan.half(id, side).last == Last::Reset
            }
            Error::Reset { by: Initiator::Remote, code } => {
                let known = [0, id, ResetCode::RESOURCE_LIMIT_EXCEEDED.value(), SHUTDOWN];
                let known = touched || known.contains(&code.value());
                assert!(known, "{side:?} on stream {id}: {err:?}");
                let refused = side.opens(id) && plan.may_refuse(side);
                let parted = self.written(id, side.other()).only_finished;
                refused || touched || (!plan.is_orderly(id) && !parted) || self.may_drop()
            }
            Error::WriteAfterShutdown => false,
            _ => plan.may_break(),
        };
        assert!(expected, "{side:?} on stream {id}: {err:?}");
    }

    /// Whether the other side may have dropped a stream because its session was closed.
    fn may_drop(&self) -> bool {
        match self.plan.trouble {
            Trouble::Hostile => self.closing.get(),
            _ => self.plan.may_break(),
        }
    }

    /// Whether everything that had arrived is to be read before that error.
    fn is_after_the_data(&self, side: Side, id: u32, err: &Error) -> bool {
        let referee = self.referee(side);
        match err {
            Error::Reset { by: Initiator::Remote, .. }
            | Error::Closed { by: Initiator::Remote }
            | Error::Io(_)
            | Error::KeepaliveTimeout { .. } => !referee.is_blurred(id),
            // What came behind the frame that it speaks of does not count.
            Error::Protocol(_) | Error::GoAway { by: Initiator::Remote, .. } => {
                referee.is_doomed_by(err) && !referee.is_blurred(id)
            }
            _ => false,
        }
    }
}

//! What an application does on one stream, and what it must see there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{AsyncReadExt, AsyncWriteExt, poll};
use mux::{Error, Initiator, ResetCode, Session, Stream};
use reactor::{JoinHandle, time};

use crate::link::Wire;
use crate::plan::{Half, Last, Plan};
use crate::wire::{Rng, Side};

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
    /// By side, until the run comes to its end.
    pub(crate) sessions: RefCell<Vec<Session>>,
}

/// How long reads and writes that have a deadline may take.
const DEADLINE: Duration = Duration::from_millis(20);

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
        }
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
        drop(stream);
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
        assert!(outcome.is_err() || ended, "{side:?} sees stream {id} stop, and nobody has ended");
        self.judge(side, stream, outcome);
    }

    async fn read_and_write(&self, side: Side, reader: &Stream, stream: &Stream, half: &Half) {
        let writing = pin!(self.write(side, stream, half));
        let reading = pin!(self.read(side, reader, half));
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
                let written = write_some(stream, &rest, rng.below(5)).await?;
                position += written;
                rest = rest.slice(written..);
                self.note_written(id, side, position, false);
            }
        }
        match half.last {
            Last::Fin => {
                stream.shutdown()?;
                self.note_written(id, side, position, true);
            }
            Last::Reset => stream.reset(id),
            Last::Drop => {}
        }
        Ok(())
    }

    /// True at the end of the stream, false when it was told to stop before.
    async fn read(&self, side: Side, stream: &Stream, half: &Half) -> Result<bool, Error> {
        let id = stream.id();
        let mut rng = half.rng.fork(2);
        let mut position = 0;
        while position < half.read_until {
            pause(half.read_pause).await;
            let chunk = read_some(stream, half.read_bytes_max, rng.below(4)).await?;
            if chunk.is_empty() {
                return Ok(true);
            }
            let expected = pattern(id, side.other(), position, chunk.len());
            assert!(chunk == expected, "{side:?} reads other bytes on stream {id} from {position}");
            position += chunk.len();
            self.wire.borrow_mut().referees[side as usize].read(id, chunk.len());
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
        let referee = &self.wire.borrow().referees[side as usize];
        let (arrived, read) = referee.arrived_and_read(id);
        match outcome {
            Ok(false) => {}
            Ok(true) => {
                let written = self.written(id, side.other());
                assert!(written.finished, "{side:?} sees an end of stream {id} that nobody wrote");
                let bytes = written.bytes as u64;
                assert_eq!(read, bytes, "{side:?} sees the end of stream {id} too soon");
            }
            Err(err) => {
                if is_after_the_data(&err) {
                    assert_eq!(read, arrived, "{side:?} lost data of stream {id} to [{err}]");
                }
                self.judge_error(side, stream, &err);
            }
        }
    }

    fn judge_error(&self, side: Side, stream: &Stream, err: &Error) {
        let (plan, id) = (&self.plan, stream.id());
        let expected = match err {
            Error::Reset { by: Initiator::Local, .. } => plan.half(id, side).last == Last::Reset,
            Error::Reset { by: Initiator::Remote, code } => {
                let known = [0, id, ResetCode::RESOURCE_LIMIT_EXCEEDED.value(), SHUTDOWN];
                assert!(known.contains(&code.value()), "{side:?} on stream {id}: {err:?}");
                let refused = side.opens(id) && plan.may_refuse(side);
                let parted = self.written(id, side.other()).only_finished;
                refused || (!plan.is_orderly(id) && !parted) || plan.may_break()
            }
            Error::WriteAfterShutdown => false,
            _ => plan.may_break(),
        };
        assert!(expected, "{side:?} on stream {id}: {err:?}");
    }
}

/// Whether everything that had arrived is to be read before that error.
fn is_after_the_data(err: &Error) -> bool {
    matches!(
        err,
        Error::Reset { by: Initiator::Remote, .. }
            | Error::Closed { by: Initiator::Remote }
            | Error::Io(_)
            | Error::KeepaliveTimeout { .. }
    )
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        time::sleep(time).await;
    }
}

fn own(err: io::Error) -> Error {
    Error::of(&err).cloned().expect("an error of a stream is one of the crate")
}

/// Writes in one of the ways there are, and says how much was taken.
async fn write_some(mut stream: &Stream, data: &Bytes, way: usize) -> Result<usize, Error> {
    match way {
        0 => stream.write(data).await.map_err(own),
        1 => {
            let (head, tail) = data.split_at(data.len() / 2);
            let slices = [IoSlice::new(head), IoSlice::new(tail)];
            stream.write_vectored(&slices).await.map_err(own)
        }
        2 => {
            stream.write_bytes(data.clone()).await?;
            Ok(data.len())
        }
        3 => {
            // A write that is too late has written nothing.
            stream.set_write_deadline(Some(time::now() + DEADLINE));
            let written = stream.write_bytes(data.clone()).await;
            stream.set_write_deadline(None);
            in_time(written.map(|()| data.len())).map(Option::unwrap_or_default)
        }
        _ => {
            // A write that is given up has written nothing.
            let part = data.slice(..data.len() / 2 + 1);
            match once(stream.write_bytes(part.clone())).await {
                Some(done) => done.map(|()| part.len()),
                None => stream.flush().await.map_err(own).map(|()| 0),
            }
        }
    }
}

/// Reads in one of the ways there are; nothing at the end.
async fn read_some(mut stream: &Stream, max: usize, way: usize) -> Result<Bytes, Error> {
    match way {
        0 => Ok(stream.read_bytes().await?.unwrap_or_default()),
        1 => {
            let mut buf = vec![0; max];
            let n = stream.read(&mut buf).await.map_err(own)?;
            buf.truncate(n);
            Ok(buf.into())
        }
        2 => {
            // A read that is too late has read nothing.
            stream.set_read_deadline(Some(time::now() + DEADLINE));
            let read = stream.read_bytes().await;
            stream.set_read_deadline(None);
            match in_time(read)? {
                Some(chunk) => Ok(chunk.unwrap_or_default()),
                None => Ok(stream.read_bytes().await?.unwrap_or_default()),
            }
        }
        _ => {
            // A read that is given up has read nothing.
            match once(stream.read_bytes()).await {
                Some(chunk) => Ok(chunk?.unwrap_or_default()),
                None => Ok(stream.read_bytes().await?.unwrap_or_default()),
            }
        }
    }
}

/// `None` for what did not come by its deadline.
fn in_time<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Err(Error::DeadlineExceeded) => Ok(None),
        other => other.map(Some),
    }
}

/// Tries once, and gives it up.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll!(Pin::as_mut(&mut future)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

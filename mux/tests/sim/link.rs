//! A connection in memory that does everything a connection may do: it delivers in pieces, late, with
//! pauses, takes less than it is offered, is not ready when it said so, and breaks at any byte. Both
//! ends pass everything by their referees.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};
use reactor::time::{self, Sleep};

use crate::mischief::Mischief;
use crate::wire::{Referee, Rng, Side};

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The reader sees the end, and the writer a broken pipe.
    End,
    /// Both ends see an error.
    Error,
    /// Nothing arrives any more, either way, and nobody is told.
    Silence,
}

/// What one direction of a connection does to the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Bytes on their way; a further write waits.
    pub(crate) capacity: usize,
    /// Most bytes that one write takes, and one read gives: from 1 to this.
    pub(crate) piece_bytes_max: usize,
    /// From a write to the earliest read of it.
    pub(crate) delay: Duration,
    /// Reads and writes of a hundred that are interrupted, or not ready after all.
    pub(crate) hiccups_percent: usize,
    /// So many bytes arrive, and the rest so much later.
    pub(crate) stall: Option<(u64, Duration)>,
    /// After so many bytes it breaks.
    pub(crate) cut: Option<(u64, Cut)>,
    /// After so many frames someone puts in a word; in this order.
    pub(crate) intrusions: VecDeque<(u64, Mischief)>,
}

/// One direction.
struct Lane {
    faults: Faults,
    rng: Rng,
    /// What was written and not read, with the time of its arrival.
    parcels: VecDeque<(Instant, Bytes)>,
    /// The arrival of the last parcel.
    latest: Instant,
    under_way: usize,
    taken: u64,
    given: u64,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The connection, and all that is known of it.
pub(crate) struct Wire {
    /// By the side that writes.
    lanes: [Lane; 2],
    pub(crate) referees: [Referee; 2],
    broken: Option<Cut>,
    gone: [bool; 2],
    /// Reads and writes that were tried.
    pub(crate) steps: u64,
    /// Streams of which the intruder has spoken.
    pub(crate) touched: BTreeSet<u32>,
}

/// More steps than any plan takes: a session that spins takes them all.
const STEPS_MAX: u64 = 3_000_000;

impl Lane {
    fn new(faults: Faults, rng: Rng) -> Self {
        Self {
            faults,
            rng,
            parcels: VecDeque::new(),
            latest: time::now(),
            under_way: 0,
            taken: 0,
            given: 0,
            closed: false,
            reader: None,
            writer: None,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.taken + bytes.len() as u64;
        match self.faults.stall.take_if(|(after, _)| *after < end) {
            None => self.push_parcel(bytes),
            Some((after, pause)) => {
                let (head, rest) = bytes.split_at(after.saturating_sub(self.taken) as usize);
                self.push_parcel(head);
                self.latest = self.latest.max(time::now()) + pause;
                self.push_parcel(rest);
            }
        }
    }

    fn push_parcel(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // First in, first out: nobody overtakes what was stalled.
        self.latest = self.latest.max(time::now() + self.faults.delay);
        self.taken += bytes.len() as u64;
        self.under_way += bytes.len();
        self.parcels.push_back((self.latest, Bytes::copy_from_slice(bytes)));
    }

    /// Bytes that a write may take now.
    fn room(&self) -> usize {
        let free = self.faults.capacity.saturating_sub(self.under_way);
        free.min(self.faults.piece_bytes_max)
    }

    /// Bytes of a read or a write of at most `wanted`.
    fn piece(&mut self, wanted: usize) -> usize {
        let max = self.rng.between(1, self.faults.piece_bytes_max);
        wanted.min(max)
    }

    fn hiccup(&mut self, cx: &Context<'_>) -> Option<Poll<io::Result<usize>>> {
        if !self.rng.chance(self.faults.hiccups_percent) {
            return None;
        }
        if self.rng.chance(50) {
            return Some(Poll::Ready(Err(io::ErrorKind::Interrupted.into())));
        }
        cx.waker().wake_by_ref();
        Some(Poll::Pending)
    }
}

impl Wire {
    /// Bytes that either side has been given to read.
    pub(crate) fn given(&self, writer: Side) -> u64 {
        self.lanes[writer as usize].given
    }

    fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "no rest after {STEPS_MAX} reads and writes");
    }

    fn wakers(&mut self) -> Vec<Waker> {
        let lanes = self.lanes.iter_mut();
        lanes.flat_map(|lane| [lane.reader.take(), lane.writer.take()]).flatten().collect()
    }

    fn write(
        &mut self,
        side: Side,
        cx: &Context<'_>,
        buf: &[u8],
    ) -> (Poll<io::Result<usize>>, Option<Waker>) {
        self.step();
        let lane = &mut self.lanes[side as usize];
        let broken = matches!(self.broken, Some(Cut::End | Cut::Error));
        if broken || lane.closed || self.gone[side.other() as usize] {
            return (Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())), None);
        }
        if let Some(hiccup) = lane.hiccup(cx) {
            return (hiccup, None);
        }
        let n = lane.piece(buf.len()).min(lane.room());
        if n == 0 {
            lane.writer = Some(cx.waker().clone());
            return (Poll::Pending, None);
        }
        lane.push(&buf[..n]);
        let referee = &mut self.referees[side as usize];
        referee.said(&buf[..n]);
        self.intrude(side);
        (Poll::Ready(Ok(n)), self.lanes[side as usize].reader.take())
    }

    /// Puts the intruder's words between two frames.
    fn intrude(&mut self, side: Side) {
        let lane = &mut self.lanes[side as usize];
        let [sender, victim] = [side, side.other()].map(|side| &self.referees[side as usize]);
        if !sender.is_between_frames() {
            return;
        }
        while let Some((after, mischief)) = lane.faults.intrusions.pop_front() {
            if sender.frames.0 < after {
                return lane.faults.intrusions.push_front((after, mischief));
            }
            let word = mischief.word(sender, victim);
            self.touched.extend(word.touched);
            lane.push(&word.bytes);
            if word.breaks_off {
                // One byte more: the connection breaks when someone reads on.
                lane.faults.cut.get_or_insert((lane.taken, Cut::End));
                lane.push(&[0]);
            }
        }
    }

    /// When what is to be read arrives; `Ok` with the bytes when it has.
    fn read(&mut self, side: Side, cx: &Context<'_>, buf: &mut [u8]) -> Read {
        self.step();
        let lane = &mut self.lanes[side.other() as usize];
        match self.broken {
            Some(Cut::End) => return Read::Done(Ok(0)),
            Some(Cut::Error) => return Read::Done(Err(io::ErrorKind::ConnectionReset.into())),
            Some(Cut::Silence) => return Read::Wait(None),
            None => {}
        }
        if let Some(hiccup) = lane.hiccup(cx) {
            return Read::Hiccup(hiccup);
        }
        lane.reader = Some(cx.waker().clone());
        let Some((arrival, _)) = lane.parcels.front() else {
            let ended = lane.closed || self.gone[side.other() as usize];
            return if ended { Read::Done(Ok(0)) } else { Read::Wait(None) };
        };
        if *arrival > time::now() {
            return Read::Wait(Some(*arrival));
        }
        let mut n = lane.piece(buf.len());
        if let Some((after, cut)) = lane.faults.cut {
            n = n.min((after - lane.given) as usize);
            if n == 0 {
                self.broken = Some(cut);
                return Read::Cut;
            }
        }
        let Some((_, parcel)) = lane.parcels.front_mut() else { return Read::Wait(None) };
        n = n.min(parcel.len());
        parcel.copy_to_slice(&mut buf[..n]);
        if parcel.is_empty() {
            lane.parcels.pop_front();
        }
        lane.given += n as u64;
        lane.under_way -= n;
        self.referees[side as usize].heard(&buf[..n]);
        Read::Done(Ok(n))
    }
}

/// What a read comes to.
enum Read {
    Done(io::Result<usize>),
    /// Until then, or until someone writes.
    Wait(Option<Instant>),
    Hiccup(Poll<io::Result<usize>>),
    /// The connection has just broken.
    Cut,
}

/// One end of the connection.
pub(crate) struct End {
    side: Side,
    wire: Rc<RefCell<Wire>>,
    arrival: Option<Sleep>,
}

/// A connection with the faults of both directions, first those of what the client writes.
pub(crate) fn link(
    faults: [Faults; 2],
    referees: [Referee; 2],
    rng: &Rng,
) -> (End, End, Rc<RefCell<Wire>>) {
    let [to_server, to_client] = faults;
    let lanes = [Lane::new(to_server, rng.fork(1)), Lane::new(to_client, rng.fork(2))];
    let (broken, gone, steps, touched) = (None, [false; 2], 0, BTreeSet::new());
    let wire = Wire { lanes, referees, broken, gone, steps, touched };
    let wire = Rc::new(RefCell::new(wire));
    let end = |side| End { side, wire: Rc::clone(&wire), arrival: None };
    (end(Side::Client), end(Side::Server), Rc::clone(&wire))
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let read = this.wire.borrow_mut().read(this.side, cx, buf);
            match read {
                Read::Done(outcome) => {
                    let writer =
                        this.wire.borrow_mut().lanes[this.side.other() as usize].writer.take();
                    wake(writer);
                    return Poll::Ready(outcome);
                }
                Read::Hiccup(hiccup) => return hiccup,
                Read::Wait(None) => return Poll::Pending,
                Read::Wait(Some(arrival)) => {
                    let sleep = this.arrival.insert(time::sleep_until(arrival));
                    std::task::ready!(Pin::new(sleep).poll(cx));
                }
                Read::Cut => {
                    let wakers = this.wire.borrow_mut().wakers();
                    wakers.into_iter().for_each(Waker::wake);
                }
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (outcome, reader) = self.wire.borrow_mut().write(self.side, cx, buf);
        wake(reader);
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let max = self.wire.borrow().lanes[self.side as usize].room();
        let mut gathered = Vec::new();
        for buf in bufs {
            gathered.extend_from_slice(&buf[..buf.len().min(max - gathered.len())]);
        }
        if gathered.is_empty() {
            return self.poll_write(cx, bufs.first().map_or(&[], |buf| buf));
        }
        self.poll_write(cx, &gathered)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reader = {
            let lane = &mut self.wire.borrow_mut().lanes[self.side as usize];
            lane.closed = true;
            lane.reader.take()
        };
        wake(reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let wakers = {
            let mut wire = self.wire.borrow_mut();
            wire.gone[self.side as usize] = true;
            wire.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

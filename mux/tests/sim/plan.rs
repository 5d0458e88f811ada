//! Everything that happens in a run, from its seed: the limits of both sides, what the connection
//! does, and what the applications do on each stream.

use std::collections::VecDeque;
use std::time::Duration;

use mux::{Config, WINDOW_BYTES_INITIAL};

use crate::link::{Cut, Faults};
use crate::mischief::Mischief;
use crate::wire::{Rng, Side};

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    rng: Rng,
    pub(crate) configs: [Config; 2],
    /// Of what each side writes.
    pub(crate) faults: [Faults; 2],
    /// Streams that each side opens.
    pub(crate) opens: [usize; 2],
    /// How long each side takes to accept one.
    pub(crate) accept_pauses: [Duration; 2],
    /// Bytes that one side may write on one stream.
    pub(crate) stream_bytes_max: usize,
    /// Every stream is written, ended by a FIN, and read to its end.
    calm: bool,
    pub(crate) trouble: Trouble,
    pub(crate) ending: Ending,
}

/// What befalls the session as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Nothing,
    /// The connection breaks.
    Cut,
    /// Intruders say to both sides what changes nothing.
    Harmless,
    /// Intruders say to one side, or to both, whatever there is to say.
    Hostile,
    /// That side says GoAway, and later closes.
    GoAway(Side, Duration),
    /// That side closes in the middle of everything.
    Close(Side, Duration),
}

/// How the session ends when all is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Close(Side),
    CloseBoth,
    Drain(Side),
    /// The last handle goes.
    Forget(Side),
}

/// What one side does on one stream.
#[derive(Debug)]
pub(crate) struct Half {
    pub(crate) writes: Vec<usize>,
    pub(crate) write_pause: Duration,
    pub(crate) read_bytes_max: usize,
    pub(crate) read_pause: Duration,
    /// Reads no further than that.
    pub(crate) read_until: usize,
    pub(crate) last: Last,
    /// The stream is split, and put together again before it is dropped.
    pub(crate) split: bool,
    pub(crate) rng: Rng,
}

/// What follows the writes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// A FIN, and the stream is read to its end.
    Fin,
    /// A reset.
    Reset,
    /// The handle is dropped as it is.
    Drop,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let opens = [rng.below(4), rng.below(4)];
        let trouble = trouble(&mut rng);
        // Streams that were spoiled may never end, and a session that is forgotten waits for them.
        let endings = if trouble == Trouble::Hostile { 3 } else { 4 };
        let ending = match rng.below(endings) {
            0 => Ending::Close(side(&mut rng)),
            1 => Ending::CloseBoth,
            2 => Ending::Drain(side(&mut rng)),
            _ => Ending::Forget(side(&mut rng)),
        };
        // Small pieces go with little data, so that a run is short.
        let (piece_bytes_max, stream_bytes_max) = match rng.below(100) {
            0..10 => (1, 20),
            10..25 => (3, 40),
            25..65 => (40, 400),
            65..94 => (1000, 6000),
            // More than a window.
            94..96 => (60_000, 400_000),
            _ => (WIDE_PIECE_BYTES, 400_000),
        };
        let mut configs = [config(&mut rng, stream_bytes_max), config(&mut rng, stream_bytes_max)];
        let mut faults = [faults(&mut rng, piece_bytes_max), faults(&mut rng, piece_bytes_max)];
        if piece_bytes_max == WIDE_PIECE_BYTES {
            configs.iter_mut().for_each(widen_config);
            faults.iter_mut().for_each(|faults| widen(faults, &mut rng));
        }
        let mut pause = || Duration::from_millis(rng.pick(&[0, 0, 0, 1, 100]));
        let accept_pauses = [pause(), pause()];
        let mut plan = Self {
            rng,
            configs,
            faults,
            opens,
            accept_pauses,
            stream_bytes_max,
            calm: false,
            trouble,
            ending,
        };
        plan.arrange();
        plan
    }

    /// A stream from each side, a little data, and one fault of a direction.
    pub(crate) fn calm(writer: Side, fault: impl FnOnce(&mut Faults), trouble: Trouble) -> Self {
        let faults = || Faults { capacity: 65_536, piece_bytes_max: 65_536, ..Faults::default() };
        let mut faults = [faults(), faults()];
        fault(&mut faults[writer as usize]);
        let keepalive = Some(Duration::from_secs(30));
        let config = || Config { keepalive, frame_bytes_max: 10, ..Config::default() };
        Self {
            rng: Rng::new(0),
            configs: [config(), config()],
            faults,
            opens: [1, 1],
            accept_pauses: [Duration::ZERO; 2],
            stream_bytes_max: 25,
            calm: true,
            trouble,
            ending: Ending::Close(Side::Client),
        }
    }

    fn arrange(&mut self) {
        let rng = &mut self.rng;
        match self.trouble {
            Trouble::Cut => {
                let cut = rng.pick(&[Cut::End, Cut::Error, Cut::Silence]);
                let at = rng.pick(&[40, 400, 4000, 400_000]);
                self.faults[rng.below(2)].cut = Some((rng.below(at) as u64, cut));
                if cut == Cut::Silence {
                    // Without it nobody need notice.
                    let keepalive = Some(Duration::from_secs(30));
                    self.configs.iter_mut().for_each(|config| config.keepalive = keepalive);
                }
            }
            Trouble::Harmless => {
                let each = |rng| Mischief::Harmless(rng);
                self.faults.iter_mut().for_each(|faults| intrude(faults, rng, each));
            }
            Trouble::Hostile => {
                let both = rng.chance(30);
                let first = rng.below(2);
                let each = |rng| Mischief::Hostile(rng);
                intrude(&mut self.faults[first], rng, each);
                if both {
                    intrude(&mut self.faults[1 - first], rng, each);
                }
            }
            Trouble::Nothing | Trouble::GoAway(..) | Trouble::Close(..) => {}
        }
    }

    /// Whether the session may end in the middle of everything.
    pub(crate) fn may_break(&self) -> bool {
        matches!(self.trouble, Trouble::Cut | Trouble::Hostile | Trouble::Close(..))
    }

    /// Whether streams that this side opens may be refused.
    pub(crate) fn may_refuse(&self, opener: Side) -> bool {
        let peer = &self.configs[opener.other() as usize];
        let room = peer.accept_backlog_max.min(peer.inbound_streams_max);
        // An intruder opens streams too.
        self.opens[opener as usize] > room
            || matches!(self.trouble, Trouble::GoAway(..) | Trouble::Hostile)
    }

    /// What `side` does on the stream with that id.
    pub(crate) fn half(&self, id: u32, side: Side) -> Half {
        let mut rng = self.rng.fork(u64::from(id) * 2 + side as u64);
        let pauses = [0, 0, 0, 1, 30].map(Duration::from_millis);
        let total = if rng.chance(10) { 0 } else { rng.below(self.stream_bytes_max) };
        let pieces = rng.between(1, 6);
        let last = match rng.below(12) {
            _ if self.calm => Last::Fin,
            0 => Last::Reset,
            1 => Last::Drop,
            _ => Last::Fin,
        };
        let stops = !self.calm && rng.chance(8);
        let read_until = if stops { rng.below(self.stream_bytes_max) } else { usize::MAX };
        Half {
            writes: (0..pieces).map(|_| total / pieces).collect(),
            write_pause: rng.pick(&pauses),
            read_bytes_max: rng.pick(&[1, 10, 1000, 70_000]).max(self.stream_bytes_max / 300),
            read_pause: rng.pick(&pauses),
            read_until,
            last,
            split: rng.chance(30),
            rng,
        }
    }

    /// Whether both sides write all they want, end with a FIN and read to the end.
    pub(crate) fn is_orderly(&self, id: u32) -> bool {
        Side::BOTH.into_iter().all(|side| {
            let half = self.half(id, side);
            half.last == Last::Fin && half.read_until == usize::MAX
        })
    }
}

/// For streams that nobody holds, so that a run is short.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the driver reads at once.
const WIDE_PIECE_BYTES: usize = 64 * 1024;

/// The limits that a session has by itself: what it writes and reads in a turn is what fits them.
fn widen_config(config: &mut Config) {
    let keepalive = config.keepalive;
    *config = Config { keepalive, stream_close_timeout: CLOSE_TIMEOUT, ..Config::default() };
}

/// A connection that takes several turns' worth at once.
fn widen(faults: &mut Faults, rng: &mut Rng) {
    faults.capacity = rng.pick(&[300_000, 1 << 20]);
}

/// A few intrusions at different times, most of them soon.
fn intrude(faults: &mut Faults, rng: &mut Rng, each: impl Fn(Rng) -> Mischief) {
    let mut after = 0;
    for n in 0..rng.between(1, 4) as u64 {
        after += rng.below(12) as u64;
        faults.intrusions.push_back((after, each(rng.fork(n + 100))));
    }
}

fn side(rng: &mut Rng) -> Side {
    rng.pick(&Side::BOTH)
}

fn trouble(rng: &mut Rng) -> Trouble {
    let when = Duration::from_millis(rng.below(300) as u64);
    match rng.below(20) {
        0..8 => Trouble::Nothing,
        8..11 => Trouble::Cut,
        11..13 => Trouble::Harmless,
        13..17 => Trouble::Hostile,
        17 => Trouble::GoAway(side(rng), when),
        _ => Trouble::Close(side(rng), when),
    }
}

fn config(rng: &mut Rng, stream_bytes_max: usize) -> Config {
    let frames = [1, 7, 500, 16 * 1024, 16 * 1024, 1 << 20];
    Config {
        window_bytes: WINDOW_BYTES_INITIAL + rng.pick(&[0, 1, 4000, 1 << 20]),
        // 0: as much as the window is.
        window_bytes_max: rng.pick(&[0, 16 << 20]),
        send_queue_bytes_max: rng
            .pick(&[1, 10, 1000, 64 * 1024, 126 * 1024])
            .max(stream_bytes_max / 100),
        send_bytes_max: rng.pick(&[1, 1000, 256 * 1024]),
        frame_bytes_max: rng.pick(&frames).max((stream_bytes_max / 100) as u32),
        accept_backlog_max: rng.pick(&[1, 4, 256, 256]),
        inbound_streams_max: rng.pick(&[1, 5, 1024, 1024]),
        outbound_streams_max: rng.pick(&[1, 2, 4096]),
        unacked_opens_max: rng.pick(&[1, 2, 256]),
        // Enough for an intruder's pings and one of the session's own: one too many has no answer.
        pongs_queued_max: rng.pick(&[10, 32]),
        resets_queued_max: rng.pick(&[4, 1024]),
        empty_frames_max: rng.pick(&[64, 1024]),
        keepalive: rng.chance(40).then_some(Duration::from_secs(30)),
        stream_close_timeout: CLOSE_TIMEOUT,
        ..Config::default()
    }
}

fn faults(rng: &mut Rng, piece_bytes_max: usize) -> Faults {
    let capacity = rng.pick(&[1, 13, 60, 200, 1000, 200_000]).max(piece_bytes_max / 2);
    // A slow path that holds little would take for ever.
    let delays: &[u64] = if capacity < 1000 { &[0] } else { &[0, 0, 1, 100] };
    Faults {
        capacity,
        piece_bytes_max,
        delay: Duration::from_millis(rng.pick(delays)),
        hiccups_percent: rng.pick(&[0, 0, 30]),
        stall: rng.chance(20).then(|| (rng.below(3000) as u64, Duration::from_secs(5))),
        cut: None,
        intrusions: VecDeque::new(),
    }
}

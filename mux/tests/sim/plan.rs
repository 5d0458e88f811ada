//! Everything that happens in a run, from its seed: the limits of both sides, what the connection
//! does, and what the applications do on each stream.

use std::time::Duration;

use mux::{Config, Flags, Header, Kind, WINDOW_BYTES_INITIAL};

use crate::link::{Cut, Faults};
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
    /// An intruder says to that side what a session has to bear.
    Harmless(Side),
    /// An intruder says to that side what no session bears.
    Fatal(Side),
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
        let ending = match rng.below(4) {
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
        let calm = false;
        let mut plan =
            Self { rng, configs, faults, opens, stream_bytes_max, calm, trouble, ending };
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
            stream_bytes_max: 25,
            calm: true,
            trouble,
            ending: Ending::Close(Side::Client),
        }
    }

    fn arrange(&mut self) {
        let rng = &mut self.rng;
        let after = rng.below(20) as u64;
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
            Trouble::Harmless(to) => {
                let count = rng.between(1, 8);
                let bytes = (0..count).flat_map(|_| harmless(rng, to)).collect();
                self.faults[to.other() as usize].intrusion = Some((after, bytes));
            }
            Trouble::Fatal(to) => {
                let bytes = fatal(rng, to);
                self.faults[to.other() as usize].intrusion = Some((after, bytes));
            }
            Trouble::Nothing | Trouble::GoAway(..) | Trouble::Close(..) => {}
        }
    }

    /// Whether the session may end in the middle of everything.
    pub(crate) fn may_break(&self) -> bool {
        matches!(self.trouble, Trouble::Cut | Trouble::Fatal(_) | Trouble::Close(..))
    }

    /// Whether streams that this side opens may be refused.
    pub(crate) fn may_refuse(&self, opener: Side) -> bool {
        let peer = &self.configs[opener.other() as usize];
        let room = peer.accept_backlog_max.min(peer.inbound_streams_max);
        self.opens[opener as usize] > room || matches!(self.trouble, Trouble::GoAway(..))
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

fn side(rng: &mut Rng) -> Side {
    rng.pick(&Side::BOTH)
}

fn trouble(rng: &mut Rng) -> Trouble {
    let when = Duration::from_millis(rng.below(300) as u64);
    match rng.below(20) {
        0..10 => Trouble::Nothing,
        10..13 => Trouble::Cut,
        13..15 => Trouble::Harmless(side(rng)),
        15..17 => Trouble::Fatal(side(rng)),
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
        intrusion: None,
    }
}

fn frame(kind: Kind, flags: Flags, stream_id: u32, length: u32) -> Vec<u8> {
    Header { kind, flags, stream_id, length }.encode().to_vec()
}

/// A frame that is late, or that nobody asked for.
fn harmless(rng: &mut Rng, to: Side) -> Vec<u8> {
    // Of the victim's own parity, so nobody else can have opened it; and far away.
    let unknown = 1_000_000 + u32::from(to.opens(1));
    let any = rng.next() as u32;
    let (kind, flags, length) = match rng.below(8) {
        0 => return frame(Kind::Ping, Flags::ACK, 0, any),
        1 => return frame(Kind::Ping, Flags::SYN, 0, any),
        2 => (Kind::WindowUpdate, Flags::NONE, any),
        3 => (Kind::WindowUpdate, rng.pick(&[Flags::ACK, Flags::FIN, Flags::RST]), 0),
        4 => (Kind::WindowUpdate, Flags::of(0x10), 0),
        5 => (Kind::Data, Flags::FIN, 0),
        6 => (Kind::Data, Flags::NONE, 0),
        _ => {
            let payload = rng.between(1, 100);
            let late = frame(Kind::Data, Flags::NONE, unknown, payload as u32);
            return [late, vec![0xEE; payload]].concat();
        }
    };
    frame(kind, flags, unknown, length)
}

/// A frame that ends a session, whatever came before.
fn fatal(rng: &mut Rng, to: Side) -> Vec<u8> {
    let own = 1_000_000 + u32::from(to.opens(1));
    let foreign = own + 1;
    match rng.below(8) {
        0 => [&[rng.between(1, 255) as u8][..], &[0; 11]].concat(),
        1 => [&[0, rng.between(4, 255) as u8][..], &[0; 10]].concat(),
        2 => frame(Kind::Data, Flags::NONE, 0, 1),
        3 => frame(Kind::WindowUpdate, Flags::SYN, 0, 0),
        4 => frame(Kind::WindowUpdate, Flags::SYN, own, 0),
        5 => frame(Kind::Data, Flags::SYN, foreign, WINDOW_BYTES_INITIAL + 1),
        6 => frame(Kind::WindowUpdate, Flags::SYN, foreign, u32::MAX),
        _ => frame(Kind::GoAway, Flags::NONE, 0, rng.between(1, 3) as u32),
    }
}

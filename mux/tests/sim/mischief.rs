//! What an intruder says between two frames of a session: frames that its peer has to bear, and
//! frames that it may not.

use mux::{Flags, Header, Kind, WINDOW_BYTES_INITIAL};

use crate::wire::{Referee, Rng, Seen, Side};

const FULL: u32 = WINDOW_BYTES_INITIAL;
const NONE: Flags = Flags::NONE;
const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const FIN: Flags = Flags::FIN;
const RST: Flags = Flags::RST;

/// Far from any stream of a plan.
const UNKNOWN: u32 = 1_000_000;

/// What kind of word an intruder puts in; the numbers decide which.
#[derive(Clone, Debug)]
pub(crate) enum Mischief {
    /// Frames that are late, or that nobody asked for, and change nothing.
    Harmless(Rng),
    /// Frames for streams that may be there.
    Hostile(Rng),
}

/// Bytes for a session, and whom they concern.
#[derive(Default)]
pub(crate) struct Word {
    pub(crate) bytes: Vec<u8>,
    pub(crate) touched: Vec<u32>,
    /// The frame does not fit on this connection: it ends in the middle of it.
    pub(crate) breaks_off: bool,
}

impl Word {
    fn and(mut self, mut next: Self) -> Self {
        self.bytes.append(&mut next.bytes);
        self.touched.append(&mut next.touched);
        self
    }

    fn times(self, count: usize) -> Self {
        Self { bytes: self.bytes.repeat(count), ..self }
    }
}

fn frame(kind: Kind, flags: Flags, stream_id: u32, length: u32) -> Word {
    let bytes = Header { kind, flags, stream_id, length }.encode().to_vec();
    Word { bytes, touched: vec![stream_id], breaks_off: false }
}

fn update(flags: Flags, id: u32, length: u32) -> Word {
    frame(Kind::WindowUpdate, flags, id, length)
}

fn data(flags: Flags, id: u32, bytes: usize) -> Word {
    let mut word = frame(Kind::Data, flags, id, bytes as u32);
    word.bytes.extend(std::iter::repeat_n(0xEE, bytes));
    word
}

impl Mischief {
    /// What is said to `victim` in the name of `sender`.
    pub(crate) fn word(self, sender: &Referee, victim: &Referee) -> Word {
        match self {
            // What has no effect excuses nothing.
            Self::Harmless(mut rng) => Word { touched: vec![], ..harmless(&mut rng, sender) },
            Self::Hostile(mut rng) => hostile(&mut rng, sender, victim),
        }
    }
}

fn any_of<T: Copy>(rng: &mut Rng, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| rng.pick(from))
}

fn harmless(rng: &mut Rng, sender: &Referee) -> Word {
    let seen = sender.seen();
    // Of the victim's own parity, so nobody else can have opened it.
    let unknown = UNKNOWN + u32::from(sender.side().other().opens(1));
    match rng.below(9) {
        0 => frame(Kind::Ping, ACK, 0, rng.next() as u32),
        1 => frame(Kind::Ping, SYN, 0, rng.next() as u32),
        2..5 => late(rng, unknown),
        5..7 => {
            let over: Vec<_> = seen.iter().filter(|s| s.over).map(|s| s.id).collect();
            let id = any_of(rng, &over).unwrap_or(unknown);
            late(rng, id)
        }
        _ => any_of(rng, &seen).map_or_else(Word::default, |stream| nothing_new(rng, stream)),
    }
}

/// A frame of a stream that is over, or never was.
fn late(rng: &mut Rng, id: u32) -> Word {
    let flags = rng.pick(&[NONE, ACK, FIN, RST, Flags::of(0x10), ACK | FIN]);
    match rng.below(3) {
        0 => update(flags, id, rng.next() as u32),
        1 => update(flags, id, 0),
        _ => data(flags, id, rng.below(100)),
    }
}

/// A frame of a stream that lives, and for which it changes nothing.
fn nothing_new(rng: &mut Rng, stream: Seen) -> Word {
    let mut flags = rng.pick(&[NONE, Flags::of(0x10)]);
    if stream.acked && rng.chance(50) {
        flags = flags | ACK;
    }
    if stream.finished && rng.chance(50) {
        flags = flags | FIN;
    }
    frame(rng.pick(&[Kind::Data, Kind::WindowUpdate]), flags, stream.id, 0)
}

fn hostile(rng: &mut Rng, sender: &Referee, victim: &Referee) -> Word {
    let id = target(rng, sender, victim);
    let kind = rng.pick(&[Kind::Data, Kind::WindowUpdate]);
    let fin = frame(kind, FIN, id, 0);
    let some = rng.between(1, 100);
    // Of the sender's parity, so that it is no error by itself.
    let own = if sender.side().opens(id) { id } else { sender.next_id() };
    match rng.below(25) {
        0..5 => anything(rng, id, sender.side()),
        5 => data(NONE, id, some),
        6 => data(FIN, id, some),
        7 => fin.times(2),
        8 => fin.and(data(NONE, id, some)),
        9 => update(RST, id, rng.next() as u32),
        10 => data(RST, id, some).and(data(NONE, id, some)),
        11 => frame(kind, ACK, id, 0).and(update(ACK, id, some as u32)),
        12 => update(NONE, id, rng.pick(&[1, FULL, u32::MAX])),
        13 => update(NONE, id, u32::MAX).times(2),
        14 => frame(kind, SYN, own, 0),
        15 => data(SYN, own, some).and(data(FIN, own, some)),
        16 | 23 => too_much(rng, id, victim),
        17 => burst(rng, id),
        18 => frame(Kind::Ping, SYN, 0, rng.next() as u32).times(rng.between(20, 100)),
        19 => flood_of_flags(rng, id, kind),
        20 => frame(Kind::GoAway, rng.pick(&[NONE, ACK]), 0, 0),
        21 => data(NONE, id, some).and(update(RST, id, 0)).and(fin),
        22 => harmless(rng, sender),
        _ => fatal(rng, sender.side().other()),
    }
}

/// A stream that lives, most often; or is over, or is yet to come.
fn target(rng: &mut Rng, sender: &Referee, victim: &Referee) -> u32 {
    let seen = sender.seen();
    let over = rng.chance(20);
    let ids: Vec<_> = seen.iter().filter(|s| s.over == over).map(|s| s.id).collect();
    let next = if rng.chance(50) { sender.next_id() } else { victim.next_id() };
    if rng.chance(10) { next } else { any_of(rng, &ids).unwrap_or(next) }
}

fn anything(rng: &mut Rng, id: u32, sender: Side) -> Word {
    // Seldom a SYN with an id of the other side, which is the end.
    let harsh = sender.opens(id) || rng.chance(10);
    let flags = Flags::of(rng.below(32) as u16 & if harsh { 0x1F } else { 0x1E });
    if rng.chance(50) {
        data(flags, id, rng.pick(&[0, 0, 1, 50]))
    } else {
        update(flags, id, rng.pick(&[0, 0, 1, 100, FULL, u32::MAX]))
    }
}

/// A frame that is larger than any window, of which no more than the header comes.
fn too_much(rng: &mut Rng, id: u32, victim: &Referee) -> Word {
    let length = rng.pick(&[victim.window_bytes_max() + 1, u32::MAX]);
    let header = frame(Kind::Data, rng.pick(&[NONE, ACK, FIN]), id, length);
    Word { breaks_off: true, ..header }
}

/// More than the window that a stream has by itself, in frames that each fit; seldom, as it is much.
fn burst(rng: &mut Rng, id: u32) -> Word {
    let frames = if rng.chance(10) { 9 } else { 0 };
    data(NONE, id, FULL as usize / 8).times(frames)
}

fn flood_of_flags(rng: &mut Rng, id: u32, kind: Kind) -> Word {
    let flags = rng.pick(&[NONE, Flags::of(0x20), ACK, FIN, ACK | FIN]);
    frame(kind, flags, id, 0).times(rng.between(10, 100))
}

/// A frame that ends a session, whatever came before.
fn fatal(rng: &mut Rng, to: Side) -> Word {
    let own = UNKNOWN + u32::from(to.opens(1));
    let foreign = own + 1;
    match rng.below(8) {
        0 => bytes(rng.between(1, 255) as u8, 0),
        1 => bytes(0, rng.between(4, 255) as u8),
        2 => frame(Kind::Data, NONE, 0, 1),
        3 => update(SYN, 0, 0),
        4 => update(SYN, own, 0),
        5 => frame(Kind::Data, SYN, foreign, FULL + 1),
        6 => update(SYN, foreign, u32::MAX),
        _ => frame(Kind::GoAway, NONE, 0, rng.between(1, 3) as u32),
    }
}

/// A header of that version and type.
fn bytes(version: u8, kind: u8) -> Word {
    Word { bytes: [&[version, kind][..], &[0; 10]].concat(), ..Word::default() }
}

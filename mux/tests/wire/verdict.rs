//! Whether what a session hears breaks a rule: what it has to end for, and what it may.
//!
//! The referee sees the wire, and is told what the application holds. So there are frames of which it
//! cannot say what the session makes of them: a stream may be over there, and the wire not yet know.
//! Those leave a doubt, which excuses the session if it ends for them.

use mux::{Config, Error, Flags, Header, Initiator, Kind, Rule, WINDOW_BYTES_INITIAL};

use super::frames::Head;
use super::referee::{Referee, Stream};

/// More than a session gathers to be written, one frame of data aside.
const OUTBOX_BYTES_MAX: u64 = 128 * 1024;

/// Why a session ends because of what it hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doom {
    Broken(Rule, Head),
    /// A GoAway with that code.
    GoAway(u32),
}

impl Doom {
    fn of(err: &Error) -> Option<Self> {
        match err {
            Error::Protocol(violation) => Some(Self::Broken(violation.rule(), *violation.frame())),
            Error::GoAway { by: Initiator::Remote, code } if code.value() != 0 => {
                Some(Self::GoAway(code.value()))
            }
            _ => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Verdict {
    /// What the session has to end for. It hears nothing more.
    pub(super) doom: Option<Doom>,
    /// What it may have ended for.
    doubts: Vec<Doom>,
    /// The application ends it: it may have stopped listening.
    pub(super) closes: bool,
    /// The application takes no more streams: the wire may not know of it yet.
    pub(super) goes_away: bool,
    /// It may reset any stream, because it holds too much.
    cramped: bool,
    /// Empty frames that count for certain, and that may.
    empty: [u32; 2],
    /// Frames and calls of the application for which the session may have queued a reset.
    pub(super) provocations: usize,
}

/// Whether a session has a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Live,
    Unsure,
    /// Over, or never there.
    Gone,
}

impl Referee {
    /// How the session has ended: not without a reason, and not for another.
    pub fn judge_end(&self, outcome: &Result<(), Error>) {
        let (side, Verdict { doom, doubts, .. }) = (self.side, &self.verdict);
        let Some(end) = outcome.as_ref().err().and_then(Doom::of) else {
            assert!(doom.is_none(), "{side:?} ends with {outcome:?}, but has heard {doom:?}");
            return;
        };
        let may = *doom == Some(end) || doubts.contains(&end);
        assert!(may, "{side:?} ends with {outcome:?}, but has heard {doom:?}");
    }

    /// Whether the session has ended with that error because of the frame behind which nothing counts.
    pub fn is_doomed_by(&self, err: &Error) -> bool {
        let Verdict { doom, doubts, .. } = &self.verdict;
        doom.is_some_and(|doom| Doom::of(err) == Some(doom) && !doubts.contains(&doom))
    }

    pub(super) fn bad_header(&mut self, rule: Rule, head: Head) {
        self.doom(Life::Live, Doom::Broken(rule, head));
    }

    /// What a session with such a stream has to make of it, or may.
    fn doom(&mut self, life: Life, doom: Doom) {
        match life {
            Life::Gone => {}
            Life::Live if !self.verdict.closes => self.verdict.doom = Some(doom),
            Life::Live | Life::Unsure => self.verdict.doubts.push(doom),
        }
    }

    fn breaks(&mut self, life: Life, rule: Rule, header: Header) {
        self.doom(life, Doom::Broken(rule, header.encode()));
    }

    fn life(&self, id: u32) -> Life {
        match self.streams.get(&id) {
            None => Life::Gone,
            Some(stream) if !self.side.opens(id) && !stream.heard.syn => Life::Gone,
            Some(stream) if stream.blurred => Life::Unsure,
            Some(stream) if stream.is_over() => Life::Gone,
            Some(stream) if stream.may_be_reset || self.verdict.cramped => Life::Unsure,
            Some(stream) => {
                let certain = if self.side.opens(id) {
                    // One that is not accepted in time is reset.
                    stream.held && stream.heard.ack
                } else {
                    stream.held || (!stream.was_held && self.refuses_none())
                };
                if certain && !stream.owes_reset { Life::Live } else { Life::Unsure }
            }
        }
    }

    /// Whether the session has room for more streams than anybody opens.
    fn refuses_none(&self) -> bool {
        let Config { accept_backlog_max, inbound_streams_max, .. } = self.config;
        accept_backlog_max.min(inbound_streams_max) > self.streams.len() && !self.verdict.goes_away
    }

    /// Judges a frame that the session hears, before it is noted.
    pub(super) fn weigh(&mut self, header: Header) {
        match header.kind {
            Kind::Ping => {}
            Kind::GoAway if header.length == 0 => {}
            Kind::GoAway => self.doom(Life::Live, Doom::GoAway(header.length)),
            Kind::Data | Kind::WindowUpdate if header.stream_id == 0 => {
                self.breaks(Life::Live, Rule::StreamZero, header);
            }
            Kind::Data | Kind::WindowUpdate => self.weigh_stream(header),
        }
    }

    fn weigh_stream(&mut self, header: Header) {
        self.weigh_empty(header);
        let has = |flag| header.flags.contains(flag);
        let has_payload = header.kind == Kind::Data && header.length > 0;
        if has(Flags::SYN) {
            self.weigh_syn(header);
        } else if has(Flags::RST) {
            // A session that closes may have refused what waits in its backlog.
            let live = self.life(header.stream_id) == Life::Live && !self.verdict.closes;
            if let Some(stream) = self.streams.get_mut(&header.stream_id) {
                stream.was_reset |= live;
            }
            return;
        } else if has_payload {
            self.weigh_payload(header);
        } else if header.kind == Kind::WindowUpdate {
            self.weigh_credit(header);
        }
        if has(Flags::SYN) || has_payload {
            self.provoked(header);
        }
    }

    /// A peer that makes a session answer by resets and does not read them is left.
    fn provoked(&mut self, header: Header) {
        self.verdict.provocations += 1;
        let config = &self.config;
        let streams = config.inbound_streams_max + config.outbound_streams_max;
        if self.verdict.provocations > config.resets_queued_max + streams {
            self.breaks(Life::Unsure, Rule::RepliesUnread, header);
        }
    }

    fn weigh_syn(&mut self, header: Header) {
        let Header { kind, flags, stream_id: id, length } = header;
        if self.side.opens(id) {
            return self.breaks(Life::Live, Rule::Parity, header);
        }
        let life = self.life(id);
        self.breaks(life, Rule::DuplicateSyn, header);
        let new = if life == Life::Gone { Life::Live } else { Life::Unsure };
        match kind {
            Kind::Data if length > WINDOW_BYTES_INITIAL => {
                self.breaks(new, Rule::WindowExceeded, header);
            }
            Kind::WindowUpdate
                if length > u32::MAX - WINDOW_BYTES_INITIAL && !flags.contains(Flags::RST) =>
            {
                self.breaks(new, Rule::CreditOverflow, header);
            }
            _ => {}
        }
    }

    fn weigh_payload(&mut self, header: Header) {
        let (id, length) = (header.stream_id, u64::from(header.length));
        let waiting: u64 = self.streams.values().map(Stream::waiting).sum();
        self.verdict.cramped |= waiting + length > self.config.receive_bytes_max as u64;
        let (life, window_bytes_max) = (self.life(id), self.window_bytes_max);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.heard.fin && !stream.blurred {
            match life {
                // It counts against no window.
                Life::Live => stream.owes_reset = true,
                // Where nobody reads, a FIN behind payload was not looked at.
                _ => {
                    stream.may_be_reset = true;
                    self.breaks(life, Rule::WindowExceeded, header);
                }
            }
            return;
        }
        let beyond_all = stream.waiting() + length > window_bytes_max;
        let granted = u64::from(WINDOW_BYTES_INITIAL) + stream.granted;
        if beyond_all {
            self.breaks(life, Rule::WindowExceeded, header);
        } else if stream.arrived + length > granted && life != Life::Gone {
            // The window may have grown already, and nobody been told.
            self.breaks(Life::Unsure, Rule::WindowExceeded, header);
        }
    }

    fn weigh_credit(&mut self, header: Header) {
        let life = self.life(header.stream_id);
        let Some(stream) = self.streams.get(&header.stream_id) else { return };
        let known = u64::from(WINDOW_BYTES_INITIAL) + stream.credit;
        let most = (known + u64::from(header.length)).saturating_sub(stream.spent);
        // What the session has taken to be written is spent, and not seen yet.
        let least = most.saturating_sub(OUTBOX_BYTES_MAX + u64::from(self.frame_bytes_max));
        if least > u64::from(u32::MAX) {
            self.breaks(life, Rule::CreditOverflow, header);
        } else if most > u64::from(u32::MAX) && life != Life::Gone {
            self.breaks(Life::Unsure, Rule::CreditOverflow, header);
        }
    }

    fn weigh_empty(&mut self, header: Header) {
        let [certain, possible] = self.is_empty(header);
        let [least, most] = &mut self.verdict.empty;
        if header.length > 0 {
            let paid = u32::from(header.kind == Kind::Data);
            (*least, *most) = (least.saturating_sub(paid), most.saturating_sub(paid));
            return;
        }
        (*least, *most) = (*least + u32::from(certain), *most + u32::from(possible));
        let max = self.config.empty_frames_max;
        match self.verdict.empty {
            [least, _] if certain && least > max => {
                self.breaks(Life::Live, Rule::EmptyFrames, header);
            }
            [_, most] if possible && most > max => {
                self.breaks(Life::Unsure, Rule::EmptyFrames, header);
            }
            _ => {}
        }
    }

    /// Whether a frame of length 0 does nothing for certain, and whether it may.
    fn is_empty(&self, header: Header) -> [bool; 2] {
        let has = |flag| header.flags.contains(flag);
        let id = header.stream_id;
        if has(Flags::SYN) {
            return [false, false];
        }
        if !has(Flags::ACK) && !has(Flags::FIN) && !has(Flags::RST) {
            return [true, true];
        }
        let heard = |stream: &Stream| {
            let acked = !self.side.opens(id) || stream.heard.ack;
            !has(Flags::RST)
                && (!has(Flags::ACK) || acked)
                && (!has(Flags::FIN) || stream.heard.fin)
        };
        let said_before = self.streams.get(&id).is_some_and(heard);
        [said_before && self.life(id) == Life::Live, true]
    }
}

//! The loopy writer: control frames first, then the streams in turn.

use super::code::{GoAwayCode, ResetCode};
use super::control::Control;
use super::frame::{Flags, HEADER_BYTES, Header, Kind};
use super::outbox::Outbox;
use super::parse::LEND_BYTES_MIN;
use super::queue::ByteQueue;
use super::session::{Phase, Session};
use super::state::{State, Step};
use super::stream::{Cause, End, Key};
use super::trash::Trash;
use crate::{Error, Initiator};

/// Bytes gathered for one write, of which one frame of data is, however large. Nothing more is taken
/// until these are gone, so that a control frame waits for no more than so much data.
///
/// Linux makes packets of almost 64 KiB of one write, and a small one of what is left over, which costs
/// as much. So a write is to fill two of them and no more: two are 130,320 bytes with IPv4 on Ethernet,
/// as whole segments of 1,448, and 130,926 on loopback. Where segments are smaller, as with IPv6, two
/// are a little less, and there is a third.
pub(crate) const BATCH_BYTES: usize = 127 * 1024;

/// The least room at the end of a batch for which a frame is cut to fit. Whole frames of 16 KiB would
/// be seven, an eighth less than there is room for, and packets an eighth more. A smaller piece is not
/// worth its header, and is copied where it is received.
const CUT_BYTES_MIN: usize = LEND_BYTES_MIN;

impl Session {
    /// Gathers frames to be written, unless some still wait; and notes how far closing has got.
    pub(crate) fn fill(&mut self) {
        if self.outbox.is_empty() {
            self.refill();
        }
    }

    fn refill(&mut self) {
        if self.retiring && self.streams.is_empty() {
            self.close();
        }
        self.take_frames();
        if self.phase == Phase::Draining && self.outbox.is_empty() && self.is_quiet() {
            self.part(Error::Closed { by: Initiator::Local }, GoAwayCode::Normal);
            self.take_frames();
        }
        if self.phase == Phase::Parting && self.outbox.is_empty() {
            self.phase = Phase::HangUp;
        }
        self.timing.stalled_since = (!self.outbox.is_empty()).then_some(self.timing.now);
    }

    /// What to write now. Whoever takes it writes what the connection takes, while nothing of the
    /// session is borrowed, and brings back the rest before anything else is asked of the writer.
    pub(crate) fn lend_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    /// Takes the outbox back; `progress` if some of it was written.
    pub(crate) fn return_outbox(&mut self, outbox: Outbox, progress: bool) {
        self.outbox = outbox;
        if progress {
            self.timing.stalled_since = (!self.outbox.is_empty()).then_some(self.timing.now);
        }
    }

    /// Whether there is something for the driver to do: to send, or to wake.
    pub(crate) fn has_work(&self) -> bool {
        !(self.control.is_empty() && self.active.is_empty() && self.changed.is_empty())
    }

    fn take_frames(&mut self) {
        let frame = self.config.frame_bytes_max as usize;
        let mut has_data = false;
        while let Some(room) = BATCH_BYTES.checked_sub(self.outbox.len() + HEADER_BYTES) {
            if let Some(item) = self.control.pop() {
                self.take_control(item);
                continue;
            }
            // The first frame of data is as large as it may be.
            let max = if has_data { frame.min(room) } else { frame };
            if max < frame.min(CUT_BYTES_MIN) {
                break;
            }
            let Some(key) = self.active.pop_front() else { break };
            let before = self.outbox.len();
            self.take_turn(key, max);
            has_data |= self.outbox.len() > before + HEADER_BYTES;
            if max < frame {
                self.owe(key, frame - max, max);
            }
        }
    }

    /// A frame of the stream was cut: it is owed the rest. Once it is owed as much as it has just been
    /// given, that was what it was owed and no turn, and it opens the next batch with its turn.
    ///
    /// Where the cut falls depends on how many streams there are, and it can be the same one in every
    /// batch: the last of eight, of seven whole frames and one that is cut. If the one that is cut opened
    /// the next batch every time, it would be the same one of seven streams, with almost two frames for
    /// one. The rest as a frame of its own would be a header and a copy in every batch.
    fn owe(&mut self, key: Key, rest: usize, given: usize) {
        if self.active.back() != Some(&key) {
            return; // It was all that could be sent.
        }
        // Less than a frame, and so is what is owed, always.
        let (rest, given) = (rest as u32, given as u32);
        let stream = self.stream(key);
        match stream.owed.checked_sub(given) {
            None => stream.owed += rest,
            Some(left) => {
                stream.owed = left;
                self.active.pop_back();
                self.active.push_front(key);
            }
        }
    }

    fn take_control(&mut self, item: Control) {
        let (kind, flags, stream_id, length) = match item {
            Control::Update(key) => return self.take_update(key),
            Control::Reset(id, code) => (Kind::WindowUpdate, Flags::RST, id, code.value()),
            Control::Pong(value) => (Kind::Ping, Flags::ACK, 0, value),
            Control::Ping => match self.pings.sent(self.timing.now) {
                Some(value) => (Kind::Ping, Flags::SYN, 0, value),
                None => return,
            },
            Control::GoAway(code) => (Kind::GoAway, Flags::NONE, 0, code.value()),
        };
        self.put_header(Header { kind, flags, stream_id, length });
    }

    fn put_header(&mut self, header: Header) {
        self.counts.frames_sent += 1;
        self.outbox.header(&header);
    }

    /// The SYN, the ACK and the credit of a stream, as one frame.
    fn take_update(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        stream.in_control = false;
        if !stream.needs_update() {
            return;
        }
        let flags = match stream.state {
            State::Init => Flags::SYN,
            _ if stream.ack_due => Flags::ACK,
            _ => Flags::NONE,
        };
        let length = self.take_credit(key);
        let stream = self.stream(key);
        stream.ack_due = false;
        stream.state = stream.state.after(Step::SynSent);
        if flags == Flags::SYN {
            self.note_open(key);
        }
        let kind = Kind::WindowUpdate;
        self.put_header(Header { kind, flags, stream_id: key.id, length });
        self.activate(key);
    }

    /// What the peer may send beyond what it knows of: credit for what was read, the part of the
    /// window that a SYN or an ACK announces, and what the window has grown by.
    fn take_credit(&mut self, key: Key) -> u32 {
        let now_ns = self.timing.now_ns();
        let stream = self.stream(key);
        let (opens, owes) = (stream.opens(), stream.owes_credit());
        let mut wanted = if opens { self.config.window_bytes } else { 0 };
        if owes && self.stream(key).window.max() < self.config.window_bytes_max {
            let rtt = self.measured_rtt();
            let window = &self.stream(key).window;
            wanted = wanted.max(rtt.map_or(0, |rtt| window.wanted(rtt, now_ns)));
        }
        let grown = self.grow_window(key, wanted);
        let window = &mut self.stream(key).window;
        grown + if owes { window.take_credit(now_ns) } else { 0 }
    }

    /// Makes a window larger, as far as the limits of the stream and of the session allow.
    fn grow_window(&mut self, key: Key, wanted: u32) -> u32 {
        let free = self.config.receive_bytes_max.saturating_sub(self.reserved);
        let wanted = wanted.min(self.config.window_bytes_max);
        let window = &mut self.stream(key).window;
        let extra = wanted.saturating_sub(window.max());
        let extra = u32::try_from(free).map_or(extra, |free| extra.min(free));
        window.grow(extra);
        self.reserved += extra as usize;
        extra
    }

    /// At most one frame of data, of so many bytes, and the end of the stream if that is all.
    fn take_turn(&mut self, key: Key, max: usize) {
        let Some(stream) = self.get(key) else { return };
        stream.in_active = false;
        if !stream.can_send() {
            return;
        }
        let wanted = u32::try_from(stream.send.len().min(max)).unwrap_or(u32::MAX);
        let length = wanted.min(stream.credit.available());
        if length > 0 {
            self.take_data(key, length);
        }
        self.take_end(key);
        self.activate(key);
    }

    fn take_data(&mut self, key: Key, length: u32) {
        let header = Header { kind: Kind::Data, flags: Flags::NONE, stream_id: key.id, length };
        self.put_header(header);
        self.counts.bytes_sent += u64::from(length);
        let stream = self.stream(key);
        let before = stream.sendable_bytes();
        stream.credit.spend(length);
        stream.sent += u64::from(length);
        let mut left = length as usize;
        if self.take_small(key, left) {
            left = 0;
        }
        while let Some(chunk) = self.stream(key).send.pop(left) {
            left -= chunk.len();
            if let Some(copied) = self.outbox.payload(chunk) {
                self.discard(Trash::Chunk(copied));
            }
        }
        let after = self.stream(key).sendable_bytes();
        self.sendable -= before - after;
        self.unsent -= length as usize;
        self.data_left(key);
    }

    /// A message that is small and all there is: copied beside its header from where it lies.
    fn take_small(&mut self, key: Key, bytes: usize) -> bool {
        let queue = &mut self.streams[key.index as usize].send;
        let small = queue.copied().filter(|small| small.len() == bytes);
        let taken = small.is_some_and(|small| self.outbox.small(small));
        if taken {
            *queue = ByteQueue::default();
        }
        taken
    }

    fn take_end(&mut self, key: Key) {
        let stream = self.stream(key);
        if !stream.send.is_empty() {
            return;
        }
        let flags = match stream.end {
            End::Open => return,
            End::Fin => Flags::FIN,
            End::Rst => Flags::RST,
        };
        let kind = Kind::WindowUpdate;
        self.put_header(Header { kind, flags, stream_id: key.id, length: 0 });
        if flags == Flags::RST {
            self.counts.resets_sent += 1;
            let (by, code) = (Initiator::Local, ResetCode::NONE);
            return self.end_stream(key, Cause::Reset { by, code });
        }
        let stream = self.stream(key);
        stream.state = stream.state.after(Step::FinSent);
        let over = stream.state.is_over();
        // A flush may wait for it.
        self.changed(key, |events| (events.writable, events.over) = (true, over));
        self.retire_if_over(key);
    }

    /// Gives the stream a turn if it has something to send and may.
    pub(super) fn activate(&mut self, key: Key) {
        if self.fate.is_some() {
            return;
        }
        let Some(stream) = self.get(key) else { return };
        if stream.can_send() && !stream.in_active {
            stream.in_active = true;
            self.active.push_back(key);
        }
    }

    /// Queues the update of a stream that needs one, once.
    pub(super) fn update_later(&mut self, key: Key) {
        if self.fate.is_some() {
            return;
        }
        let Some(stream) = self.get(key) else { return };
        if stream.needs_update() && !stream.in_control {
            stream.in_control = true;
            self.control.push(Control::Update(key));
        }
    }
}

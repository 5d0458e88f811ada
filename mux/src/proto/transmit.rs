//! The loopy writer: control frames first, then the streams in turn.

use super::control::Control;
use super::frame::{Flags, GoAwayCode, Header, Kind};
use super::outbox::Outbox;
use super::session::{Phase, Session};
use super::state::Step;
use super::stream::{End, Events, Key};
use crate::{Error, Initiator};

/// Bytes gathered for one write. Beyond it nothing is taken until these are gone, so that a control
/// frame waits for no more than so much data.
const BATCH_BYTES: usize = 64 * 1024;

impl Session {
    /// Gathers frames to be written, unless some still wait; and notes how far closing has got.
    pub(crate) fn fill(&mut self) {
        if !self.outbox.is_empty() {
            return;
        }
        if self.orphaned && self.streams.is_empty() {
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
        while self.outbox.len() < BATCH_BYTES {
            if let Some(item) = self.control.pop() {
                self.take_control(item);
            } else if let Some(key) = self.active.pop_front() {
                self.take_turn(key);
            } else {
                break;
            }
        }
        self.outbox.seal();
    }

    fn take_control(&mut self, item: Control) {
        let (kind, flags, stream_id, length) = match item {
            Control::Update(key) => return self.take_update(key),
            Control::Reset(id) => (Kind::WindowUpdate, Flags::RST, id, 0),
            Control::Pong(value) => (Kind::Ping, Flags::ACK, 0, value),
            Control::Ping => match self.pings.sent(self.timing.now) {
                Some(value) => (Kind::Ping, Flags::SYN, 0, value),
                None => return,
            },
            Control::GoAway(code) => (Kind::GoAway, Flags::NONE, 0, code.value()),
        };
        self.outbox.header(&Header { kind, flags, stream_id, length });
    }

    /// The SYN, the ACK and the credit of a stream, as one frame.
    fn take_update(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        stream.in_control = false;
        if !stream.needs_update() {
            return;
        }
        let (flags, length) = stream.take_update();
        stream.state = stream.state.after(Step::SynSent);
        let kind = Kind::WindowUpdate;
        self.outbox.header(&Header { kind, flags, stream_id: key.id, length });
        self.activate(key);
    }

    /// At most one frame of data, and the end of the stream if that is all.
    fn take_turn(&mut self, key: Key) {
        let quantum = self.config.frame_bytes_max;
        let Some(stream) = self.get(key) else { return };
        stream.in_active = false;
        if !stream.can_send() {
            return;
        }
        let queued = u32::try_from(stream.send.len()).unwrap_or(u32::MAX);
        let length = quantum.min(stream.credit.available()).min(queued);
        if length > 0 {
            self.take_data(key, length);
        }
        self.take_end(key);
        self.activate(key);
    }

    fn take_data(&mut self, key: Key, length: u32) {
        let header = Header { kind: Kind::Data, flags: Flags::NONE, stream_id: key.id, length };
        self.outbox.header(&header);
        let stream = &mut self.streams[key.index as usize];
        stream.credit.spend(length);
        let mut left = length as usize;
        while let Some(chunk) = stream.send.pop(left) {
            left -= chunk.len();
            self.outbox.payload(chunk);
        }
        self.changed(key, |events| events.writable = true);
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
        self.outbox.header(&Header { kind, flags, stream_id: key.id, length: 0 });
        if flags == Flags::RST {
            return self.end_stream(key, Initiator::Local);
        }
        let stream = self.stream(key);
        stream.state = stream.state.after(Step::FinSent);
        // A flush may wait for it.
        self.changed(key, |events| events.writable = true);
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

    /// Notes events of a stream, for the next `take_events`.
    pub(super) fn changed(&mut self, key: Key, note: impl FnOnce(&mut Events)) {
        let Some(stream) = self.get(key) else { return };
        let known = stream.events != Events::default();
        note(&mut stream.events);
        if !known {
            self.changed.push_back(key);
        }
    }
}

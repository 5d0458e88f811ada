//! What comes in: frames to streams.
//!
//! Payload goes to the buffer of its stream as it arrives. The length of a frame is checked against
//! the window when its header is there, and is never used to allocate.

use bytes::Bytes;

use super::code::{GoAwayCode, ResetCode};
use super::control::Control;
use super::frame::{Flags, Header, Kind};
use super::parse::{LEND_BYTES_MIN, Parser};
use super::session::Session;
use super::state::Step;
use super::stream::{Cause, Key, Owner};
use super::violation::Rule;
use crate::{Error, Initiator};

impl Session {
    pub(super) fn on_frame(&mut self, header: Header) -> Result<(), Rule> {
        match header.kind {
            Kind::Data => self.on_data(header),
            Kind::WindowUpdate => self.on_window_update(header),
            Kind::Ping => {
                self.on_ping(header);
                Ok(())
            }
            Kind::GoAway => {
                self.on_go_away(GoAwayCode::of(header.length));
                Ok(())
            }
        }
    }

    fn on_data(&mut self, header: Header) -> Result<(), Rule> {
        let mut to = self.receiver(header)?;
        if let Some(key) = to.filter(|_| header.length > 0) {
            to = self.admit(key, header.length)?;
        }
        let fin = header.flags.contains(Flags::FIN);
        match (header.length, to) {
            (0, Some(key)) if fin => self.on_fin(key),
            (0, _) => {}
            (left, to) => self.parser = Parser::Body { to, left, fin },
        }
        Ok(())
    }

    /// Takes the window for a frame's payload, or finds that nobody wants it.
    fn admit(&mut self, key: Key, bytes: u32) -> Result<Option<Key>, Rule> {
        self.check_replies()?;
        let now_ns = self.timing.now_ns();
        let Some(stream) = self.get(key) else { return Ok(None) };
        if !stream.state.receives() {
            // Data after the FIN.
            self.count_reset()?;
            self.abort(key, ResetCode::PROTOCOL_VIOLATION);
            return Ok(None);
        }
        stream.window.receive(bytes, now_ns)?;
        if stream.owner == Owner::Nobody {
            // The reader is gone.
            self.reset_after_queue(key);
            return Ok(None);
        }
        Ok(Some(key))
    }

    fn on_window_update(&mut self, header: Header) -> Result<(), Rule> {
        let Some(key) = self.receiver(header)? else { return Ok(()) };
        if !header.flags.contains(Flags::SYN) {
            self.on_credit(key, header.length)?;
        }
        if header.flags.contains(Flags::FIN) {
            self.on_fin(key);
        }
        Ok(())
    }

    fn on_credit(&mut self, key: Key, credit: u32) -> Result<(), Rule> {
        let Some(stream) = self.get(key) else { return Ok(()) };
        let before = stream.sendable_bytes();
        stream.credit.grant(credit)?;
        let more = stream.sendable_bytes() - before;
        self.sendable += more;
        self.activate(key);
        Ok(())
    }

    /// The stream that a frame is for, opened, acknowledged or reset as its flags say.
    fn receiver(&mut self, header: Header) -> Result<Option<Key>, Rule> {
        let id = header.stream_id;
        if id == 0 {
            return Err(Rule::StreamZero);
        }
        let known = self.ids.get(&id).map(|&index| Key { index, id });
        self.count_empty(header, known)?;
        if header.flags.contains(Flags::SYN) {
            return self.on_syn(header, known);
        }
        let Some(key) = known else { return Ok(None) };
        if header.flags.contains(Flags::ACK) {
            self.on_ack(key);
        }
        if header.flags.contains(Flags::RST) {
            self.on_rst(key, header)?;
            return Ok(None);
        }
        Ok(Some(key))
    }

    fn on_rst(&mut self, key: Key, header: Header) -> Result<(), Rule> {
        if self.stream(key).opened_by == Initiator::Remote {
            self.count_reset()?;
        }
        self.counts.resets_received += 1;
        // The length of Data is payload, which follows.
        let is_code = header.kind == Kind::WindowUpdate;
        let code = ResetCode::of(if is_code { header.length } else { 0 });
        self.end_stream(key, Cause::Reset { by: Initiator::Remote, code });
        Ok(())
    }

    /// Payload, or a piece of it; a part of `buffer`, if that can be kept.
    pub(super) fn on_payload(&mut self, key: Key, body: &[u8], buffer: Option<&Bytes>) {
        // Between two pieces of a frame the application may have reset or dropped the stream.
        let Some(stream) = self.get(key).filter(|stream| stream.state.receives()) else { return };
        if stream.owner == Owner::Nobody {
            return self.reset_after_queue(key);
        }
        match buffer.filter(|_| body.len() >= LEND_BYTES_MIN) {
            None => stream.recv.push_slice(body),
            Some(buffer) if stream.recv.lend(buffer.slice_ref(body)) => self.borrowers.push(key),
            Some(_) => {}
        }
        let stream = self.stream(key);
        stream.received += body.len() as u64;
        self.counts.bytes_received += body.len() as u64;
        self.unread += body.len();
        self.changed(key, |events| events.readable = true);
        self.keep_within_memory();
    }

    /// When too much waits to be read, the stream that holds most is reset, and what it holds is
    /// dropped: the one whose reader is furthest behind. Finding it takes a look at every stream, and
    /// frees at least the average of what they hold.
    fn keep_within_memory(&mut self) {
        while self.unread > self.config.receive_bytes_max {
            let largest = self.streams.iter().max_by_key(|(_, stream)| stream.recv.len());
            let Some((index, stream)) = largest else { return };
            let key = Key { index: index as u32, id: stream.id };
            log::debug!("mux: stream {} is reset: {} bytes unread", key.id, stream.recv.len());
            self.reset_unread(key, ResetCode::RESOURCE_LIMIT_EXCEEDED);
        }
    }

    pub(super) fn on_fin(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        if !stream.state.receives() {
            return;
        }
        stream.fin_received = true;
        stream.state = stream.state.after(Step::FinReceived);
        let over = stream.state.is_over();
        self.changed(key, |events| (events.readable, events.over) = (true, over));
        self.retire_if_over(key);
    }

    /// A request is answered, unless too many answers wait. An answer counts if it is the one that
    /// was asked for, to the bit.
    fn on_ping(&mut self, header: Header) {
        if header.flags.contains(Flags::ACK) {
            let answered = self.pings.answered(header.length, self.timing.now);
            self.counts.pongs_received += u64::from(answered);
            self.signals.pong |= answered;
            return;
        }
        self.counts.pings_received += 1;
        if self.control.pongs() < self.config.pongs_queued_max {
            self.control.push(Control::Pong(header.length));
        } else {
            self.counts.pings_ignored += 1;
        }
    }

    fn on_go_away(&mut self, code: GoAwayCode) {
        if code != GoAwayCode::Normal {
            return self.end(Error::GoAway { by: Initiator::Remote, code });
        }
        if !self.peer_went_away {
            self.peer_went_away = true;
            self.signals.all = true;
        }
    }

    /// Counts a reset that the peer causes: of a stream that it opened itself, or by data after its
    /// own FIN. As many as there may be streams are free: a client may give up all it has asked for.
    pub(super) fn count_reset(&mut self) -> Result<(), Rule> {
        let per_second = self.config.resets_per_second_max;
        let streams = u32::try_from(self.config.inbound_streams_max).unwrap_or(u32::MAX);
        let burst = per_second.saturating_add(streams);
        let allowed = self.resets.allows(self.timing.now, per_second, burst);
        if allowed { Ok(()) } else { Err(Rule::Resets) }
    }

    /// Whether one more reset may be queued, now or later, because of what the peer sent. Every
    /// stream that may live has room for its own.
    pub(super) fn check_replies(&self) -> Result<(), Rule> {
        let config = &self.config;
        let max = config
            .resets_queued_max
            .saturating_add(config.inbound_streams_max)
            .saturating_add(config.outbound_streams_max);
        if self.control.resets() >= max {
            return Err(Rule::RepliesUnread);
        }
        Ok(())
    }
}

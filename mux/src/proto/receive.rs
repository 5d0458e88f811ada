//! What comes in: bytes to frames, frames to streams.
//!
//! Payload goes to the buffer of its stream as it arrives. The length of a frame is checked against
//! the window when its header is there, and is never used to allocate.

use super::control::Control;
use super::frame::{Flags, GoAwayCode, HEADER_BYTES, Header, Kind};
use super::session::{Phase, Role, Session};
use super::state::Step;
use super::stream::{Key, Owner, Stream};
use super::violation::{Rule, Violation};
use super::window::WINDOW_BYTES_INITIAL;
use crate::{Error, Initiator};

/// Where in the sequence of frames the next byte belongs.
#[derive(Debug)]
pub(crate) enum Parser {
    Header {
        bytes: [u8; HEADER_BYTES],
        have: usize,
    },
    /// `left` bytes of payload for `to`, or for nobody.
    Body {
        to: Option<Key>,
        left: u32,
        fin: bool,
    },
}

impl Default for Parser {
    fn default() -> Self {
        Self::Header { bytes: [0; HEADER_BYTES], have: 0 }
    }
}

impl Parser {
    fn is_between_frames(&self) -> bool {
        matches!(self, Self::Header { have: 0, .. })
    }
}

impl Session {
    /// Takes bytes that were received, in pieces of any size. Once the session is on its way out
    /// they are ignored.
    pub(crate) fn feed(&mut self, mut data: &[u8]) {
        self.timing.heard();
        while !data.is_empty() && matches!(self.phase, Phase::Open | Phase::Draining) {
            data = match self.parser {
                Parser::Header { bytes, have } => self.feed_header(bytes, have, data),
                Parser::Body { to, left, fin } => self.feed_body(to, left, fin, data),
            };
        }
    }

    /// The connection has ended: the peer sends no more.
    pub(crate) fn feed_end(&mut self) {
        let by = Initiator::Remote;
        let is_sent = self.is_quiet() && self.outbox.is_empty();
        let unsent = self.phase == Phase::Draining && !is_sent;
        let err = match self.phase {
            Phase::Parting | Phase::HangUp | Phase::Over => Error::Closed { by: Initiator::Local },
            _ if !self.parser.is_between_frames() => eof("the connection ended within a frame"),
            _ if unsent => eof("the connection ended before everything written was sent"),
            _ => Error::Closed { by },
        };
        self.end(err);
    }

    fn feed_header<'d>(
        &mut self,
        mut bytes: [u8; HEADER_BYTES],
        have: usize,
        data: &'d [u8],
    ) -> &'d [u8] {
        let (head, rest) = data.split_at(data.len().min(HEADER_BYTES - have));
        bytes[have..have + head.len()].copy_from_slice(head);
        let have = have + head.len();
        if have < HEADER_BYTES {
            self.parser = Parser::Header { bytes, have };
            return rest;
        }
        self.parser = Parser::default();
        if let Err(rule) = Header::decode(&bytes).and_then(|header| self.on_frame(header)) {
            self.violated(Violation::new(rule, bytes));
        }
        rest
    }

    fn feed_body<'d>(&mut self, to: Option<Key>, left: u32, fin: bool, data: &'d [u8]) -> &'d [u8] {
        // `left` only ever shortens what is there.
        let (body, rest) = data.split_at(data.len().min(left as usize));
        let left = left - body.len() as u32;
        if let Some(key) = to {
            self.on_payload(key, body);
        }
        self.parser = if left > 0 { Parser::Body { to, left, fin } } else { Parser::default() };
        if let (true, 0, Some(key)) = (fin, left, to) {
            self.on_fin(key);
        }
        rest
    }

    fn on_frame(&mut self, header: Header) -> Result<(), Rule> {
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
        self.count_empty(header)?;
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
        let Some(stream) = self.get(key) else { return Ok(None) };
        if !stream.state.receives() {
            // Data after the FIN.
            self.abort(key);
            return Ok(None);
        }
        stream.window.receive(bytes)?;
        if stream.owner == Owner::Nobody {
            // The reader is gone.
            self.reset_after_queue(key);
            return Ok(None);
        }
        Ok(Some(key))
    }

    fn on_window_update(&mut self, header: Header) -> Result<(), Rule> {
        self.count_empty(header)?;
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
        if let Some(stream) = self.get(key) {
            stream.credit.grant(credit)?;
            self.activate(key);
        }
        Ok(())
    }

    /// The stream that a frame is for, opened, acknowledged or reset as its flags say.
    fn receiver(&mut self, header: Header) -> Result<Option<Key>, Rule> {
        let id = header.stream_id;
        if id == 0 {
            return Err(Rule::StreamZero);
        }
        let known = self.ids.get(&id).map(|&index| Key { index, id });
        if header.flags.contains(Flags::SYN) {
            return self.on_syn(header, known);
        }
        let Some(key) = known else { return Ok(None) };
        if header.flags.contains(Flags::ACK) {
            self.on_ack(key);
        }
        if header.flags.contains(Flags::RST) {
            self.end_stream(key, Initiator::Remote);
            return Ok(None);
        }
        Ok(Some(key))
    }

    fn on_syn(&mut self, header: Header, known: Option<Key>) -> Result<Option<Key>, Rule> {
        let id = header.stream_id;
        if (id % 2 == 1) == (self.role == Role::Client) {
            return Err(Rule::Parity);
        }
        if known.is_some() {
            return Err(Rule::DuplicateSyn);
        }
        // Checked before there is any state.
        let credit = match header.kind {
            Kind::Data if header.length > WINDOW_BYTES_INITIAL => {
                return Err(Rule::WindowExceeded);
            }
            Kind::WindowUpdate => header.length,
            _ => 0,
        };
        let stream = Stream::inbound(id, self.config.window_bytes, credit)?;
        if header.flags.contains(Flags::RST) {
            return Ok(None);
        }
        // One reset may come of every SYN: now, or when the application drops the stream.
        self.check_replies()?;
        if !self.takes_streams() {
            self.control.push(Control::Reset(id));
            return Ok(None);
        }
        let key = self.insert(stream);
        self.inbound += 1;
        self.backlog.push_back(key);
        self.signals.accept = true;
        Ok(Some(key))
    }

    fn takes_streams(&self) -> bool {
        self.phase == Phase::Open
            && !self.went_away
            && !self.orphaned
            && self.backlog.len() < self.config.accept_backlog_max
            && self.inbound < self.config.inbound_streams_max
    }

    fn on_ack(&mut self, key: Key) {
        self.free_open_slot(key);
        if let Some(stream) = self.get(key) {
            stream.state = stream.state.after(Step::AckReceived);
        }
    }

    fn on_payload(&mut self, key: Key, body: &[u8]) {
        // Between two pieces of a frame the application may have reset or dropped the stream.
        let Some(stream) = self.get(key).filter(|stream| stream.state.receives()) else { return };
        if stream.owner == Owner::Nobody {
            return self.reset_after_queue(key);
        }
        stream.recv.push_slice(body);
        self.changed(key, |events| events.readable = true);
    }

    fn on_fin(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        if !stream.state.receives() {
            return;
        }
        stream.fin_received = true;
        stream.state = stream.state.after(Step::FinReceived);
        self.changed(key, |events| events.readable = true);
        self.retire_if_over(key);
    }

    /// A request is answered, unless too many answers wait. An answer counts if it is the one that
    /// was asked for, to the bit.
    fn on_ping(&mut self, header: Header) {
        if header.flags.contains(Flags::ACK) {
            let now = self.timing.now;
            self.signals.pong |= self.pings.answered(header.length, now);
        } else if self.control.pongs() < self.config.pongs_queued_max {
            self.control.push(Control::Pong(header.length));
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

    /// Frames that do nothing cost work: there is a budget for them, and payload fills it up.
    fn count_empty(&mut self, header: Header) -> Result<(), Rule> {
        if header.length > 0 {
            if header.kind == Kind::Data {
                self.empty_frames = self.empty_frames.saturating_sub(1);
            }
            return Ok(());
        }
        let named = Flags::SYN.bits() | Flags::ACK.bits() | Flags::FIN.bits() | Flags::RST.bits();
        if header.flags.bits() & named == 0 {
            self.empty_frames = self.empty_frames.saturating_add(1);
        }
        if self.empty_frames > self.config.empty_frames_max {
            return Err(Rule::EmptyFrames);
        }
        Ok(())
    }

    /// Whether one more reset may be queued, now or later, because of what the peer sent. Every
    /// stream that may live has room for its own.
    fn check_replies(&self) -> Result<(), Rule> {
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

    fn violated(&mut self, violation: Violation) {
        log::debug!("mux: protocol error by the peer: {violation}");
        self.part(Error::Protocol(violation), GoAwayCode::ProtocolError);
    }
}

fn eof(what: &'static str) -> Error {
    let err = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what);
    Error::Io(std::sync::Arc::new(err))
}

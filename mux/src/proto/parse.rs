//! Bytes to frames: headers and payload as they come, in pieces of any size.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::code::GoAwayCode;
use super::frame::{HEADER_BYTES, Header};
use super::session::{Phase, Session};
use super::stream::Key;
use super::violation::Violation;
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

/// The least payload that is kept as a part of the buffer it came in; less is copied. The driver's
/// buffer is eight times as large, so a chunk that an application keeps holds on to no more than that.
pub(crate) const LEND_BYTES_MIN: usize = 8 * 1024;

impl Session {
    /// Takes bytes that were received, in pieces of any size. Once the session is on its way out
    /// they are ignored.
    pub(crate) fn feed(&mut self, data: &[u8]) {
        self.parse(data, None);
    }

    /// The same with the first `len` bytes of `buffer`. Streams may keep parts of it until they are
    /// told to [`settle`](Self::settle); true if any does.
    pub(crate) fn feed_lending(&mut self, buffer: &Bytes, len: usize) -> bool {
        self.parse(&buffer[..len], Some(buffer));
        !self.borrowers.is_empty()
    }

    /// Copies what nobody has read yet of the buffers that were lent, and lets go of them.
    pub(crate) fn settle(&mut self) {
        while let Some(key) = self.borrowers.pop() {
            if let Some(stream) = self.get(key) {
                stream.recv.settle();
            }
        }
    }

    fn parse(&mut self, mut data: &[u8], buffer: Option<&Bytes>) {
        self.timing.heard();
        while !data.is_empty() && matches!(self.phase, Phase::Open | Phase::Draining) {
            data = match self.parser {
                Parser::Header { bytes, have } => self.feed_header(bytes, have, data),
                Parser::Body { to, left, fin } => {
                    // `left` only ever shortens what is there.
                    let (body, rest) = data.split_at(data.len().min(left as usize));
                    self.feed_body(to, left, fin, body, buffer);
                    rest
                }
            };
        }
    }

    /// The connection has ended: the peer sends no more.
    pub(crate) fn feed_end(&mut self) {
        let by = Initiator::Remote;
        let is_sent = self.is_quiet() && self.outbox.is_empty();
        let unsent = self.phase == Phase::Draining && !is_sent;
        // The end alone says nothing: hashicorp/yamux closes a session without a word, and rust-yamux when it
        // hears a GoAway. Whoever closes has no use for what was still to come.
        let cut = self.phase == Phase::Open
            && !self.went_away
            && !self.peer_went_away
            && self.streams.iter().any(|(_, stream)| stream.is_awaited());
        let err = match self.phase {
            Phase::Parting | Phase::HangUp | Phase::Over => Error::Closed { by: Initiator::Local },
            _ if !self.parser.is_between_frames() => eof("the connection ended within a frame"),
            _ if unsent => eof("the connection ended before everything written was sent"),
            _ if cut => eof("the connection ended without a GoAway, and within streams"),
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
        self.counts.frames_received += 1;
        if let Err(rule) = Header::decode(&bytes).and_then(|header| self.on_frame(header)) {
            self.violated(Violation::new(rule, bytes));
        }
        rest
    }

    fn feed_body(
        &mut self,
        to: Option<Key>,
        left: u32,
        fin: bool,
        body: &[u8],
        buffer: Option<&Bytes>,
    ) {
        let left = left - body.len() as u32;
        if let Some(key) = to {
            self.on_payload(key, body, buffer);
        }
        self.parser = if left > 0 { Parser::Body { to, left, fin } } else { Parser::default() };
        if let (true, 0, Some(key)) = (fin, left, to) {
            self.on_fin(key);
        }
    }

    fn violated(&mut self, violation: Violation) {
        log::debug!("mux: protocol error by the peer: {violation}");
        self.part(Error::Protocol(violation), GoAwayCode::ProtocolError);
    }
}

fn eof(what: &'static str) -> Error {
    Error::Io(Arc::new(io::Error::new(io::ErrorKind::UnexpectedEof, what)))
}

//! How streams begin: opened here, or by the peer.

use std::task::Poll;

use super::code::{GoAwayCode, ResetCode};
use super::control::Control;
use super::frame::{Flags, Header, Kind};
use super::session::{Phase, Role, Session};
use super::state::Step;
use super::stream::{Key, Owner, Stream};
use super::violation::Rule;
use super::window::WINDOW_BYTES_INITIAL;
use crate::{Error, Initiator};

impl Session {
    /// Opens a stream. Pending at one of the limits.
    pub(crate) fn open(&mut self) -> Poll<Result<Key, Error>> {
        if let Some(err) = self.why_no_open() {
            return Poll::Ready(Err(err));
        }
        if self.is_at_open_limit() {
            return Poll::Pending;
        }
        let Some(id) = self.next_id else {
            return Poll::Ready(Err(Error::IdsExhausted));
        };
        self.next_id = id.checked_add(2);
        self.outbound += 1;
        self.unacked += 1;
        self.counts.streams_opened += 1;
        let key = self.insert(Stream::outbound(id));
        self.update_later(key);
        Poll::Ready(Ok(key))
    }

    /// Whether `open` can succeed, now or when a limit allows it.
    pub(crate) fn can_open(&self) -> bool {
        self.next_id.is_some() && self.why_no_open().is_none()
    }

    /// Whether `open` has to wait.
    pub(crate) fn is_at_open_limit(&self) -> bool {
        self.unacked >= self.config.unacked_opens_max
            || self.outbound >= self.config.outbound_streams_max
    }

    /// Whether streams wait to be accepted.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    fn why_no_open(&self) -> Option<Error> {
        if let Some(err) = self.why_ended() {
            return Some(err);
        }
        let by = match (self.went_away, self.peer_went_away) {
            _ if self.retiring => return Some(Error::Closed { by: Initiator::Local }),
            (true, _) => Initiator::Local,
            (_, true) => Initiator::Remote,
            _ => return None,
        };
        Some(Error::GoAway { by, code: GoAwayCode::Normal })
    }

    /// Takes the oldest stream of the backlog and acknowledges it.
    pub(crate) fn accept(&mut self) -> Poll<Result<Key, Error>> {
        if let Some(key) = self.backlog.pop_front() {
            let stream = &mut self.streams[key.index as usize];
            stream.owner = Owner::Handle;
            stream.state = stream.state.after(Step::Accepted);
            stream.ack_due = true;
            self.update_later(key);
            return Poll::Ready(Ok(key));
        }
        if let Some(err) = self.why_ended() {
            return Poll::Ready(Err(err));
        }
        let by = Initiator::Local;
        if self.retiring {
            return Poll::Ready(Err(Error::Closed { by }));
        }
        if self.went_away {
            return Poll::Ready(Err(Error::GoAway { by, code: GoAwayCode::Normal }));
        }
        Poll::Pending
    }

    pub(super) fn on_syn(
        &mut self,
        header: Header,
        known: Option<Key>,
    ) -> Result<Option<Key>, Rule> {
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
        if header.flags.contains(Flags::RST) {
            self.count_reset()?;
            return Ok(None);
        }
        let stream = Stream::inbound(id, credit)?;
        // One reset may come of every SYN: now, or when the application drops the stream.
        self.check_replies()?;
        if let Some(code) = self.why_refuse() {
            self.counts.streams_refused += 1;
            self.say_reset(id, code);
            return Ok(None);
        }
        let key = self.insert(stream);
        self.inbound += 1;
        self.counts.streams_received += 1;
        self.backlog.push_back(key);
        self.signals.accept = true;
        Ok(Some(key))
    }

    fn why_refuse(&self) -> Option<ResetCode> {
        if self.phase != Phase::Open || self.went_away || self.retiring || self.orphaned {
            return Some(ResetCode::SHUTDOWN);
        }
        let full = self.backlog.len() >= self.config.accept_backlog_max
            || self.inbound >= self.config.inbound_streams_max;
        full.then_some(ResetCode::RESOURCE_LIMIT_EXCEEDED)
    }

    pub(super) fn say_reset(&mut self, id: u32, code: ResetCode) {
        self.counts.resets_sent += 1;
        self.control.push(Control::Reset(id, code));
    }

    pub(super) fn on_ack(&mut self, key: Key) {
        self.free_open_slot(key);
        if let Some(stream) = self.get(key) {
            stream.state = stream.state.after(Step::AckReceived);
        }
    }
}

//! Everything that happens because time passes: keepalive, stalled writes, slow closing, lingering
//! streams.

use std::collections::BTreeSet;
use std::time::Instant;

use super::session::{Phase, Session};
use super::stream::Key;
use crate::{Error, Initiator};

#[derive(Debug)]
pub(crate) struct Timing {
    /// The time of the last call that brought one.
    pub(super) now: Instant,
    last_receive: Instant,
    /// Since when the peer owes a sign of life.
    asked: Option<Instant>,
    /// Since when the connection has taken none of the bytes that wait for it.
    pub(super) stalled_since: Option<Instant>,
    /// Since when the session is being closed.
    closing_since: Option<Instant>,
    /// Streams without a handle, by the time they are reset. One entry for each stream.
    lingering: BTreeSet<(Instant, u32, u32)>,
    /// Streams that have lost their handle since the last tick.
    abandoned: Vec<Key>,
}

impl Timing {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            now,
            last_receive: now,
            asked: None,
            stalled_since: None,
            closing_since: None,
            lingering: BTreeSet::new(),
            abandoned: Vec::new(),
        }
    }

    /// Any byte is a sign of life.
    pub(super) fn heard(&mut self) {
        self.last_receive = self.now;
        self.asked = None;
    }

    pub(super) fn linger(&mut self, key: Key) {
        self.abandoned.push(key);
    }

    pub(super) fn stop_lingering(&mut self, until: Option<Instant>, key: Key) {
        if let Some(until) = until {
            self.lingering.remove(&(until, key.index, key.id));
        }
    }
}

impl Session {
    /// Brings the time, and nothing else.
    pub(crate) fn wind(&mut self, now: Instant) {
        self.timing.now = self.timing.now.max(now);
    }

    /// Brings the time, and does what is due by it; true if there is now something to send or to
    /// end. Comes after `feed` and `fill`: however late it is, a peer that has spoken in time is
    /// heard first.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        self.wind(now);
        if self.phase == Phase::Over {
            return false;
        }
        self.start_lingering();
        self.start_closing();
        let asked = self.check_keepalive();
        self.check_stall();
        self.check_close();
        let reset = self.check_lingering();
        asked || reset
    }

    /// When `tick` has something to do, if nothing else happens before.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Over {
            return None;
        }
        let linger = self.timing.lingering.first().map(|(until, ..)| *until);
        [self.keepalive_due(), self.stall_due(), self.close_due(), linger]
            .into_iter()
            .flatten()
            .min()
    }

    fn keepalive_due(&self) -> Option<Instant> {
        let keepalive = self.config.keepalive?;
        if !matches!(self.phase, Phase::Open | Phase::Draining) {
            return None;
        }
        match self.timing.asked {
            None => self.timing.last_receive.checked_add(keepalive),
            Some(asked) => asked.checked_add(self.config.keepalive_timeout),
        }
    }

    fn stall_due(&self) -> Option<Instant> {
        self.timing.stalled_since?.checked_add(self.config.write_stall_timeout)
    }

    fn close_due(&self) -> Option<Instant> {
        self.timing.closing_since?.checked_add(self.config.close_timeout)
    }

    fn is_due(&self, when: Option<Instant>) -> bool {
        when.is_some_and(|when| when <= self.timing.now)
    }

    /// True if it has asked for a sign of life.
    fn check_keepalive(&mut self) -> bool {
        if !self.is_due(self.keepalive_due()) {
            return false;
        }
        if self.timing.asked.is_some() {
            let waited = self.config.keepalive_timeout;
            self.end(Error::KeepaliveTimeout { waited });
            return false;
        }
        self.timing.asked = Some(self.timing.now);
        self.ask_ping();
        true
    }

    fn check_stall(&mut self) {
        if self.is_due(self.stall_due()) {
            let waited = self.config.write_stall_timeout;
            self.end(Error::WriteStall { waited });
        }
    }

    fn start_closing(&mut self) {
        if self.phase != Phase::Open && self.timing.closing_since.is_none() {
            self.timing.closing_since = Some(self.timing.now);
        }
    }

    fn check_close(&mut self) {
        if !self.is_due(self.close_due()) {
            return;
        }
        match self.phase {
            // Everything is sent; the peer only has not hung up.
            Phase::HangUp => self.end(Error::Closed { by: Initiator::Local }),
            _ => self.end(Error::CloseTimeout { waited: self.config.close_timeout }),
        }
    }

    fn start_lingering(&mut self) {
        for key in std::mem::take(&mut self.timing.abandoned) {
            let until = self.timing.now.checked_add(self.config.stream_close_timeout);
            let (Some(stream), Some(until)) = (self.get(key), until) else { continue };
            stream.linger_until = Some(until);
            self.timing.lingering.insert((until, key.index, key.id));
        }
    }

    /// True if a stream was reset.
    fn check_lingering(&mut self) -> bool {
        let mut any = false;
        while let Some(&(until, index, id)) = self.timing.lingering.first() {
            if until > self.timing.now {
                break;
            }
            self.timing.lingering.pop_first();
            self.reset(Key { index, id });
            any = true;
        }
        any
    }
}

//! What happens to a session because time passes: keepalive, stalled writes, slow closing.

use std::time::Instant;

use super::alarms::Clock;
use super::session::{Phase, Session};
use super::stream::{Alarms, Key};
use crate::{Error, Initiator};

#[derive(Debug)]
pub(crate) struct Timing {
    start: Instant,
    /// The time of the last call that brought one.
    pub(super) now: Instant,
    last_receive: Instant,
    /// Since when the peer owes a sign of life.
    asked: Option<Instant>,
    /// Since when the connection has taken none of the bytes that wait for it.
    pub(super) stalled_since: Option<Instant>,
    /// Since when the session is being closed.
    closing_since: Option<Instant>,
    pub(super) alarms: Clock,
}

impl Timing {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            start: now,
            now,
            last_receive: now,
            asked: None,
            stalled_since: None,
            closing_since: None,
            alarms: Clock::default(),
        }
    }

    /// Any byte is a sign of life.
    pub(super) fn heard(&mut self) {
        self.last_receive = self.now;
        self.asked = None;
    }

    /// Nanoseconds since the session began: what streams keep instead of an `Instant`, which is
    /// twice as large.
    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.now.duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn forget(&mut self, alarms: Option<&Alarms>, key: Key) {
        self.alarms.forget(alarms, key);
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
        let alarmed = self.check_alarms();
        asked || alarmed
    }

    /// When `tick` has something to do, if nothing else happens before.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Over {
            return None;
        }
        let alarm = self.timing.alarms.next();
        [self.keepalive_due(), self.stall_due(), self.close_due(), alarm]
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
}

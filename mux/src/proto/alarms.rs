//! What time does to single streams: deadlines, opens that nobody answers, streams without a handle
//! that do not end.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use super::code::ResetCode;
use super::session::Session;
use super::stream::{Alarms, Cause, Key, Owner};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// The deadline of reads.
    Read,
    /// The deadline of writes.
    Write,
    /// A stream that nobody holds has not ended.
    Linger,
}

/// Alarms of all streams, by time. Each stream has at most one of a kind, and takes them along when
/// it goes.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    set: BTreeSet<(Instant, Key, Alarm)>,
    /// Streams whose SYN is out, by the time until which an ACK may come. Those that have it are left
    /// in here for a while: see [`Clock::note_open`].
    opens: VecDeque<(Instant, Key)>,
    /// Streams that have lost their handle since the last tick.
    abandoned: Vec<Key>,
}

impl Alarms {
    fn place(&mut self, alarm: Alarm) -> &mut Option<Instant> {
        match alarm {
            Alarm::Read => &mut self.read,
            Alarm::Write => &mut self.write,
            Alarm::Linger => &mut self.linger,
        }
    }

    fn all(&self) -> [(Alarm, Option<Instant>); 3] {
        [(Alarm::Read, self.read), (Alarm::Write, self.write), (Alarm::Linger, self.linger)]
    }
}

impl Clock {
    /// Takes out the alarms of a stream that is gone.
    pub(super) fn forget(&mut self, alarms: Option<&Alarms>, key: Key) {
        for (alarm, when) in alarms.iter().flat_map(|alarms| alarms.all()) {
            if let Some(when) = when {
                self.set.remove(&(when, key, alarm));
            }
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let alarm = self.set.first().map(|(when, ..)| *when);
        let open = self.opens.front().map(|(when, _)| *when);
        [alarm, open].into_iter().flatten().min()
    }

    #[cfg(test)]
    pub(super) fn opens(&self) -> usize {
        self.opens.len()
    }

    fn pop_due(&mut self, now: Instant) -> Option<(Key, Alarm)> {
        self.set.first().filter(|(when, ..)| *when <= now)?;
        self.set.pop_first().map(|(_, key, alarm)| (key, alarm))
    }
}

impl Session {
    /// Sets or clears a deadline. One that is past holds at once, for who waits already too.
    pub(crate) fn set_deadline(
        &mut self,
        key: Key,
        alarm: Alarm,
        at: Option<Instant>,
        now: Instant,
    ) {
        self.wind(now);
        let expired = at.is_some_and(|at| at <= self.timing.now);
        self.set_alarm(key, alarm, at.filter(|_| !expired));
        self.mark_expired(key, alarm, expired);
    }

    fn mark_expired(&mut self, key: Key, alarm: Alarm, expired: bool) {
        let Some(stream) = self.get(key) else { return };
        match alarm {
            Alarm::Read => stream.read_expired = expired,
            Alarm::Write => stream.write_expired = expired,
            Alarm::Linger => return,
        }
        if expired {
            self.changed(key, |events| match alarm {
                Alarm::Read => events.readable = true,
                _ => events.writable = true,
            });
        }
    }

    fn set_alarm(&mut self, key: Key, alarm: Alarm, at: Option<Instant>) {
        let Some(stream) = self.get(key) else { return };
        if at.is_none() && stream.alarms.is_none() {
            return;
        }
        let alarms = stream.alarms.get_or_insert_default();
        let old = std::mem::replace(alarms.place(alarm), at);
        if alarms.all().iter().all(|(_, when)| when.is_none()) {
            stream.alarms = None;
        }
        let set = &mut self.timing.alarms.set;
        if let Some(old) = old {
            set.remove(&(old, key, alarm));
        }
        if let Some(at) = at {
            set.insert((at, key, alarm));
        }
    }

    pub(super) fn clear_deadlines(&mut self, key: Key) {
        self.set_alarm(key, Alarm::Read, None);
        self.set_alarm(key, Alarm::Write, None);
    }

    /// A stream has lost its handle: it may not stay for ever. The time comes with the next tick.
    pub(super) fn linger(&mut self, key: Key) {
        if self.get(key).is_some() {
            self.timing.alarms.abandoned.push(key);
        }
    }

    pub(super) fn start_lingering(&mut self) {
        for key in std::mem::take(&mut self.timing.alarms.abandoned) {
            // It may be gone, and a peer that breaks the rules have opened another with its id.
            if self.get(key).is_none_or(|stream| stream.owner != Owner::Nobody) {
                continue;
            }
            let until = self.timing.now.checked_add(self.config.stream_close_timeout);
            self.set_alarm(key, Alarm::Linger, until);
        }
    }

    /// The SYN of a stream goes out: its ACK has so long to come.
    ///
    /// All have the same time, so a queue does. Streams that have been accepted are taken out when
    /// they come to the front, or when there are as many of them as may be without an ACK.
    pub(super) fn note_open(&mut self, key: Key) {
        let until = self.config.open_timeout.and_then(|time| self.timing.now.checked_add(time));
        let Some(until) = until else { return };
        if self.timing.alarms.opens.len() >= self.config.unacked_opens_max.saturating_mul(2) {
            let mut opens = std::mem::take(&mut self.timing.alarms.opens);
            opens.retain(|(_, key)| self.is_unacked(*key));
            self.timing.alarms.opens = opens;
        }
        self.timing.alarms.opens.push_back((until, key));
    }

    fn is_unacked(&mut self, key: Key) -> bool {
        self.get(key).is_some_and(|stream| stream.unacked)
    }

    /// True if a stream was reset, or somebody is to be woken.
    pub(super) fn check_alarms(&mut self) -> bool {
        let mut any = self.check_opens();
        while let Some((key, alarm)) = self.timing.alarms.pop_due(self.timing.now) {
            any = true;
            self.set_alarm(key, alarm, None);
            match alarm {
                Alarm::Linger => self.reset(key, ResetCode::GARBAGE_COLLECTED),
                _ => self.mark_expired(key, alarm, true),
            }
        }
        any
    }

    fn check_opens(&mut self) -> bool {
        let mut any = false;
        while let Some(&(until, key)) = self.timing.alarms.opens.front() {
            let unacked = self.is_unacked(key);
            if unacked && until > self.timing.now {
                break;
            }
            self.timing.alarms.opens.pop_front();
            if unacked {
                any = true;
                self.end_locally(key, Cause::OpenTimeout, ResetCode::GARBAGE_COLLECTED);
            }
        }
        any
    }
}

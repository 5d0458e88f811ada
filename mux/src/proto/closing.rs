//! How the session ends.

use std::task::Poll;

use super::code::{GoAwayCode, ResetCode};
use super::control::Control;
use super::session::{Phase, Session};
use super::stream::{Key, Owner};
use super::trash::Trash;
use crate::{Error, Initiator};

impl Session {
    /// Says GoAway now: the streams there are go on, new ones are refused.
    pub(crate) fn go_away(&mut self) {
        if self.phase == Phase::Open && !self.went_away {
            self.went_away = true;
            self.control.push(Control::GoAway(GoAwayCode::Normal));
            self.signals.all = true;
        }
    }

    /// Refuses what is new, and closes after the last stream. What waits to be accepted still can
    /// be.
    pub(crate) fn drain(&mut self) {
        self.retiring = true;
        self.signals.all = true;
    }

    /// Nobody is left who could open or accept: refuses what comes, and closes after the last
    /// stream.
    pub(crate) fn orphan(&mut self) {
        self.orphaned = true;
        self.retiring = true;
        self.refuse_backlog();
    }

    /// Begins to close: sends what was written, then GoAway, then hangs up.
    pub(crate) fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
            self.refuse_backlog();
            self.signals.all = true;
        }
    }

    /// The side that has gone away, if no stream is left: this one if both have. Then this side has no
    /// use for the session any more; a peer that alone has gone away may still open streams.
    pub(crate) fn spent_by(&self) -> Option<Initiator> {
        if self.phase != Phase::Open || !self.streams.is_empty() {
            return None;
        }
        match (self.went_away, self.peer_went_away) {
            (true, _) => Some(Initiator::Local),
            (_, true) => Some(Initiator::Remote),
            _ => None,
        }
    }

    fn refuse_backlog(&mut self) {
        for key in std::mem::take(&mut self.backlog) {
            let Some(stream) = self.get(key) else { continue };
            stream.owner = Owner::Nobody;
            if stream.state.is_over() {
                self.forget(key);
            } else {
                self.reset(key, ResetCode::SHUTDOWN);
            }
        }
    }

    /// Whether everything that was written is in the outbox, or gone.
    pub(super) fn is_quiet(&self) -> bool {
        self.control.is_empty() && !self.streams.iter().any(|(_, stream)| stream.is_unsent())
    }

    /// Says a last word, unless it was said before: nothing comes after this GoAway.
    pub(super) fn part(&mut self, fate: Error, code: GoAwayCode) {
        self.conclude(fate);
        if code != GoAwayCode::Normal || !self.went_away {
            self.control.push(Control::GoAway(code));
        }
        self.phase = Phase::Parting;
    }

    /// Ends the session without another word.
    pub(crate) fn end(&mut self, fate: Error) {
        self.conclude(fate);
        let outbox = std::mem::take(&mut self.outbox);
        self.discard(Trash::Outbox(Box::new(outbox)));
        self.phase = Phase::Over;
    }

    /// Ready when the session is over; `Ok` if it was closed in order, by either side.
    pub(crate) fn poll_over(&mut self) -> Poll<Result<(), Error>> {
        match (&self.fate, self.phase) {
            (Some(err), Phase::Over) if !err.is_orderly() => Poll::Ready(Err(err.clone())),
            (_, Phase::Over) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Nothing passes any more. What was received stays to be read, and to be accepted unless this
    /// side has closed.
    fn conclude(&mut self, fate: Error) {
        match &self.fate {
            None => self.fate = Some(fate),
            Some(_) => self.discard(Trash::Error(fate)),
        }
        let by = self.fate.as_ref().and_then(Error::initiator);
        self.control.clear();
        self.active.clear();
        self.writers.clear();
        self.ids.clear();
        if by == Some(Initiator::Local) || self.orphaned {
            self.refuse_backlog();
        }
        for key in self.keys() {
            if self.stream(key).owner == Owner::Nobody {
                self.forget(key);
                continue;
            }
            let stream = self.stream(key);
            stream.cut |= stream.is_unsent();
            (stream.in_control, stream.in_active, stream.in_writers) = (false, false, false);
            self.drop_unsent(key);
        }
        self.signals.all = true;
    }

    fn keys(&self) -> Vec<Key> {
        self.streams
            .iter()
            .map(|(index, stream)| Key { index: index as u32, id: stream.id })
            .collect()
    }
}

//! How streams and the session end.

use std::task::Poll;

use super::control::Control;
use super::frame::GoAwayCode;
use super::session::{Phase, Session};
use super::state::{State, Step};
use super::stream::{End, Key, Owner};
use crate::{Error, Initiator};

impl Session {
    /// The handle is dropped. What was written is still sent; then comes a FIN if both directions
    /// are clean, else an RST.
    pub(crate) fn release(&mut self, key: Key) {
        let dead = self.fate.is_some();
        let stream = self.stream(key);
        stream.owner = Owner::Nobody;
        if dead || stream.state.is_over() {
            return self.forget(key);
        }
        let unread = !stream.recv.is_empty();
        stream.recv.clear();
        match stream.end {
            _ if unread => self.reset_after_queue(key),
            End::Open if stream.fin_received => stream.end = End::Fin,
            End::Open => self.reset_after_queue(key),
            // The peer may have more to say. If it is data, it gets its RST then.
            End::Fin | End::Rst => {}
        }
        self.activate(key);
        if self.get(key).is_some() {
            self.timing.linger(key);
        }
    }

    /// Resets a stream at once: what is queued and what is unread is dropped.
    pub(crate) fn reset(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        if stream.state.is_over() {
            return;
        }
        stream.recv.clear();
        stream.fin_received = false;
        self.abort(key);
    }

    /// Resets a stream at once, but leaves what was received to be read.
    pub(super) fn abort(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        let known_to_peer = stream.state != State::Init;
        self.end_stream(key, Initiator::Local);
        if known_to_peer && self.fate.is_none() {
            self.control.push(Control::Reset(key.id));
        }
    }

    /// Resets a stream behind what is queued for it.
    pub(super) fn reset_after_queue(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        if stream.send.is_empty() {
            return self.reset(key);
        }
        stream.end = End::Rst;
    }

    /// Takes the stream out of everything that passes. What was received stays readable.
    pub(super) fn end_stream(&mut self, key: Key, by: Initiator) {
        let Some(stream) = self.get(key) else { return };
        stream.state = stream.state.after(Step::Rst);
        stream.reset_by.get_or_insert(by);
        stream.send.clear();
        self.changed(key, |events| (events.readable, events.writable) = (true, true));
        self.retire_if_over(key);
    }

    /// Frees what a stream holds that is over. Its place goes with its handle.
    pub(super) fn retire_if_over(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        if !stream.state.is_over() {
            return;
        }
        let owner = stream.owner;
        self.ids.remove(&key.id);
        self.free_open_slot(key);
        if owner == Owner::Nobody {
            self.forget(key);
        }
    }

    pub(super) fn refuse_backlog(&mut self) {
        for key in std::mem::take(&mut self.backlog) {
            let Some(stream) = self.get(key) else { continue };
            stream.owner = Owner::Nobody;
            if stream.state.is_over() {
                self.forget(key);
            } else {
                self.reset(key);
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
        self.outbox.advance(usize::MAX);
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
        let by = self.fate.get_or_insert(fate).initiator();
        self.control.clear();
        self.active.clear();
        self.ids.clear();
        if by == Some(Initiator::Local) || self.orphaned {
            self.refuse_backlog();
        }
        let unowned: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.owner == Owner::Nobody)
            .map(|(index, stream)| Key { index: index as u32, id: stream.id })
            .collect();
        for key in unowned {
            self.forget(key);
        }
        for (_, stream) in &mut self.streams {
            stream.cut |= stream.is_unsent();
            stream.send.clear();
            (stream.in_control, stream.in_active) = (false, false);
        }
        self.signals.all = true;
    }
}

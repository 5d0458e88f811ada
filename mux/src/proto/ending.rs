//! How streams end.

use super::code::ResetCode;
use super::session::Session;
use super::state::{State, Step};
use super::stream::{Cause, End, Key, Owner};
use crate::Initiator;

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
        self.clear_deadlines(key);
        if self.drop_unread(key) {
            self.reset_after_queue(key);
        } else {
            // If we have shut down, the peer may have more to say. If it is data, it gets its RST
            // then.
            self.finish_writing(key);
        }
        self.activate(key);
        self.linger(key);
    }

    /// Nobody will write any more: what was written is still sent. If this side has not shut down,
    /// a FIN goes behind it when the peer's has come, else an RST.
    pub(crate) fn finish_writing(&mut self, key: Key) {
        let dead = self.fate.is_some();
        let stream = self.stream(key);
        if dead || stream.end != End::Open || stream.state.is_over() {
            return;
        }
        match stream.fin_received {
            true => stream.end = End::Fin,
            // A reader may still take what has arrived.
            false if stream.send.is_empty() => return self.abort(key, ResetCode::NONE),
            false => stream.end = End::Rst,
        }
        self.activate(key);
    }

    /// Resets a stream at once: what is queued and what is unread is dropped.
    pub(crate) fn reset(&mut self, key: Key, code: ResetCode) {
        if self.get(key).is_some_and(|stream| !stream.state.is_over()) {
            self.reset_unread(key, code);
        }
    }

    /// Drops what is unread, and resets the stream unless it is over: its reader gets an error.
    pub(super) fn reset_unread(&mut self, key: Key, code: ResetCode) {
        self.drop_unread(key);
        self.end_locally(key, Cause::Reset { by: Initiator::Local, code }, code);
        let Some(stream) = self.get(key) else { return };
        stream.fin_received = false;
        stream.cause = Some(Cause::Reset { by: Initiator::Local, code });
    }

    /// Resets a stream at once, but leaves what was received to be read.
    pub(super) fn abort(&mut self, key: Key, code: ResetCode) {
        self.end_locally(key, Cause::Reset { by: Initiator::Local, code }, code);
    }

    pub(super) fn end_locally(&mut self, key: Key, cause: Cause, code: ResetCode) {
        let Some(stream) = self.get(key) else { return };
        let known_to_peer = stream.state != State::Init && !stream.state.is_over();
        self.end_stream(key, cause);
        if known_to_peer && self.fate.is_none() {
            self.say_reset(key.id, code);
        }
    }

    /// Resets a stream behind what is queued for it.
    pub(super) fn reset_after_queue(&mut self, key: Key) {
        let Some(stream) = self.get(key) else { return };
        if stream.send.is_empty() {
            return self.reset(key, ResetCode::NONE);
        }
        stream.end = End::Rst;
    }

    /// Takes the stream out of everything that passes. What was received stays readable.
    pub(super) fn end_stream(&mut self, key: Key, cause: Cause) {
        self.drop_unsent(key);
        let Some(stream) = self.get(key) else { return };
        stream.state = stream.state.after(Step::Rst);
        stream.cause.get_or_insert(cause);
        self.changed(key, |events| {
            (events.readable, events.writable, events.over) = (true, true, true);
        });
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
}

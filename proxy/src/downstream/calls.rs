//! Calls of hosts to their client.
//!
//! A host that has a connection for one client may call it: in a [pool](crate::pool) of bound
//! connections. Each call gets an id from a table of the client's, for several hosts, each with ids of
//! its own, may call it. These ids and those of the client's own requests are two spaces: what has an id
//! is a request or an answer, and which of the two the frame says.

use std::cell::RefMut;
use std::rc::Rc;
use std::task::Context;
use std::time::Instant;

use reactor::time;

use super::Downstream;
use crate::alarm::Alarm;
use crate::codec::{Codec, Frame, Kind, LocalReply, Origin};
use crate::complaint::Complaint;
use crate::deadlines::Deadlines;
use crate::ids::{Ended, IdTable};
use crate::inbox::{Payload, Verdict};
use crate::limits::REQUEST_TIMEOUT;
use crate::stats::Stats;
use crate::upstream::Upstream;

/// See the module's page. A client that nobody calls has none.
pub(super) struct Calls {
    waiting: IdTable<Call>,
    deadlines: Deadlines,
    alarm: Alarm,
    /// Connections whose next call is held back until the client has read.
    held: Vec<Rc<Upstream>>,
}

struct Call {
    /// Where it came from, and where its answer goes.
    upstream: Rc<Upstream>,
    origin: Origin,
    deadline: Instant,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It is under way, and its caller will hear of it.
    Waits,
    /// It is under way, and wants no answer.
    Done,
    /// The client has as many as it may.
    Full,
    /// The client is to read first; the caller is woken then.
    Hold,
}

impl Downstream {
    /// Passes a host's call on to the client.
    pub(crate) fn take_call(
        &self,
        upstream: &Rc<Upstream>,
        frame: &Frame,
        payload: &mut Payload<'_>,
    ) -> Handover {
        if self.conn.output_bytes() > self.worker.limits.output_high_bytes {
            self.calls().hold(upstream, &self.worker.stats);
            return Handover::Hold;
        }
        let (id, handover) = match frame.kind {
            Kind::Oneway => (self.calls().waiting.unused_id(), Handover::Done),
            _ => match self.calls().insert(upstream, frame) {
                Some(id) => (id, Handover::Waits),
                None => return Handover::Full,
            },
        };
        let stats = &self.worker.stats;
        if handover == Handover::Waits {
            stats.host_calls.up();
            stats.host_calls_in_flight.up();
        } else {
            stats.host_oneways.up();
        }
        // It is news from the other side, as an answer is.
        self.answers.set(self.answers.get() + 1);
        self.protocol.set_id(payload.bytes_mut(), id);
        self.conn.queue(payload);
        self.conn.wake();
        handover
    }

    fn calls(&self) -> RefMut<'_, Calls> {
        RefMut::map(self.calls.borrow_mut(), |calls| {
            &mut **calls.get_or_insert_with(|| {
                Box::new(Calls {
                    waiting: IdTable::new(
                        self.worker.limits.in_flight_max,
                        self.protocol.id_width(),
                    ),
                    deadlines: Deadlines::new(),
                    alarm: Alarm::default(),
                    held: Vec::new(),
                })
            })
        })
    }

    /// Whether a host waits for the client's answer.
    pub(super) fn is_called(&self) -> bool {
        self.calls.borrow().as_ref().is_some_and(|calls| !calls.waiting.is_empty())
    }

    /// An answer from the client: back to the host that asked.
    pub(super) fn on_response(
        self: &Rc<Self>,
        frame: &Frame,
        payload: &mut Payload<'_>,
    ) -> Verdict {
        let stats = &self.worker.stats;
        let id = frame.origin.id;
        if self.calls.borrow().is_none() {
            return self.unexpected(frame.kind);
        }
        if let Some(upstream) = self.calls().congested(id) {
            stats.stalls.up();
            self.park(upstream);
            return Verdict::Stall;
        }
        let removed = self.calls().waiting.remove(id, Ended::Answered);
        match removed {
            Ok(call) => {
                stats.host_calls_in_flight.down();
                stats.host_calls_answered.up();
                call.upstream.answer_call(call.origin, payload);
            }
            Err(stale) => {
                if let Some(complaint) = Complaint::about(stale, id, stats) {
                    self.complain(complaint);
                }
            }
        }
        Verdict::Taken
    }

    /// To be called whenever the task has read and written: ends the calls whose time has passed, and
    /// has those go on that were held back.
    pub(super) fn look_after_calls(&self, cx: &mut Context<'_>) {
        if self.calls.borrow().is_none() {
            return;
        }
        let now = time::now();
        loop {
            let expired = self.calls().expire(now);
            let Some(call) = expired else { break };
            self.worker.stats.host_calls_timed_out.up();
            self.fail_call(call, LocalReply::Timeout);
        }
        let at = self.calls().next_deadline();
        let mut alarm = std::mem::take(&mut self.calls().alarm);
        alarm.set(at, now, cx);
        self.calls().alarm = alarm;
        if self.conn.output_bytes() > self.worker.limits.output_low_bytes {
            return;
        }
        let held = std::mem::take(&mut self.calls().held);
        held.iter().for_each(|upstream| upstream.go_on_calling());
    }

    /// The client is gone: those who called it are told.
    pub(super) fn end_calls(&self) {
        let Some(mut calls) = self.calls.take() else { return };
        calls.waiting.drain(|_, call| {
            self.worker.stats.host_calls_lost.up();
            self.fail_call(call, LocalReply::ClientLost);
        });
    }

    fn fail_call(&self, call: Call, why: LocalReply) {
        self.worker.stats.host_calls_in_flight.down();
        call.upstream.fail_call(call.origin, why);
    }
}

impl Calls {
    /// A new call's id; `None` when there are as many as may be.
    fn insert(&mut self, upstream: &Rc<Upstream>, frame: &Frame) -> Option<u64> {
        let deadline = time::now() + frame.timeout().unwrap_or(REQUEST_TIMEOUT);
        let call = Call { upstream: Rc::clone(upstream), origin: frame.origin, deadline };
        let id = self.waiting.insert(call).ok()?;
        let waiting = &self.waiting;
        self.deadlines.add(deadline, id, waiting.len(), |id| waiting.get(id).is_some());
        Some(id)
    }

    /// Remembers a connection that is to be woken when the client has read. One is here once, however
    /// often it tries meanwhile.
    fn hold(&mut self, upstream: &Rc<Upstream>, stats: &Stats) {
        if !self.held.iter().any(|held| Rc::ptr_eq(held, upstream)) {
            stats.stalls.up();
            self.held.push(Rc::clone(upstream));
        }
    }

    /// The connection that an answer under this id would go to, if it takes none now.
    fn congested(&self, id: u64) -> Option<Rc<Upstream>> {
        let upstream = &self.waiting.get(id)?.upstream;
        upstream.is_congested().then(|| Rc::clone(upstream))
    }

    fn expire(&mut self, now: Instant) -> Option<Call> {
        let expired = self.deadlines.expire(now, &mut self.waiting, |call| call.deadline);
        expired.map(|(_, call)| call)
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let waiting = &self.waiting;
        self.deadlines.next(|id| waiting.get(id).is_some())
    }
}

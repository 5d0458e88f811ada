//! Calls that the host makes: a request or a oneway from the side that usually answers.
//!
//! Whom it is for is known only where the connection belongs to one client. That client gets it, and its
//! answer returns under the host's own id: see `downstream/calls.rs`. Everywhere else
//! the proxy answers, and so it does when it stops and half of its time is over.

use std::rc::Rc;

use super::Upstream;
use crate::codec::{Codec, Frame, Kind, LocalReply, Origin};
use crate::complaint::Complaint;
use crate::config::PoolMode;
use crate::downstream::Handover;
use crate::drain::Stage;
use crate::inbox::{Payload, Verdict};

impl Upstream {
    /// Whether somebody, on either side, waits for an answer on this connection.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.borrow().is_empty() || self.calls.get() > 0
    }

    pub(super) fn on_call(self: &Rc<Self>, frame: &Frame, payload: &mut Payload<'_>) -> Verdict {
        if !self.protocol.has_calls_back() || self.host.shared.config.pool != PoolMode::Binding {
            self.host.worker.stats.unexpected_frames.up();
            self.complain(Complaint::Misplaced(frame.kind));
            self.refuse_call(frame, payload, LocalReply::NoProcessor);
            return Verdict::Taken;
        }
        let takes_calls = self.host.worker.drain.stage() < Stage::NoMore;
        let client = self.bound.borrow().clone().filter(|_| takes_calls);
        let Some(client) = client else {
            self.host.worker.stats.host_calls_refused.up();
            self.refuse_call(frame, payload, LocalReply::ClientLost);
            return Verdict::Taken;
        };
        match client.take_call(self, frame, payload) {
            Handover::Waits => self.calls.set(self.calls.get() + 1),
            Handover::Done => {}
            Handover::Full => {
                self.host.worker.stats.host_calls_refused.up();
                self.refuse_call(frame, payload, LocalReply::Overflow);
            }
            Handover::Hold => return Verdict::Stall,
        }
        Verdict::Taken
    }

    fn refuse_call(&self, frame: &Frame, payload: &Payload<'_>, why: LocalReply) {
        // A host that asks and does not read gets no refusals: they would pile up here.
        if frame.kind == Kind::Request && !self.is_congested() {
            let repeated = &payload.bytes()[self.protocol.repeated(frame).range()];
            self.conn.queue_reply(frame.origin, repeated, why);
        }
    }

    /// The client has read: a call that was held back may go on.
    pub(crate) fn go_on_calling(&self) {
        self.conn.wake();
    }

    /// The client's answer to a call.
    pub(crate) fn answer_call(&self, origin: Origin, payload: &mut Payload<'_>) {
        self.protocol.set_id(payload.bytes_mut(), origin.id);
        self.conn.queue(payload);
        self.call_ended();
    }

    /// The proxy's own answer to a call that the client has not answered.
    pub(crate) fn fail_call(&self, origin: Origin, why: LocalReply) {
        // No protocol with such calls repeats anything in its answers.
        self.conn.queue_reply(origin, &[], why);
        self.call_ended();
    }

    fn call_ended(&self) {
        self.calls.set(self.calls.get() - 1);
        self.used.set(true);
        self.conn.wake();
    }
}

//! A connection's place in its pool, and in what its cluster counts.

use std::rc::Rc;

use super::{Leaving, Upstream};
use crate::cluster::Host;
use crate::config::PoolMode;
use crate::downstream::Downstream;
use crate::ids::Ended;

impl Upstream {
    pub(crate) fn host(&self) -> &Rc<Host> {
        &self.host
    }

    /// Its place in the host's pool for its protocol.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// Takes note of whether the pool has it in its list of idle ones; whether it had before.
    pub(crate) fn set_listed(&self, listed: bool) -> bool {
        self.listed.replace(listed)
    }

    /// Makes it this client's own.
    pub(crate) fn bind(&self, client: &Rc<Downstream>) {
        *self.bound.borrow_mut() = Some(Rc::clone(client));
    }

    /// Its client is gone, and it goes too.
    pub(crate) fn unbind(&self) {
        *self.bound.borrow_mut() = None;
        self.retire();
    }

    /// A request has left the table.
    pub(super) fn ended(&self, how: Ended) {
        self.host.worker.stats.in_flight.down();
        self.host.request_ended();
        if self.is_dialing() {
            self.host.shared.breakers.pending.down();
        }
        if self.host.shared.config.pool != PoolMode::PingPong {
            return;
        }
        if how == Ended::GivenUp {
            self.leave(Leaving::Spent);
        } else if !self.is_leaving() {
            self.host.pool(self.protocol).rest(self);
        }
    }

    /// Whether it takes no further requests.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get() != Leaving::No
    }

    /// Whether nothing keeps it any more. A dial is given up with the only request of its connection:
    /// its frame is not to be sent.
    pub(super) fn is_over(&self) -> bool {
        match self.leaving.get() {
            Leaving::No => false,
            _ if self.is_busy() => false,
            _ if !self.is_dialing() => self.conn.output_bytes() == 0,
            Leaving::Spent => true,
            Leaving::Told => !self.owes_oneway.get(),
        }
    }

    /// No further requests; the ones in flight still get their answers. A client that it belongs to
    /// goes on without it.
    pub(crate) fn retire(&self) {
        self.leave(Leaving::Told);
    }

    fn leave(&self, why: Leaving) {
        if self.is_leaving() {
            return;
        }
        self.leaving.set(why);
        self.host.pool(self.protocol).vacate(self);
        let bound = self.bound.borrow_mut().take();
        if let Some(client) = bound {
            client.bindings.forget(self);
        }
        self.conn.wake();
    }
}

//! Who waits for a connection's output to drain.

use std::rc::Rc;

use super::Upstream;
use crate::downstream::Downstream;
use crate::filter::{Flow, Ticket};

/// What waits for the output to drain.
pub(super) enum Parked {
    /// A client that has stopped reading.
    Client(Rc<Downstream>),
    /// A request that was read already.
    Request(Rc<Ticket>),
}

impl Upstream {
    /// Remembers a client to be woken when the output has drained.
    pub(crate) fn park(&self, downstream: &Rc<Downstream>) {
        self.parked.borrow_mut().push(Parked::Client(Rc::clone(downstream)));
    }

    /// Remembers a request that is to go on when the output has drained.
    pub(crate) fn park_request(&self, ticket: Rc<Ticket>) {
        self.parked.borrow_mut().push(Parked::Request(ticket));
    }

    /// Forgets a client, and requests, that do not wait any more.
    pub(crate) fn unpark(&self, downstream: &Rc<Downstream>) {
        self.parked.borrow_mut().retain(|parked| match parked {
            Parked::Client(client) => !Rc::ptr_eq(client, downstream),
            Parked::Request(ticket) => ticket.is_waiting(),
        });
    }

    /// In the order in which they came: a client goes on reading behind its request.
    pub(super) fn wake_parked(&self) {
        let parked = std::mem::take(&mut *self.parked.borrow_mut());
        for parked in parked {
            match parked {
                Parked::Client(downstream) => downstream.drained(),
                Parked::Request(ticket) => ticket.resume(Flow::Continue),
            }
        }
    }
}

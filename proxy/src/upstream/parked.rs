//! Who waits for a connection's output to drain.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Upstream;
use crate::downstream::Downstream;
use crate::filter::{Flow, Ticket};

/// A list of requests is not swept while it is shorter.
const SWEEP_MIN: usize = 16;

/// What waits for the output to drain.
enum Parked {
    /// A client that has stopped reading.
    Client(Rc<Downstream>),
    /// A request that was read already.
    Request(Rc<Ticket>),
}

/// All that waits, in the order in which it came.
#[derive(Default)]
pub(super) struct Queue {
    parked: VecDeque<Parked>,
    /// How many were left when those that do not wait any more were last taken out.
    swept: usize,
}

impl Queue {
    /// Adds a request. Others may have ended by their time-out or with their client and be here still: they
    /// are taken out whenever the list has doubled.
    fn push_request(&mut self, ticket: Rc<Ticket>) {
        if self.parked.len() >= 2 * self.swept.max(SWEEP_MIN) {
            self.sweep(|_| true);
        }
        self.parked.push_back(Parked::Request(ticket));
    }

    /// Takes out the clients that do not wait any more, and all such requests.
    fn sweep(&mut self, waits: impl Fn(&Rc<Downstream>) -> bool) {
        self.parked.retain(|parked| match parked {
            Parked::Client(client) => waits(client),
            Parked::Request(ticket) => ticket.is_waiting(),
        });
        self.swept = self.parked.len();
    }
}

impl Upstream {
    /// Remembers a client to be woken when the output has drained.
    pub(crate) fn park(&self, downstream: &Rc<Downstream>) {
        self.parked.borrow_mut().parked.push_back(Parked::Client(Rc::clone(downstream)));
    }

    /// Remembers a request that is to go on when the output has drained.
    pub(crate) fn park_request(&self, ticket: Rc<Ticket>) {
        self.parked.borrow_mut().push_request(ticket);
    }

    /// Forgets a client, and requests, that do not wait any more.
    pub(crate) fn unpark(&self, downstream: &Rc<Downstream>) {
        self.parked.borrow_mut().sweep(|client| !Rc::ptr_eq(client, downstream));
    }

    /// In the order in which they came: a client goes on reading behind its request. When the first ones
    /// have filled the output again the others keep their places, in front of what has come meanwhile.
    pub(super) fn wake_parked(&self) {
        let count = self.parked.borrow().parked.len();
        for _ in 0..count {
            if self.is_congested() {
                return;
            }
            let Some(parked) = self.parked.borrow_mut().parked.pop_front() else { return };
            match parked {
                Parked::Client(downstream) => downstream.drained(),
                Parked::Request(ticket) => ticket.resume(Flow::Continue),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_do_not_wait_any_more_are_taken_out_and_the_others_keep_their_order() {
        let mut queue = Queue::default();
        let waiting: Vec<_> = (0..100).map(|place| Ticket::of_nobody(Some(place))).collect();
        for ticket in &waiting {
            queue.push_request(Rc::clone(ticket));
            for _ in 0..100 {
                queue.push_request(Ticket::of_nobody(None));
            }
            assert!(queue.parked.len() <= 2 * waiting.len().max(SWEEP_MIN));
        }
        queue.sweep(|_| true);
        let left: Vec<_> = queue.parked.into_iter().collect();
        assert_eq!(left.len(), waiting.len());
        for (left, ticket) in left.iter().zip(&waiting) {
            assert!(matches!(left, Parked::Request(left) if Rc::ptr_eq(left, ticket)));
        }
    }
}

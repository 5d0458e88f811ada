//! The requests of a client that wait for something else than their answer: a filter's word, a
//! host's output that must drain, or their next try.

use std::rc::Rc;
use std::time::Instant;

use reactor::JoinHandle;
use reactor::time;

use super::Downstream;
use crate::filter::{Flow, Ticket};
use crate::inbox::Payload;
use crate::journey::{Journey, Kept};
use crate::retry;
use crate::stream::{Event, Phase};
use crate::upstream::Upstream;

/// A request of a client that waits.
pub(crate) enum Flight {
    /// For its answer, under this id.
    Sent(Rc<Upstream>, u64),
    /// For a filter, for a host's output to drain, or for its next try.
    Parked(Parked),
}

impl Flight {
    /// Whether its answer has come, and a filter keeps it.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Flight::Parked(parked) if parked.journey.stream.phase() == Phase::UpFilter)
    }
}

/// See [`Flight::Parked`].
pub(crate) struct Parked {
    journey: Box<Journey>,
    bytes: usize,
    /// Ends its waiting.
    timer: JoinHandle<()>,
}

impl Downstream {
    /// Keeps a request until a filter, or a pause, lets it go on.
    pub(super) fn park_journey(
        self: &Rc<Self>,
        mut journey: Box<Journey>,
        payload: &mut Payload<'_>,
        until: Option<Instant>,
        flow: Flow,
        now: Instant,
    ) {
        let bytes = match payload {
            Payload::Owned(bytes) => std::mem::take(bytes),
            Payload::Borrowed(bytes) => (&**bytes).into(),
        };
        journey.kept = Some(Kept::new(bytes, &self.worker));
        let ticket = journey.ticket.take().unwrap_or_else(|| Ticket::new(self));
        let (at, flow) = match (flow, until) {
            // It may have been said before the filter said that it would be.
            (Flow::Stop, _) => match ticket.take_said() {
                Some(said) => (now, said),
                None => (journey.deadline, Flow::Continue),
            },
            (flow, until) => (until.unwrap_or(journey.deadline), flow),
        };
        self.park_until(journey, ticket, at, flow);
    }

    fn park_until(
        self: &Rc<Self>,
        mut journey: Box<Journey>,
        ticket: Rc<Ticket>,
        at: Instant,
        flow: Flow,
    ) {
        let at = at.min(journey.deadline);
        let timer = Rc::clone(&ticket);
        let timer = reactor::spawn(async move {
            time::sleep_until(at).await;
            timer.resume(flow);
        });
        let bytes = journey.kept.as_ref().map_or(0, Kept::bytes);
        self.parked_bytes.set(self.parked_bytes.get() + bytes);
        self.worker.stats.parked.up();
        journey.ticket = Some(Rc::clone(&ticket));
        let place =
            self.flights.borrow_mut().insert(Flight::Parked(Parked { journey, bytes, timer }));
        ticket.set_place(Some(place));
    }

    pub(super) fn unpark(&self, parked: Parked) -> Box<Journey> {
        let Parked { mut journey, bytes, timer } = parked;
        timer.abort();
        self.parked_bytes.set(self.parked_bytes.get() - bytes);
        self.worker.stats.parked.down();
        if let Some(ticket) = journey.ticket.take() {
            ticket.set_place(None);
        }
        journey.has_waited = true;
        journey
    }

    /// Another try, at another host if there is one. Even without a pause not at once: whoever says
    /// that this one has failed may not be done with what follows from it.
    pub(super) fn try_again(self: &Rc<Self>, mut journey: Box<Journey>) {
        journey.stream.on(Event::Retried);
        journey.avoid = journey.record.host;
        let random = self.worker.random.next();
        let pause = retry::pause(journey.record.attempts, random);
        let ticket = Ticket::new(self);
        self.park_until(journey, ticket, time::now() + pause, Flow::Continue);
    }
}

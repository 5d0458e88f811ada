//! A connection to a host, shared by the requests of many clients.
//!
//! Each request waits in the connection's [`IdTable`] and travels under the id that the table gave
//! it. The connection is one task; it exists from the first moment of the dial, so requests that
//! come meanwhile queue their frames and get their time-outs like all others.

mod calls;
mod close;
mod idle;
mod parked;
mod place;
mod task;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use crate::cluster::Host;
use crate::codec::{Codec, Frame, Kind, Origin, Protocol, Span};
use crate::complaint::{Complaint, Complaints};
use crate::conn::Conn;
use crate::deadlines::Deadlines;
use crate::downstream::{Downstream, Flight};
use crate::ids::{Ended, IdTable};
use crate::inbox::{Payload, Verdict};
use crate::journey::Journey;
use crate::repeats::Repeats;
use crate::stream::{Action, Event, Stream};

use parked::Queue;
pub(crate) use task::run;

/// See the module's page.
pub(crate) struct Upstream {
    host: Rc<Host>,
    protocol: Protocol,
    slot: usize,
    conn: Conn,
    waiting: RefCell<IdTable<Waiting>>,
    repeats: RefCell<Repeats>,
    deadlines: RefCell<Deadlines>,
    /// Who waits until the output has drained.
    parked: RefCell<Queue>,
    phase: Cell<Phase>,
    leaving: Cell<Leaving>,
    /// Whether a oneway was queued before the connection was made.
    owes_oneway: Cell<bool>,
    /// Whether the pool has it in its list of idle ones.
    listed: Cell<bool>,
    /// The client that it belongs to, in a pool of such connections.
    bound: RefCell<Option<Rc<Downstream>>>,
    /// Calls of its host that wait for the client's answer.
    calls: Cell<usize>,
    /// Whether a frame came since the task looked.
    heard: Cell<bool>,
    /// Whether something was sent since the task looked.
    used: Cell<bool>,
    /// Heartbeats that were not acknowledged.
    heartbeats: Cell<u32>,
    complaints: Complaints,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The dial is under way.
    Dialing,
    /// The socket is connected, no answer has come yet.
    Open,
    /// It has given an answer at least once.
    Proved,
    /// It is over; its table is empty and stays so.
    Closed,
}

/// Whether it takes further requests, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// It takes them.
    No,
    /// The host is busy with a request that was given up, and the next would wait behind it.
    Spent,
    /// Its peer, its client, its cluster or its pool has told it to go.
    Told,
}

/// A request in flight.
struct Waiting {
    stream: Stream,
    origin: Origin,
    deadline: Instant,
    downstream: Rc<Downstream>,
    /// Its key in the client's own list of requests that wait.
    flight: usize,
    /// Of a request that has one; its stream is there then.
    journey: Option<Box<Journey>>,
}

/// What a client sends.
pub(crate) struct Call {
    pub(crate) stream: Stream,
    pub(crate) origin: Origin,
    /// See [`Codec::repeated`].
    pub(crate) repeated: Span,
    /// When it, or this try of it, has had its time.
    pub(crate) deadline: Instant,
    pub(crate) journey: Option<Box<Journey>>,
}

impl Upstream {
    pub(crate) fn new(host: Rc<Host>, protocol: Protocol, slot: usize) -> Rc<Self> {
        host.worker.stats.upstream_connections.up();
        host.shared.breakers.connections.up();
        let in_flight_max = host.shared.config.in_flight_max;
        Rc::new(Upstream {
            conn: Conn::new(Rc::clone(&host.worker), protocol),
            waiting: RefCell::new(IdTable::new(in_flight_max, protocol.id_width())),
            repeats: RefCell::default(),
            deadlines: RefCell::default(),
            parked: RefCell::default(),
            phase: Cell::new(Phase::Dialing),
            leaving: Cell::new(Leaving::No),
            owes_oneway: Cell::new(false),
            listed: Cell::new(false),
            bound: RefCell::default(),
            calls: Cell::new(0),
            heard: Cell::new(false),
            used: Cell::new(false),
            heartbeats: Cell::new(0),
            complaints: Complaints::default(),
            host,
            protocol,
            slot,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.host.address
    }

    /// Whether it still takes a request that it was chosen for before.
    pub(crate) fn takes(&self) -> bool {
        self.phase.get() != Phase::Closed && !self.is_leaving() && !self.is_full()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.borrow().is_full()
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.conn.output_bytes() > self.host.worker.limits.output_high_bytes
    }

    pub(crate) fn is_dialing(&self) -> bool {
        self.phase.get() == Phase::Dialing
    }

    /// Puts a request into the table and its frame, under its new id, into the output.
    ///
    /// The caller has seen that it is not full and not closed.
    pub(crate) fn send(
        self: &Rc<Self>,
        call: Call,
        downstream: &Rc<Downstream>,
        payload: &mut Payload<'_>,
    ) {
        let stats = &self.host.worker.stats;
        let mut waiting = self.waiting.borrow_mut();
        let mut flights = downstream.flights();
        let place = flights.vacant_entry();
        let entry = Waiting {
            stream: call.stream,
            origin: call.origin,
            deadline: call.deadline,
            downstream: Rc::clone(downstream),
            flight: place.key(),
            journey: call.journey,
        };
        let Ok(id) = waiting.insert(entry) else {
            unreachable!("a full connection was chosen for a request");
        };
        if let Some(journey) = waiting.get_mut(id).and_then(|entry| entry.journey.as_mut()) {
            journey.record.upstream_id = Some(id);
        }
        place.insert(Flight::Sent(Rc::clone(self), id));
        let len = waiting.len();
        let is_alive = |id| waiting.get(id).is_some();
        self.deadlines.borrow_mut().add(call.deadline, id, len, is_alive);
        self.repeats.borrow_mut().keep(id, &payload.bytes()[call.repeated.range()]);
        stats.sent.up();
        stats.in_flight.up();
        self.host.request_began();
        if self.is_dialing() {
            self.host.shared.breakers.pending.up();
        }
        self.pass_on(id, payload);
    }

    /// Puts a oneway's frame into the output. It gets an id of its own too, so that a peer that
    /// answers it all the same hits nobody, but no entry.
    pub(crate) fn send_oneway(&self, payload: &mut Payload<'_>) -> u64 {
        let id = self.waiting.borrow_mut().unused_id();
        self.host.worker.stats.oneways_sent.up();
        self.owes_oneway.set(self.owes_oneway.get() || self.is_dialing());
        self.pass_on(id, payload);
        id
    }

    fn pass_on(&self, id: u64, payload: &mut Payload<'_>) {
        self.used.set(true);
        self.protocol.set_id(payload.bytes_mut(), id);
        self.conn.queue(payload);
        self.conn.wake();
    }

    /// Forgets a request whose client is gone; its journey, if it has one, is for the client to end.
    pub(crate) fn forget(&self, id: u64) -> Option<Box<Journey>> {
        let mut entry = self.waiting.borrow_mut().remove(id, Ended::GivenUp).ok()?;
        let stats = &self.host.worker.stats;
        self.ended(Ended::GivenUp);
        if entry.stream.on(Event::DownstreamGone) == Action::Discard {
            stats.abandoned.up();
        }
        if !self.is_busy() {
            // It may have been the last one that the connection is kept for; and an idle one has other
            // things to do, at other times.
            self.conn.wake();
        }
        entry.journey
    }

    fn on_frame(self: &Rc<Self>, frame: &Frame, payload: &mut Payload<'_>) -> Verdict {
        let stats = &self.host.worker.stats;
        self.heard.set(true);
        match frame.kind {
            Kind::Response => self.on_response(frame, payload),
            // A host that asks and does not read gets no answers: they would pile up here.
            Kind::Heartbeat if self.is_congested() => stats.unexpected_frames.up(),
            Kind::Heartbeat => {
                stats.heartbeats.up();
                self.conn.queue_ack(frame.origin);
            }
            Kind::Request | Kind::Oneway => return self.on_call(frame, payload),
            Kind::GoAway => {
                log::debug!("upstream {}: asks for no further requests", self.host.address);
                self.retire();
            }
            Kind::HeartbeatAck if self.heartbeats.get() > 0 => {
                self.heartbeats.set(self.heartbeats.get() - 1);
                self.prove();
            }
            Kind::Notice => stats.notices.up(),
            Kind::HeartbeatAck => {
                stats.unexpected_frames.up();
                self.complain(Complaint::Misplaced(frame.kind));
            }
        }
        Verdict::Taken
    }

    fn complain(&self, complaint: Complaint) {
        self.complaints.say(format_args!("upstream {}", self.host.address), complaint);
    }

    fn on_response(&self, frame: &Frame, payload: &mut Payload<'_>) {
        let stats = &self.host.worker.stats;
        let id = frame.origin.id;
        let removed = self.waiting.borrow_mut().remove(id, Ended::Answered);
        match removed {
            Ok(mut entry) => {
                self.ended(Ended::Answered);
                self.host.succeeded();
                self.prove();
                if let Some(journey) = entry.journey {
                    entry.downstream.answered(entry.flight, journey, frame, payload);
                    return;
                }
                entry.stream.on(Event::Answered);
                if entry.stream.on(Event::Passed) == Action::Deliver {
                    stats.answered.up();
                    entry.downstream.deliver(entry.flight, entry.origin, payload);
                }
            }
            Err(stale) => {
                if let Some(complaint) = Complaint::about(stale, id, stats) {
                    self.complain(complaint);
                }
            }
        }
    }

    /// The host has answered something.
    fn prove(&self) {
        if self.phase.replace(Phase::Proved) == Phase::Open {
            self.host.proved();
        }
    }

    fn expire(&self, now: Instant) {
        loop {
            let mut deadlines = self.deadlines.borrow_mut();
            let expired =
                deadlines.expire(now, &mut self.waiting.borrow_mut(), |entry| entry.deadline);
            drop(deadlines);
            let Some((id, entry)) = expired else { return };
            self.host.worker.stats.timed_out.up();
            self.host.missed(now);
            self.give_up(id, entry, Event::Expired, now);
            if self.is_dialing() && self.leaving.get() == Leaving::Spent {
                // The dial ends with it, and has failed.
                self.host.failed(now);
            }
        }
    }

    fn give_up(&self, id: u64, mut entry: Waiting, event: Event, now: Instant) {
        self.ended(Ended::GivenUp);
        if let Some(journey) = entry.journey {
            return match event {
                // With this connection the client ends too: there is nobody for another try's answer.
                Event::UpstreamLost | Event::ConnectFailed if self.bound.borrow().is_some() => {
                    entry.downstream.given_up(entry.flight, journey, event, now);
                }
                _ => entry.downstream.try_failed(entry.flight, journey, event, now),
            };
        }
        if let Action::Reply(why) = entry.stream.on(event) {
            let repeats = self.repeats.borrow();
            entry.downstream.finish(entry.flight, entry.origin, repeats.of(id), why);
            drop(repeats);
            entry.downstream.wake();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.borrow();
        self.deadlines.borrow_mut().next(|id| waiting.get(id).is_some())
    }
}

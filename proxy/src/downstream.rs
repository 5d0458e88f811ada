//! A client's connection: read, decode, route, hand over; and write the answers that come back.
//!
//! It is one task for all its requests. The task stops reading while one of these holds, and each
//! of them wakes it when it is over:
//!
//! - more than `output_high_bytes` of answers wait for the client, until fewer than
//!   `output_low_bytes` do;
//! - `in_flight_max` of its requests wait for their answers, until one has come;
//! - the upstream connection of its next request has more than `output_high_bytes` to write.
//!
//! Answers to requests that were let through cannot be refused, and the shared upstream connection
//! must not wait for one client. So a client that sends and does not read is closed when another
//! answer comes for it and more than `output_bytes_max` wait already: that, plus one frame, is what
//! it can cost.

mod calls;
mod journeys;
mod parked;
mod requests;
mod task;

use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use net::TcpStream;
use slab::Slab;

use crate::codec::{Codec, Frame, Kind, LocalReply, Origin, Protocol};
use crate::complaint::{Complaint, Complaints};
use crate::conn::{CloseReason, Conn};
use crate::filter::NetworkFilters;
use crate::inbox::{Payload, Verdict};
use crate::journey::Chain;
use crate::pool::Bindings;
use crate::router::Router;
use crate::service::Paths;
use crate::tcp;
use crate::upstream::Upstream;
use crate::worker::Worker;

pub(crate) use calls::Handover;
pub(crate) use parked::Flight;
pub(crate) use requests::Found;
pub(crate) use task::run;

use calls::Calls;

/// The requests of one client that wait.
type Flights = Slab<Flight>;

/// See the module's page.
pub(crate) struct Downstream {
    worker: Rc<Worker>,
    protocol: Protocol,
    router: Rc<Router>,
    /// `None` when its requests pass nothing and are not logged.
    chain: Option<Rc<Chain>>,
    peer: SocketAddr,
    conn: Conn,
    /// What a consistent hash goes by where its route names nothing else: the client's address, without
    /// its port.
    key: u64,
    /// The upstream connections that are its own.
    pub(crate) bindings: Bindings,
    flights: RefCell<Flights>,
    /// What hosts ask of the client; most clients are never asked.
    calls: RefCell<Option<Box<Calls>>>,
    /// Bytes of the frames of its requests that wait for filters or for another try.
    parked_bytes: Cell<usize>,
    /// Reading is stopped until the output is below its low water.
    output_high: Cell<bool>,
    /// The upstream connection whose output must drain before reading goes on.
    parked_at: RefCell<Option<Rc<Upstream>>>,
    /// A connection that belongs to it has ended, and no further request is taken.
    is_unbound: Cell<bool>,
    /// Set by others to have the task end the connection.
    doomed: Cell<Option<CloseReason>>,
    complaints: Complaints,
    /// Frames that have come, and when the last one did; answers that were queued.
    frames: Cell<u64>,
    last_frame: Cell<Option<Instant>>,
    answers: Cell<u64>,
    closed: Cell<bool>,
    /// Whether it is told when the proxy stops, and whether it was.
    says_go_away: bool,
    said_go_away: Cell<bool>,
    /// Requests come too late: the proxy stops.
    drops_requests: Cell<bool>,
}

impl Downstream {
    pub(crate) fn new(
        worker: Rc<Worker>,
        protocol: Protocol,
        paths: Paths,
        filters: NetworkFilters,
        (stream, peer): (TcpStream, SocketAddr),
    ) -> Rc<Self> {
        let conn = Conn::new(Rc::clone(&worker), protocol).behind(filters);
        conn.open(stream);
        Rc::new(Downstream {
            worker,
            protocol,
            says_go_away: paths.says_go_away(protocol),
            said_go_away: Cell::new(false),
            drops_requests: Cell::new(false),
            router: paths.router,
            chain: paths.chain,
            peer,
            conn,
            key: tcp::key(peer),
            bindings: Bindings::default(),
            flights: RefCell::default(),
            calls: RefCell::default(),
            parked_bytes: Cell::new(0),
            output_high: Cell::new(false),
            parked_at: RefCell::default(),
            is_unbound: Cell::new(false),
            doomed: Cell::new(None),
            complaints: Complaints::default(),
            frames: Cell::new(0),
            last_frame: Cell::new(None),
            answers: Cell::new(0),
            closed: Cell::new(false),
        })
    }

    /// The list of requests in flight, for the upstream connection that adds to it.
    pub(crate) fn flights(&self) -> RefMut<'_, Flights> {
        self.flights.borrow_mut()
    }

    /// Passes an answer on under the client's own id.
    pub(crate) fn deliver(&self, flight: usize, origin: Origin, payload: &mut Payload<'_>) {
        self.flights.borrow_mut().remove(flight);
        if self.has_room() {
            self.protocol.set_id(payload.bytes_mut(), origin.id);
            self.conn.queue(payload);
        }
        self.conn.wake();
    }

    /// Ends a request in flight with an answer of the proxy's own. The task is not woken: see
    /// [`wake`](Self::wake).
    pub(crate) fn finish(&self, flight: usize, origin: Origin, repeated: &[u8], why: LocalReply) {
        self.flights.borrow_mut().remove(flight);
        if self.has_room() {
            self.conn.queue_reply(origin, repeated, why);
        }
    }

    /// Makes the task run after those that are ready now.
    pub(crate) fn wake(&self) {
        self.conn.wake();
    }

    /// Whether another answer may wait here; if not, the connection ends. What waits already is
    /// looked at and not what comes: a single answer may be longer than the limit.
    fn has_room(&self) -> bool {
        self.answers.set(self.answers.get() + 1);
        let waiting_bytes = self.conn.output_bytes();
        if waiting_bytes <= self.worker.limits.output_bytes_max {
            return true;
        }
        self.doomed.set(Some(CloseReason::NotReading { waiting_bytes }));
        false
    }

    /// An upstream connection of its own has ended: so does it, behind as many of its answers as its socket
    /// takes at once. Answers that have come and that filters keep are waited for.
    pub(crate) fn unbound(self: &Rc<Self>) {
        self.refuse_parked(LocalReply::UpstreamLost);
        self.is_unbound.set(true);
        self.conn.wake();
    }

    /// Whether it is to end because it is [`unbound`](Self::unbound).
    fn has_outlived(&self) -> bool {
        self.is_unbound.get()
            && !self.flights.borrow().iter().any(|(_, flight)| flight.is_answered())
    }

    /// The upstream connection it was parked at goes on.
    pub(crate) fn drained(&self) {
        *self.parked_at.borrow_mut() = None;
        self.conn.wake();
    }

    fn park(self: &Rc<Self>, upstream: Rc<Upstream>) {
        upstream.park(self);
        *self.parked_at.borrow_mut() = Some(upstream);
    }

    /// Whether nothing that asks for an answer may be taken in now.
    fn must_hold(&self) -> bool {
        let limits = &self.worker.limits;
        let bytes = self.conn.output_bytes();
        let high = if self.output_high.get() {
            bytes > limits.output_low_bytes
        } else {
            bytes > limits.output_high_bytes
        };
        self.output_high.set(high);
        high || self.is_unbound.get()
            || self.parked_at.borrow().is_some()
            || self.parked_bytes.get() > limits.output_high_bytes
            || self.flights.borrow().len() >= limits.in_flight_max
    }

    fn on_frame(
        self: &Rc<Self>,
        frame: &Frame,
        payload: &mut Payload<'_>,
        now: Instant,
    ) -> Verdict {
        let stats = &self.worker.stats;
        if self.drops_requests.get() && matches!(frame.kind, Kind::Request | Kind::Oneway) {
            return Verdict::Taken;
        }
        if self.must_hold() {
            stats.stalls.up();
            return Verdict::Stall;
        }
        match frame.kind {
            Kind::Request | Kind::Oneway => return self.on_request(frame, payload, now),
            Kind::Heartbeat => {
                stats.heartbeats.up();
                self.conn.queue_ack(frame.origin);
            }
            Kind::Notice => stats.notices.up(),
            Kind::Response => return self.on_response(frame, payload),
            Kind::HeartbeatAck | Kind::GoAway => return self.unexpected(frame.kind),
        }
        Verdict::Taken
    }

    fn unexpected(&self, kind: Kind) -> Verdict {
        self.worker.stats.unexpected_frames.up();
        self.complain(Complaint::Misplaced(kind));
        Verdict::Taken
    }

    fn complain(&self, complaint: Complaint) {
        self.complaints.say(format_args!("client {}", self.peer), complaint);
    }

    /// Ends the connection; the upstream connections stay, and forget its requests.
    fn close(self: &Rc<Self>, reason: &CloseReason) {
        if self.closed.replace(true) {
            return;
        }
        self.conn.close();
        let flights = std::mem::take(&mut *self.flights.borrow_mut());
        let in_flight = flights.len();
        for (_, flight) in flights {
            self.abandon(flight);
        }
        // After its requests have ended: theirs are forgotten with it.
        let parked_at = self.parked_at.take();
        if let Some(upstream) = parked_at {
            upstream.unpark(self);
        }
        self.end_calls();
        self.bindings.end();
        self.log_close(reason, in_flight);
    }

    fn log_close(&self, reason: &CloseReason, in_flight: usize) {
        let peer = self.peer;
        match reason {
            CloseReason::Truncated { .. }
            | CloseReason::Undecodable(_)
            | CloseReason::Trickle { .. }
            | CloseReason::NotReading { .. } => {
                self.worker.stats.downstream_faulty.up();
                log::warn!("client {peer}: connection closed: {reason}");
            }
            CloseReason::Eof | CloseReason::Io(_) | CloseReason::Cut if in_flight > 0 => {
                log::warn!("client {peer}: {reason}; {in_flight} requests were in flight");
            }
            CloseReason::Idle { .. } => {
                self.worker.stats.downstream_idle.up();
                log::info!("client {peer}: connection closed: {reason}");
            }
            CloseReason::Io(_) => log::info!("client {peer}: connection closed: {reason}"),
            _ => log::debug!("client {peer}: connection closed: {reason}"),
        }
    }
}

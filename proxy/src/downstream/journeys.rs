//! The requests of a client that have a [`Journey`]: what [`stream`](crate::stream) says is done here.

use std::rc::Rc;
use std::time::Instant;

use reactor::time;

use super::{Downstream, Flight, Found};
use crate::codec::{Codec, Frame, LocalReply};
use crate::filter::{Flag, Flow, Ticket};
use crate::inbox::{Payload, Verdict};
use crate::journey::{Journey, Kept, Said, flag_reply};
use crate::stream::{Action, Event, Phase, Stream};
use crate::upstream::Call;

impl Downstream {
    /// A request of a listener that has filters or logs.
    pub(super) fn begin(
        self: &Rc<Self>,
        stream: Stream,
        frame: &Frame,
        payload: &mut Payload<'_>,
        now: Instant,
    ) -> Verdict {
        let mut journey = self.journey(stream, frame, payload, now);
        if let Some(chain) = &self.chain {
            journey.join(chain, payload.bytes());
        }
        let action = journey.stream.on(Event::Received);
        self.drive(journey, payload, action, now);
        Verdict::Taken
    }

    /// A request whose route is the first to ask for more.
    pub(super) fn journey(
        &self,
        stream: Stream,
        frame: &Frame,
        payload: &Payload<'_>,
        now: Instant,
    ) -> Box<Journey> {
        let stats = &self.worker.stats;
        if stream.is_oneway() {
            stats.oneways.up();
        } else {
            stats.requests.up();
        }
        Journey::new(stream, frame, payload.bytes(), (self.protocol, self.peer), now)
    }

    /// A request without filters whose route has something to say about tries.
    pub(super) fn begin_routed(
        self: &Rc<Self>,
        stream: Stream,
        frame: &Frame,
        payload: &mut Payload<'_>,
        found: Found<'_>,
        now: Instant,
    ) -> Verdict {
        let mut journey = self.journey(stream, frame, payload, now);
        journey.take_route(&found);
        self.drive(journey, payload, Action::Filter, now);
        Verdict::Taken
    }

    /// Does what the table says until the request waits or has ended.
    fn drive(
        self: &Rc<Self>,
        mut journey: Box<Journey>,
        payload: &mut Payload<'_>,
        mut action: Action,
        now: Instant,
    ) {
        loop {
            let event = match action {
                Action::Filter => match journey.filter(payload, now, &|| Ticket::new(self)) {
                    Said::Event(event) => self.checked(&mut journey, event),
                    Said::Wait(until, flow) => {
                        return self.park_journey(journey, payload, until, flow, now);
                    }
                },
                Action::MatchRoute => self.route(&mut journey, payload),
                Action::ChooseHost => self.host(&mut journey, now),
                Action::Hold => return self.hold(journey, payload, now),
                Action::SendAndWait => return self.send(journey, payload, now),
                Action::SendAndForget => {
                    self.send_oneway(&mut journey, payload, now);
                    Event::Sent
                }
                Action::Deliver => return self.deliver_journey(journey, payload, now),
                Action::Reply(why) => return self.reply(journey, why, now),
                Action::Discard | Action::BackOff | Action::Nothing => {
                    if journey.record.oneway && journey.record.attempts == 0 {
                        self.worker.stats.oneways_dropped.up();
                    }
                    return self.end(journey, now);
                }
            };
            if let Event::Refused(why) = event {
                flag_reply(&mut journey.record, why);
            }
            let before = journey.stream.phase();
            action = journey.stream.on(event);
            if journey.stream.phase() != before {
                journey.enter_phase();
            }
        }
    }

    /// Whether the connection that was chosen before a filter kept the request still takes it.
    fn checked(&self, journey: &mut Journey, event: Event) -> Event {
        let has_waited = std::mem::take(&mut journey.has_waited);
        match &journey.upstream {
            Some(upstream) if event == Event::Passed && has_waited && !upstream.takes() => {
                Event::HostGone
            }
            _ => event,
        }
    }

    fn route(&self, journey: &mut Journey, payload: &Payload<'_>) -> Event {
        journey.upstream = None;
        match self.match_route(&journey.frame, payload) {
            Err(why) => Event::Refused(why),
            Ok(found) => {
                journey.take_route(&found);
                Event::RouteFound
            }
        }
    }

    fn host(self: &Rc<Self>, journey: &mut Journey, now: Instant) -> Event {
        let (Some(cluster), Some(labels)) = (&journey.cluster, &journey.labels) else {
            return Event::Refused(LocalReply::NoRoute);
        };
        let (event, upstream) =
            self.choose_host(cluster, (labels, journey.key), now, journey.avoid);
        journey.has_waited = false;
        if event == Event::HostChosen {
            journey.record.host = upstream.as_ref().map(|upstream| upstream.address());
        }
        journey.upstream = upstream;
        event
    }

    /// Keeps the request, and reads no other, until the output that it was to go to has drained.
    fn hold(self: &Rc<Self>, mut journey: Box<Journey>, payload: &mut Payload<'_>, now: Instant) {
        let upstream = journey.upstream.take().expect("a connection is congested");
        self.worker.stats.stalls.up();
        let ticket = Ticket::new(self);
        upstream.park_request(Rc::clone(&ticket));
        journey.ticket = Some(ticket);
        self.park_journey(journey, payload, None, Flow::Continue, now);
        if self.parked_at.borrow().is_none() {
            self.park(upstream);
        }
    }

    fn send(self: &Rc<Self>, mut journey: Box<Journey>, payload: &mut Payload<'_>, now: Instant) {
        let upstream = journey.upstream.take().expect("a host was chosen");
        self.note_sent(&mut journey, now);
        journey.keep_for_retry(payload, &self.worker);
        let call = Call {
            stream: journey.stream,
            origin: journey.origin,
            repeated: self.protocol.repeated(&journey.frame),
            deadline: journey.try_deadline(now),
            journey: Some(journey),
        };
        upstream.send(call, self, payload);
    }

    fn send_oneway(&self, journey: &mut Journey, payload: &mut Payload<'_>, now: Instant) {
        let upstream = journey.upstream.take().expect("a host was chosen");
        self.note_sent(journey, now);
        journey.record.upstream_id = Some(upstream.send_oneway(payload));
    }

    fn note_sent(&self, journey: &mut Journey, now: Instant) {
        if journey.record.attempts > 0 {
            self.worker.stats.retries.up();
        }
        journey.record.attempts += 1;
        journey.record.sent_after = Some(now - journey.started);
    }

    /// A request that waited here goes on.
    pub(crate) fn resume(self: &Rc<Self>, place: usize, flow: Flow) {
        let flight = self.flights.borrow_mut().try_remove(place);
        let Some(Flight::Parked(parked)) = flight else { return };
        let mut journey = self.unpark(parked);
        let now = time::now();
        let event = match flow {
            _ if now >= journey.deadline => Event::Expired,
            Flow::Continue if journey.stream.phase() == Phase::ChooseHost => Event::Drained,
            Flow::Reply(why) => Event::Refused(why),
            Flow::Reroute => journey.reroute().unwrap_or(Event::Resumed),
            _ => Event::Resumed,
        };
        match event {
            Event::Refused(why) => flag_reply(&mut journey.record, why),
            Event::Expired => flag_reply(&mut journey.record, LocalReply::Timeout),
            _ => {}
        }
        let before = journey.stream.phase();
        let action = journey.stream.on(event);
        if journey.stream.phase() != before {
            journey.enter_phase();
        }
        let bytes = journey.kept.take().map(Kept::take).unwrap_or_default();
        self.drive(journey, &mut Payload::Owned(bytes), action, now);
        self.wake();
    }

    /// A try came to nothing: another one, or the end.
    pub(crate) fn try_failed(
        self: &Rc<Self>,
        flight: usize,
        mut journey: Box<Journey>,
        event: Event,
        now: Instant,
    ) {
        if !journey.may_retry(now) {
            return self.given_up(flight, journey, event, now);
        }
        self.flights.borrow_mut().remove(flight);
        self.try_again(journey);
        self.wake();
    }

    /// Its last try came to nothing.
    pub(crate) fn given_up(
        self: &Rc<Self>,
        flight: usize,
        mut journey: Box<Journey>,
        event: Event,
        now: Instant,
    ) {
        self.flights.borrow_mut().remove(flight);
        match journey.stream.on(event) {
            Action::Reply(why) => self.reply(journey, why, now),
            _ => self.end(journey, now),
        }
        self.wake();
    }

    /// Ends the requests that wait for filters, for an output or for their next try; not those that have
    /// their answer.
    pub(super) fn refuse_parked(self: &Rc<Self>, why: LocalReply) {
        let is_parked = |(place, flight): (usize, &Flight)| {
            (matches!(flight, Flight::Parked(_)) && !flight.is_answered()).then_some(place)
        };
        let places: Vec<usize> = self.flights.borrow().iter().filter_map(is_parked).collect();
        for place in places {
            self.resume(place, Flow::Reply(why));
        }
    }

    /// An answer came for a request that has a journey.
    pub(crate) fn answered(
        self: &Rc<Self>,
        flight: usize,
        mut journey: Box<Journey>,
        frame: &Frame,
        payload: &mut Payload<'_>,
    ) {
        self.flights.borrow_mut().remove(flight);
        let now = time::now();
        let stats = &self.worker.stats;
        let is_failure = journey.retry.as_ref().is_some_and(|retry| retry.wants(frame.status));
        if is_failure && journey.may_retry(now) {
            stats.answers_retried.up();
            return self.try_again(journey);
        }
        stats.answered.up();
        journey.kept = None;
        journey.frame = *frame;
        journey.record.status = Some(frame.status);
        journey.record.answered_after = Some(now - journey.started);
        let action = journey.stream.on(Event::Answered);
        journey.enter_phase();
        self.drive(journey, payload, action, now);
        self.wake();
    }

    fn deliver_journey(&self, mut journey: Box<Journey>, payload: &mut Payload<'_>, now: Instant) {
        journey.record.response_bytes = payload.bytes().len();
        if self.has_room() {
            self.protocol.set_id(payload.bytes_mut(), journey.origin.id);
            self.conn.queue(payload);
        }
        self.end(journey, now);
    }

    fn reply(&self, mut journey: Box<Journey>, why: LocalReply, now: Instant) {
        flag_reply(&mut journey.record, why);
        if journey.record.attempts == 0 {
            self.count_refusal(why);
        }
        if self.has_room() {
            self.conn.queue_reply(journey.origin, &journey.repeated, why);
        }
        self.end(journey, now);
    }

    /// Ends what waits, because the client is gone.
    pub(super) fn abandon(&self, flight: Flight) {
        let journey = match flight {
            Flight::Sent(upstream, id) => upstream.forget(id),
            Flight::Parked(parked) => Some(self.unpark(parked)),
        };
        if let Some(journey) = journey {
            self.abandon_journey(journey);
        }
    }

    pub(super) fn abandon_journey(&self, mut journey: Box<Journey>) {
        journey.stream.on(Event::DownstreamGone);
        journey.record.flags.add(Flag::DownstreamGone);
        self.end(journey, time::now());
    }

    fn end(&self, journey: Box<Journey>, now: Instant) {
        journey.end(self.chain.as_deref(), now);
    }
}

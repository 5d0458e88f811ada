//! A request on its way out: its route, its host, and what the proxy answers itself.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Downstream;
use crate::balance::Labels;
use crate::cluster::{Ask, Cluster};
use crate::codec::{Codec, Frame, Kind, LocalReply, Origin};
use crate::complaint::Complaint;
use crate::inbox::{Payload, Verdict};
use crate::pool::Candidate;
use crate::retry::Retry;
use crate::stream::{Action, Event, Stream};
use crate::upstream::{Call, Upstream};

/// What a route says about a request.
pub(crate) struct Found<'a> {
    pub(crate) cluster: &'a Rc<Cluster>,
    /// The labels that its host must have.
    pub(crate) labels: &'a Rc<Labels>,
    /// What a consistent hash goes by.
    pub(crate) key: u64,
    pub(crate) timeout: Duration,
    pub(crate) retry: Option<&'a Rc<Retry>>,
}

impl Downstream {
    pub(super) fn on_request(
        self: &Rc<Self>,
        frame: &Frame,
        payload: &mut Payload<'_>,
        now: Instant,
    ) -> Verdict {
        let oneway = frame.kind == Kind::Oneway;
        let mut stream = Stream::new(oneway);
        if self.chain.is_some() {
            return self.begin(stream, frame, payload, now);
        }
        stream.on(Event::Received);
        stream.on(Event::Passed);
        let repeated = self.protocol.repeated(frame);
        let mut call =
            Call { stream, origin: frame.origin, repeated, deadline: now, journey: None };
        let mut upstream = None;
        let action = match self.match_route(frame, payload) {
            Err(why) => call.stream.on(Event::Refused(why)),
            Ok(found) => {
                call.stream.on(Event::RouteFound);
                if found.retry.is_some() && !oneway {
                    return self.begin_routed(call.stream, frame, payload, found, now);
                }
                call.deadline += found.timeout;
                call.stream.on(Event::Passed);
                let event;
                (event, upstream) =
                    self.choose_host(found.cluster, (found.labels, found.key), now, None);
                match call.stream.on(event) {
                    // Nobody looks at it in between.
                    Action::Filter => call.stream.on(Event::Passed),
                    action => action,
                }
            }
        };
        match (action, upstream) {
            (Action::Hold, Some(upstream)) => {
                self.worker.stats.stalls.up();
                self.park(upstream);
                return Verdict::Stall;
            }
            (Action::SendAndWait, Some(upstream)) => upstream.send(call, self, payload),
            (Action::SendAndForget, Some(upstream)) => {
                upstream.send_oneway(payload);
            }
            (Action::Reply(why), _) => {
                self.refuse(call.origin, &payload.bytes()[repeated.range()], why);
            }
            _ => self.worker.stats.oneways_dropped.up(),
        }
        let stats = &self.worker.stats;
        if oneway {
            stats.oneways.up()
        } else {
            stats.requests.up()
        }
        Verdict::Taken
    }

    pub(super) fn match_route(
        &self,
        frame: &Frame,
        payload: &Payload<'_>,
    ) -> Result<Found<'_>, LocalReply> {
        let unreadable = |error| {
            self.complain(Complaint::BadHeader(error));
            LocalReply::BadHeader
        };
        let bytes = payload.bytes();
        let found = self.router.find(&self.protocol, frame, bytes).map_err(unreadable)?;
        let route = found.ok_or(LocalReply::NoRoute)?;
        let cluster = self.router.pick(route).ok_or(LocalReply::NoRoute)?;
        let key = if cluster.goes_by_key() {
            route.hash_key.of(&self.protocol, frame, bytes, self.key).map_err(unreadable)?
        } else {
            self.key
        };
        let timeout = route.timeout(frame);
        Ok(Found { cluster, labels: &route.labels, key, timeout, retry: route.retry.as_ref() })
    }

    /// `avoid` is a host that is asked only when all others are down.
    pub(super) fn choose_host(
        self: &Rc<Self>,
        cluster: &Cluster,
        (labels, key): (&Labels, u64),
        now: Instant,
        avoid: Option<SocketAddr>,
    ) -> (Event, Option<Rc<Upstream>>) {
        let ask = Ask { protocol: self.protocol, now, key, labels, avoid, client: self };
        match cluster.pick(&ask) {
            Candidate::Ready(upstream) | Candidate::Doubtful(upstream) => {
                (Event::HostChosen, Some(upstream))
            }
            Candidate::Congested(upstream) => (Event::Congested, Some(upstream)),
            Candidate::Full => (Event::Refused(LocalReply::Overflow), None),
            Candidate::Down => (Event::Refused(LocalReply::NoUpstream), None),
        }
    }

    fn refuse(&self, origin: Origin, repeated: &[u8], why: LocalReply) {
        self.count_refusal(why);
        self.conn.queue_reply(origin, repeated, why);
    }

    /// Counts a request that is answered by the proxy and was never sent.
    pub(super) fn count_refusal(&self, why: LocalReply) {
        let stats = &self.worker.stats;
        match why {
            LocalReply::NoRoute => stats.no_route.up(),
            LocalReply::Overflow => stats.overflow.up(),
            LocalReply::BadHeader => stats.bad_header.up(),
            LocalReply::Timeout => stats.timed_out_unsent.up(),
            LocalReply::Denied => stats.denied.up(),
            _ => stats.no_upstream.up(),
        }
    }
}

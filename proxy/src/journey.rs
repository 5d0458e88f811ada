//! A request that needs more than an entry in an id table: it passes filters, may be tried again, or
//! is written to an access log.
//!
//! Every other request has none: see [`Downstream`](crate::downstream::Downstream).

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;

use crate::access_log::AccessLog;
use crate::balance::Labels;
use crate::breakers::Seat;
use crate::cluster::Cluster;
use crate::codec::{Codec, Frame, LocalReply, Origin, Protocol};
use crate::config;
use crate::downstream::Found;
use crate::filter::{
    Filters, Flag, Flags, Flow, MakeFilter, Record, Request, Response, StreamFilter, Ticket, View,
};
use crate::inbox::Payload;
use crate::limits::{KEPT_BYTES_MAX, REQUEST_TIMEOUT, RETRY_FRAME_BYTES_MAX};
use crate::retry::{Denied, Retry};
use crate::stream::{Event, Phase, Stream};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// What the requests of a listener pass.
pub(crate) struct Chain {
    pub(crate) filters: Vec<MakeFilter>,
    pub(crate) logs: Vec<Rc<AccessLog>>,
}

impl Chain {
    /// `None` when there is nothing to pass.
    ///
    /// # Panics
    /// When the listener names a filter that is not one of `types`, or that they refuse.
    pub(crate) fn new(
        listener: &config::Listener,
        types: &Filters,
        worker: &Rc<Worker>,
    ) -> Option<Rc<Self>> {
        if listener.stream_filters.is_empty() && listener.access_logs.is_empty() {
            return None;
        }
        let filters = listener.stream_filters.iter().map(|filter| {
            types
                .build(&filter.filter_type, &filter.config)
                .unwrap_or_else(|error| panic!("{}: {error:?}", filter.path))
        });
        let logs = listener
            .access_logs
            .iter()
            .map(|log| AccessLog::new(&log.path, log.format.clone(), worker));
        Some(Rc::new(Chain { filters: filters.collect(), logs: logs.collect() }))
    }
}

/// See the module's page.
pub(crate) struct Journey {
    pub(crate) stream: Stream,
    /// The request, and its answer when it has come.
    pub(crate) frame: Frame,
    pub(crate) origin: Origin,
    /// See [`Codec::repeated`].
    pub(crate) repeated: Vec<u8>,
    filters: Vec<Box<dyn StreamFilter>>,
    /// The filters of the phase that have been asked.
    asked: usize,
    pub(crate) ticket: Option<Rc<Ticket>>,
    /// The frame, while it waits here or may be needed for another try.
    pub(crate) kept: Option<Kept>,
    pub(crate) cluster: Option<Rc<Cluster>>,
    pub(crate) upstream: Option<Rc<Upstream>>,
    /// The labels that its host must have.
    pub(crate) labels: Option<Rc<Labels>>,
    /// What a consistent hash goes by.
    pub(crate) key: u64,
    pub(crate) retry: Option<Rc<Retry>>,
    /// One of the retries that its cluster may have at once, from its second try to its end.
    retrying: Option<Seat>,
    /// The host that the last try failed at.
    pub(crate) avoid: Option<SocketAddr>,
    pub(crate) reroutes: u32,
    /// Into the retry budget of a route.
    has_paid: bool,
    /// It waited, and what was true of its connection before may not be any more.
    pub(crate) has_waited: bool,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    pub(crate) record: Record,
}

/// What the filters of a phase said.
pub(crate) enum Said {
    Event(Event),
    /// Keep it; until then, if not for its time-out.
    Wait(Option<Instant>, Flow),
}

impl Journey {
    pub(crate) fn new(
        stream: Stream,
        frame: &Frame,
        bytes: &[u8],
        (protocol, peer): (Protocol, SocketAddr),
        now: Instant,
    ) -> Box<Self> {
        Box::new(Journey {
            stream,
            frame: *frame,
            origin: frame.origin,
            repeated: bytes[protocol.repeated(frame).range()].to_vec(),
            filters: Vec::new(),
            asked: 0,
            ticket: None,
            kept: None,
            cluster: None,
            upstream: None,
            labels: None,
            key: 0,
            retry: None,
            retrying: None,
            avoid: None,
            reroutes: 0,
            has_paid: false,
            has_waited: false,
            started: now,
            deadline: now + frame.timeout().unwrap_or(REQUEST_TIMEOUT),
            record: Record {
                start: SystemTime::now(),
                sent_after: None,
                answered_after: None,
                duration: Duration::ZERO,
                protocol,
                peer,
                request_id: frame.origin.id,
                upstream_id: None,
                oneway: stream.is_oneway(),
                service: None,
                cluster: None,
                host: None,
                attempts: 0,
                request_bytes: frame.total_bytes,
                response_bytes: 0,
                status: None,
                reply: None,
                flags: Flags::default(),
            },
        })
    }

    /// Gives it what its listener has for every request.
    pub(crate) fn join(&mut self, chain: &Chain, bytes: &[u8]) {
        self.filters = chain.filters.iter().map(|make| make()).collect();
        if chain.logs.iter().any(|log| log.wants_service()) {
            let service = self.record.protocol.header(&self.frame, bytes, b"service");
            let service = service.ok().flatten();
            self.record.service =
                service.map(|service| String::from_utf8_lossy(service).into_owned());
        }
    }

    /// Its route is known, or it has another now. It pays into a retry budget once, and not at all when it
    /// can never take out of it.
    pub(crate) fn take_route(&mut self, found: &Found<'_>) {
        self.deadline = self.started + found.timeout;
        if !self.cluster.as_ref().is_some_and(|cluster| Rc::ptr_eq(cluster, found.cluster)) {
            self.record.cluster = Some(found.cluster.shared_name());
            self.cluster = Some(Rc::clone(found.cluster));
            // Both are the other cluster's.
            self.retrying = None;
            self.avoid = None;
        }
        self.labels = Some(Rc::clone(found.labels));
        self.key = found.key;
        self.retry = found.retry.cloned();
        if let Some(retry) = self.retry.as_ref().filter(|_| !self.has_paid && !self.record.oneway) {
            retry.paid();
            self.has_paid = true;
        }
    }

    /// A phase begins: its filters have not been asked.
    pub(crate) fn enter_phase(&mut self) {
        self.asked = 0;
    }

    /// Asks the filters of the phase that have not been asked; in the opposite order on the way back.
    pub(crate) fn filter(
        &mut self,
        payload: &mut Payload<'_>,
        now: Instant,
        new_ticket: &dyn Fn() -> Rc<Ticket>,
    ) -> Said {
        let phase = self.stream.phase();
        while self.asked < self.filters.len() {
            let filter = match phase {
                Phase::UpFilter => self.filters.len() - 1 - self.asked,
                _ => self.asked,
            };
            self.asked += 1;
            let view = View {
                frame: &mut self.frame,
                bytes: payload,
                record: &mut self.record,
                ticket: &mut self.ticket,
                new_ticket,
                deadline: self.deadline,
                now,
            };
            let filter = &mut self.filters[filter];
            let flow = match phase {
                Phase::DownFilter => filter.before_route(&mut Request(view)),
                Phase::DownFilterAfterRoute => filter.after_route(&mut Request(view)),
                Phase::DownFilterAfterChooseHost => filter.after_host(&mut Request(view)),
                _ => filter.on_response(&mut Response(view)),
            };
            match flow {
                Flow::Continue => {}
                Flow::Reply(why) => return Said::Event(Event::Refused(why)),
                Flow::Delay(time) => return Said::Wait(now.checked_add(time), Flow::Continue),
                Flow::ReplyAfter(time, why) => {
                    return Said::Wait(now.checked_add(time), Flow::Reply(why));
                }
                Flow::Stop => return Said::Wait(None, Flow::Stop),
                Flow::Reroute => match self.reroute() {
                    Some(event) => return Said::Event(event),
                    None => continue,
                },
            }
        }
        Said::Event(Event::Passed)
    }

    /// What a filter's wish for another route becomes; nothing where there is no route to change.
    pub(crate) fn reroute(&mut self) -> Option<Event> {
        if matches!(self.stream.phase(), Phase::DownFilter | Phase::UpFilter) {
            return None;
        }
        self.reroutes += 1;
        let is_allowed = self.reroutes <= crate::limits::REROUTES_MAX;
        Some(if is_allowed { Event::Rerouted } else { Event::Refused(LocalReply::NoRoute) })
    }

    /// Keeps a copy of the frame if another try may need it.
    pub(crate) fn keep_for_retry(&mut self, payload: &Payload<'_>, worker: &Rc<Worker>) {
        let can_retry = self.retry.as_ref().is_some_and(|retry| retry.policy.retries_max > 0)
            && !self.stream.is_oneway();
        let bytes = payload.bytes();
        let fits = bytes.len() <= RETRY_FRAME_BYTES_MAX
            && worker.stats.kept_bytes.now() as usize + bytes.len() <= KEPT_BYTES_MAX;
        self.kept = (can_retry && fits).then(|| Kept::new(bytes.into(), worker));
    }

    /// Whether a try that failed is followed by another, and takes it out of the budget if so.
    pub(crate) fn may_retry(&mut self, now: Instant) -> bool {
        let Some(retry) = &self.retry else { return false };
        if self.kept.is_none() || now >= self.deadline {
            return false;
        }
        // Given back when there is no further try, although the request may still wait for a filter.
        let seat = self.retrying.take();
        let seat = seat.or_else(|| self.cluster.as_ref()?.breakers().retries.seat());
        let taken = match &seat {
            Some(_) => retry.take(self.record.attempts),
            None => Err(Denied::Budget),
        };
        match taken {
            Ok(()) => {
                self.retrying = seat;
                true
            }
            Err(Denied::Limit | Denied::Budget) => {
                if retry.policy.retries_max > 0 {
                    self.record.flags.add(Flag::RetryLimit);
                }
                false
            }
        }
    }

    /// When the try that begins now has had its time.
    pub(crate) fn try_deadline(&self, now: Instant) -> Instant {
        let of_try = self.retry.as_ref().and_then(|retry| retry.policy.try_timeout);
        of_try.map_or(self.deadline, |time| self.deadline.min(now + time))
    }

    /// The one cleaning: filters and logs are told how it went.
    pub(crate) fn end(mut self: Box<Self>, chain: Option<&Chain>, now: Instant) {
        self.record.duration = now - self.started;
        for filter in &mut self.filters {
            filter.on_end(&self.record);
        }
        for log in chain.iter().flat_map(|chain| &chain.logs) {
            log.write(&self.record);
        }
    }
}

/// Notes in a request's record why the proxy answers it itself.
pub(crate) fn flag_reply(record: &mut Record, why: LocalReply) {
    record.reply = Some(why);
    let flag = match why {
        LocalReply::NoRoute => Flag::NoRoute,
        LocalReply::NoUpstream if record.attempts > 0 => Flag::ConnectFailed,
        LocalReply::NoUpstream => Flag::NoUpstream,
        LocalReply::UpstreamLost => Flag::UpstreamLost,
        LocalReply::Timeout => Flag::Timeout,
        LocalReply::Overflow => Flag::Overflow,
        LocalReply::BadHeader
        | LocalReply::NoProcessor
        | LocalReply::ClientLost
        | LocalReply::Denied => return,
    };
    record.flags.add(flag);
}

/// A frame that is kept, counted while it is.
pub(crate) struct Kept {
    bytes: BytesMut,
    counted_bytes: usize,
    worker: Rc<Worker>,
}

impl Kept {
    pub(crate) fn new(bytes: BytesMut, worker: &Rc<Worker>) -> Self {
        worker.stats.kept_bytes.add(bytes.len());
        Kept { counted_bytes: bytes.len(), bytes, worker: Rc::clone(worker) }
    }

    pub(crate) fn take(mut self) -> BytesMut {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.counted_bytes
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.worker.stats.kept_bytes.sub(self.counted_bytes);
    }
}

#[cfg(test)]
mod tests;

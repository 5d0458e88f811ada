//! Counters and gauges of one worker.
//!
//! Only the worker's own thread changes them; others read them, and add up those of all workers.
//! So they are atomics that are loaded and stored, which costs what a plain number costs, and never
//! changed in place. Gauges are the ones that
//! [`Snapshot::is_idle`] wants at zero when nobody is connected and nothing is in flight.

use std::fmt;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The live values.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[doc = $doc])+ pub $name: Value,)+
        }

        /// The values at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Stats {
            /// Copies all values.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.now(),)+ }
            }
        }

        impl AddAssign for Snapshot {
            fn add_assign(&mut self, other: Snapshot) {
                $(self.$name += other.$name;)+
            }
        }

        impl fmt::Display for Snapshot {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{} {}", stringify!($name), self.$name)?;)+
                Ok(())
            }
        }
    };
}

stats! {
    /// Gauge: client connections that are open.
    downstream_connections,
    /// Gauge: upstream connections that are open or being made.
    upstream_connections,
    /// Gauge: requests that wait for their answer.
    in_flight,
    /// Gauge: bytes that wait to be written, on all connections.
    output_bytes,
    /// Gauge: requests that wait for a filter, for a host's output to drain or for another try.
    parked,
    /// Gauge: bytes of frames kept for requests that wait so, or that may be tried again.
    kept_bytes,
    /// Gauge: calls of hosts that wait for their client's answer.
    host_calls_in_flight,
    /// Client connections accepted.
    downstream_accepted,
    /// Client connections refused because the listener had as many as it may, or because only descriptors
    /// were left that are kept for upstream connections.
    downstream_refused,
    /// Client connections closed for what they did: undecodable or truncated frames, frames that
    /// took too long, not reading.
    downstream_faulty,
    /// Client connections closed because they were idle for too long.
    downstream_idle,
    /// Client connections that spoke none of their listener's protocols, and were closed for it.
    undetected,
    /// Client connections that were plain TCP.
    tcp_accepted,
    /// Bytes that came from clients of plain TCP connections that have ended.
    tcp_received_bytes,
    /// Bytes that came from the hosts of plain TCP connections that have ended.
    tcp_sent_bytes,
    /// Plain TCP connections closed because no host could be dialed.
    tcp_no_upstream,
    /// Dials of upstream hosts that succeeded.
    upstream_connected,
    /// Dials of upstream hosts that failed, or were given up because nobody waited for them any more.
    upstream_connect_failed,
    /// Upstream connections lost or closed after they had been made.
    upstream_closed,
    /// Two-way requests received.
    requests,
    /// Oneway requests received.
    oneways,
    /// Two-way requests sent upstream, each try under an id of its own.
    sent,
    /// Oneway requests sent upstream.
    oneways_sent,
    /// Oneway requests dropped because no upstream would take them.
    oneways_dropped,
    /// Requests whose answer was passed on.
    answered,
    /// Requests sent whose time-out passed, each try counted.
    timed_out,
    /// Requests sent whose upstream connection was lost, or was never made; each try counted.
    lost_upstream,
    /// Requests sent whose client left before the answer.
    abandoned,
    /// Answers not passed on because their request is tried again.
    answers_retried,
    /// Tries after the first.
    retries,
    /// Requests answered by the proxy because a filter denied them.
    denied,
    /// Requests whose time-out passed before they were sent.
    timed_out_unsent,
    /// Lines of access logs that were dropped because they could not be written as fast as they came.
    log_lines_dropped,
    /// Requests answered by the proxy because no route matched.
    no_route,
    /// Requests answered by the proxy because no host could be dialed, or because the client's own upstream
    /// connection was lost before they were sent.
    no_upstream,
    /// Requests answered by the proxy because all upstream connections were full.
    overflow,
    /// Requests answered by the proxy because their header map could not be read.
    bad_header,
    /// Two-way calls of hosts passed on to the client that they are for.
    host_calls,
    /// Oneway calls of hosts passed on.
    host_oneways,
    /// Calls of hosts whose answer was passed back.
    host_calls_answered,
    /// Calls of hosts that their client did not answer in time.
    host_calls_timed_out,
    /// Calls of hosts whose client left before its answer.
    host_calls_lost,
    /// Calls of hosts not passed on: the client had left, or had as many as it may.
    host_calls_refused,
    /// Answers dropped: they came after their request was given up.
    late_answers,
    /// Answers dropped: their request had been answered before.
    duplicate_answers,
    /// Answers dropped: nothing is known about their id.
    unknown_answers,
    /// Heartbeats acknowledged, on both sides.
    heartbeats,
    /// Heartbeats sent on upstream connections that were idle.
    heartbeats_sent,
    /// Frames dropped that want nothing done.
    notices,
    /// Frames dropped that make no sense where they came from.
    unexpected_frames,
    /// Times that something was held back because an output or a limit was full: a client's next frame, a
    /// host's call, or a request that has been through filters or is tried again.
    stalls,
}

/// One counter or gauge.
#[derive(Debug, Default)]
pub struct Value(AtomicU64);

impl Value {
    /// The value now.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn up(&self) {
        self.add(1);
    }

    pub(crate) fn down(&self) {
        self.sub(1);
    }

    pub(crate) fn add(&self, n: usize) {
        self.0.store(self.now() + n as u64, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: usize) {
        self.0.store(self.now() - n as u64, Ordering::Relaxed);
    }
}

impl Snapshot {
    /// Whether every gauge but the upstream connections is zero: nobody connected, nothing waiting.
    /// Upstream connections stay for the next client.
    pub fn is_idle(&self) -> bool {
        let gauges = [
            self.downstream_connections,
            self.in_flight,
            self.output_bytes,
            self.parked,
            self.kept_bytes,
            self.host_calls_in_flight,
        ];
        gauges == [0; 6]
    }

    /// Requests sent upstream, and calls passed down, that had no outcome and do not wait for one;
    /// below 0 when some had two. Always 0.
    pub fn lost(&self) -> i64 {
        let ended = self.answered
            + self.answers_retried
            + self.timed_out
            + self.lost_upstream
            + self.abandoned;
        let calls_ended =
            self.host_calls_answered + self.host_calls_timed_out + self.host_calls_lost;
        self.sent as i64 - (ended + self.in_flight) as i64 + self.host_calls as i64
            - (calls_ended + self.host_calls_in_flight) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_lists_every_value_by_name() {
        let stats = Stats::default();
        stats.requests.add(3);
        stats.sent.up();
        let text = stats.snapshot().to_string();
        assert!(text.contains("requests 3\n") && text.contains("sent 1\n"), "{text}");
    }

    #[test]
    fn snapshots_of_several_workers_add_up() {
        let (one, other) = (Stats::default(), Stats::default());
        one.requests.add(3);
        other.requests.add(4);
        other.in_flight.up();
        let mut sum = one.snapshot();
        sum += other.snapshot();
        assert_eq!((sum.requests, sum.in_flight, sum.answered), (7, 1, 0));
    }

    #[test]
    fn a_call_without_outcome_counts_as_lost_unless_it_waits() {
        let stats = Stats::default();
        stats.host_calls.add(5);
        stats.host_calls_in_flight.up();
        stats.host_calls_answered.up();
        stats.host_calls_timed_out.up();
        assert_eq!(stats.snapshot().lost(), 2);
        stats.host_calls_lost.add(2);
        assert_eq!(stats.snapshot().lost(), 0);
        assert!(!stats.snapshot().is_idle());
    }

    #[test]
    fn a_request_without_outcome_counts_as_lost_unless_it_waits() {
        let stats = Stats::default();
        stats.sent.add(5);
        stats.in_flight.up();
        stats.answered.up();
        stats.timed_out.up();
        stats.lost_upstream.up();
        assert_eq!(stats.snapshot().lost(), 1);
        stats.abandoned.up();
        assert_eq!(stats.snapshot().lost(), 0);
        assert!(!stats.snapshot().is_idle());
    }
}

//! Every limit of the proxy, by name.

use std::time::Duration;

use serde::Deserialize;

use crate::codec::{FrameLimits, bolt};
use crate::{config, ids};

/// Time an upstream host may leave waiting output unread before its connection is given up.
pub const WRITE_STALL: Duration = Duration::from_secs(15);
/// Reads from one connection before other tasks get their turn.
pub const READS_PER_TURN_MAX: usize = 4;
/// From one line of the log about refused clients of a listener to the next.
pub const REFUSAL_PAUSE: Duration = Duration::from_secs(1);
/// Connections accepted by one listener before other tasks get their turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;
/// Pause before a host is dialed again after the first failure; doubles with every further one.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two dials.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Time-out of a request when neither its frame nor its route names one.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time-out that a configuration can name.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Time-out of a dial when the cluster names none.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Hosts that are dialed for one plain TCP connection. All dials together take no longer than two time-outs
/// of a dial.
pub const TCP_DIALS_MAX: usize = 16;
/// Time a client has, from its first byte on, for those that tell its protocol.
pub const DETECTION_TIME_MAX: Duration = Duration::from_secs(5);
/// Time to stop in when the configuration names none, as in MOSN.
pub const GRACEFUL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that clients have, from the moment a proxy begins to stop, to hear of it and to go by
/// themselves; at most a quarter of the time to stop in.
pub const GO_AWAY_TIME: Duration = Duration::from_secs(1);
/// Time that a client has to close its side when a proxy that stops has closed its own.
pub const LINGER_TIME: Duration = Duration::from_secs(1);
/// Connections that a listener which is to be closed takes out of the kernel's queue.
pub const LAST_ACCEPTS_MAX: usize = 4096;
/// Time without another one after which it is closed.
pub const LAST_ACCEPT_PAUSE: Duration = Duration::from_millis(1);
/// Time that the access logs have at least for their last lines, also when a proxy ends at once.
pub const LAST_LINES_TIME: Duration = Duration::from_millis(500);
/// Retries that a route may have saved up: its budget's limit.
pub const RETRY_BUDGET_MAX: u32 = 100;
/// Retries in a route's budget at the beginning.
pub const RETRY_BUDGET_MIN: u32 = 10;
/// What each request pays into its route's budget, in percent of a retry.
pub const RETRY_BUDGET_PERCENT: u32 = 20;
/// Pause before the third try; doubles with every further one. There is none before the second.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(25);
/// Longest pause between two tries.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_millis(250);
/// Most retries that a route can ask for.
pub const RETRIES_MAX: u32 = 10;
/// A request with a longer frame is not tried again: its frame is not kept.
pub const RETRY_FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes of frames that one worker keeps for retries and for filters; above this nothing more is
/// kept for a retry.
pub const KEPT_BYTES_MAX: usize = 32 << 20;
/// Times that filters may have the route of one request looked for again.
pub const REROUTES_MAX: u32 = 4;

/// Time without a request in flight and without a frame after which an upstream connection gets a
/// heartbeat, and after which the next.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// Time in which a heartbeat must bring a sign of life.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// From the end of a health check to the next when the cluster says nothing else.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// Time-out of a health check when the cluster names none.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a list of hosts is read or a name resolved when the cluster says nothing else.
pub const MEMBERSHIP_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest such interval.
pub const MEMBERSHIP_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Looks at a plain TCP connection, in its idle time-out, at what it has moved: it is closed after so many
/// in a row without a byte, at most one look too late.
pub const IDLE_LOOKS: u32 = 4;
/// Most hosts of one cluster; what a file or a name gives beyond them is refused.
pub const HOSTS_MAX: usize = 10_000;
/// Most `subset_selectors` of one cluster. Each may put every host into a group of its own.
pub const SUBSET_SELECTORS_MAX: usize = 64;
/// Longest list of hosts in a file of its own.
pub const HOSTS_FILE_BYTES_MAX: u64 = 8 << 20;
/// Greatest weight of a host.
pub const WEIGHT_MAX: u32 = 65_536;
/// Time after which a connection of a ping-pong pool that nobody used is closed.
pub const PING_PONG_IDLE_MAX: Duration = Duration::from_secs(90);
/// Heartbeats in a row without a sign of life that end an upstream connection.
pub const KEEPALIVE_FAILURES_MAX: u32 = 6;

/// The limits that a configuration file can set, in its object `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest frame in bytes, fixed header included. A longer one closes its connection as soon as
    /// the fixed header is there.
    pub frame_bytes_max: usize,
    /// Longest class name and longest header map, in bytes.
    pub header_bytes_max: usize,
    /// Requests that one client connection may have in flight; reading stops there. As many calls of
    /// hosts may wait for the client; a further one is refused.
    pub in_flight_max: usize,
    /// Bytes waiting to be written to one connection above which nothing that would add to them is
    /// read.
    pub output_high_bytes: usize,
    /// Bytes waiting to be written below which reading goes on.
    pub output_low_bytes: usize,
    /// Bytes waiting to be written to one client above which its connection is closed when another
    /// answer comes: answers to requests that were let through cannot be refused, so this, plus one
    /// frame, is the bound on a client that sends and does not read.
    pub output_bytes_max: usize,
    /// Client connections of one listener, on all threads together; a further one is closed at once.
    pub connections_max: usize,
    /// Time that a client may send nothing while nothing is in flight for it; zero is for ever. A
    /// listener can have its own.
    #[serde(deserialize_with = "config::duration")]
    pub client_idle_timeout: Duration,
    /// Time from the read that brings a frame's first byte, and not its last, to the last.
    #[serde(deserialize_with = "config::duration")]
    pub frame_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes_max: 8 << 20,
            header_bytes_max: bolt::SECTION_BYTES_MAX,
            in_flight_max: 1024,
            output_high_bytes: 1 << 20,
            output_low_bytes: 256 << 10,
            output_bytes_max: 64 << 20,
            connections_max: 16_384,
            client_idle_timeout: Duration::from_secs(90),
            frame_timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Those of one frame.
    pub fn frame(&self) -> FrameLimits {
        FrameLimits {
            frame_bytes_max: self.frame_bytes_max,
            header_bytes_max: self.header_bytes_max,
        }
    }

    /// Whether the limits fit to each other; otherwise the key at fault and what was expected.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let ranges = [
            ("frame_bytes_max", self.frame_bytes_max, 1024, 1 << 30),
            ("header_bytes_max", self.header_bytes_max, 1, usize::from(u16::MAX)),
            ("in_flight_max", self.in_flight_max, 1, ids::IN_FLIGHT_MAX),
            ("output_high_bytes", self.output_high_bytes, 1024, 1 << 30),
            ("output_low_bytes", self.output_low_bytes, 1, self.output_high_bytes),
            ("output_bytes_max", self.output_bytes_max, self.output_high_bytes, 1 << 40),
            ("connections_max", self.connections_max, 1, 1 << 24),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err((key, format!("expected {min} to {max}, found {value}")));
            }
        }
        if self.frame_timeout.is_zero() {
            return Err(("frame_timeout", "expected more than 0, found 0".to_owned()));
        }
        Ok(())
    }
}

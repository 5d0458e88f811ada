//! Signs of life on an idle connection.

use std::time::Instant;

use crate::limits::{KEEPALIVE_FAILURES_MAX, KEEPALIVE_IDLE, KEEPALIVE_TIMEOUT};

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Send a heartbeat.
    Heartbeat,
    /// Close the connection: the peer is silent.
    Close,
}

/// One connection's heartbeats: one for every [`KEEPALIVE_IDLE`] without a request in flight and
/// without a frame from the peer. Any frame is a sign of life; [`KEEPALIVE_FAILURES_MAX`] heartbeats in
/// a row without one are the end.
#[derive(Clone, Debug)]
pub struct Keepalive {
    /// When something last happened: a frame came, a request was in flight, a heartbeat was sent.
    last: Instant,
    /// Whether the last was a heartbeat, which waits for its sign of life.
    waits: bool,
    failures: u32,
}

impl Keepalive {
    /// A connection that was made now.
    pub fn new(now: Instant) -> Self {
        Keepalive { last: now, waits: false, failures: 0 }
    }

    /// A frame came.
    pub fn heard(&mut self, now: Instant) {
        *self = Keepalive::new(now);
    }

    /// A request is in flight: its time-out watches the peer, and no heartbeat is needed. What was
    /// counted stays: a request that is never answered is no sign of life.
    pub fn busy(&mut self, now: Instant) {
        self.last = now;
        self.waits = false;
    }

    /// When [`due`](Self::due) has something to say next.
    pub fn next_at(&self) -> Instant {
        self.last + if self.waits { KEEPALIVE_TIMEOUT } else { KEEPALIVE_IDLE }
    }

    /// What to do now; the heartbeat counts as sent.
    pub fn due(&mut self, now: Instant) -> Due {
        if self.waits && now >= self.next_at() {
            self.waits = false;
            self.failures += 1;
            if self.failures >= KEEPALIVE_FAILURES_MAX {
                return Due::Close;
            }
        }
        if self.waits || now < self.next_at() {
            return Due::Nothing;
        }
        self.last = now;
        self.waits = true;
        Due::Heartbeat
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Goes from event to event until `end`; the seconds at which something is due.
    fn play(keepalive: &mut Keepalive, start: Instant, end: u64, answers: bool) -> Vec<(u64, Due)> {
        let mut seen = Vec::new();
        loop {
            let now = keepalive.next_at();
            let second = (now - start).as_secs();
            if second > end {
                return seen;
            }
            let due = keepalive.due(now);
            if due != Due::Nothing {
                seen.push((second, due));
            }
            if due == Due::Close {
                return seen;
            }
            if due == Due::Heartbeat && answers {
                keepalive.heard(now);
            }
        }
    }

    #[test]
    fn an_idle_connection_has_a_heartbeat_every_fifteen_seconds() {
        let start = Instant::now();
        let beats = play(&mut Keepalive::new(start), start, 60, true);
        assert_eq!(beats, [15, 30, 45, 60].map(|at| (at, Due::Heartbeat)));
    }

    #[test]
    fn six_heartbeats_without_a_sign_of_life_are_the_end() {
        let start = Instant::now();
        let beats = play(&mut Keepalive::new(start), start, 1_000, false);
        let mut expected: Vec<(u64, Due)> =
            (1..=6).map(|beat| (beat * 15, Due::Heartbeat)).collect();
        expected.push((91, Due::Close));
        assert_eq!(beats, expected);
    }

    #[test]
    fn a_frame_forgives_what_was_missed_and_a_request_does_not() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start);
        play(&mut keepalive, start, 62, false);
        assert_eq!(keepalive.failures, 4);
        keepalive.busy(start + Duration::from_secs(70));
        assert_eq!(keepalive.failures, 4);
        keepalive.heard(start + Duration::from_secs(71));
        assert_eq!(keepalive.failures, 0);
        assert_eq!(keepalive.next_at(), start + Duration::from_secs(86));
    }

    #[test]
    fn a_busy_connection_has_no_heartbeat() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start);
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            keepalive.busy(now);
            assert_eq!(keepalive.due(now), Due::Nothing);
        }
    }
}

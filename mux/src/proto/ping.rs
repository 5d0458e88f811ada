//! Pings: at most one is under way, and whoever asks meanwhile shares its answer.

use std::task::Poll;
use std::time::{Duration, Instant};

use super::control::Control;
use super::session::Session;
use crate::Error;

/// Names a ping; later ones are larger.
pub(crate) type Ticket = u64;

/// A round trip that was measured so long ago is measured again when a window depends on it.
const RTT_STALE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Pings {
    last: Ticket,
    /// The one under way, and when it left; `None` while it is queued.
    pending: Option<(Ticket, Option<Instant>)>,
    answer: Option<(Ticket, Duration)>,
    rtt: Option<Rtt>,
}

/// The round trip of the path. A ping can wait behind data, so the smallest measure is the truest;
/// but paths change, so each larger one moves it up by an eighth of itself.
#[derive(Clone, Copy, Debug)]
struct Rtt {
    least: Duration,
    measured: Instant,
}

impl Pings {
    /// A ping to wait for: the one under way, or a new one, which is then to be queued. One that
    /// nobody has answered within `timeout` does not hold up the next.
    pub(crate) fn ask(&mut self, now: Instant, timeout: Duration) -> (Ticket, bool) {
        match self.pending {
            Some((ticket, None)) => (ticket, false),
            Some((ticket, Some(sent))) if now.duration_since(sent) < timeout => (ticket, false),
            _ => {
                self.last += 1;
                self.pending = Some((self.last, None));
                (self.last, true)
            }
        }
    }

    /// The opaque value of the ping that goes out now.
    pub(crate) fn sent(&mut self, now: Instant) -> Option<u32> {
        let (ticket, sent) = self.pending.as_mut()?;
        *sent = Some(now);
        Some(opaque(*ticket))
    }

    /// An answer; false unless its value is exactly that of the ping under way.
    pub(crate) fn answered(&mut self, value: u32, now: Instant) -> bool {
        match self.pending {
            Some((ticket, Some(sent))) if opaque(ticket) == value => {
                self.pending = None;
                let took = now.duration_since(sent);
                self.answer = Some((ticket, took));
                let least = self.rtt.map_or(took, |rtt| took.min(rtt.least + rtt.least / 8));
                self.rtt = Some(Rtt { least, measured: now });
                true
            }
            _ => false,
        }
    }

    /// The round trip of that ping, or of a later one.
    pub(crate) fn answer(&self, ticket: Ticket) -> Option<Duration> {
        self.answer.filter(|(answered, _)| *answered >= ticket).map(|(_, rtt)| rtt)
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|rtt| rtt.least)
    }

    fn is_rtt_stale(&self, now: Instant) -> bool {
        self.rtt.is_none_or(|rtt| now.duration_since(rtt.measured) >= RTT_STALE)
    }
}

impl Session {
    /// Asks for a ping and says which one to wait for.
    pub(crate) fn ping(&mut self, now: Instant) -> Result<Ticket, Error> {
        if let Some(err) = self.why_ended() {
            return Err(err);
        }
        // The driver may have slept since a ping that was lost.
        self.wind(now);
        Ok(self.ask_ping_after(self.config.ping_timeout))
    }

    /// How long whoever has asked waits.
    pub(crate) fn ping_timeout(&self) -> Duration {
        self.config.ping_timeout
    }

    /// Asks on the session's own behalf, which can wait for an answer that is late: behind bulk data
    /// it may come later than users want to wait, and tells the round trip all the same.
    pub(super) fn ask_ping(&mut self) {
        self.ask_ping_after(self.config.ping_timeout.max(RTT_STALE));
    }

    fn ask_ping_after(&mut self, patience: Duration) -> Ticket {
        let (ticket, is_new) = self.pings.ask(self.timing.now, patience);
        if is_new {
            // The value is put in when the ping leaves.
            self.control.push(Control::Ping);
        }
        ticket
    }

    /// The round trip, for a window that depends on it; measured anew when it is old.
    pub(super) fn measured_rtt(&mut self) -> Option<Duration> {
        if self.pings.is_rtt_stale(self.timing.now) {
            self.ask_ping();
        }
        self.pings.rtt()
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.pings.rtt()
    }

    /// The answer to a ping.
    pub(crate) fn pong(&self, ticket: Ticket) -> Poll<Result<Duration, Error>> {
        match (self.pings.answer(ticket), &self.fate) {
            (Some(rtt), _) => Poll::Ready(Ok(rtt)),
            (None, Some(err)) => Poll::Ready(Err(err.clone())),
            (None, None) => Poll::Pending,
        }
    }
}

/// The low half of the ticket: unique among 2^32 pings in a row.
fn opaque(ticket: Ticket) -> u32 {
    (ticket & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_the_least_of_late_and_follows_the_path_upwards() {
        let (mut pings, mut now) = (Pings::default(), Instant::now());
        let mut measure = |ms: u64| {
            pings.ask(now, Duration::from_secs(10));
            let value = pings.sent(now).unwrap();
            now += Duration::from_millis(ms);
            assert!(pings.answered(value, now));
            pings.rtt().unwrap()
        };
        assert_eq!(measure(80), Duration::from_millis(80));
        assert_eq!(measure(16), Duration::from_millis(16));
        assert_eq!(measure(900), Duration::from_millis(18), "queued behind data");
        for _ in 0..40 {
            measure(60);
        }
        assert_eq!(measure(60), Duration::from_millis(60), "another path");
    }
}

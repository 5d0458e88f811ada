//! The connections to one proxy, each with a number of requests in flight.

use std::time::Instant;

use crate::wire::Wire;
use crate::{Goal, bolt};

pub(crate) struct Group {
    /// Where its connections are.
    pub(crate) places: Vec<usize>,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    depth: usize,
    content: Vec<u8>,
    /// When the request in each place of each connection was sent, and its number.
    flights: Vec<(Instant, u32)>,
    latencies_ns: Vec<u64>,
}

impl Group {
    pub(crate) fn new(connections: usize, depth: usize, body_bytes: usize) -> Self {
        Group {
            places: Vec::new(),
            sent: 0,
            answered: 0,
            depth,
            content: (0..body_bytes).map(|n| (n * 31 % 251) as u8).collect(),
            flights: vec![(Instant::now(), 0); connections * depth],
            latencies_ns: Vec::new(),
        }
    }

    /// Sends the first requests of a connection.
    pub(crate) fn begin(&mut self, number: usize, wire: &mut Wire, goal: Goal) {
        for place in 0..self.depth {
            self.send(number * self.depth + place, wire, goal);
        }
    }

    /// Takes an answer in, and sends the next request in its place.
    ///
    /// # Panics
    /// When it is not the answer to a request in flight: there is nothing to measure then.
    pub(crate) fn answer(&mut self, number: usize, frame: &[u8], wire: &mut Wire, goal: Goal) {
        let id = bolt::id(frame);
        let flight = number * self.depth + id as usize % self.depth;
        let (sent, expected) = self.flights[flight];
        assert_eq!(expected, id, "an answer that nobody waits for");
        let content = bolt::content(frame).expect("an answer that says success");
        let (start, rest) = content.split_at(content.len().min(4));
        assert!(start == &id.to_be_bytes()[..start.len()], "an answer to another request");
        assert!(rest == &self.content[start.len()..], "an answer that is not what was asked");
        self.latencies_ns.push(sent.elapsed().as_nanos() as u64);
        self.answered += 1;
        self.send(flight, wire, goal);
    }

    /// The number of a request says its place: it is counted up by as many as there are places.
    fn send(&mut self, flight: usize, wire: &mut Wire, goal: Goal) {
        if !goal.wants(self.sent) {
            return;
        }
        let place = (flight % self.depth) as u32;
        let round = self.flights[flight].1 / self.depth as u32 + 1;
        let id = round % (1 << 20) * self.depth as u32 + place;
        self.flights[flight] = (Instant::now(), id);
        let start = self.content.len().min(4);
        self.content[..start].copy_from_slice(&id.to_be_bytes()[..start]);
        bolt::request(id, &self.content, &mut wire.out);
        self.sent += 1;
    }

    /// Quantiles of the latencies since the last call.
    pub(crate) fn latency(&mut self) -> String {
        let mut sorted = std::mem::take(&mut self.latencies_ns);
        sorted.sort_unstable();
        let quantile = |q: f64| {
            let last = sorted.len().saturating_sub(1);
            sorted.get((last as f64 * q).round() as usize).copied().unwrap_or_default()
        };
        format!("{} {} {}", quantile(0.5), quantile(0.99), quantile(0.999))
    }
}

//! Ping-pong on connections that stay open.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use examples::{Histogram, Pattern};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Traffic;
use crate::connection::Connection;
use crate::goal::{self, Goal};

const EVENTS_MAX: usize = 1024;

/// A server whose backlog is full drops a connect, and the kernel tries it again after 1, 3, 7 s.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections that keep `depth` messages in flight each.
pub(crate) struct Steady {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    depth: u64,
    pattern: Pattern,
    buffer: Vec<u8>,
    latencies: Histogram,
}

impl Steady {
    pub(crate) fn connect(
        address: SocketAddr,
        connections: usize,
        size_bytes: usize,
        depth: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let open = |index| {
            // One after the other, so that no server's backlog overflows.
            let connected = std::net::TcpStream::connect_timeout(&address, CONNECT_TIME_MAX);
            let stream = connected.map_err(|error| {
                let text = format!("connection {} of {connections}: {error}", index + 1);
                io::Error::new(error.kind(), text)
            })?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let mut stream = TcpStream::from_std(stream);
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), both)?;
            Ok(Connection::new(stream, index, size_bytes))
        };
        let connections = (0..connections).map(open).collect::<io::Result<_>>()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            connections,
            depth: depth as u64,
            pattern: Pattern::new(),
            buffer: vec![0; Pattern::CHUNK_BYTES],
            latencies: Histogram::new(),
        })
    }
}

impl Traffic for Steady {
    fn run(&mut self, mut goal: Goal) -> io::Result<u64> {
        let mut in_flight = 0;
        let now = Instant::now();
        for connection in &mut self.connections {
            let more = goal.take(self.depth, now);
            connection.allow(more, now);
            connection.send(&self.pattern)?;
            in_flight += more;
        }
        let mut done = 0;
        while in_flight > 0 {
            goal::poll(&mut self.poll, &mut self.events)?;
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if connection.in_flight() == 0 {
                    continue;
                }
                let whole =
                    connection.receive(&mut self.buffer, &self.pattern, &mut self.latencies)?;
                let now = Instant::now();
                let more = goal.take(whole, now);
                connection.allow(more, now);
                connection.send(&self.pattern)?;
                done += whole;
                in_flight += more;
                in_flight -= whole;
            }
        }
        Ok(done)
    }

    fn latencies(&mut self) -> &mut Histogram {
        &mut self.latencies
    }
}

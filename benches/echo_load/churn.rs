//! A connection for each message.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use examples::{Histogram, Pattern};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::Traffic;
use crate::connection::Connection;
use crate::goal::{self, Goal};

/// The local addresses 127.0.1.1 to 127.0.1.250 take turns: each has some 28,000 ports, and a port
/// is not to be had for a minute after its connection was closed.
const LOCAL_ADDRESSES: u64 = 250;

/// At most so many connections at once, each of which lives for one message.
pub(crate) struct Churn {
    address: SocketAddr,
    size_bytes: usize,
    poll: Poll,
    events: Events,
    slots: Vec<Option<Connection>>,
    opened: u64,
    pattern: Pattern,
    buffer: Vec<u8>,
    latencies: Histogram,
}

impl Churn {
    pub(crate) fn new(
        address: SocketAddr,
        connections: usize,
        size_bytes: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            address,
            size_bytes,
            poll: Poll::new()?,
            events: Events::with_capacity(connections),
            slots: (0..connections).map(|_| None).collect(),
            opened: 0,
            pattern: Pattern::new(),
            buffer: vec![0; Pattern::CHUNK_BYTES],
            latencies: Histogram::new(),
        })
    }

    /// Begins to connect; the message is under way from then on.
    fn open(&mut self, slot: usize) -> io::Result<()> {
        let last = (self.opened % LOCAL_ADDRESSES) as u8 + 1;
        self.opened += 1;
        let mut stream = connect_from(Ipv4Addr::new(127, 0, 1, last), self.address)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(slot), both)?;
        let mut connection = Connection::new(stream, slot, self.size_bytes);
        connection.allow(1, Instant::now());
        self.slots[slot] = Some(connection);
        Ok(())
    }

    /// Whether the message of this slot is back, and with it the connection closed.
    fn advance(&mut self, slot: usize, connected: bool) -> io::Result<bool> {
        let Some(connection) = &mut self.slots[slot] else { return Ok(false) };
        if !connected {
            return Ok(false);
        }
        if let Some(error) = connection.stream.take_error()? {
            return Err(error);
        }
        connection.send(&self.pattern)?;
        let whole = connection.receive(&mut self.buffer, &self.pattern, &mut self.latencies)?;
        if whole == 1 {
            self.slots[slot] = None;
        }
        Ok(whole == 1)
    }
}

impl Traffic for Churn {
    fn run(&mut self, mut goal: Goal) -> io::Result<u64> {
        let (mut open, mut done) = (0_u64, 0);
        for slot in 0..self.slots.len() {
            if goal.take(1, Instant::now()) == 1 {
                self.open(slot)?;
                open += 1;
            }
        }
        while open > 0 {
            goal::poll(&mut self.poll, &mut self.events)?;
            let events: Vec<_> =
                self.events.iter().map(|event| (event.token().0, event.is_writable())).collect();
            for (slot, connected) in events {
                if !self.advance(slot, connected)? {
                    continue;
                }
                done += 1;
                open -= 1;
                if goal.take(1, Instant::now()) == 1 {
                    self.open(slot)?;
                    open += 1;
                }
            }
        }
        Ok(done)
    }

    fn latencies(&mut self) -> &mut Histogram {
        &mut self.latencies
    }
}

fn connect_from(local: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(IpAddr::V4(local), 0))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(TcpStream::from_std(socket.into()))
}

//! An echo server by hand on mio: the C loop (`echo.c`) in Rust.
//!
//! ```sh
//! cargo run --release -p benches --example echo_mio -- 127.0.0.1:0
//! ```
//!
//! All connections share one buffer; what a peer did not take is kept, and nothing more is read
//! from it before that has left.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

const READ_BYTES_MAX: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;
const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// What the peer did not take.
    rest: Vec<u8>,
}

fn main() -> io::Result<()> {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("usage: echo_mio IP:PORT");
    let mut listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut connections = Slab::new();
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept_all(&listener, poll.registry(), &mut connections)?;
            } else if !connections[event.token().0].echo(event, &mut buffer) {
                connections.remove(event.token().0);
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _peer)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let entry = connections.vacant_entry();
        registry.register(
            &mut stream,
            Token(entry.key()),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        entry.insert(Connection { stream, rest: Vec::new() });
    }
}

impl Connection {
    /// Whether the connection goes on.
    fn echo(&mut self, event: &Event, buffer: &mut [u8]) -> bool {
        self.flush().and_then(|()| self.echo_all(event, buffer)).unwrap_or_else(|error| {
            error.kind() == ErrorKind::WouldBlock // there will be another event
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            let sent = self.stream.write(&self.rest)?;
            self.rest.drain(..sent);
        }
        Ok(())
    }

    fn echo_all(&mut self, event: &Event, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let length = self.stream.read(buffer)?;
            if length == 0 {
                return Ok(false);
            }
            let sent = match self.stream.write(&buffer[..length]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                sent => sent?,
            };
            if sent < length {
                self.rest = buffer[sent..length].to_vec();
                return Ok(true);
            }
            // A short read emptied the socket; an end announced before it must still be read.
            if length < buffer.len() && !event.is_read_closed() && !event.is_error() {
                return Ok(true);
            }
        }
    }
}

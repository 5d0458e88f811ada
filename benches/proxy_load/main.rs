//! The load of `proxy_table`: clients and the upstream of a proxy, in one process on one processor.
//!
//! It prints the address of its upstream and then obeys lines on standard input:
//!
//! | line | does | answers |
//! |---|---|---|
//! | `connect NAME ADDRESS CONNECTIONS DEPTH BYTES` | opens connections to a proxy | `ok` |
//! | `slice NAME MICROSECONDS` | requests for so long, and waits for the last answer | how many |
//! | `count NAME REQUESTS` | so many requests | how many |
//! | `latency NAME` | | quantiles 0.5, 0.99, 0.999 in ns since the last time |
//! | `close NAME` | closes the connections | `ok` |
//!
//! Requests and answers are Bolt v1. Every answer is compared with its request.
#![allow(clippy::print_stdout)] // a program talks to its user

mod bolt;
mod group;
mod wire;

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use group::Group;
use wire::Wire;

const LISTENER: Token = Token(usize::MAX);
/// How long the last answer of a slice may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Whose connection it is.
enum Owner {
    Upstream,
    Client { group: String, number: usize },
}

struct Load {
    poll: Poll,
    listener: TcpListener,
    wires: Slab<(Wire, Owner)>,
    groups: HashMap<String, Group>,
    scratch: Vec<u8>,
}

/// When requests are no longer sent.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    Until(Instant),
    Requests(u64),
}

impl Goal {
    /// Whether another request is to be sent after `sent`.
    pub(crate) fn wants(self, sent: u64) -> bool {
        match self {
            Goal::Until(end) => Instant::now() < end,
            Goal::Requests(count) => sent < count,
        }
    }
}

fn main() -> io::Result<()> {
    let mut load = Load::new()?;
    println!("upstream {}", load.listener.local_addr()?);
    for line in io::stdin().lock().lines() {
        let answer = load.obey(&line?)?;
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

impl Load {
    fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (wires, groups) = (Slab::new(), HashMap::new());
        Ok(Load { poll, listener, wires, groups, scratch: vec![0; 256 * 1024] })
    }

    fn obey(&mut self, line: &str) -> io::Result<String> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["connect", name, address, connections, depth, bytes] => {
                let address = address.parse().map_err(io::Error::other)?;
                self.connect(name, address, number(connections)?, number(depth)?, number(bytes)?)?;
                Ok("ok".to_owned())
            }
            ["slice", name, micros] => {
                let time = Duration::from_micros(number(micros)? as u64);
                self.run(name, Goal::Until(Instant::now() + time))
            }
            ["count", name, requests] => self.run(name, Goal::Requests(number(requests)? as u64)),
            ["latency", name] => Ok(self.group(name)?.latency()),
            ["close", name] => {
                self.close(name);
                Ok("ok".to_owned())
            }
            _ => Err(io::Error::other(format!("what is {line:?}?"))),
        }
    }

    fn group(&mut self, name: &str) -> io::Result<&mut Group> {
        self.groups.get_mut(name).ok_or_else(|| io::Error::other(format!("no group {name}")))
    }

    fn connect(
        &mut self,
        name: &str,
        address: SocketAddr,
        connections: usize,
        depth: usize,
        body_bytes: usize,
    ) -> io::Result<()> {
        let mut group = Group::new(connections, depth, body_bytes);
        for number in 0..connections {
            // Blocking, so that a full backlog is waited for.
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            let stream = mio::net::TcpStream::from_std(stream);
            let owner = Owner::Client { group: name.to_owned(), number };
            group.places.push(self.add(stream, owner)?);
            self.turn(Some(Duration::ZERO), Goal::Requests(0))?;
        }
        self.groups.insert(name.to_owned(), group);
        Ok(())
    }

    fn add(&mut self, stream: mio::net::TcpStream, owner: Owner) -> io::Result<usize> {
        stream.set_nodelay(true)?;
        let entry = self.wires.vacant_entry();
        let place = entry.key();
        let (wire, _) = entry.insert((Wire::new(stream), owner));
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut wire.stream, Token(place), interest)?;
        Ok(place)
    }

    fn close(&mut self, name: &str) {
        for place in self.groups.remove(name).into_iter().flat_map(|group| group.places) {
            self.wires.remove(place);
        }
    }

    fn run(&mut self, name: &str, goal: Goal) -> io::Result<String> {
        let group = self.group(name)?;
        group.sent = 0;
        group.answered = 0;
        for (number, place) in group.places.clone().into_iter().enumerate() {
            let (wire, _) = &mut self.wires[place];
            let group = self.groups.get_mut(name).expect("it was there");
            group.begin(number, wire, goal);
            wire.flush()?;
        }
        let mut last = (0, Instant::now());
        loop {
            let group = self.group(name)?;
            let (sent, answered) = (group.sent, group.answered);
            if sent == answered {
                return Ok(answered.to_string());
            }
            if answered != last.0 {
                last = (answered, Instant::now());
            } else if last.1.elapsed() > ANSWER_TIME_MAX {
                let text = format!("{} requests have no answer", sent - answered);
                return Err(io::Error::other(text));
            }
            self.turn(Some(ANSWER_TIME_MAX), goal)?;
        }
    }

    fn turn(&mut self, wait: Option<Duration>, goal: Goal) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        match self.poll.poll(&mut events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &events {
            match event.token() {
                LISTENER => self.accept()?,
                Token(place) => self.serve(place, goal)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => drop(self.add(stream, Owner::Upstream)?),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn serve(&mut self, place: usize, goal: Goal) -> io::Result<()> {
        // Closed in this turn.
        let Some((wire, owner)) = self.wires.get_mut(place) else { return Ok(()) };
        let groups = &mut self.groups;
        let open = wire.receive(&mut self.scratch, |wire, frame| match owner {
            Owner::Upstream => bolt::answer(frame, &mut wire.out),
            Owner::Client { group, number } => {
                let group = groups.get_mut(group).expect("its connections are closed first");
                group.answer(*number, frame, wire, goal);
            }
        })?;
        wire.flush()?;
        match (open, &self.wires[place].1) {
            (true, _) => Ok(()),
            (false, Owner::Upstream) => {
                self.wires.remove(place);
                Ok(())
            }
            (false, Owner::Client { .. }) => {
                Err(io::Error::other("the proxy closed a client's connection"))
            }
        }
    }
}

fn number(word: &str) -> io::Result<usize> {
    word.parse().map_err(|_| io::Error::other(format!("{word:?} is no number")))
}

//! Load for an echo server: every byte that comes back is checked, latencies are counted.
//!
//! ```sh
//! cargo run --release --example echo -- 127.0.0.1:7000
//! cargo run --release --example echo_client -- 127.0.0.1:7000 --connections 64 --size 64
//! ```
//!
//! Each connection keeps a number of messages in flight and sends the next one when one has come
//! back whole. A message's latency runs from the moment it may be sent until its last byte is back.
//! Client and server share the machine, and where they share its cores too, the rate says as much
//! about this program as about the server.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use examples::{Arguments, Histogram, Pattern, Usage};
use net::TcpStream;
use reactor::JoinHandle;

const CONNECTIONS_MAX: usize = 20_000;
const SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
const IN_FLIGHT_MAX: usize = 1_000;
const SECONDS_DEFAULT: usize = 5;
const SECONDS_MAX: usize = 86_400;
/// A run in which nothing comes back for this long has failed.
const STALL: Duration = Duration::from_secs(10);

const USAGE: Usage = Usage {
    text: "\
Load for an echo server, with checked bytes.

usage: echo_client ADDRESS [options]

  ADDRESS             the server, for example 127.0.0.1:7000
  --connections N     how many connections (64)
  --size BYTES        bytes in a message (64)
  --in-flight N       messages under way on each connection (1)
  --seconds N         how long to send (5)
  --count N           send N messages in all, however long it takes",
    options: &["--connections", "--size", "--in-flight", "--seconds", "--count"],
};

/// What the command line asks for.
#[derive(Clone, Copy)]
struct Plan {
    address: SocketAddr,
    connections: usize,
    size_bytes: usize,
    in_flight: usize,
    seconds: Option<usize>,
    count: Option<usize>,
}

impl Plan {
    fn of(arguments: &Arguments) -> Result<Self, String> {
        let count = arguments.value("--count")?;
        let seconds = arguments.number("--seconds", SECONDS_DEFAULT, SECONDS_MAX)?;
        if count.is_some() && arguments.value::<usize>("--seconds")?.is_some() {
            return Err("--count and --seconds exclude each other".into());
        }
        Ok(Self {
            address: arguments.address()?,
            connections: arguments.number("--connections", 64, CONNECTIONS_MAX)?,
            size_bytes: arguments.number("--size", 64, SIZE_BYTES_MAX)?,
            in_flight: arguments.number("--in-flight", 1, IN_FLIGHT_MAX)?,
            seconds: count.is_none().then_some(seconds),
            count,
        })
    }
}

fn main() -> ExitCode {
    env_logger::init();
    let arguments = Arguments::of_process(&USAGE);
    let plan = Plan::of(&arguments).unwrap_or_else(|error| USAGE.refuse(&error));
    examples::exit_code(reactor::block_on(run(plan)).flatten())
}

async fn run(plan: Plan) -> io::Result<()> {
    let pattern = Rc::new(Pattern::new());
    let mut streams = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        streams.push(TcpStream::connect(plan.address).await?);
    }

    let load = Rc::new(RefCell::new(Load::new(&plan)));
    let start = Instant::now();
    let tasks: Vec<JoinHandle<io::Result<()>>> = streams
        .into_iter()
        .enumerate()
        .map(|(index, stream)| {
            let pattern = Rc::clone(&pattern);
            let mut connection = Connection::new(stream, pattern, index, plan, Rc::clone(&load));
            reactor::spawn(async move { poll_fn(|cx| connection.poll(cx)).await })
        })
        .collect();
    let watchdog = reactor::spawn(fail_when_stalled(Rc::clone(&load)));
    for task in tasks {
        task.await??;
    }
    watchdog.abort();
    report(&plan, &load.borrow(), start.elapsed());
    Ok(())
}

/// Ends the process when no message has come back for a while: a lost message would otherwise be
/// waited for forever.
async fn fail_when_stalled(load: Rc<RefCell<Load>>) {
    let mut before = None;
    loop {
        let answered = load.borrow().latencies.count();
        if before == Some(answered) {
            eprintln!("error: nothing came back for {} s", STALL.as_secs());
            process::exit(1);
        }
        before = Some(answered);
        reactor::time::sleep(STALL).await;
    }
}

fn report(plan: &Plan, load: &Load, elapsed: Duration) {
    let Plan { connections, size_bytes, in_flight, .. } = plan;
    let messages = load.latencies.count();
    let seconds = elapsed.as_secs_f64();
    println!("{connections} connections x {in_flight} in flight, {size_bytes} bytes a message");
    println!("{messages} messages in {seconds:.2} s, every byte checked");
    println!("messages/s  {:.0}", messages as f64 / seconds);
    println!("{}", examples::latency_line(&load.latencies));
}

/// What all connections share: how much is still to be sent, and what came back when.
struct Load {
    left: usize,
    end: Option<Instant>,
    latencies: Histogram,
}

impl Load {
    fn new(plan: &Plan) -> Self {
        Self {
            left: plan.count.unwrap_or(usize::MAX),
            end: plan.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds as u64)),
            latencies: Histogram::new(),
        }
    }

    /// Takes at most `wanted` messages from what is still to be sent.
    fn take(&mut self, wanted: usize, now: Instant) -> usize {
        if self.end.is_some_and(|end| now >= end) {
            return 0;
        }
        let taken = wanted.min(self.left);
        self.left -= taken;
        taken
    }
}

/// One connection as a state machine over positions in its stream of bytes: what is allowed out,
/// out, and back.
struct Connection {
    stream: TcpStream,
    pattern: Rc<Pattern>,
    /// Where in the pattern this connection begins: bytes that stray to another connection are
    /// noticed.
    offset: u64,
    size_bytes: u64,
    in_flight: usize,
    load: Rc<RefCell<Load>>,
    allowed_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    /// When each message that is under way was allowed to leave.
    started: VecDeque<Instant>,
    buffer: Vec<u8>,
}

impl Connection {
    fn new(
        stream: TcpStream,
        pattern: Rc<Pattern>,
        index: usize,
        plan: Plan,
        load: Rc<RefCell<Load>>,
    ) -> Self {
        let in_flight_bytes = plan.size_bytes * plan.in_flight;
        Self {
            stream,
            pattern,
            offset: index as u64 * 31,
            size_bytes: plan.size_bytes as u64,
            in_flight: plan.in_flight,
            load,
            allowed_bytes: 0,
            sent_bytes: 0,
            received_bytes: 0,
            started: VecDeque::with_capacity(plan.in_flight),
            buffer: vec![0; in_flight_bytes.min(Pattern::CHUNK_BYTES)],
        }
    }

    /// Sends and receives until neither goes on; ready when the last message is back.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.allow(Instant::now());
            if self.started.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // Both sides are polled each time, so that both may wake this task.
            let sent = self.poll_send(cx)?;
            let received = self.poll_receive(cx)?;
            if sent.is_pending() && received.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Fills the window of messages in flight.
    fn allow(&mut self, now: Instant) {
        let wanted = self.in_flight - self.started.len();
        for _ in 0..self.load.borrow_mut().take(wanted, now) {
            self.started.push_back(now);
            self.allowed_bytes += self.size_bytes;
        }
    }

    /// Ready when bytes were sent, pending when there is nothing to send or no room for it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting =
            (self.allowed_bytes - self.sent_bytes).min(Pattern::CHUNK_BYTES as u64) as usize;
        if waiting == 0 {
            return Poll::Pending;
        }
        let bytes = self.pattern.chunk(self.offset + self.sent_bytes, waiting);
        self.stream.poll_write(cx, bytes).map_ok(|written| self.sent_bytes += written as u64)
    }

    /// Ready when bytes were received and were the right ones.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(length) = self.stream.poll_read(cx, &mut self.buffer)? else {
            return Poll::Pending;
        };
        Poll::Ready(self.check(length))
    }

    fn check(&mut self, length: usize) -> io::Result<()> {
        if length == 0 {
            let under_way = self.started.len();
            let text = format!("the server closed with {under_way} messages under way");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let start = self.received_bytes;
        let end = start + length as u64;
        let right = self.pattern.matches(self.offset + start, &self.buffer[..length]);
        if !right || end > self.sent_bytes {
            let text = format!("wrong bytes came back between positions {start} and {end}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.count(start / self.size_bytes, end / self.size_bytes);
        self.received_bytes = end;
        Ok(())
    }

    /// Counts the messages that are whole now and were not before.
    fn count(&mut self, whole_before: u64, whole: u64) {
        let now = Instant::now();
        let mut load = self.load.borrow_mut();
        for started in self.started.drain(..(whole - whole_before) as usize) {
            load.latencies.record(now - started);
        }
    }
}

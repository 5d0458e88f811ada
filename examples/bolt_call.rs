//! Bolt requests to a server or through the proxy: every answer is checked.
//!
//! ```sh
//! cargo run --release -p proxy -- demo --stay --listen 127.0.0.1:2045
//! cargo run --release --example bolt_call -- 127.0.0.1:2045 --connections 8 --count 10000
//! ```
//!
//! The service must answer a request with its own content, as the one of the demo does. Every
//! request has a content of its own. The program ends with 1 when a request failed, was answered
//! wrongly or was not answered.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use examples::{Arguments, Histogram, Pattern, Usage};
use proxy::Client;
use proxy::client::{Answer, Call};
use proxy::codec::bolt::{SECTION_BYTES_MAX, push_header, status};
use proxy::ids;

const CONNECTIONS_MAX: usize = 10_000;
const SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
const TIMEOUT_MS_MAX: usize = 3_600_000;
/// How much longer than the time-out in the frame an answer is waited for: whoever gave up on the
/// request has that long to say so.
const GRACE: Duration = Duration::from_secs(2);
const SERVICE: &str = "org.example.EchoService:1.0";

const USAGE: Usage = Usage {
    text: "\
Bolt requests to a server or through the proxy, with checked answers.

usage: bolt_call ADDRESS [options]

  ADDRESS             the server or the proxy, for example 127.0.0.1:2045
  --connections N     how many connections (1)
  --in-flight N       requests under way on each connection (16)
  --count N           requests in all (10000)
  --size BYTES        bytes in a request's content (128)
  --timeout-ms N      the time-out that each request names (3000)
  --service NAME      the header that routes it (org.example.EchoService:1.0)",
    options: &["--connections", "--in-flight", "--count", "--size", "--timeout-ms", "--service"],
};

/// What the command line asks for.
struct Plan {
    address: SocketAddr,
    connections: usize,
    in_flight: usize,
    count: usize,
    size_bytes: usize,
    timeout_ms: i32,
    /// The encoded header map of every request.
    header: Vec<u8>,
}

impl Plan {
    fn of(arguments: &Arguments) -> Result<Self, String> {
        let service = arguments.value("--service")?.unwrap_or_else(|| SERVICE.to_owned());
        let mut header = Vec::new();
        push_header(b"service", service.as_bytes(), &mut header);
        if header.len() > SECTION_BYTES_MAX {
            return Err(format!("--service must not make more than {SECTION_BYTES_MAX} bytes"));
        }
        Ok(Self {
            address: arguments.address()?,
            connections: arguments.number("--connections", 1, CONNECTIONS_MAX)?,
            in_flight: arguments.number("--in-flight", 16, ids::IN_FLIGHT_MAX)?,
            count: arguments.number("--count", 10_000, usize::MAX)?,
            size_bytes: arguments.number("--size", 128, SIZE_BYTES_MAX)?,
            timeout_ms: arguments.number("--timeout-ms", 3_000, TIMEOUT_MS_MAX)? as i32,
            header,
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
    let mut clients = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        clients.push(Client::connect(plan.address).await?);
    }

    let load = Rc::new(Load::new(plan));
    let start = Instant::now();
    let mut callers = Vec::with_capacity(clients.len() * load.plan.in_flight);
    for client in &clients {
        for _ in 0..load.plan.in_flight {
            let (client, load) = (client.clone(), Rc::clone(&load));
            callers.push(reactor::spawn(async move { load.call_until_done(&client).await }));
        }
    }
    for caller in callers {
        caller.await??;
    }
    load.report(start.elapsed())
}

/// What all callers share.
struct Load {
    plan: Plan,
    pattern: Pattern,
    tally: RefCell<Tally>,
}

/// How far the run is.
#[derive(Default)]
struct Tally {
    sent: usize,
    statuses: BTreeMap<u16, usize>,
    latencies: Histogram,
}

impl Load {
    fn new(plan: Plan) -> Self {
        Self { plan, pattern: Pattern::new(), tally: RefCell::default() }
    }

    /// One of the requests in flight: sends the next one when the last was answered.
    async fn call_until_done(&self, client: &Client) -> io::Result<()> {
        let mut content = Vec::with_capacity(self.plan.size_bytes);
        while let Some(number) = self.next() {
            content.clear();
            for chunk in self.pattern.chunks(content_start(number), self.plan.size_bytes) {
                content.extend_from_slice(chunk);
            }
            let started = Instant::now();
            let answer = self.call(client, &content).await?;
            self.check(number, &answer)?;
            self.tally.borrow_mut().count(&answer, started.elapsed());
        }
        Ok(())
    }

    /// The number of the request to be sent next.
    fn next(&self) -> Option<usize> {
        let mut tally = self.tally.borrow_mut();
        let number = tally.sent;
        tally.sent += 1;
        (number < self.plan.count).then_some(number)
    }

    async fn call(&self, client: &Client, content: &[u8]) -> io::Result<Answer> {
        let Plan { timeout_ms, ref header, .. } = self.plan;
        let call = Call { header, timeout_ms, ..Call::new(content) };
        let patience = Duration::from_millis(timeout_ms as u64) + GRACE;
        reactor::time::timeout(patience, client.call(&call)).await?.map_err(io::Error::other)
    }

    /// Whether an answer that says success is the request's own content.
    fn check(&self, number: usize, answer: &Answer) -> io::Result<()> {
        if answer.status() != status::SUCCESS {
            return Ok(());
        }
        let content = answer.content();
        let right_length = content.len() == self.plan.size_bytes;
        if right_length && self.pattern.matches(content_start(number), content) {
            return Ok(());
        }
        let text =
            format!("request {number}: the answer has other content, {} bytes", content.len());
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    fn report(&self, elapsed: Duration) -> io::Result<()> {
        let Plan { connections, in_flight, size_bytes, count, .. } = self.plan;
        let tally = self.tally.borrow();
        let seconds = elapsed.as_secs_f64();
        println!("{connections} connections x {in_flight} in flight, {size_bytes} bytes a request");
        println!("{count} requests in {seconds:.2} s, every answer checked");
        for (status, requests) in &tally.statuses {
            println!("status {status} ({}): {requests}", name_of(*status));
        }
        println!("requests/s  {:.0}", count as f64 / seconds);
        println!("{}", examples::latency_line(&tally.latencies));
        let good = tally.statuses.get(&status::SUCCESS).copied().unwrap_or(0);
        match count - good {
            0 => Ok(()),
            failed => Err(io::Error::other(format!("{failed} of {count} requests failed"))),
        }
    }
}

impl Tally {
    fn count(&mut self, answer: &Answer, latency: Duration) {
        self.latencies.record(latency);
        *self.statuses.entry(answer.status()).or_default() += 1;
    }
}

/// Where in the pattern the content of a request begins: the contents differ from one to the next.
fn content_start(number: usize) -> u64 {
    number as u64 * 61
}

fn name_of(status: u16) -> &'static str {
    match status {
        status::SUCCESS => "success",
        status::SERVER_THREADPOOL_BUSY => "server busy, or a limit of the proxy",
        status::NO_PROCESSOR => "nobody serves this",
        status::TIMEOUT => "time-out",
        status::CONNECTION_CLOSED => "connection refused or lost",
        _ => "error",
    }
}

//! `proxy demo`: upstreams, proxy and clients in one process and on one thread, every answer
//! checked.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use proxy::client::Call;
use proxy::codec::bolt::status;
use proxy::stats::Snapshot;
use proxy::{Client, Config, DEMO_CONFIG, EchoServer, Server};

/// Most requests in flight on all connections together: what the two upstream connections take.
const IN_FLIGHT_MAX: u32 = 2 * proxy::ids::IN_FLIGHT_MAX as u32;
/// Width of the progress bar.
const BAR_CHARS: usize = 40;

/// How much to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Requests to send
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Client connections
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    in_flight: u32,
    /// Bytes of content in each request
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=4_194_304))]
    body_bytes: u32,
    /// Address for the proxy to listen on; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Go on serving afterwards
    #[arg(long)]
    stay: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if options.connections * options.in_flight > IN_FLIGHT_MAX {
        let text = "--connections times --in-flight must be at most";
        return Err(format!("{text} {IN_FLIGHT_MAX}").into());
    }
    reactor::block_on(async {
        let house = House::build(options)?;
        house.introduce(options)?;
        let load = Rc::new(Load::new(options));
        let clients = connect(house.proxy(), options.connections).await?;
        let started = Instant::now();
        load.run(clients, options.in_flight).await;
        let took = started.elapsed();
        let good = load.report(took, &house.server.stats())?;
        if options.stay {
            house.stay().await?;
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })?
}

/// What is being demonstrated: two upstreams and the proxy in front of them.
struct House {
    upstreams: Vec<EchoServer>,
    server: Server,
}

impl House {
    /// The embedded configuration with real ports in it.
    fn build(options: &Options) -> Result<House, Box<dyn Error>> {
        let mut config = Config::parse(Path::new("demo.json"), DEMO_CONFIG)?;
        config.listeners[0].address = options.listen;
        let mut upstreams = Vec::new();
        for host in &mut config.clusters[0].hosts {
            let upstream = EchoServer::start(host.address)?;
            host.address = upstream.address();
            upstreams.push(upstream);
        }
        let server = Server::start(&config)?;
        Ok(House { upstreams, server })
    }

    fn proxy(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    fn introduce(&self, options: &Options) -> io::Result<()> {
        let hosts: Vec<String> = self.upstreams.iter().map(|u| u.address().to_string()).collect();
        let mut out = io::stdout().lock();
        writeln!(out, "upstream  {} (Bolt echo)", hosts.join(" and "))?;
        writeln!(out, "proxy     {}", self.proxy())?;
        writeln!(
            out,
            "clients   {} connections, {} requests in flight on each, {} bytes of content",
            options.connections, options.in_flight, options.body_bytes
        )
    }

    async fn stay(&self) -> io::Result<()> {
        let address = self.proxy();
        {
            let mut out = io::stdout().lock();
            writeln!(out, "\nstill serving on {address}; Ctrl-C ends it. To try next:")?;
            writeln!(out, "  cargo run --release --example bolt_call -- {address}")?;
            writeln!(
                out,
                "  printf 'GET / HTTP/1.1\\r\\n\\r\\n' | nc {} {}   (not Bolt: \
                           see what the log says)",
                address.ip(),
                address.port()
            )?;
            writeln!(out, "  proxy check -c FILE, proxy -c FILE   (your own configuration)")?;
        }
        std::future::pending().await
    }
}

async fn connect(address: SocketAddr, connections: u32) -> io::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(address).await?);
    }
    Ok(clients)
}

/// The requests to send, and what came of them.
struct Load {
    requests: u32,
    body_bytes: usize,
    next: Cell<u32>,
    done: Cell<u32>,
    wrong: Cell<u32>,
    first_fault: RefCell<Option<String>>,
    latencies_us: RefCell<Vec<u32>>,
    progress: Progress,
}

impl Load {
    fn new(options: &Options) -> Self {
        Load {
            requests: options.requests,
            body_bytes: options.body_bytes as usize,
            next: Cell::new(0),
            done: Cell::new(0),
            wrong: Cell::new(0),
            first_fault: RefCell::default(),
            latencies_us: RefCell::new(Vec::with_capacity(options.requests as usize)),
            progress: Progress::new(options.requests),
        }
    }

    /// Sends everything and waits for the last answer.
    async fn run(self: &Rc<Self>, clients: Vec<Client>, in_flight: u32) {
        let mut tasks = Vec::new();
        for client in &clients {
            for _ in 0..in_flight {
                tasks.push(reactor::spawn(Rc::clone(self).caller(client.clone())));
            }
        }
        for task in tasks {
            if let Err(error) = task.await {
                self.fault(format!("a caller ended early: {error}"));
            }
        }
    }

    /// One call after the other, until none is left to make.
    async fn caller(self: Rc<Self>, client: Client) {
        let mut content = vec![0; self.body_bytes];
        loop {
            let number = self.next.get();
            if number == self.requests {
                return;
            }
            self.next.set(number + 1);
            fill(number, &mut content);
            let sent = Instant::now();
            match client.call(&Call::new(&content)).await {
                Err(error) => self.fault(format!("request {number}: {error}")),
                Ok(answer) if answer.status() != status::SUCCESS => {
                    self.fault(format!("request {number}: status {}", answer.status()));
                }
                Ok(answer) if answer.content() != content => {
                    self.fault(format!("request {number}: the answer is not its content"));
                }
                Ok(_) => {}
            }
            let micros = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
            self.latencies_us.borrow_mut().push(micros);
            self.done.set(self.done.get() + 1);
            self.progress.draw(self.done.get());
        }
    }

    fn fault(&self, what: String) {
        self.wrong.set(self.wrong.get() + 1);
        self.first_fault.borrow_mut().get_or_insert(what);
    }

    /// Prints the result; whether it is as it should be.
    fn report(&self, took: Duration, stats: &Snapshot) -> io::Result<bool> {
        let mut latencies = self.latencies_us.borrow_mut();
        latencies.sort_unstable();
        let quantile = |q: f64| latency(&latencies, q);
        let rate = f64::from(self.done.get()) / took.as_secs_f64();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "\n{} requests in {:.2} s: {} requests/s, everything on one thread",
            grouped(self.done.get().into()),
            took.as_secs_f64(),
            grouped(rate as u64)
        )?;
        writeln!(
            out,
            "latency   p50 {}, p99 {}, p99.9 {}",
            quantile(0.5),
            quantile(0.99),
            quantile(0.999)
        )?;
        writeln!(
            out,
            "ids       sent {}, answered {}, late {}, timed out {}, upstream lost {}",
            grouped(stats.sent),
            grouped(stats.answered),
            grouped(stats.late_answers),
            grouped(stats.timed_out),
            grouped(stats.lost_upstream)
        )?;
        writeln!(out, "          {} lost", stats.lost())?;
        let wrong = self.wrong.get();
        writeln!(
            out,
            "answers   {} checked byte by byte, {} wrong",
            grouped(self.done.get().into()),
            grouped(wrong.into())
        )?;
        if let Some(fault) = &*self.first_fault.borrow() {
            writeln!(out, "          the first: {fault}")?;
        }
        let complete = self.done.get() == self.requests && stats.answered == stats.sent;
        Ok(wrong == 0 && complete && stats.lost() == 0 && stats.in_flight == 0)
    }
}

/// Content that differs from request to request in every part of it (xorshift, seeded by number).
fn fill(number: u32, content: &mut [u8]) {
    let mut state = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for chunk in content.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}

/// The quantile of sorted values, in milliseconds.
fn latency(sorted_us: &[u32], quantile: f64) -> String {
    let Some(last) = sorted_us.len().checked_sub(1) else { return "-".to_owned() };
    let at = (last as f64 * quantile).round() as usize;
    format!("{:.2} ms", f64::from(sorted_us[at]) / 1000.0)
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A bar on a terminal, a line for every tenth elsewhere; both on standard error.
struct Progress {
    total: u32,
    steps: u32,
    terminal: bool,
    shown: Cell<u32>,
}

impl Progress {
    fn new(total: u32) -> Self {
        let terminal = io::stderr().is_terminal();
        let steps = if terminal { 100 } else { 10 };
        Progress { total, steps, terminal, shown: Cell::new(0) }
    }

    fn draw(&self, done: u32) {
        let step = (u64::from(done) * u64::from(self.steps) / u64::from(self.total)) as u32;
        if step == self.shown.replace(step) {
            return;
        }
        // A progress bar that cannot be drawn is no reason to stop.
        let _ = self.write(step * 100 / self.steps, done);
    }

    fn write(&self, percent: u32, done: u32) -> io::Result<()> {
        let mut err = io::stderr().lock();
        let (done, total) = (grouped(done.into()), grouped(self.total.into()));
        if !self.terminal {
            return writeln!(err, "{percent:>3} %  {done} of {total}");
        }
        let full = "#".repeat(BAR_CHARS * percent as usize / 100);
        write!(err, "\r[{full:.<BAR_CHARS$}] {percent:>3} %  {done} of {total}")?;
        if percent == 100 {
            writeln!(err)?;
        }
        err.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (200_000, "200,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn quantiles_are_taken_from_the_sorted_values() {
        let values: Vec<u32> = (1..=1001).map(|n| n * 1000).collect();
        assert_eq!(latency(&values, 0.5), "501.00 ms");
        assert_eq!(latency(&values, 0.999), "1000.00 ms");
        assert_eq!(latency(&[], 0.5), "-");
    }

    #[test]
    fn no_two_requests_have_the_same_content() {
        let mut seen = std::collections::HashSet::new();
        for number in 0..10_000 {
            let mut content = vec![0; 16];
            fill(number, &mut content);
            assert!(seen.insert(content), "request {number}");
        }
    }
}

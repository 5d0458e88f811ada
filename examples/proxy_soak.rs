//! A soak: checked load through the proxy while the hosts behind it are killed and started again.
//!
//! ```sh
//! cargo build --release -p proxy && cargo build --release -p examples --examples
//! SOAK_SECONDS=60 target/release/examples/proxy_soak
//! ```
//!
//! It starts the proxy and three `bolt_echo_server`s from its own target directory, sends requests on
//! many connections, and kills (SIGKILL) one host after the other. A request may be answered by its
//! own content or by the proxy with "connection closed", "time-out" or "busy", and by nothing else.
//! The proxy's resident memory at the end must not be more than a stated amount above what it was
//! when a third of the time had passed. The exit code is 1 otherwise.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::Cell;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use examples::Pattern;
use proxy::Client;
use proxy::client::Call;
use proxy::codec::bolt::status;
use reactor::time;

const HOSTS: usize = 3;
const CONNECTIONS: usize = 32;
const IN_FLIGHT: usize = 8;
const SECONDS_DEFAULT: u64 = 60;
/// Time between two kills, and time that a host stays dead.
const ALIVE: Duration = Duration::from_millis(700);
const DEAD: Duration = Duration::from_millis(300);
/// Growth of resident memory that is allowed from a third of the time to the end.
const GROWTH_BYTES_MAX: u64 = 4 << 20;
/// Of a hundred requests, those that must have had their own content for an answer.
const GOOD_PERCENT_MIN: u64 = 90;
const START_TIME_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    env_logger::init();
    examples::exit_code(soak())
}

fn soak() -> io::Result<()> {
    let seconds = match std::env::var("SOAK_SECONDS") {
        Ok(text) => text.parse().map_err(|_| io::Error::other("SOAK_SECONDS is no number"))?,
        Err(_) => SECONDS_DEFAULT,
    };
    let time = Duration::from_secs(seconds);
    let house = House::build()?;
    println!("{seconds} s, {CONNECTIONS} x {IN_FLIGHT} requests in flight, {HOSTS} hosts");
    let tally = Rc::new(Tally::default());
    let (warm_bytes, end_bytes) = reactor::block_on(run(house, time, Rc::clone(&tally)))??;
    tally.report(warm_bytes, end_bytes)
}

/// The processes.
struct House {
    bin: PathBuf,
    proxy: Process,
    address: SocketAddr,
    hosts: Vec<(SocketAddr, Process)>,
    config: PathBuf,
}

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(program: &Path, words: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(words).env("RUST_LOG", "off").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| {
            io::Error::other(format!("{}: {error}; is it built?", program.display()))
        })?;
        Ok(Process(child))
    }
}

impl House {
    fn build() -> io::Result<House> {
        let bin = std::env::current_exe()?;
        let bin = bin.parent().expect("a program lies in a directory").to_owned();
        let addresses = free_addresses(HOSTS + 1)?;
        let (&address, host_addresses) = addresses.split_first().expect("there is one for each");
        let mut hosts = Vec::new();
        for &host in host_addresses {
            hosts.push((host, start_host(&bin, host)?));
        }
        let config = std::env::temp_dir().join(format!("proxy-soak-{}.json", std::process::id()));
        fs::write(&config, config_text(address, host_addresses))?;
        let words = ["-c", &config.display().to_string()];
        let proxy = Process::start(&bin.join("../proxy"), &words)?;
        let house = House { bin, proxy, address, hosts, config };
        house.hosts.iter().map(|(host, _)| *host).chain([address]).try_for_each(wait_for)?;
        Ok(house)
    }

    /// Kills one host after the other and starts it again.
    async fn torment(mut self, end: Instant) -> io::Result<House> {
        let mut turn = 0;
        while Instant::now() + ALIVE + DEAD < end {
            time::sleep(ALIVE).await;
            let number = turn % self.hosts.len();
            let (address, process) = &mut self.hosts[number];
            process.0.kill()?;
            process.0.wait()?;
            time::sleep(DEAD).await;
            *process = start_host(&self.bin, *address)?;
            turn += 1;
        }
        Ok(self)
    }

    fn resident_bytes(pid: u32) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("the proxy is gone"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.config);
    }
}

/// Addresses that nobody uses, and that the system gives to nobody else: all are taken at once, on
/// an address of their own.
fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    let taken: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.8.1:0")).collect::<Result<_, _>>()?;
    taken.iter().map(TcpListener::local_addr).collect()
}

fn start_host(bin: &Path, address: SocketAddr) -> io::Result<Process> {
    Process::start(&bin.join("bolt_echo_server"), &[&address.to_string()])
}

fn wait_for(address: SocketAddr) -> io::Result<()> {
    let start = Instant::now();
    while let Err(error) = std::net::TcpStream::connect(address) {
        if start.elapsed() > START_TIME_MAX {
            return Err(io::Error::other(format!("nobody listens on {address}: {error}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn config_text(address: SocketAddr, hosts: &[SocketAddr]) -> String {
    let hosts: Vec<String> =
        hosts.iter().map(|host| format!(r#"{{"address": "{host}"}}"#)).collect();
    format!(
        r#"{{"servers": [{{
          "routers": [{{"router_config_name": "r", "virtual_hosts": [{{"domains": ["*"],
            "routers": [{{"match": {{}}, "route": {{"cluster_name": "c", "timeout": "2s"}}}}]}}]}}],
          "listeners": [{{"address": "{address}", "filter_chains": [{{"filters": [{{"type": "proxy",
            "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
        "cluster_manager": {{"clusters": [{{"name": "c", "hosts": [{}]}}]}}}}"#,
        hosts.join(", ")
    )
}

/// The proxy's resident memory when a third of the time has passed, and at the end.
async fn run(house: House, time: Duration, tally: Rc<Tally>) -> io::Result<(u64, u64)> {
    let (start, proxy) = (Instant::now(), house.proxy.0.id());
    let end = start + time;
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = Client::connect(house.address).await?;
        for _ in 0..IN_FLIGHT {
            let (client, tally) = (client.clone(), Rc::clone(&tally));
            callers.push(reactor::spawn(async move { tally.call_until(&client, end).await }));
        }
    }
    let tormenting = reactor::spawn(house.torment(end));
    time::sleep_until(start + time / 3).await;
    let warm_bytes = House::resident_bytes(proxy)?;
    for caller in callers {
        caller.await?;
    }
    let end_bytes = House::resident_bytes(proxy)?;
    drop(tormenting.await??);
    Ok((warm_bytes, end_bytes))
}

/// What came of the requests.
#[derive(Default)]
struct Tally {
    pattern: Pattern,
    sent: Cell<u64>,
    good: Cell<u64>,
    /// Answered by the proxy itself.
    refused: Cell<u64>,
    wrong: Cell<u64>,
}

impl Tally {
    async fn call_until(&self, client: &Client, end: Instant) {
        while Instant::now() < end {
            let number = up(&self.sent);
            // Of all sizes, the long ones more than a read.
            let size = if number.is_multiple_of(500) { 65_536 } else { number as usize % 700 };
            let content = self.pattern.chunk(number * 17, size);
            match client.call(&Call::new(content)).await {
                Ok(answer) => self.note(number, content, answer.status(), answer.content()),
                Err(error) => {
                    println!("request {number}: {error}");
                    up(&self.wrong);
                    return;
                }
            }
        }
    }

    fn note(&self, number: u64, content: &[u8], status: u16, answer: &[u8]) {
        match status {
            status::SUCCESS if answer == content => {
                up(&self.good);
            }
            status::CONNECTION_CLOSED | status::TIMEOUT | status::SERVER_THREADPOOL_BUSY => {
                up(&self.refused);
            }
            _ => {
                println!("request {number}: status {status}, {} bytes", answer.len());
                up(&self.wrong);
            }
        }
    }

    fn report(&self, warm_bytes: u64, end_bytes: u64) -> io::Result<()> {
        let (sent, good, wrong) = (self.sent.get(), self.good.get(), self.wrong.get());
        let kib = |bytes: u64| bytes / 1024;
        println!("{sent} sent, {good} good, {} refused, {wrong} wrong", self.refused.get());
        println!("memory: {} KiB, at the end {} KiB", kib(warm_bytes), kib(end_bytes));
        if wrong > 0 || good + self.refused.get() != sent {
            return Err(io::Error::other("there were wrong answers, or none"));
        }
        if good * 100 < sent * GOOD_PERCENT_MIN {
            return Err(io::Error::other(format!("less than {GOOD_PERCENT_MIN} % were good")));
        }
        if end_bytes > warm_bytes + GROWTH_BYTES_MAX {
            return Err(io::Error::other(format!("grew by more than {GROWTH_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

/// Counts one more; the value before.
fn up(cell: &Cell<u64>) -> u64 {
    cell.replace(cell.get() + 1)
}

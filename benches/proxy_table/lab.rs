//! The processes: a proxy on one processor, the load on another.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

use crate::Shape;

const PROXY_CPU: usize = 0;
const LOAD_CPU: usize = 1;
/// How long a proxy may take to listen.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// A proxy that runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    child: Child,
}

impl Server {
    /// Runs a command on the processor for proxies, and waits until it listens.
    pub(crate) fn start(program: &Path, words: &[String], address: SocketAddr) -> io::Result<Self> {
        let mut command = pinned(PROXY_CPU);
        command.arg(program).args(words).env("RUST_LOG", "error");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let server = Server { address, child };
        let start = Instant::now();
        while let Err(error) = TcpStream::connect(address) {
            if start.elapsed() > START_TIME_MAX {
                let text = format!("{} does not listen: {error}", program.display());
                return Err(io::Error::other(text));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time of all its threads. Exact only while it sleeps.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        let mut total_ns = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let ns = text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
            total_ns += ns.ok_or_else(|| io::Error::other(format!("schedstat says {text:?}")))?;
        }
        Ok(Duration::from_nanos(total_ns))
    }

    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// The system calls that it makes while `work` runs.
    pub(crate) fn syscalls_during(&self, work: impl FnOnce() -> io::Result<()>) -> io::Result<u64> {
        let out = std::env::temp_dir().join(format!("proxy-strace-{}", self.child.id()));
        let mut strace = Command::new("strace")
            .args(["-f", "-c", "-o"])
            .arg(&out)
            .args(["-p", &self.child.id().to_string()])
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let mut said = BufReader::new(strace.stderr.take().expect("it is piped"));
        while !line.contains("attached") {
            line.clear();
            if said.read_line(&mut line)? == 0 {
                return Err(io::Error::other("strace could not attach"));
            }
        }
        let worked = work();
        kill_process(Pid::from_child(&strace), Signal::INT)?;
        strace.wait()?;
        worked?;
        let table = fs::read_to_string(&out)?;
        fs::remove_file(out)?;
        total_calls(&table).ok_or_else(|| io::Error::other(format!("strace says {table}")))
    }
}

/// The number of calls in the last line of what `strace -c` says.
fn total_calls(table: &str) -> Option<u64> {
    let total = table.lines().find(|line| line.trim_end().ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that plays clients and upstream; see `proxy_load`. It ends when this is dropped.
pub(crate) struct Load {
    child: Child,
    answers: BufReader<ChildStdout>,
    upstream: SocketAddr,
}

impl Load {
    pub(crate) fn start(bin: &Path) -> io::Result<Self> {
        let mut command = pinned(LOAD_CPU);
        command.arg(bin.join("examples/proxy_load"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let upstream = line.trim().strip_prefix("upstream ").and_then(|text| text.parse().ok());
        let upstream =
            upstream.ok_or_else(|| io::Error::other(format!("the load said {line:?}")))?;
        Ok(Load { child, answers, upstream })
    }

    pub(crate) fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    pub(crate) fn connect(
        &mut self,
        name: &str,
        address: SocketAddr,
        shape: Shape,
    ) -> io::Result<()> {
        let Shape(connections, depth, body_bytes) = shape;
        self.ask(&format!("connect {name} {address} {connections} {depth} {body_bytes}")).map(drop)
    }

    /// Requests for so long; how many were answered.
    pub(crate) fn slice(&mut self, name: &str, time: Duration) -> io::Result<u64> {
        let answer = self.ask(&format!("slice {name} {}", time.as_micros()))?;
        answer.parse().map_err(|_| io::Error::other(format!("the load said {answer:?}")))
    }

    pub(crate) fn count(&mut self, name: &str, requests: u64) -> io::Result<()> {
        self.ask(&format!("count {name} {requests}")).map(drop)
    }

    pub(crate) fn latency(&mut self, name: &str) -> io::Result<[f64; 3]> {
        let answer = self.ask(&format!("latency {name}"))?;
        let mut numbers = answer.split(' ').map(|number| number.parse().unwrap_or(f64::NAN));
        Ok(std::array::from_fn(|_| numbers.next().unwrap_or(f64::NAN)))
    }

    pub(crate) fn close(&mut self, name: &str) -> io::Result<()> {
        self.ask(&format!("close {name}")).map(drop)
    }

    fn ask(&mut self, line: &str) -> io::Result<String> {
        writeln!(self.child.stdin.as_mut().expect("it is piped"), "{line}")?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(io::Error::other(format!("the load gave up at {line:?}")));
        }
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Lets this process and those it starts open as many files as the system allows them.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// A command that runs on one processor and ends with this process, however that ends.
fn pinned(cpu: usize) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cpu.to_string(), "setpriv", "--pdeathsig", "KILL"]);
    command
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_total_is_found_in_what_strace_says() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     100.00    0.000017           2         7         1 total\n";
        assert_eq!(super::total_calls(table), Some(7));
        assert_eq!(super::total_calls(""), None);
    }
}

//! The processes: a proxy on one processor, the load on another.

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use benches::child::{self, Lines};
use benches::process::{self, pinned};
use rustix::process::{Pid, Signal, kill_process};

use crate::Shape;

const PROXY_CPU: usize = 0;
const LOAD_CPU: usize = 1;
/// How long a proxy may take to listen.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the load may take for an answer. It gives up by itself when no request is answered for
/// a while.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);
/// How long a process may take to end once it was told to.
const END_TIME_MAX: Duration = Duration::from_secs(30);

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
        let mut server = Server { address, child };
        let listening = server.wait_until_it_listens();
        let named = |error| io::Error::other(format!("{}: {error}", program.display()));
        listening.map(|()| server).map_err(named)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let listens = || match self.child.try_wait()? {
            Some(status) => Err(io::Error::other(format!("ended: {status}"))),
            None => Ok(TcpStream::connect(self.address).is_ok()),
        };
        child::wait_until(listens, START_TIME_MAX, "does not listen")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time of all its threads. Exact only while it sleeps.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        process::cpu_time(self.child.id())
    }

    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        process::proc_bytes(self.child.id(), "status", "VmRSS:")
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
        let mut said = Lines::new(strace.stderr.take().expect("it is piped"));
        while !said.next(START_TIME_MAX)?.contains("attached") {}
        let worked = work();
        kill_process(Pid::from_child(&strace), Signal::INT)?;
        child::wait_for_end(&mut strace, END_TIME_MAX)?;
        worked?;
        let table = fs::read_to_string(&out)?;
        fs::remove_file(out)?;
        process::total_calls(&table)
    }
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
    answers: Lines,
    upstream: SocketAddr,
}

impl Load {
    pub(crate) fn start(bin: &Path) -> io::Result<Self> {
        let mut command = pinned(LOAD_CPU);
        command.arg(bin.join("examples/proxy_load"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut answers = Lines::new(child.stdout.take().expect("it is piped"));
        let line = answers.next(START_TIME_MAX)?;
        let upstream = line.strip_prefix("upstream ").and_then(|text| text.parse().ok());
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
        let asked = writeln!(self.child.stdin.as_mut().expect("it is piped"), "{line}");
        let answer = asked.and_then(|()| self.answers.next(ANSWER_TIME_MAX));
        answer.map_err(|error| io::Error::new(error.kind(), format!("the load: {line}: {error}")))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends when it has nothing more to do; if not, it is killed.
        let _ = child::wait_for_end(&mut self.child, END_TIME_MAX);
    }
}

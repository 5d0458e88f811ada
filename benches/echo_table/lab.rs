//! The processes of a measurement: a server and the load on it, each on a processor of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Signal};

use benches::child::{self, Lines};
use benches::process::{self, pinned};

use crate::programs::Program;

// All waits have a limit. These are for a machine that has a lot to do besides, and a tool around
// the server that makes it fifty times as slow.

/// How long a server may take to listen.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a server may take to accept or to close all connections.
const ACCEPT_TIME_MAX: Duration = Duration::from_secs(60);
/// How long the load may take to connect, or for a slice or [`COUNT_MAX`] messages. It gives up by
/// itself when nothing comes back for half a minute.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);
/// Messages that the load is asked for at a time. On a busy machine, under a tool and one by one,
/// they may take milliseconds each.
const COUNT_MAX: u64 = 10_000;
/// How long a process may take to end once it was told to.
const END_TIME_MAX: Duration = Duration::from_secs(30);
/// Descriptors that a process has beside its connections, at most.
const OTHER_FILES_MAX: u64 = 64;

/// What the load does.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) size_bytes: usize,
    /// Messages in flight on each connection.
    pub(crate) depth: usize,
    /// A connection for each message.
    pub(crate) churn: bool,
}

/// Where the programs lie and run.
pub(crate) struct Lab {
    bin: PathBuf,
    server_cpu: usize,
    load_cpu: usize,
}

impl Lab {
    pub(crate) fn new(bin: PathBuf, server_cpu: usize, load_cpu: usize) -> Self {
        Self { bin, server_cpu, load_cpu }
    }

    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// Starts a server on the processor for servers.
    pub(crate) fn server(&self, program: &Program) -> io::Result<Server> {
        self.server_under(&[], program)
    }

    /// Starts a server under a tool such as strace.
    pub(crate) fn server_under(&self, tool: &[&OsStr], program: &Program) -> io::Result<Server> {
        Server::start(self.server_cpu, tool, program)
    }

    /// Starts a server on the processor of the load: one that is not measured.
    pub(crate) fn helper(&self, program: &Program) -> io::Result<Server> {
        Server::start(self.load_cpu, &[], program)
    }

    /// Opens the connections; the server may not have accepted them all yet.
    pub(crate) fn load(&self, server: &Server, shape: Shape) -> io::Result<Load> {
        Load::start(&self.bin.join("echo_load"), self.load_cpu, server, shape)
    }
}

/// A server that runs until it is stopped or dropped.
pub(crate) struct Server {
    name: String,
    address: String,
    child: Child,
    /// Open for as long as the server may write to it.
    said: Lines,
}

impl Server {
    fn start(cpu: usize, tool: &[&OsStr], program: &Program) -> io::Result<Self> {
        let mut child = pinned(cpu)
            .args(tool)
            .arg(&program.path)
            .arg("127.0.0.1:0")
            .args(&program.words)
            .env("GOMAXPROCS", "1")
            // The signal that stops it shall reach the server and not only the tool around it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let name = match tool.first() {
            Some(tool) => format!("{} under {}", program.name, tool.display()),
            None => program.name.clone(),
        };
        let said = Lines::new(child.stdout.take().expect("it is piped"));
        let mut server = Self { name, address: String::new(), child, said };
        server.address = server.listens().map_err(|error| server.failed("start", error))?;
        Ok(server)
    }

    /// Where, which is the first that it says.
    fn listens(&mut self) -> io::Result<String> {
        let line = self.said.next(START_TIME_MAX)?;
        let address = line.strip_prefix("listening on ").map(String::from);
        address.ok_or_else(|| io::Error::other(format!("it said {line:?}")))
    }

    /// An error that says which server and what it was to do.
    fn failed(&self, what: &str, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {what}: {error}", self.name))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The CPU time of all its threads. Exact only while it sleeps.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        process::cpu_time(self.child.id())
    }

    /// The pages that are its alone.
    pub(crate) fn private_bytes(&self) -> io::Result<u64> {
        process::proc_bytes(self.child.id(), "smaps_rollup", "Private_Dirty:")
    }

    pub(crate) fn open_files(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Waits until it has accepted, and closed, so many connections that this many files are open.
    pub(crate) fn wait_for_open_files(&self, files: usize) -> io::Result<()> {
        let there = || Ok(self.open_files()? == files);
        let waited = child::wait_until(there, ACCEPT_TIME_MAX, "not all accepted or closed");
        waited.map_err(|error| {
            let open = self.open_files().unwrap_or_default();
            self.failed(&format!("{open} open files, expected {files}"), error)
        })
    }

    /// Stops it, and a tool around it has written its results when this returns.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        let stopped = self.signal(Signal::TERM);
        let ended = stopped.and_then(|()| child::wait_for_end(&mut self.child, END_TIME_MAX));
        ended.map(drop).map_err(|error| self.failed("stop", error))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::kill_process_group(Pid::from_child(&self.child), signal)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It may have ended in between; then there is nothing to do.
            let _ = self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// A process with connections to a server. It ends when this is dropped.
pub(crate) struct Load {
    /// The server's name.
    on: String,
    child: Child,
    answers: Lines,
}

impl Load {
    fn start(path: &Path, cpu: usize, server: &Server, shape: Shape) -> io::Result<Self> {
        let mut command = pinned(cpu);
        command.arg(path).arg(&server.address);
        command.args(["--connections", &shape.connections.to_string()]);
        command.args(["--size", &shape.size_bytes.to_string()]);
        command.args(["--depth", &shape.depth.to_string()]);
        if shape.churn {
            command.arg("--churn");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = Lines::new(child.stdout.take().expect("it is piped"));
        let mut load = Self { on: server.name.clone(), child, answers };
        let connected = load.answers.next(ANSWER_TIME_MAX);
        connected.map_err(|error| load.failed("connect", error))?;
        Ok(load)
    }

    /// Sends messages for so long and says how many came back.
    pub(crate) fn slice(&mut self, time: Duration) -> io::Result<u64> {
        self.number(&format!("slice {}", time.as_micros()))
    }

    /// Sends so many messages.
    pub(crate) fn count(&mut self, mut messages: u64) -> io::Result<()> {
        while messages > 0 {
            let now = messages.min(COUNT_MAX);
            self.number(&format!("count {now}"))?;
            messages -= now;
        }
        Ok(())
    }

    /// The quantiles 0.5, 0.99 and 0.999 of the latencies since this was last asked.
    pub(crate) fn latency_ns(&mut self) -> io::Result<[f64; 3]> {
        let answer = self.ask("latency")?;
        let mut numbers = answer.split(' ').map(|number| number.parse().unwrap_or(f64::NAN));
        Ok(std::array::from_fn(|_| numbers.next().unwrap_or(f64::NAN)))
    }

    fn number(&mut self, line: &str) -> io::Result<u64> {
        let answer = self.ask(line)?;
        let number = answer.parse();
        number.map_err(|_| self.failed(line, io::Error::other(format!("it said {answer:?}"))))
    }

    fn ask(&mut self, line: &str) -> io::Result<String> {
        let asked = writeln!(self.child.stdin.as_mut().expect("it is piped"), "{line}");
        let answer = asked.and_then(|()| self.answers.next(ANSWER_TIME_MAX));
        answer.map_err(|error| self.failed(line, error))
    }

    /// An error that says which server and what the load was to do. Its own reasons, such as a
    /// server that closed a connection, it has said on standard error.
    fn failed(&self, what: &str, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("the load on {}: {what}: {error}", self.on))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends when it has nothing more to do; if not, it is killed.
        let _ = child::wait_for_end(&mut self.child, END_TIME_MAX);
    }
}

/// Fails when no process can have so many connections.
pub(crate) fn check_open_files(connections: usize) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let needed = connections as u64 + OTHER_FILES_MAX;
    match maximum {
        Some(maximum) if maximum < needed => {
            let text = format!(
                "{connections} connections need {needed} open files, `ulimit -Hn` is {maximum}"
            );
            Err(io::Error::other(text))
        }
        _ => Ok(()),
    }
}

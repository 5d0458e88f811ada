//! hashicorp/yamux, in a Go process of its own that does the same work and says what it took.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::load::{IDLE_STREAMS, congestion};

pub(crate) struct Hashicorp {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Hashicorp {
    /// Builds the program, with Go and the packages of Debian; `None` where they are not installed.
    pub(crate) fn build() -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("mux/hashicorp.go");
        let binary = std::env::temp_dir().join(format!("mux-hashicorp-{}", std::process::id()));
        let built = Command::new("go")
            .args(["build", "-o"])
            .args([&binary, &source])
            .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")])
            .stderr(Stdio::null())
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return None;
        }
        let child = Command::new(&binary)
            .arg(congestion())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        // It runs; its file is needed no more.
        std::fs::remove_file(&binary).ok()?;
        let mut child = child.ok()?;
        let (orders, answers) = (child.stdin.take()?, child.stdout.take()?);
        Some(Self { child, orders, answers: BufReader::new(answers) })
    }

    fn order(&mut self, order: &str) -> f64 {
        writeln!(self.orders, "{order}").expect("the Go program lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the Go program lives");
        answer.trim().parse().unwrap_or_else(|_| panic!("{order}: the answer was {answer:?}"))
    }

    fn time(&mut self, order: &str) -> Duration {
        Duration::from_nanos(self.order(order) as u64)
    }

    pub(crate) fn bulk(&mut self, streams: usize, write_bytes: usize, bytes: usize) -> Duration {
        self.time(&format!("bulk {streams} {write_bytes} {bytes}"))
    }

    pub(crate) fn opens(&mut self, count: usize) -> Duration {
        self.time(&format!("opens {count} 0 0"))
    }

    pub(crate) fn beside_load(&mut self, count: usize, quantile: f64) -> Duration {
        let percent = (quantile * 100.0) as usize;
        self.time(&format!("beside {count} {percent} 0"))
    }

    pub(crate) fn fairness(&mut self, bytes: usize) -> f64 {
        self.order(&format!("fair {bytes} 0 0"))
    }

    pub(crate) fn memory(&mut self) -> f64 {
        self.order(&format!("idle {IDLE_STREAMS} 0 0"))
    }
}

impl Drop for Hashicorp {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

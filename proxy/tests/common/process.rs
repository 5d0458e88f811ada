//! The binary, as it serves.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::blocking::until_listening;
use rustix::process::{Pid, Signal, kill_process};

/// A proxy that serves, ended with the test.
pub struct Serving {
    child: Child,
    log: Receiver<String>,
    /// Where its first listener listens.
    pub address: SocketAddr,
}

impl Serving {
    /// One with this configuration, on so many threads; `name` is the test's own.
    pub fn start(name: &str, config: &str, workers: usize) -> Serving {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
        Serving::spawn(&mut command, name, config, workers, "info")
    }

    /// The same, of which the log has only this beside the lines that say where it listens.
    pub fn logging(name: &str, config: &str, log: &str) -> Serving {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
        let log = format!("proxy::threads=info,{log}");
        Serving::spawn(&mut command, name, config, 1, &log)
    }

    /// The same, where the process may have so many descriptors.
    pub fn with_descriptors(name: &str, config: &str, limit: u32) -> Serving {
        Serving::limited(&format!("ulimit -n {limit}"), name, config)
    }

    /// The same, where it may raise the limit itself.
    pub fn with_soft_descriptors(name: &str, config: &str, limit: u32) -> Serving {
        Serving::limited(&format!("ulimit -Sn {limit}"), name, config)
    }

    fn limited(limit: &str, name: &str, config: &str) -> Serving {
        let mut command = Command::new("sh");
        let script = format!("{limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_proxy")]);
        Serving::spawn(&mut command, name, config, 1, "info")
    }

    /// How many descriptors it may have: the soft limit and the hard one.
    pub fn limits(&self) -> (String, String) {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut words = line.split_whitespace().skip(3).map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    }

    fn spawn(
        command: &mut Command,
        name: &str,
        config: &str,
        workers: usize,
        log: &str,
    ) -> Serving {
        let file = file(&format!("{name}.json"));
        std::fs::write(&file, config).unwrap();
        let mut child = command
            .args(["-c", file.to_str().unwrap(), "--workers", &workers.to_string()])
            .env("RUST_LOG", log)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (send, log) = mpsc::channel();
        // What it says must not stop it, whether somebody listens or not.
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| _ = send.send(line)));
        let mut serving = Serving { child, log, address: "0.0.0.0:0".parse().unwrap() };
        let line = serving.until_it_says(" thread(s)");
        std::fs::remove_file(file).unwrap();
        let address = line.split(' ').find_map(|word| word.parse().ok());
        serving.address = address.unwrap_or_else(|| panic!("no address in {line}"));
        until_listening(serving.address.port(), workers);
        serving
    }

    /// The next line of its log with this in it.
    pub fn until_it_says(&self, part: &str) -> String {
        self.until_it_says_after(part).pop().unwrap()
    }

    /// All lines of its log up to the next with this in it.
    pub fn until_it_says_after(&self, part: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.log.recv_timeout(super::HANG) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("{part} is not in {lines:#?}: {error}"),
            }
            if lines.last().is_some_and(|line| line.contains(part)) {
                return lines;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of this test process.
pub fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("proxy-{}-{name}", std::process::id()))
}

/// The demo's configuration in front of this host, and with these further keys of its listener, each
/// with a comma behind.
pub fn config(host: SocketAddr, listener: &str) -> String {
    let hosts = r#"[{ "address": "127.0.0.1:0" }, { "address": "127.0.0.1:0" }]"#;
    let config = proxy::DEMO_CONFIG.replace(hosts, &format!(r#"[{{ "address": "{host}" }}]"#));
    config.replacen(r#""name": "demo","#, &format!(r#""name": "demo", {listener}"#), 1)
}

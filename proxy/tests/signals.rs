//! What signals do to a proxy that serves.

mod common;

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use common::pipe::Pipe;
use common::process::{Serving, config, file};
use common::*;
use proxy::codec::Kind;
use rustix::process::Signal;
use serde_json::{Value, json};

/// An access log of one test.
struct Log(PathBuf);

impl Log {
    fn new(name: &str) -> Log {
        Log(file(&format!("{name}.log")))
    }

    fn listener(&self) -> String {
        logged(&self.0)
    }

    fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The keys of a listener with an access log there.
fn logged(path: &Path) -> String {
    format!(
        r#""access_logs": [{{"log_path": "{}", "log_format": "%response_code% %response_flag%"}}],"#,
        path.display()
    )
}

/// Clients, each with a request that the host has and has not answered.
async fn in_flight(serving: &Serving, host: &Host, count: u32) -> (Vec<Peer>, Vec<(Peer, Got)>) {
    let (mut clients, mut asked) = (Vec::new(), Vec::new());
    for id in 0..count {
        let client = Peer::connect(serving.address).await;
        client.send(&request(id, b"in flight")).await;
        clients.push(client);
    }
    // Each thread has a connection of its own, and the kernel says which thread takes a client.
    while asked.len() < count as usize {
        let mut peer = host.accept().await;
        let got = peer.frame().await;
        asked.push((peer, got));
    }
    (clients, asked)
}

#[test]
fn a_stop_lets_requests_in_flight_end_writes_the_logs_and_exits_with_0() {
    for (workers, signal) in [(1, Signal::TERM), (2, Signal::INT)] {
        let log = Log::new(&format!("stop-{workers}"));
        run(async {
            let host = Host::new();
            let text = config(host.address(), &log.listener()).replacen(
                r#""hosts""#,
                r#""pool": "ping_pong", "hosts""#,
                1,
            );
            let serving = Serving::start("stop", &text, workers);
            let (mut clients, asked) = in_flight(&serving, &host, 10).await;
            serving.signal(signal);
            serving.until_it_says("requests in flight have 30s");
            for (peer, got) in &asked {
                peer.answer(got).await;
            }
            for (id, client) in (0..).zip(&mut clients) {
                client.expect(id, 0).await;
                client.closed().await;
            }
            drop(clients);
            let status = serving.wait();
            assert_eq!((status.code(), status.signal()), (Some(0), None));
            assert_eq!(log.lines(), vec!["0 -"; 10]);
        });
    }
}

#[test]
fn a_second_signal_ends_at_once_and_the_logs_are_written_all_the_same() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let log = Log::new(&format!("twice-{code}"));
        run(async {
            let host = Host::new();
            let text = config(host.address(), &log.listener());
            let serving = Serving::start("twice", &text, 2);
            let (mut clients, _asked) = in_flight(&serving, &host, 1).await;
            serving.signal(Signal::TERM);
            serving.until_it_says("another signal ends them");
            serving.signal(signal);
            serving.until_it_says("ends at once");
            clients[0].closed().await;
            assert_eq!(serving.wait().code(), Some(code));
            assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        });
    }
}

#[test]
fn the_time_to_stop_in_is_the_configurations() {
    run(async {
        let host = Host::new();
        let text = config(host.address(), "").replacen(
            r#""listeners""#,
            r#""graceful_timeout": "100ms", "listeners""#,
            1,
        );
        let serving = Serving::start("grace", &text, 1);
        let (mut clients, _asked) = in_flight(&serving, &host, 1).await;
        serving.signal(Signal::TERM);
        serving.until_it_says("1 client connections did not end in time and were cut");
        clients[0].closed().await;
        assert_eq!(serving.wait().code(), Some(0));
    });
}

#[test]
fn a_hang_up_opens_the_access_logs_anew_and_ends_nothing() {
    let (log, old) = (Log::new("hup"), Log::new("hup-old"));
    run(async {
        let host = Host::new();
        let serving = Serving::start("hup", &config(host.address(), &log.listener()), 2);
        let (mut clients, mut asked) = in_flight(&serving, &host, 1).await;
        let (mut peer, got) = asked.remove(0);
        peer.answer(&got).await;
        clients[0].expect(0, 0).await;
        until(|| log.lines().len() == 1).await;
        std::fs::rename(&log.0, &old.0).unwrap();
        serving.signal(Signal::HUP);
        // Without a further line.
        until(|| log.0.exists()).await;
        assert_eq!(old.lines().len(), 1);
        clients[0].send(&request(1, b"still here")).await;
        let got = peer.frame().await;
        peer.answer(&got).await;
        clients[0].expect(1, 0).await;
        serving.signal(Signal::TERM);
        // Idle clients have a second: the hang-up has not ended it within that either.
        clients[0].closed().await;
        drop(clients);
        assert_eq!(serving.wait().code(), Some(0));
        assert_eq!((old.lines().len(), log.lines().len()), (1, 1));
    });
}

#[test]
fn a_hang_up_opens_the_access_logs_anew_also_while_the_proxy_stops() {
    let (log, old) = (Log::new("hup-stop"), Log::new("hup-stop-old"));
    run(async {
        let host = Host::new();
        let serving = Serving::start("hup-stop", &config(host.address(), &log.listener()), 1);
        let mut client = Peer::connect(serving.address).await;
        let mut peer = host.accept_after(&mut client).await;
        until(|| log.lines().len() == 1).await;
        client.send(&request(1, b"in flight")).await;
        let got = peer.frame().await;
        serving.signal(Signal::TERM);
        serving.until_it_says("another signal ends them");
        std::fs::rename(&log.0, &old.0).unwrap();
        serving.signal(Signal::HUP);
        // Without a further line.
        until(|| log.0.exists()).await;
        peer.answer(&got).await;
        client.expect(1, 0).await;
        client.closed().await;
        drop(client);
        assert_eq!(serving.wait().code(), Some(0));
        assert_eq!((old.lines().len(), log.lines().len()), (1, 1));
    });
}

/// A listener with a log that cannot be written to its end, and one without; the address of the first.
fn with_a_stuck_log(name: &str, pipe: &Pipe, host: &Host, grace: &str) -> (Serving, SocketAddr) {
    let mut config: Value = serde_json::from_str(&config(host.address(), "")).unwrap();
    let server = &mut config["servers"][0];
    server["graceful_timeout"] = grace.into();
    let mut listener = server["listeners"][0].clone();
    listener["name"] = "logged".into();
    listener["access_logs"] = json!([{"log_path": pipe.0}]);
    server["listeners"].as_array_mut().unwrap().push(listener);
    let serving = Serving::start(name, &config.to_string(), 1);
    let line = serving.until_it_says("listener logged: ");
    let address = line.split(' ').find_map(|word| word.parse().ok()).unwrap();
    (serving, address)
}

#[test]
fn a_log_that_is_stuck_keeps_no_other_request_from_ending_and_the_stop_not_beyond_its_time() {
    let pipe = Pipe::new("stuck-log");
    run(async {
        let host = Host::new();
        let (serving, logged) = with_a_stuck_log("stuck-log", &pipe, &host, "1s");
        let mut noted = Peer::connect(logged).await;
        let mut peer = host.accept_after(&mut noted).await;
        drop(noted);
        let mut client = Peer::connect(serving.address).await;
        client.send(&request(1, b"in flight")).await;
        let got = peer.frame().await;
        serving.signal(Signal::TERM);
        serving.until_it_says("another signal ends them");
        // The listener with the log is gone.
        until(|| std::net::TcpStream::connect(logged).is_err()).await;
        client.send(&heartbeat(2)).await;
        assert_eq!(client.frame().await.frame.kind, Kind::HeartbeatAck);
        peer.answer(&got).await;
        client.expect(1, 0).await;
        client.closed().await;
        drop(client);
        serving.until_it_says("1 lines could not be written in time");
        assert_eq!(serving.wait().code(), Some(0));
    });
}

#[test]
fn a_log_that_is_stuck_does_not_keep_a_second_signal_from_ending_everything() {
    let pipe = Pipe::new("stuck-twice");
    run(async {
        let host = Host::new();
        let (serving, logged) = with_a_stuck_log("stuck-twice", &pipe, &host, "1000s");
        let mut noted = Peer::connect(logged).await;
        host.accept_after(&mut noted).await;
        drop(noted);
        serving.signal(Signal::TERM);
        serving.until_it_says("another signal ends them");
        serving.signal(Signal::TERM);
        assert_eq!(serving.wait().code(), Some(143));
    });
}

#[test]
fn the_first_user_signal_logs_the_counters_of_all_threads() {
    run(async {
        let host = Host::new();
        let serving = Serving::start("usr1", &config(host.address(), ""), 3);
        let (_clients, asked) = in_flight(&serving, &host, 1).await;
        serving.signal(Signal::USR1);
        serving.until_it_says("counters of 3 thread(s):");
        let lines = serving.until_it_says_after("stalls ");
        for line in ["downstream_connections 1", "in_flight 1", "sent 1", "answered 0"] {
            assert!(
                lines.iter().any(|found| found.trim_start() == line),
                "{line} is not in {lines:#?}"
            );
        }
        drop(asked);
    });
}

#[test]
fn the_counters_are_written_whatever_the_level_of_the_log() {
    run(async {
        let host = Host::new();
        let serving = Serving::logging("usr1-off", &config(host.address(), ""), "error");
        serving.signal(Signal::USR1);
        serving.until_it_says("counters of 1 thread(s):");
    });
}

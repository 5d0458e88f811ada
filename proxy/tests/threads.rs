//! The proxy on several threads.

mod common;

use std::collections::HashSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use common::blocking::{ask, heard, until_listening, upstream};
use proxy::filter::{NetworkFilter, NetworkFlow};
use proxy::{Config, DEMO_CONFIG, Drained, Filters, Threads};

/// The threads that have taken a client of these ports.
static TAKEN: Mutex<Vec<(u16, ThreadId)>> = Mutex::new(Vec::new());

/// Takes note of the thread that each client comes to.
struct Note;

impl NetworkFilter for Note {
    fn on_new_connection(&mut self, client: SocketAddr) -> NetworkFlow {
        TAKEN.lock().unwrap().push((client.port(), thread::current().id()));
        NetworkFlow::Continue
    }
}

fn filters() -> Filters {
    let mut filters = Filters::new();
    filters.add_network("note", |_| Ok(|| Box::new(Note) as Box<dyn NetworkFilter>));
    filters
}

/// A proxy on three threads, which go on until the process ends.
fn start(limits: &str) -> (Arc<Threads>, SocketAddr) {
    let (threads, address, _running) = start_running(limits);
    (threads, address)
}

/// The same, and the thread in which they run.
fn start_running(limits: &str) -> (Arc<Threads>, SocketAddr, JoinHandle<Drained>) {
    let text = DEMO_CONFIG.replacen('{', &format!("{{ \"limits\": {{{limits}}},"), 1);
    let text = text.replace(
        r#"[{ "address": "127.0.0.1:0" }, { "address": "127.0.0.1:0" }]"#,
        &format!(r#"[{{ "address": "{}" }}]"#, upstream()),
    );
    let listener = r#""name": "demo", "network_filters": [{"type": "note"}],"#;
    let text = text.replace(r#""name": "demo","#, listener);
    let config = Config::parse_with(Path::new("demo.json"), &text, &filters()).unwrap();
    let threads = Arc::new(Threads::new(config, 3).unwrap().filters(filters));
    let running = Arc::clone(&threads);
    let running = thread::spawn(move || running.run().unwrap());
    let address = threads.addresses()[0];
    until_listening(address.port(), 3);
    (threads, address, running)
}

fn wait(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn several_threads_serve_their_counters_are_added_up_and_gauges_return_to_zero() {
    let (threads, address) = start("");
    let clients: Vec<TcpStream> = (0..24).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (id, client) in (1..).zip(&clients) {
        ask(client, id, b"all");
    }
    for (id, client) in (1..).zip(&clients) {
        heard(client, id, b"all");
    }
    assert_eq!(threads.stats().answered, 24);
    let ports: Vec<u16> = clients.iter().map(|c| c.local_addr().unwrap().port()).collect();
    let taken = TAKEN.lock().unwrap().clone();
    let ours = taken.iter().filter(|(port, _)| ports.contains(port));
    let threads_seen: HashSet<ThreadId> = ours.map(|(_, thread)| *thread).collect();
    // That the kernel gives 24 ports to one of three sockets is less likely than 1 in 10^10.
    assert!((2..=3).contains(&threads_seen.len()), "{threads_seen:?}");
    drop(clients);
    wait(|| threads.stats().is_idle());
    assert_eq!(threads.stats().lost(), 0);
}

#[test]
fn the_limit_on_connections_is_one_for_all_threads() {
    let (threads, address) = start(r#""connections_max": 4"#);
    let clients: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(address).unwrap()).collect();
    let refused = || threads.stats().downstream_refused;
    wait(|| threads.stats().downstream_connections + refused() == 12);
    assert_eq!((threads.stats().downstream_connections, refused()), (4, 8));
    drop(clients);
    wait(|| threads.stats().is_idle());
}

#[test]
fn all_threads_stop_when_they_are_told_and_the_connections_that_were_cut_are_added_up() {
    let (threads, address, running) = start_running("");
    threads.drain(Duration::from_secs(30));
    assert_eq!(running.join().unwrap(), Drained::default());
    assert!(TcpStream::connect(address).is_err());

    let (threads, address, running) = start_running("");
    let clients: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    wait(|| threads.stats().downstream_connections == 8);
    for mut client in &clients {
        // A frame that has begun: nobody is idle.
        client.write_all(&[1]).unwrap();
    }
    threads.drain(Duration::from_secs(30));
    threads.end();
    let drained = running.join().unwrap();
    assert_eq!(drained.cut, 8);
    assert!(threads.stats().is_idle() && threads.stats().lost() == 0, "{}", threads.stats());
}

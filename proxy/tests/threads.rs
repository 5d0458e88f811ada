//! The proxy on several threads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use proxy::codec::bolt;
use proxy::{Config, DEMO_CONFIG, EchoServer, Threads};

/// An upstream on a thread of its own.
fn upstream() -> SocketAddr {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        reactor::block_on(async {
            let server = EchoServer::start("127.0.0.1:0".parse().unwrap()).unwrap();
            send.send(server.address()).unwrap();
            std::future::pending::<()>().await;
        })
    });
    receive.recv().unwrap()
}

/// A proxy on three threads, which go on until the process ends.
fn start(limits: &str) -> (Arc<Threads>, SocketAddr) {
    let text = DEMO_CONFIG.replacen('{', &format!("{{ \"limits\": {{{limits}}},"), 1);
    let text = text.replace(
        r#"[{ "address": "127.0.0.1:0" }, { "address": "127.0.0.1:0" }]"#,
        &format!(r#"[{{ "address": "{}" }}]"#, upstream()),
    );
    let config = Config::parse(Path::new("demo.json"), &text).unwrap();
    let threads = Arc::new(Threads::new(config, 3).unwrap());
    let running = Arc::clone(&threads);
    thread::spawn(move || running.run());
    let address = threads.addresses()[0];
    // The threads may not listen yet.
    while TcpStream::connect(address).is_err() {
        thread::yield_now();
    }
    // The one that told has come and gone.
    wait(|| threads.stats().downstream_accepted == 1 && threads.stats().is_idle());
    (threads, address)
}

fn wait(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn counters_of_all_threads_are_added_up_and_gauges_return_to_zero() {
    let (threads, address) = start("");
    let mut clients: Vec<TcpStream> =
        (0..24).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (id, client) in (1..).zip(&mut clients) {
        let mut frame = Vec::new();
        bolt::Request { id, content: b"all", ..bolt::Request::default() }
            .encode(&mut frame)
            .unwrap();
        client.write_all(&frame).unwrap();
    }
    for client in &mut clients {
        let mut answer = [0; 20];
        client.read_exact(&mut answer).unwrap();
    }
    assert_eq!(threads.stats().answered, 24);
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

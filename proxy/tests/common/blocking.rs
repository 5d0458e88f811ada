//! Peers on threads of their own, for proxies that do not run in the test's runtime.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use proxy::EchoServer;
use proxy::codec::bolt;

/// An echo server that goes on until the process ends.
pub fn upstream() -> SocketAddr {
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

/// Sends a request without a class name and a header.
pub fn ask(mut client: &TcpStream, id: u32, content: &[u8]) {
    let mut frame = Vec::new();
    bolt::Request { id, content, ..bolt::Request::default() }.encode(&mut frame).unwrap();
    client.write_all(&frame).unwrap();
}

/// Reads the echo of [`ask`]; one that does not come is a failure.
pub fn heard(mut client: &TcpStream, id: u32, content: &[u8]) {
    let mut expected = Vec::new();
    bolt::Response { id, content, ..bolt::Response::default() }.encode(&mut expected).unwrap();
    let mut answer = vec![0; expected.len()];
    client.set_read_timeout(Some(super::HANG)).unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer[5..9], id.to_be_bytes(), "{answer:?}");
    assert!(answer.ends_with(content), "{answer:?}");
}

/// Waits until so many sockets listen on this port.
pub fn until_listening(port: u16, sockets: usize) {
    let began = Instant::now();
    while listening(port) < sockets {
        assert!(began.elapsed() < super::HANG, "{} of {sockets} listen", listening(port));
        thread::sleep(Duration::from_millis(1));
    }
}

fn listening(port: u16) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listens = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
        local && words.nth(1) == Some("0A")
    };
    sockets.lines().filter(listens).count()
}

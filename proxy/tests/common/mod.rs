//! A proxy between peers that speak raw frames, so that a test decides every byte.
#![allow(dead_code, unreachable_pub)]

pub mod blocking;
pub mod bytes;
mod capture;
pub mod numbered;
pub mod pipe;
pub mod process;
pub mod scene;
pub mod stopping;
pub mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use net::{TcpListener, TcpStream};
use proxy::codec::bolt::{self, Bolt};
use proxy::codec::{Codec, Decoded, Frame, FrameLimits, Protocol};
use proxy::{Config, Filters, Server};

#[allow(unused_imports)] // some tests ask for no warnings
pub use capture::{capture_log, warnings};

/// A test that takes longer hangs.
const HANG: Duration = Duration::from_secs(30);

/// The same of virtual time: longer than anything that a test waits for.
const HANG_PAUSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Pause of whoever waits for a condition, so that virtual time goes on meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Runs a test in a runtime of its own; a hang is a failure.
pub fn run<F: Future>(test: F) -> F::Output {
    run_in(false, HANG, test)
}

/// The same in virtual time: pauses end when nothing else is left to do.
pub fn run_paused<F: Future>(test: F) -> F::Output {
    run_in(true, HANG_PAUSED, test)
}

fn run_in<F: Future>(paused: bool, hang: Duration, test: F) -> F::Output {
    capture_log();
    let mut runtime = reactor::Runtime::builder().paused(paused).build().unwrap();
    runtime.block_on(async { reactor::time::timeout(hang, test).await.expect("the test hangs") })
}

/// Lets other tasks, and time, go on until `condition` holds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        reactor::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits until nobody is connected and nothing is in flight, and checks that nothing was lost.
pub async fn all_empty(server: &Server) {
    until(|| server.stats().is_idle()).await;
    assert_eq!(server.stats().lost(), 0, "{}", server.stats());
}

/// Configuration with one route to a cluster of these hosts. `route`, `cluster`, `limits` and
/// `filter` are further keys, each with a comma in front; so is `filters`, further filters, and
/// `listener`, further keys of the listener.
pub struct Setup<'a> {
    pub hosts: &'a [SocketAddr],
    pub protocol: &'a str,
    pub filter: &'a str,
    pub filters: &'a str,
    pub listener: &'a str,
    pub matching: &'a str,
    pub route: &'a str,
    pub cluster: &'a str,
    pub limits: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            hosts: &[],
            protocol: "bolt",
            filter: "",
            filters: "",
            listener: "",
            matching: "{}",
            route: "",
            cluster: "",
            limits: "",
        }
    }
}

impl Setup<'_> {
    pub fn config(&self) -> Config {
        self.config_with(&Filters::new())
    }

    pub fn config_with(&self, filters: &Filters) -> Config {
        let hosts: Vec<String> =
            self.hosts.iter().map(|host| format!(r#"{{"address": "{host}"}}"#)).collect();
        let text = format!(
            r#"{{
              "servers": [{{
                "routers": [{{"router_config_name": "r", "virtual_hosts": [{{
                  "domains": ["*"],
                  "routers": [{{"match": {}, "route": {{"cluster_name": "c"{}}}}}]}}]}}],
                "listeners": [{{"address": "127.0.0.1:0"{}, "filter_chains": [{{"filters": [{{
                  "type": "proxy",
                  "config": {{"downstream_protocol": "{}", "router_config_name": "r"{}}}}}{}
                ]}}]}}]}}],
              "cluster_manager": {{"clusters": [{{"name": "c", "hosts": [{}]{}}}]}},
              "limits": {{{}}}
            }}"#,
            self.matching,
            self.route,
            self.listener,
            self.protocol,
            self.filter,
            self.filters,
            hosts.join(","),
            self.cluster,
            self.limits
        );
        Config::parse_with(Path::new("test.json"), &text, filters)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn start(&self) -> Server {
        self.start_with(&Filters::new())
    }

    pub fn start_with(&self, filters: &Filters) -> Server {
        Server::start_with(&self.config_with(filters), filters).unwrap()
    }
}

/// A proxy in front of one host that the test plays.
pub struct Bed {
    pub server: Server,
    pub host: Host,
}

impl Bed {
    pub fn new(setup: Setup<'_>) -> Bed {
        Bed::with(setup, &Filters::new())
    }

    pub fn with(setup: Setup<'_>, filters: &Filters) -> Bed {
        let host = Host::new();
        let server = Setup { hosts: &[host.address()], ..setup }.start_with(filters);
        Bed { server, host }
    }

    pub async fn client(&self) -> Peer {
        Peer::connect(self.server.addresses()[0]).await
    }
}

/// An upstream host.
pub struct Host {
    listener: TcpListener,
}

impl Host {
    pub fn new() -> Host {
        Host::at("127.0.0.1:0".parse().unwrap())
    }

    /// A host at an address that was dead.
    pub fn at(address: SocketAddr) -> Host {
        Host::of(TcpListener::bind(address).unwrap())
    }

    pub fn of(listener: TcpListener) -> Host {
        Host { listener }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub async fn accept(&self) -> Peer {
        Peer::new(self.listener.accept().await.unwrap().0)
    }

    /// The upstream connection, after it has proved itself with one answer.
    pub async fn accept_after(&self, client: &mut Peer) -> Peer {
        client.send(&request(0, b"")).await;
        let mut host = self.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        client.frame().await;
        host
    }
}

/// A host that answers no dial: its backlog is full of connections that nobody accepts.
pub struct Mute {
    pub address: SocketAddr,
    _listener: TcpListener,
    _waiting: [TcpStream; 2],
}

impl Mute {
    pub async fn new() -> Mute {
        Mute::at("127.0.0.1:0".parse().unwrap()).await
    }

    /// At an address that was dead.
    pub async fn at(address: SocketAddr) -> Mute {
        let listener = TcpListener::builder().backlog(1).bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        // Linux lets one more wait than the backlog says, and drops what comes then.
        let connect = async || TcpStream::connect(address).await.unwrap();
        let waiting = [connect().await, connect().await];
        Mute { address, _listener: listener, _waiting: waiting }
    }
}

/// An address where nobody listens, and nobody will: each one is on an address of its own, so that
/// no other test is given its port.
pub fn dead_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let ip = Ipv4Addr::new(127, 0, 0, NEXT.fetch_add(1, Ordering::Relaxed));
    let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// One end of a raw connection.
pub struct Peer {
    pub stream: TcpStream,
    pub protocol: Protocol,
    held: Vec<u8>,
}

/// A frame with its bytes.
pub struct Got {
    pub frame: Frame,
    pub bytes: Vec<u8>,
}

impl Got {
    pub fn id(&self) -> u32 {
        self.frame.origin.id as u32
    }

    pub fn content(&self) -> &[u8] {
        &self.bytes[self.frame.content.range()]
    }

    /// The frame as it would be under another id.
    pub fn under(&self, id: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        Bolt.set_id(&mut bytes, id.into());
        bytes
    }
}

impl Peer {
    pub fn new(stream: TcpStream) -> Peer {
        Peer { stream, protocol: Protocol::Bolt, held: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Peer {
        Peer::new(TcpStream::connect(address).await.unwrap())
    }

    /// The same peer, which is sent frames of this protocol.
    pub fn speaking(self, protocol: Protocol) -> Peer {
        Peer { protocol, ..self }
    }

    pub async fn send(&self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` when the peer has closed the connection.
    pub async fn next(&mut self) -> Option<Got> {
        loop {
            let decoded = self.protocol.decode(&self.held, &FrameLimits::NONE).unwrap();
            if let Decoded::Frame(frame) = decoded {
                let rest = self.held.split_off(frame.total_bytes);
                let bytes = std::mem::replace(&mut self.held, rest);
                return Some(Got { frame, bytes });
            }
            // Not an array: a test's future would hold it once for every frame it waits for.
            let mut buffer = vec![0; 65536];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.held.extend_from_slice(&buffer[..n]),
            }
        }
    }

    pub async fn frame(&mut self) -> Got {
        self.next().await.expect("a frame, but the connection was closed")
    }

    /// The next frame, which is an answer under this id and with this status.
    #[track_caller]
    pub fn expect(&mut self, id: u32, status: u16) -> impl Future<Output = Got> {
        let at = Location::caller();
        async move {
            let back = self.frame().await;
            assert_eq!((back.id(), back.frame.status), (id, status), "at {at}");
            back
        }
    }

    /// Waits for the peer to close, without a further frame.
    pub async fn closed(&mut self) {
        assert!(self.next().await.is_none(), "a frame, where the end was expected");
    }

    /// Answers a request with its own content.
    pub async fn answer(&self, request: &Got) {
        self.send(&response(request.id(), request.content())).await;
    }

    /// Plays an echo server until the connection ends.
    pub async fn echo(&mut self) {
        while let Some(request) = self.next().await {
            self.answer(&request).await;
        }
    }
}

/// Sends `count` requests of `bytes` each without reading, from a task of its own.
pub fn flood(client: &Rc<Peer>, count: u32, bytes: usize) -> reactor::JoinHandle<()> {
    let client = Rc::clone(client);
    reactor::spawn(async move {
        for id in 0..count {
            client.send(&request(id, &vec![id as u8; bytes])).await;
        }
    })
}

/// Reads all answers of a flood while it goes on.
pub async fn take_back(
    client: Rc<Peer>,
    flooding: reactor::JoinHandle<()>,
    count: u32,
    answer: impl Fn(u32) -> Vec<u8>,
) -> Peer {
    // A second reader on the same socket: the first only writes.
    let mut reader = Reader { peer: &client, held: Vec::new() };
    for id in 0..count {
        reader.expect(id, &answer(id)).await;
    }
    flooding.await.unwrap();
    Rc::try_unwrap(client).ok().expect("the flood is over")
}

struct Reader<'a> {
    peer: &'a Peer,
    held: Vec<u8>,
}

impl Reader<'_> {
    async fn expect(&mut self, id: u32, expected: &[u8]) {
        while self.held.len() < expected.len() {
            let mut buffer = vec![0; 65536];
            let n = self.peer.stream.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0, "closed before answer {id}");
            self.held.extend_from_slice(&buffer[..n]);
        }
        assert!(self.held[..expected.len()] == *expected, "answer {id} is not what was asked");
        self.held.drain(..expected.len());
    }
}

pub fn request(id: u32, content: &[u8]) -> Vec<u8> {
    request_with(id, 0, b"", content)
}

pub fn request_with(id: u32, timeout_ms: i32, header: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let class = b"com.example.Request";
    let oneway = false;
    bolt::Request { id, oneway, timeout_ms, class, header, content }.encode(&mut out).unwrap();
    out
}

pub fn oneway(id: u32, content: &[u8]) -> Vec<u8> {
    let mut out = request(id, content);
    out[1] = 2;
    out
}

pub fn response(id: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (class, header) = (b"com.example.Response", b"");
    bolt::Response { id, status: 0, class, header, content }.encode(&mut out).unwrap();
    out
}

pub fn heartbeat(id: u32) -> Vec<u8> {
    let mut out = Vec::new();
    bolt::push_heartbeat(bolt::Version::V1, id, &mut out);
    out
}

/// Bolt's acknowledgement of this heartbeat of version 1.
pub fn heartbeat_ack(heartbeat: &Got) -> Vec<u8> {
    let mut out = Vec::new();
    Bolt.heartbeat_ack(heartbeat.frame.origin, &mut out);
    out
}

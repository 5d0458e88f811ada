//! Against the yamux of rust-libp2p, over a connection in memory and in virtual time. Each test plays
//! twice: with us as the client, and as the server.
//!
//! What it has no call for is in the table of `tests/interop/README.md`.

mod ending;
mod limits;
mod payload;
#[path = "../support/mod.rs"]
mod support;
mod theirs;
mod transfer;
mod windows;

use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Config, Driver, Error, Session, Stream};
use reactor::{JoinHandle, time};
use support::{End, Tap, pipe};
use theirs::Theirs;

/// In virtual time, which passes while nothing else happens: a test that hangs fails at once.
const TIME_MAX: Duration = Duration::from_secs(600);

/// What the protocol gives every stream.
const WINDOW_BYTES: usize = 256 * 1024;

struct Setup {
    ours: Config,
    theirs: yamux::Config,
    /// What fits into each direction of the connection.
    pipe_bytes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let (ours, theirs) = (Config::default(), yamux::Config::default());
        Self { ours, theirs, pipe_bytes: 256 * 1024 }
    }
}

/// A session of ours with one of theirs.
struct Pair {
    session: Session,
    driver: JoinHandle<Result<(), Error>>,
    /// What we send.
    sent: Tap,
    theirs: Theirs,
}

impl Pair {
    /// We close, all streams have ended before, and neither side finds fault with it.
    async fn part(self) {
        settled().await; // their last frames are on their way
        let streams = (self.session.inbound_streams(), self.session.outbound_streams());
        assert_eq!(streams, (0, 0), "streams are left");
        self.session.close().await.unwrap();
        self.driver.await.unwrap().unwrap();
        self.theirs.ended().await.unwrap();
    }
}

/// Plays `test` with us as the client and as the server.
fn in_both_roles(setup: impl Fn() -> Setup, test: impl AsyncFn(Pair)) {
    type Make = fn(End, Config) -> (Session, Driver<End>);
    let roles: [(&str, Make, yamux::Mode); 2] = [
        ("client", Session::client, yamux::Mode::Server),
        ("server", Session::server, yamux::Mode::Client),
    ];
    for (role, ours, theirs) in roles {
        let _role = NamedIfItFails(role);
        let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
        runtime.block_on(async {
            let setup = setup();
            let (near, far) = pipe(setup.pipe_bytes);
            let sent = near.outgoing();
            let (session, driver) = ours(near, setup.ours);
            let driver = reactor::spawn(driver);
            let theirs = Theirs::new(far, setup.theirs, theirs);
            let played = time::timeout(TIME_MAX, test(Pair { session, driver, sent, theirs }));
            played.await.expect("the test hangs");
        });
    }
}

struct NamedIfItFails(&'static str);

impl Drop for NamedIfItFails {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("we were the {}", self.0);
        }
    }
}

/// A stream that we have opened, at both its ends.
async fn opened_by_us(pair: &Pair) -> (Stream, yamux::Stream) {
    let ours = pair.session.open().await.unwrap();
    (ours, pair.theirs.accept().await.unwrap())
}

/// A stream that they have opened, at both its ends. They say so with the first thing that they send.
async fn opened_by_them(pair: &Pair) -> (Stream, yamux::Stream) {
    let mut theirs = pair.theirs.open().await.unwrap();
    theirs.write_all(b"!").await.unwrap();
    let mut ours = pair.session.accept().await.unwrap();
    ours.read_exact(&mut [0]).await.unwrap();
    (ours, theirs)
}

/// Looks again whenever nothing else happens.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        time::sleep(Duration::from_millis(1)).await;
    }
}

/// Until nothing more happens by itself.
async fn settled() {
    time::sleep(Duration::from_secs(1)).await;
}

//! Two sessions, their drivers and a pipe between them.

mod churn;
mod deadlines;
mod ending;
mod flow;
mod halves;
mod inside;
mod link;
mod opening;
mod path;
mod raw;
#[path = "../support/mod.rs"]
mod support;
mod time;

use std::io;
use std::time::Duration;

use futures_util::AsyncReadExt;
use mux::{Config, Error, Initiator, Session, Stream};
use support::{Tap, pipe};

/// Runs a test with virtual time: a wait that nothing ends goes on to the next time-out, and a test
/// that is stuck is over after two hours that take no time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    let bounded = async { reactor::time::timeout(Duration::from_secs(7200), test).await };
    runtime.block_on(bounded).expect("stuck")
}

fn sessions() -> (Session, Session) {
    sessions_over(64 * 1024, Config::default())
}

fn sessions_over(pipe_bytes: usize, config: Config) -> (Session, Session) {
    let (client, server, _) = tapped(pipe_bytes, config);
    (client, server)
}

/// Beside the sessions a hold on what the server says.
fn tapped(pipe_bytes: usize, config: Config) -> (Session, Session, Tap) {
    let (near, far) = pipe(pipe_bytes);
    let tap = far.outgoing();
    let (client, driver) = Session::client(near, config.clone());
    drop(reactor::spawn(driver));
    let (server, driver) = Session::server(far, config);
    drop(reactor::spawn(driver));
    (client, server, tap)
}

async fn streams() -> (Session, Stream, Session, Stream) {
    let (client, server) = sessions();
    let near = client.open().await.unwrap();
    let far = server.accept().await.unwrap();
    (client, near, server, far)
}

async fn read_to_end(mut stream: &Stream) -> (Vec<u8>, io::Result<()>) {
    let (mut bytes, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buf).await {
            Ok(0) => return (bytes, Ok(())),
            Ok(n) => bytes.extend_from_slice(&buf[..n]),
            Err(err) => return (bytes, Err(err)),
        }
    }
}

/// Sends back what comes, until the peer's FIN.
async fn echo(stream: Stream) {
    while let Some(chunk) = stream.read_bytes().await.unwrap() {
        stream.write_bytes(chunk).await.unwrap();
    }
    stream.shutdown().unwrap();
}

async fn serve_echo(session: Session) {
    while let Ok(stream) = session.accept().await {
        drop(reactor::spawn(echo(stream)));
    }
}

#[track_caller]
fn assert_reset(outcome: io::Result<()>, by: Initiator) {
    let err = outcome.unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(Error::of(&err), Some(Error::Reset { by: b, .. }) if *b == by), "{err}");
}

//! Hosts: streams to peers by name, over connections in memory and in virtual time.

mod accepting;
mod back_off;
mod choosing;
mod closing;
mod dialing;
mod inside;
mod limits;
#[path = "../wire/rng.rs"]
#[allow(dead_code, unreachable_pub, reason = "these tests need a part of it")]
mod rng;
mod script;
mod sim;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use mux::host::{Host, HostConfig, HostError, HostErrorKind};
use mux::{Config, Session, Stream};
use reactor::JoinHandle;
use script::{Answer, Script};

type Name = &'static str;
type Outcome = Result<Stream, HostError<Name>>;

const SECOND: Duration = Duration::from_secs(1);

/// Runs a test with virtual time: a wait that nothing ends goes on to the next time-out, and a test
/// that is stuck is over after two hours that take no time.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    let bounded = async { reactor::time::timeout(Duration::from_secs(7200), test).await };
    runtime.block_on(bounded).expect("stuck")
}

fn host() -> (Host<Name>, Script) {
    host_with(HostConfig::default())
}

fn host_with(config: HostConfig<Name>) -> (Host<Name>, Script) {
    let script = Script::default();
    (Host::new(script.clone(), config), script)
}

/// A task that asks for a stream.
fn ask(host: &Host<Name>, peer: Name) -> JoinHandle<Outcome> {
    let host = host.clone();
    reactor::spawn(async move { host.new_stream(&peer).await })
}

/// Long enough for everything that does not wait for time.
async fn settle() {
    reactor::time::sleep(Duration::from_millis(1)).await;
}

/// Another end of a connection for a host to take in, as the client that dials it.
fn dial_in(host: &Host<Name>, peer: Name) -> (Session, Session) {
    let (near, far) = support::pipe(64 * 1024);
    let (client, driver) = Session::client(far, Config::default());
    reactor::spawn(driver).detach();
    (client, host.add(peer, near).unwrap())
}

#[track_caller]
fn kind<T>(outcome: Result<T, HostError<Name>>, peer: Name) -> HostErrorKind {
    let Err(err) = outcome else { panic!("it succeeded") };
    assert_eq!(err.peer, peer);
    err.kind
}

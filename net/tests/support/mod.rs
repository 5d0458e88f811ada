//! What the tests of all networks share.

#![allow(dead_code)] // no network needs everything

pub(crate) mod leaks;
pub(crate) mod pipes;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reactor::time::timeout;

use leaks::leaving_nothing_open;

/// How long a test may take before it counts as hung. Under virtual time, longer than any deadline
/// in these tests.
const HUNG_AFTER: Duration = Duration::from_secs(60);
const HUNG_AFTER_VIRTUAL: Duration = Duration::from_secs(1_000_000);

/// Runs a test on a runtime, and fails it when it hangs, or when a descriptor is left behind once the
/// runtime is gone.
#[track_caller]
pub(crate) fn run(test: impl Future<Output = io::Result<()>>) {
    leaving_nothing_open(|| {
        let outcome = reactor::block_on(timeout(HUNG_AFTER, test)).unwrap();
        outcome.expect("the test hangs").unwrap();
    });
}

/// Runs a test under virtual time: deadlines come at once when nothing else is to be done.
#[track_caller]
pub(crate) fn run_virtual(test: impl Future<Output = io::Result<()>>) {
    leaving_nothing_open(|| {
        let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
        let outcome = runtime.block_on(timeout(HUNG_AFTER_VIRTUAL, test));
        outcome.expect("the test hangs").unwrap();
    });
}

/// Runs a test over IPv4, and over IPv6.
#[track_caller]
pub(crate) fn run_on_both(test: impl AsyncFn(SocketAddr) -> io::Result<()>) {
    [v4(), v6()].into_iter().for_each(|addr| run(test(addr)));
}

/// The same under virtual time.
#[track_caller]
pub(crate) fn run_virtual_on_both(test: impl AsyncFn(SocketAddr) -> io::Result<()>) {
    [v4(), v6()].into_iter().for_each(|addr| run_virtual(test(addr)));
}

/// A free port of the IPv4 loopback.
pub(crate) fn v4() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A free port of the IPv6 loopback.
pub(crate) fn v6() -> SocketAddr {
    "[::1]:0".parse().unwrap()
}

/// Lets every task that is ready run until it waits.
pub(crate) async fn settle() {
    for _ in 0..4 {
        reactor::yield_now().await;
    }
}

/// Bytes that differ from their neighbours, so that lost or swapped ones show.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

pub(crate) fn is_timeout(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::TimedOut
}

//! Many streams, and large transfers.

use futures_util::future::{join, join_all};
use mux::{Config, Session};

use crate::payload::{answer, ask, exchange};
use crate::support::pipe;
use crate::{Pair, Setup, in_both_roles};

const STREAMS: u32 = 100;
const LARGE_BYTES: usize = 32 << 20;

#[test]
fn a_hundred_streams_that_we_open_are_answered() {
    in_both_roles(Setup::default, async |pair: Pair| {
        let asks = (0..STREAMS).map(async |seed| {
            ask(pair.session.open().await.unwrap(), seed).await;
        });
        let answers = (0..STREAMS).map(async |_| answer(pair.theirs.accept().await.unwrap()).await);
        join(join_all(asks), join_all(answers)).await;
        pair.part().await;
    });
}

#[test]
fn a_hundred_streams_that_they_open_are_answered() {
    in_both_roles(Setup::default, async |pair: Pair| {
        let asks = (0..STREAMS).map(async |seed| {
            ask(pair.theirs.open().await.unwrap(), seed).await;
        });
        let answers =
            (0..STREAMS).map(async |_| answer(pair.session.accept().await.unwrap()).await);
        join(join_all(asks), join_all(answers)).await;
        pair.part().await;
    });
}

#[test]
fn a_large_transfer_goes_both_ways_at_once_on_a_stream_that_we_open() {
    in_both_roles(Setup::default, async |pair: Pair| {
        let ours = async { exchange(pair.session.open().await.unwrap(), LARGE_BYTES).await };
        let theirs = async { exchange(pair.theirs.accept().await.unwrap(), LARGE_BYTES).await };
        join(ours, theirs).await;
        pair.part().await;
    });
}

#[test]
fn a_large_transfer_goes_both_ways_at_once_on_a_stream_that_they_open() {
    in_both_roles(Setup::default, async |pair: Pair| {
        let theirs = async { exchange(pair.theirs.open().await.unwrap(), LARGE_BYTES).await };
        let ours = async { exchange(pair.session.accept().await.unwrap(), LARGE_BYTES).await };
        join(ours, theirs).await;
        pair.part().await;
    });
}

/// What the tests do is not the fault of the other implementation.
#[test]
fn ours_talks_to_ours() {
    let (near, far) = pipe(256 * 1024);
    let asking = async {
        let (session, driver) = Session::client(near, Config::default());
        let driver = reactor::spawn(driver);
        let asks = (0..STREAMS).map(async |seed| ask(session.open().await.unwrap(), seed).await);
        join_all(asks).await;
        session.close().await.unwrap();
        driver.await.unwrap().unwrap();
    };
    let answering = async {
        let (session, driver) = Session::server(far, Config::default());
        let driver = reactor::spawn(driver);
        let answers = (0..STREAMS).map(async |_| answer(session.accept().await.unwrap()).await);
        join_all(answers).await;
        driver.await.unwrap().unwrap();
    };
    reactor::block_on(join(asking, answering)).unwrap();
}

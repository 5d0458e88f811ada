//! Opening and accepting: limits, and futures that are dropped.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncWriteExt, poll};
use mux::{Config, Initiator, Session};
use reactor::time;

use crate::{assert_reset, read_to_end, run, sessions, sessions_over};

#[test]
fn a_full_backlog_resets_and_the_session_goes_on() {
    run(async {
        let config = Config { accept_backlog_max: 2, ..Config::default() };
        let (client, server) = sessions_over(64 * 1024, config);
        let opened = [0; 3].map(|_| client.clone());
        let opened = join_all(opened.iter().map(Session::open)).await;
        let opened: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
        client.ping().await.unwrap();
        assert_reset(read_to_end(&opened[2]).await.1, Initiator::Remote);
        let first = server.accept().await.unwrap();
        assert_eq!(first.id(), 1);
        assert_eq!(server.accept().await.unwrap().id(), 3);
        (&first).write_all(b"alive").await.unwrap();
        first.shutdown().unwrap();
        assert_eq!(read_to_end(&opened[0]).await.0, b"alive");
    });
}

#[test]
fn the_257th_open_waits_for_an_accept() {
    run(async {
        let (client, server) = sessions();
        let opened = join_all((0..256).map(|_| client.open())).await;
        assert!(opened.iter().all(Result::is_ok));
        let mut late = pin!(client.open());
        assert!(poll!(late.as_mut()).is_pending());
        time::sleep(Duration::from_secs(1)).await;
        assert!(poll!(late.as_mut()).is_pending());
        let (accepted, late) = join(server.accept(), late).await;
        assert_eq!((accepted.unwrap().id(), late.unwrap().id()), (1, 513));
    });
}

#[test]
fn an_accept_that_was_told_and_is_dropped_tells_the_next() {
    run(async {
        let (client, server) = sessions();
        let mut first = Box::pin(server.accept());
        assert!(poll!(first.as_mut()).is_pending());
        let second = reactor::spawn({
            let server = server.clone();
            async move { server.accept().await.map(|stream| stream.id()) }
        });
        reactor::yield_now().await;
        let stream = client.open().await.unwrap();
        client.ping().await.unwrap();
        assert!(!second.is_finished(), "the first was told");
        drop(first);
        assert_eq!(second.await.unwrap().unwrap(), stream.id());
    });
}

#[test]
fn an_open_that_was_told_and_is_dropped_tells_the_next() {
    run(async {
        let config = Config { unacked_opens_max: 1, ..Config::default() };
        let (client, server) = sessions_over(64 * 1024, config);
        let _stream = client.open().await.unwrap();
        let mut first = Box::pin(client.open());
        assert!(poll!(first.as_mut()).is_pending());
        let second = reactor::spawn({
            let client = client.clone();
            async move { client.open().await.map(|stream| stream.id()) }
        });
        reactor::yield_now().await;
        let _accepted = server.accept().await.unwrap();
        client.ping().await.unwrap();
        assert!(!second.is_finished(), "the first was told");
        drop(first);
        assert_eq!(second.await.unwrap().unwrap(), 3);
    });
}

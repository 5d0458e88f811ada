//! Halves of a stream, and writers that learn that their reader is gone.

use std::pin::pin;
use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt, poll};
use mux::{Error, Initiator, ResetCode, Session};
use reactor::time;

use crate::{assert_reset, echo, read_to_end, run, streams};

#[test]
fn two_tasks_have_a_half_each() {
    run(async {
        let (client, near, _server, far) = streams().await;
        drop(reactor::spawn(echo(far)));
        let (mut reader, mut writer) = near.into_split();
        let reading = reactor::spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.map(|_| all)
        });
        let writing = reactor::spawn(async move {
            for _ in 0..100 {
                writer.write_all(&[7; 10_000]).await.unwrap();
            }
            writer.close().await.unwrap();
        });
        writing.await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap().len(), 1_000_000);
        client.ping().await.unwrap();
        assert_eq!(client.outbound_streams(), 0);
    });
}

#[test]
fn a_write_half_that_is_dropped_unfinished_does_not_look_complete() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        far.write_bytes("before".into()).await.unwrap();
        let (reader, writer) = near.into_split();
        writer.write_bytes("half of it".into()).await.unwrap();
        drop(writer);
        let (bytes, end) = read_to_end(&far).await;
        assert_eq!(bytes, b"half of it");
        assert_reset(end, Initiator::Remote);
        assert_eq!(reader.read_bytes().await.unwrap().unwrap(), "before");
        assert!(matches!(
            reader.read_bytes().await,
            Err(Error::Reset { by: Initiator::Local, .. })
        ));
    });
}

#[test]
fn a_write_half_that_is_dropped_leaves_what_has_arrived_to_the_read_half() {
    run(async {
        let (client, near, _server, far) = streams().await;
        far.write_bytes("arrived".into()).await.unwrap();
        client.ping().await.unwrap();
        let (reader, writer) = near.into_split();
        drop(writer);
        assert_reset(read_to_end(&far).await.1, Initiator::Remote);
        assert_eq!(reader.read_bytes().await.unwrap().unwrap(), "arrived");
        assert!(reader.read_bytes().await.is_err());
    });
}

#[test]
fn a_write_half_that_is_dropped_after_the_peers_fin_is_clean() {
    run(async {
        let (client, near, _server, far) = streams().await;
        far.shutdown().unwrap();
        let (reader, writer) = near.into_split();
        assert!(reader.read_bytes().await.unwrap().is_none());
        writer.write_bytes("answer".into()).await.unwrap();
        drop(writer);
        let (bytes, end) = read_to_end(&far).await;
        assert_eq!(bytes, b"answer");
        end.unwrap();
        drop((reader, far));
        client.ping().await.unwrap();
        assert_eq!(client.outbound_streams(), 0);
    });
}

#[test]
fn a_read_half_that_is_dropped_alone_says_nothing() {
    run(async {
        let (client, near, _server, far) = streams().await;
        let (reader, writer) = near.into_split();
        drop(reader);
        far.write_bytes("nobody reads this".into()).await.unwrap();
        client.ping().await.unwrap();
        writer.write_bytes("on".into()).await.unwrap();
        writer.shutdown().unwrap();
        let (bytes, end) = read_to_end(&far).await;
        assert_eq!(bytes, b"on");
        end.unwrap();
        drop(writer);
        client.ping().await.unwrap();
        assert_reset(far.write_bytes("x".into()).await.map_err(Into::into), Initiator::Remote);
    });
}

#[test]
fn halves_of_one_stream_can_be_put_together() {
    run(async {
        let (client, near, _server, far) = streams().await;
        let other = client.open().await.unwrap();
        let (reader, writer) = near.into_split();
        let (other_reader, other_writer) = other.into_split();
        let mux::ReuniteError(reader, other_writer) = reader.reunite(other_writer).unwrap_err();
        other_reader.reunite(other_writer).unwrap();
        let near = reader.reunite(writer).unwrap();
        near.write_bytes("whole".into()).await.unwrap();
        near.shutdown().unwrap();
        assert_eq!(read_to_end(&far).await.0, b"whole");
    });
}

#[test]
fn a_writer_learns_that_the_reader_is_gone() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        let (_reader, writer) = near.into_split();
        let mut stopped = pin!(writer.stopped());
        assert!(poll!(stopped.as_mut()).is_pending());
        time::sleep(Duration::from_secs(1)).await;
        assert!(poll!(stopped.as_mut()).is_pending());
        far.reset(77);
        match stopped.await {
            Err(Error::Reset { by: Initiator::Remote, code }) => assert_eq!(code.value(), 77),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn who_watches_learns_of_an_end_in_order_and_of_the_end_of_the_session() {
    run(async {
        let (client, near, server, far) = streams().await;
        let second = client.open().await.unwrap();
        let ending = reactor::spawn(async move {
            far.shutdown().unwrap();
            read_to_end(&far).await.1
        });
        near.shutdown().unwrap();
        near.stopped().await.unwrap();
        ending.await.unwrap().unwrap();

        let watching = reactor::spawn(async move { second.stopped().await });
        reactor::yield_now().await;
        server.close().await.unwrap();
        let outcome = watching.await.unwrap();
        // The server refused what it had not accepted before it closed.
        assert!(
            matches!(outcome, Err(Error::Reset { code: ResetCode::SHUTDOWN, .. })),
            "{outcome:?}"
        );
    });
}

#[test]
fn a_watcher_that_is_dropped_takes_no_waker_but_its_own() {
    run(async {
        let (_client, near, _server, far) = streams().await;
        let early = near.stopped().now_or_never();
        assert!(early.is_none());
        let mut late = pin!(near.stopped());
        {
            let mut early = pin!(near.stopped());
            assert!(poll!(early.as_mut()).is_pending());
            assert!(poll!(late.as_mut()).is_pending());
        }
        far.reset(1);
        assert!(late.await.is_err());
    });
}

#[test]
fn drain_lets_streams_finish_and_refuses_what_is_new() {
    run(async {
        let (client, near, server, far) = streams().await;
        let waiting = client.open().await.unwrap();
        waiting.shutdown().unwrap();
        client.ping().await.unwrap();
        let draining = reactor::spawn({
            let server = server.clone();
            async move { server.drain(Duration::from_secs(60)).await }
        });
        reactor::yield_now().await;
        let refused = client.open().await.unwrap();
        match refused.read_bytes().await {
            Err(Error::Reset { by: Initiator::Remote, code: ResetCode::SHUTDOWN }) => {}
            other => panic!("{other:?}"),
        }
        assert!(matches!(server.open().await, Err(Error::Closed { by: Initiator::Local })));
        let accepted = server.accept().await.unwrap();
        assert!(accepted.read_bytes().await.unwrap().is_none(), "it came in time");
        assert!(matches!(server.accept().await, Err(Error::Closed { by: Initiator::Local })));
        drop(accepted);
        near.write_bytes("last".into()).await.unwrap();
        near.shutdown().unwrap();
        echo(far).await;
        assert_eq!(read_to_end(&near).await.0, b"last");
        drop((near, waiting));
        draining.await.unwrap().unwrap();
        client.closed().await.unwrap();
    });
}

#[test]
fn drain_does_not_wait_for_ever() {
    run(async {
        let (client, near, server, _far) = streams().await;
        let start = time::now();
        let outcome = server.drain(Duration::from_secs(3)).await;
        assert!(matches!(outcome, Err(Error::DrainTimeout { .. })), "{outcome:?}");
        assert_eq!(time::now() - start, Duration::from_secs(3));
        assert!(matches!(near.read_bytes().await, Err(Error::Closed { by: Initiator::Remote })));
        client.closed().await.unwrap();
    });
}

#[test]
fn draining_an_idle_session_closes_it() {
    run(async {
        let (client, server): (Session, Session) = crate::sessions();
        client.drain(Duration::from_secs(1)).await.unwrap();
        server.closed().await.unwrap();
    });
}

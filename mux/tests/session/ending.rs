//! How streams and sessions end, as the handles see it.

use std::io;
use std::time::Duration;

use futures_util::AsyncWriteExt;
use futures_util::future::join;
use mux::{Config, Error, GoAwayCode, Initiator, Session};
use reactor::time;

use crate::support::pipe;
use crate::{assert_reset, echo, read_to_end, run, streams};

#[test]
fn each_direction_ends_by_itself() {
    run(async {
        let (_client, mut near, _server, mut far) = streams().await;
        near.write_all(b"question").await.unwrap();
        near.close().await.unwrap();
        assert_eq!(read_to_end(&far).await.0, b"question");
        far.write_all(b"answer").await.unwrap();
        let err = near.write_all(b"more").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::BrokenPipe);
        far.close().await.unwrap();
        let (bytes, end) = read_to_end(&near).await;
        assert_eq!(bytes, b"answer");
        end.unwrap();
    });
}

#[test]
fn a_reset_reaches_reader_and_writer_of_the_peer_while_they_wait() {
    run(async {
        let (_client, near, _server, mut far) = streams().await;
        let far_reader = async {
            let chunk = vec![0; 1 << 20];
            let writing = async { (&far).write_all(&chunk).await };
            join(read_to_end(&far), writing).await
        };
        let resetter = async {
            time::sleep(Duration::from_secs(1)).await;
            near.reset(7);
        };
        let (((bytes, read), written), ()) = join(far_reader, resetter).await;
        assert!(bytes.is_empty());
        assert_reset(read, Initiator::Remote);
        assert_reset(written, Initiator::Remote);
        assert_reset(read_to_end(&near).await.1, Initiator::Local);
        assert_reset(far.close().await, Initiator::Remote);
    });
}

#[test]
fn dropping_a_stream_delivers_what_was_written_and_then_a_reset() {
    run(async {
        let (_client, mut near, _server, far) = streams().await;
        near.write_all(&[5; 100_000]).await.unwrap();
        drop(near);
        let (bytes, end) = read_to_end(&far).await;
        assert_eq!(bytes, [5; 100_000]);
        assert_reset(end, Initiator::Remote);
    });
}

#[test]
fn dropping_a_stream_that_both_sides_have_finished_is_clean() {
    run(async {
        let (client, near, server, far) = streams().await;
        near.shutdown().unwrap();
        read_to_end(&far).await.1.unwrap();
        (&far).write_all(b"bye").await.unwrap();
        drop(far);
        let (bytes, end) = read_to_end(&near).await;
        assert_eq!(bytes, b"bye");
        end.unwrap();
        drop(near);
        assert_eq!((client.outbound_streams(), server.inbound_streams()), (0, 0));
    });
}

#[test]
fn buffered_data_is_readable_after_the_session_died() {
    run(async {
        let (near_io, far_io) = pipe(64 * 1024);
        let (client, driver) = Session::client(near_io, Config::default());
        drop(reactor::spawn(driver));
        let (server, driver) = Session::server(far_io, Config::default());
        let server_driver = reactor::spawn(driver);
        let mut near = client.open().await.unwrap();
        let far = server.accept().await.unwrap();
        near.write_all(b"buffered").await.unwrap();
        client.ping().await.unwrap();
        near.reset(7);
        client.ping().await.unwrap();
        server_driver.abort();
        drop(server_driver.await);
        let (bytes, end) = read_to_end(&far).await;
        assert_eq!(bytes, b"buffered");
        assert_reset(end, Initiator::Remote);
        assert!(matches!(server.closed().await, Err(Error::DriverGone)));
        assert!(matches!(server.open().await, Err(Error::DriverGone)));
        client.closed().await.unwrap();
    });
}

#[test]
fn what_has_arrived_is_readable_after_this_side_has_closed_the_session() {
    run(async {
        let (client, near, server, far) = streams().await;
        far.write_bytes("arrived".into()).await.unwrap();
        client.ping().await.unwrap();
        client.close().await.unwrap();
        server.closed().await.unwrap();
        assert_eq!(near.read_bytes().await.unwrap().unwrap(), "arrived");
        let end = near.read_bytes().await.unwrap_err();
        assert!(matches!(end, Error::Closed { by: Initiator::Local }), "{end:?}");
    });
}

#[test]
fn go_away_makes_the_peers_open_fail_and_lets_streams_finish() {
    run(async {
        let (client, near, server, far) = streams().await;
        server.go_away();
        client.ping().await.unwrap();
        let err = client.open().await.unwrap_err();
        let code = GoAwayCode::Normal;
        assert!(matches!(err, Error::GoAway { by: Initiator::Remote, code: c } if c == code));
        let echo = reactor::spawn(echo(far));
        (&near).write_all(b"still").await.unwrap();
        near.shutdown().unwrap();
        assert_eq!(read_to_end(&near).await.0, b"still");
        echo.await.unwrap();
    });
}

#[test]
fn closing_delivers_what_was_written_and_ends_both_sides() {
    run(async {
        let (client, mut near, server, far) = streams().await;
        near.write_all(&[1; 50_000]).await.unwrap();
        near.shutdown().unwrap();
        let before = time::now();
        client.close().await.unwrap();
        assert_eq!(time::now(), before, "nobody waited for a time-out");
        server.closed().await.unwrap();
        let (bytes, end) = read_to_end(&far).await;
        assert_eq!(bytes.len(), 50_000);
        end.unwrap();
        assert!(matches!(client.open().await, Err(Error::Closed { by: Initiator::Local })));
        assert!(matches!(server.open().await, Err(Error::Closed { by: Initiator::Remote })));
        assert!(matches!(server.accept().await, Err(Error::Closed { by: Initiator::Remote })));
        let err = (&far).write_all(b"late").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionAborted);
        server.close().await.unwrap();
    });
}

#[test]
fn who_waits_learns_that_the_session_is_closed() {
    run(async {
        let (client, near, server, _far) = streams().await;
        let waiting = reactor::spawn(async move {
            let (accept, (_, end)) = join(client.accept(), read_to_end(&near)).await;
            (accept.unwrap_err(), end.unwrap_err())
        });
        reactor::yield_now().await;
        server.close().await.unwrap();
        let (accept, read) = waiting.await.unwrap();
        assert!(matches!(accept, Error::Closed { by: Initiator::Remote }));
        assert!(matches!(Error::of(&read), Some(Error::Closed { by: Initiator::Remote })));
    });
}

#[test]
fn the_session_closes_when_the_last_handle_is_dropped() {
    run(async {
        let (client, near, server, far) = streams().await;
        drop(client);
        (&near).write_all(b"on").await.unwrap();
        near.shutdown().unwrap();
        drop(near);
        assert_eq!(read_to_end(&far).await.0, b"on");
        drop(far);
        server.closed().await.unwrap();
    });
}

//! A peer that is no session: it says what the test says, byte by byte.

use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt, poll};
use mux::{Config, Driver, Error, Flags, HEADER_BYTES, Header, Kind, Rule, Session};
use reactor::time;

use crate::support::{End, pipe};
use crate::{read_to_end, run};

/// A client that is not driven, and the other end of its connection.
fn client(config: Config) -> (Session, Driver<End>, End) {
    let (near, far) = pipe(64 * 1024);
    let (session, driver) = Session::client(near, config);
    (session, driver, far)
}

async fn read_header(far: &mut End) -> Header {
    let mut bytes = [0; HEADER_BYTES];
    far.read_exact(&mut bytes).await.unwrap();
    Header::decode(&bytes).unwrap()
}

async fn write_frame(far: &mut End, stream_id: u32, flags: Flags, payload: &[u8]) {
    let (kind, length) = (Kind::Data, payload.len() as u32);
    let header = Header { kind, flags, stream_id, length };
    far.write_all(&[&header.encode()[..], payload].concat()).await.unwrap();
}

/// A server that is driven, and the other end of its connection.
fn server() -> (Session, End) {
    let (near, far) = pipe(64 * 1024);
    let (session, driver) = Session::server(near, Config::default());
    drop(reactor::spawn(driver));
    (session, far)
}

#[test]
fn a_fin_on_a_frame_with_payload_ends_the_stream_behind_it() {
    run(async {
        let (server, mut far) = server();
        write_frame(&mut far, 1, Flags::SYN, b"the first ").await;
        write_frame(&mut far, 1, Flags::FIN, b"and the last").await;
        let (bytes, end) = read_to_end(&server.accept().await.unwrap()).await;
        end.unwrap();
        assert_eq!(bytes, b"the first and the last");
    });
}

/// hashicorp/yamux closes its sessions without a GoAway, so what tells an orderly end from the end of a process is
/// whether something was still to come.
#[test]
fn a_connection_that_ends_without_a_word_is_an_error_only_within_a_stream() {
    const GO_AWAY: Header =
        Header { kind: Kind::GoAway, flags: Flags::NONE, stream_id: 0, length: 0 };
    /// The outcome of the session of a peer that says so and is gone, of a stream that is held or not.
    async fn outcome(flags: Flags, last: &[u8], held: bool) -> Result<(), Error> {
        let (server, mut far) = server();
        write_frame(&mut far, 1, Flags::SYN | flags, b"half of a mess").await;
        let stream = server.accept().await.unwrap();
        let stream = held.then_some(stream);
        far.write_all(last).await.unwrap();
        reactor::yield_now().await;
        drop(far);
        let outcome = server.closed().await;
        if let Some(stream) = stream {
            let (bytes, end) = read_to_end(&stream).await;
            assert_eq!(bytes, b"half of a mess");
            assert_eq!(end.is_ok(), flags == Flags::FIN);
        }
        outcome
    }
    run(async {
        let Err(Error::Io(err)) = outcome(Flags::NONE, b"", true).await else { panic!() };
        assert_eq!(err.kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(err.to_string().contains("without a GoAway"), "{err}");
        outcome(Flags::FIN, b"", true).await.unwrap();
        outcome(Flags::NONE, &GO_AWAY.encode(), true).await.unwrap();
        outcome(Flags::NONE, b"", false).await.unwrap();
    });
}

#[test]
fn closing_a_session_whose_peer_hangs_up_at_the_same_moment_is_no_error() {
    run(async {
        let (client, driver, far) = client(Config::default());
        reactor::spawn(driver).detach();
        let _stream = client.open().await.unwrap();
        time::sleep(Duration::from_millis(1)).await;
        drop(far);
        client.close().await.unwrap();
    });
}

#[test]
fn streams_may_be_opened_in_any_order_of_their_ids() {
    run(async {
        let (server, mut far) = server();
        let ids = [9, 3, 7, 1, 5, 1001, 11];
        for id in ids {
            write_frame(&mut far, id, Flags::SYN | Flags::FIN, &[id as u8]).await;
        }
        for id in ids {
            let stream = server.accept().await.unwrap();
            assert_eq!((stream.id(), read_to_end(&stream).await.0), (id, vec![id as u8]));
        }
    });
}

async fn write_header(far: &mut End, kind: Kind, flags: Flags, length: u32) {
    let header = Header { kind, flags, stream_id: 0, length };
    far.write_all(&header.encode()).await.unwrap();
}

#[test]
fn a_peer_that_breaks_a_rule_and_stays_is_left_in_time() {
    run(async {
        let config = Config::default();
        let (session, driver, mut far) = client(config.clone());
        let driver = reactor::spawn(driver);
        let start = time::now();
        write_header(&mut far, Kind::Data, Flags::NONE, 1).await;
        let goodbye = read_header(&mut far).await;
        assert_eq!((goodbye.kind, goodbye.length), (Kind::GoAway, 1));
        let outcome = driver.await.unwrap();
        assert!(matches!(outcome, Err(Error::Protocol(v)) if v.rule() == Rule::StreamZero));
        assert_eq!(time::now() - start, config.close_timeout);
        assert!(session.is_closed());
    });
}

#[test]
fn a_session_without_handles_is_over_in_time_though_the_peer_stays() {
    run(async {
        let config = Config::default();
        let (session, driver, _far) = client(config.clone());
        let driver = reactor::spawn(driver);
        reactor::yield_now().await;
        let start = time::now();
        drop(session);
        driver.await.unwrap().unwrap();
        assert_eq!(time::now() - start, config.close_timeout);
    });
}

#[test]
fn a_ping_that_was_lost_does_not_hold_up_the_next() {
    run(async {
        let config = Config { keepalive: None, ..Config::default() };
        let (session, driver, mut far) = client(config);
        drop(reactor::spawn(driver));
        assert!(matches!(session.ping().await, Err(Error::PingTimeout { .. })));
        assert_eq!(read_header(&mut far).await.length, 1);
        let next = reactor::spawn(async move { session.ping().await });
        let asked = time::timeout(Duration::from_secs(1), read_header(&mut far)).await;
        assert_eq!(asked.expect("a ping of its own").length, 2);
        write_header(&mut far, Kind::Ping, Flags::ACK, 2).await;
        next.await.unwrap().unwrap();
    });
}

#[test]
fn a_sign_of_life_counts_however_late_the_driver_sees_it() {
    run(async {
        let config = Config::default();
        let (session, mut driver, mut far) = client(config.clone());
        time::sleep(config.keepalive.unwrap()).await;
        // Once to ask, and once to write it.
        assert!(poll!(&mut driver).is_pending());
        assert!(poll!(&mut driver).is_pending());
        let ping = read_header(&mut far).await;
        write_header(&mut far, Kind::Ping, Flags::ACK, ping.length).await;
        // Something keeps the driver from running, for longer than the peer has to answer.
        time::sleep(2 * config.keepalive_timeout).await;
        assert!(poll!(&mut driver).is_pending(), "the answer came in time");
        assert!(!session.is_closed());
    });
}

#[test]
fn a_connection_that_takes_bytes_again_is_not_stalled_however_late_the_driver_sees_it() {
    run(async {
        let config = Config { keepalive: None, ..Config::default() };
        let (near, mut far) = pipe(HEADER_BYTES - 1);
        let (session, mut driver) = Session::client(near, config.clone());
        let _stream = session.open().await.unwrap();
        assert!(poll!(&mut driver).is_pending());
        far.read_exact(&mut [0; HEADER_BYTES - 1]).await.unwrap();
        time::sleep(2 * config.write_stall_timeout).await;
        assert!(poll!(&mut driver).is_pending(), "there was room in time");
        far.read_exact(&mut [0; 1]).await.unwrap();
        assert!(!session.is_closed());
    });
}

#[test]
fn a_driver_that_has_read_as_much_as_it_may_goes_on_by_itself() {
    run(async {
        let (near, mut far) = pipe(1 << 20);
        let (server, driver) = Session::server(near, Config::default());
        drop(reactor::spawn(driver));
        // Frames that are copied: nothing that was lent brings the driver back.
        for n in 0..300 {
            let (id, flags) =
                (1 + 2 * (n / 100), if n % 100 == 0 { Flags::SYN } else { Flags::NONE });
            write_frame(&mut far, id, flags, &[0; 1024]).await;
        }
        assert_eq!(server.stats().bytes_received, 0, "all of it lies in the connection");
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!(server.stats().bytes_received, 300 * 1024);
    });
}

//! Silence, in virtual time.

use std::time::Duration;

use mux::{Config, Error, Session};
use reactor::time;

use crate::support::pipe;
use crate::{run, sessions, tapped};

fn sessions_with(near: Config, far: Config) -> (Session, Session) {
    let (near_end, far_end) = pipe(64 * 1024);
    let (client, driver) = Session::client(near_end, near);
    drop(reactor::spawn(driver));
    let (server, driver) = Session::server(far_end, far);
    drop(reactor::spawn(driver));
    (client, server)
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    run(async {
        let (client, _server, tap) = tapped(64 * 1024, Config::default());
        client.ping().await.unwrap();
        let start = time::now();
        tap.stop();
        let err = client.closed().await.unwrap_err();
        assert!(matches!(err, Error::KeepaliveTimeout { .. }));
        assert_eq!(time::now() - start, Duration::from_secs(40));
    });
}

#[test]
fn keepalive_holds_an_idle_session_open() {
    run(async {
        let (client, server) = sessions();
        time::sleep(Duration::from_secs(3600)).await;
        assert!(!client.is_closed() && !server.is_closed());
    });
}

#[test]
fn either_side_asks_for_a_sign_of_life_by_itself() {
    run(async {
        let never = || Config { keepalive: None, ..Config::default() };
        let asked = |session: &Session| {
            let stats = session.stats();
            (stats.pings_received, stats.pongs_received)
        };
        let half_an_hour = Duration::from_secs(1801);
        let (client, server) = sessions_with(Config::default(), never());
        time::sleep(half_an_hour).await;
        assert_eq!((asked(&client), asked(&server)), ((0, 60), (60, 0)));
        let (client, server) = sessions_with(never(), Config::default());
        time::sleep(half_an_hour).await;
        assert_eq!((asked(&client), asked(&server)), ((60, 0), (0, 60)));
        let (client, server) = sessions_with(never(), never());
        time::sleep(half_an_hour).await;
        assert_eq!((asked(&client), asked(&server)), ((0, 0), (0, 0)));
    });
}

#[test]
fn a_ping_that_is_late_is_answered_in_the_end() {
    run(async {
        let (client, _server, tap) = tapped(64 * 1024, Config::default());
        tap.stop();
        let late = time::timeout(Duration::from_secs(5), client.ping()).await;
        assert!(late.is_err());
        tap.resume();
        client.ping().await.unwrap();
    });
}

#[test]
fn a_ping_that_nobody_answers_ends_in_time_and_the_session_goes_on() {
    run(async {
        let config = Config { keepalive: None, ..Config::default() };
        let (client, server, tap) = tapped(64 * 1024, config);
        tap.stop();
        let start = time::now();
        let err = client.ping().await.unwrap_err();
        assert!(matches!(err, Error::PingTimeout { waited } if waited == time::now() - start));
        assert_eq!(time::now() - start, Config::default().ping_timeout);
        tap.resume();
        client.ping().await.unwrap();
        let _stream = client.open().await.unwrap();
        server.accept().await.unwrap();
    });
}

#[test]
fn a_stream_that_nobody_accepts_ends_in_time_and_the_session_goes_on() {
    run(async {
        let (client, server) = sessions();
        let lost = client.open().await.unwrap();
        let (start, waited) = (time::now(), Config::default().open_timeout.unwrap());
        for err in [lost.read_bytes().await.unwrap_err(), lost.stopped().await.unwrap_err()] {
            assert!(matches!(err, Error::OpenTimeout { waited: w } if w == waited), "{err:?}");
        }
        assert_eq!(time::now() - start, waited);
        let late = server.accept().await.unwrap();
        assert!(matches!(late.read_bytes().await, Err(Error::Reset { .. })), "it came too late");
        let near = client.open().await.unwrap();
        near.write_bytes("another".into()).await.unwrap();
        let far = server.accept().await.unwrap();
        assert_eq!(far.read_bytes().await.unwrap().unwrap(), "another");
    });
}

#[test]
fn a_connection_that_takes_nothing_is_given_up_and_writers_learn_why() {
    run(async {
        let (near, _far) = pipe(1000);
        let config = Config { keepalive: None, ..Config::default() };
        let (client, driver) = Session::client(near, config.clone());
        drop(reactor::spawn(driver));
        let stream = client.open().await.unwrap();
        let start = time::now();
        let written = async { while stream.write_bytes(vec![0; 60_000].into()).await.is_ok() {} };
        written.await;
        assert_eq!(time::now() - start, config.write_stall_timeout);
        for err in [client.closed().await.unwrap_err(), stream.read_bytes().await.unwrap_err()] {
            let waited = config.write_stall_timeout;
            assert!(matches!(err, Error::WriteStall { waited: w } if w == waited), "{err:?}");
        }
    });
}

#[test]
fn a_session_that_is_given_up_hangs_up_though_its_driver_is_kept() {
    run(async {
        let (near, far) = pipe(64 * 1024);
        far.outgoing().stop();
        let (_client, mut driver) = Session::client(near, Config::default());
        let (server, server_driver) = Session::server(far, Config::default());
        drop(reactor::spawn(server_driver));
        assert!(matches!((&mut driver).await, Err(Error::KeepaliveTimeout { .. })));
        server.closed().await.unwrap();
        drop(driver);
    });
}

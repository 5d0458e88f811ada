//! Windows on a long path, in virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use mux::{Config, Session, Stream, WINDOW_BYTES_INITIAL};
use reactor::time;

use crate::link::{LONG, LinkEnd, Path, link};
use crate::run;

fn sessions_over(path: Path, config: &Config) -> (Session, Session) {
    let (near, far) = link(path);
    let start = |(session, driver): (Session, mux::Driver<LinkEnd>)| {
        drop(reactor::spawn(driver));
        session
    };
    (start(Session::client(near, config.clone())), start(Session::server(far, config.clone())))
}

/// Writes for ever.
async fn pour(stream: Stream) {
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    while stream.write_bytes(chunk.clone()).await.is_ok() {}
}

/// Reads for ever, and counts.
async fn drink(stream: Stream, count: Rc<Cell<u64>>) {
    while let Ok(Some(chunk)) = stream.read_bytes().await {
        count.set(count.get() + chunk.len() as u64);
    }
}

/// Bytes that so many streams carry in the second second together, and the two sessions.
async fn carried(path: Path, config: &Config, streams: usize) -> (u64, Session, Session) {
    let (client, server) = sessions_over(path, config);
    let count = Rc::new(Cell::new(0));
    for _ in 0..streams {
        drop(reactor::spawn(pour(client.open().await.unwrap())));
        drop(reactor::spawn(drink(server.accept().await.unwrap(), Rc::clone(&count))));
    }
    time::sleep(Duration::from_secs(1)).await;
    let before = count.get();
    time::sleep(Duration::from_secs(1)).await;
    (count.get() - before, client, server)
}

#[test]
fn a_window_is_not_the_limit_of_a_long_path() {
    run(async {
        let (bytes, ..) = carried(LONG, &Config::default(), 1).await;
        let share = bytes * 100 / LONG.bytes_per_second;
        assert!(share >= 90, "{share} % of 1 Gbit/s at 60 ms");
    });
}

/// From 256 KiB to the 15 MiB that the path needs are six doublings. The first waits for the measure
/// of the round trip; each is said in an update and is of use a round trip later.
#[test]
fn a_window_is_large_enough_within_nine_round_trips() {
    run(async {
        let (client, server) = sessions_over(LONG, &Config::default());
        let count = Rc::new(Cell::new(0));
        drop(reactor::spawn(pour(client.open().await.unwrap())));
        drop(reactor::spawn(drink(server.accept().await.unwrap(), Rc::clone(&count))));
        let round_trip = 2 * LONG.delay;
        let full = LONG.bytes_per_second * round_trip.as_millis() as u64 / 1000;
        let mut shares = Vec::new();
        for _ in 0..24 {
            let before = count.get();
            time::sleep(round_trip).await;
            shares.push((count.get() - before) * 100 / full);
        }
        assert!(shares[9..].iter().all(|&share| share >= 90), "percent: {shares:?}");
        assert!(shares[..9].iter().sum::<u64>() >= 250, "percent: {shares:?}");
    });
}

#[test]
fn a_window_that_may_not_grow_is_the_limit_of_a_long_path() {
    run(async {
        let config = Config { window_bytes_max: 0, ..Config::default() };
        let (bytes, client, server) = carried(LONG, &config, 1).await;
        let most = f64::from(WINDOW_BYTES_INITIAL) / 0.060;
        assert!(bytes as f64 <= 1.1 * most, "{bytes} bytes in a second");
        assert_eq!(server.stats().window_bytes_extra, 0);
        assert_eq!((client.rtt(), server.rtt()), (None, None), "nothing depends on it");
    });
}

#[test]
fn a_fast_reader_on_a_short_path_keeps_its_window() {
    run(async {
        let path = Path { delay: Duration::from_micros(50), ..LONG };
        let (bytes, _client, server) = carried(path, &Config::default(), 1).await;
        assert!(bytes * 100 / path.bytes_per_second >= 90);
        // The round trip is not 100 us, but the queue of 1 MiB in front of the pong.
        assert!(server.stats().window_bytes_extra <= 8 << 20, "{:?}", server.stats());
    });
}

#[test]
fn windows_of_all_streams_grow_within_the_memory_of_the_session() {
    run(async {
        let config = Config { receive_bytes_max: 3 << 20, ..Config::default() };
        let (bytes, client, server) = carried(LONG, &config, 8).await;
        let stats = server.stats();
        assert!(stats.window_bytes_extra <= 3 << 20, "{stats:?}");
        assert!(stats.window_bytes_extra > 2 << 20, "it is used: {stats:?}");
        assert!(bytes > 0);
        client.close().await.unwrap();
    });
}

#[test]
fn a_slow_reader_is_given_no_larger_window() {
    run(async {
        let (client, server) = sessions_over(LONG, &Config::default());
        drop(reactor::spawn(pour(client.open().await.unwrap())));
        let far = server.accept().await.unwrap();
        for _ in 0..200 {
            far.read_bytes().await.unwrap();
            time::sleep(Duration::from_millis(20)).await;
        }
        assert!(server.rtt().is_some());
        assert_eq!(far.stats().recv_window_bytes, WINDOW_BYTES_INITIAL);
    });
}

#[test]
fn a_ping_measures_the_round_trip_on_both_sides() {
    run(async {
        let (client, server) = sessions_over(LONG, &Config::default());
        for session in [&client, &server] {
            let took = session.ping().await.unwrap();
            assert!(took >= Duration::from_millis(60) && took < Duration::from_millis(61));
            assert_eq!(session.rtt(), Some(took));
        }
    });
}

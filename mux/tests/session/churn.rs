//! Many streams, and ends that come in the middle of things.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncWriteExt, poll};
use mux::{Config, Error, HEADER_BYTES, Header, Initiator, Kind, ResetCode, Session};
use reactor::time;

use crate::support::pipe;
use crate::{echo, read_to_end, run, serve_echo, sessions, sessions_over, streams};

/// xorshift32: any sequence without a short period does.
struct Random(u32);

impl Random {
    fn below(&mut self, max: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % max
    }
}

/// Sends `bytes` of `seed` and reads them back, at the same time.
async fn ask(session: &Session, seed: u8, bytes: usize) {
    let stream = session.open().await.unwrap();
    let data = vec![seed; bytes];
    let write = async {
        (&stream).write_all(&data).await.unwrap();
        stream.shutdown().unwrap();
    };
    let ((), (echoed, end)) = join(write, read_to_end(&stream)).await;
    end.unwrap();
    assert!(echoed == data, "stream {} came back changed", stream.id());
}

#[test]
fn a_thousand_streams_open_and_close() {
    run(async {
        let (client, server) = sessions();
        let accepting = reactor::spawn({
            let server = server.clone();
            async move {
                let mut accepted = Vec::new();
                while accepted.len() < 1000 {
                    accepted.push(server.accept().await.unwrap());
                }
                accepted
            }
        });
        let opened: Vec<_> = join_all((0..1000).map(|_| client.open())).await;
        let accepted = accepting.await.unwrap();
        assert_eq!((client.outbound_streams(), server.inbound_streams()), (1000, 1000));
        drop((opened, accepted));
        client.ping().await.unwrap();
        server.ping().await.unwrap();
        assert_eq!((client.outbound_streams(), server.inbound_streams()), (0, 0));
    });
}

#[test]
fn streams_play_ping_pong() {
    run(async {
        let (client, server) = sessions();
        drop(reactor::spawn(serve_echo(server)));
        join_all((0..100u32).map(|seed| {
            let client = client.clone();
            async move {
                let stream = client.open().await.unwrap();
                for round in 0..20 {
                    let ball = format!("{seed} {round}");
                    stream.write_bytes(ball.clone().into()).await.unwrap();
                    assert_eq!(stream.read_bytes().await.unwrap().unwrap(), ball);
                }
            }
        }))
        .await;
    });
}

#[test]
fn five_hundred_and_twelve_echoes_of_128_kib_at_once() {
    run(async {
        let (client, server) = sessions_over(256 * 1024, Config::default());
        drop(reactor::spawn(serve_echo(server.clone())));
        join_all((0..512u32).map(|seed| ask(&client, seed as u8, 128 * 1024))).await;
        client.ping().await.unwrap();
        assert_eq!((client.outbound_streams(), server.inbound_streams()), (0, 0));
    });
}

#[test]
fn sixteen_large_transfers_share_a_session() {
    run(async {
        let (client, server) = sessions_over(256 * 1024, Config::default());
        drop(reactor::spawn(serve_echo(server)));
        join_all((0..16).map(|seed| ask(&client, seed, 4 << 20))).await;
    });
}

#[test]
fn five_backlogs_of_streams_pass_a_backlog_that_is_accepted() {
    run(async {
        let config = Config { accept_backlog_max: 16, unacked_opens_max: 16, ..Config::default() };
        let (client, server) = sessions_over(64 * 1024, config);
        drop(reactor::spawn(serve_echo(server)));
        join_all((0..80).map(|seed| ask(&client, seed, 100))).await;
    });
}

#[test]
fn streams_beyond_the_backlog_are_refused_and_those_within_it_are_served() {
    run(async {
        let config = Config { accept_backlog_max: 16, unacked_opens_max: 80, ..Config::default() };
        let (client, server) = sessions_over(64 * 1024, config);
        // Five backlogs at once, and nobody accepts until all of them have arrived.
        let opened: Vec<_> = join_all((0..80).map(|_| client.open())).await;
        let opened: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
        client.ping().await.unwrap();
        let stats = server.stats();
        assert_eq!((stats.backlog, stats.streams_refused), (16, 64));
        drop(reactor::spawn(serve_echo(server)));
        for (n, stream) in opened.into_iter().enumerate() {
            let asked = async {
                stream.write_bytes("served".into()).await?;
                stream.shutdown()?;
                stream.read_bytes().await
            };
            match asked.await {
                Ok(answer) => assert!(n < 16 && answer.unwrap() == "served"),
                Err(Error::Reset { by: Initiator::Remote, code }) => {
                    assert!(n >= 16 && code == ResetCode::RESOURCE_LIMIT_EXCEEDED, "{n}: {code:?}");
                }
                Err(err) => panic!("{err:?}"),
            }
        }
        ask(&client, 81, 100).await;
    });
}

#[test]
fn an_open_that_waits_fails_when_the_session_closes() {
    run(async {
        // The end of the first stream makes no room: its handle is held.
        let config = Config { outbound_streams_max: 1, ..Config::default() };
        let (client, server) = sessions_over(64 * 1024, config);
        let _first = client.open().await.unwrap();
        let late = reactor::spawn({
            let client = client.clone();
            async move { client.open().await.map(|stream| stream.id()) }
        });
        reactor::yield_now().await;
        assert!(!late.is_finished());
        server.close().await.unwrap();
        let late = late.await.unwrap();
        assert!(matches!(late, Err(Error::Closed { by: Initiator::Remote })), "{late:?}");
    });
}

#[test]
fn two_clients_and_two_servers_do_not_agree() {
    for make in [Session::client, Session::server] {
        run(async {
            let (near, far) = pipe(64 * 1024);
            let (a, driver) = make(near, Config::default());
            drop(reactor::spawn(driver));
            let (b, driver) = make(far, Config::default());
            drop(reactor::spawn(driver));
            let stream = a.open().await.unwrap();
            assert!(matches!(b.accept().await, Err(Error::Protocol(_))));
            assert!(stream.read_bytes().await.is_err());
            assert!(a.closed().await.is_err());
        });
    }
}

#[test]
fn every_call_after_close_says_so() {
    run(async {
        let (client, near, _server, _far) = streams().await;
        client.close().await.unwrap();
        let is_closed = |err: &Error| matches!(err, Error::Closed { by: Initiator::Local });
        assert!(is_closed(&client.open().await.unwrap_err()));
        assert!(is_closed(&client.accept().await.unwrap_err()));
        assert!(is_closed(&client.ping().await.unwrap_err()));
        assert!(is_closed(&near.read_bytes().await.unwrap_err()));
        assert!(is_closed(&near.write_bytes("x".into()).await.unwrap_err()));
        assert!(is_closed(&near.shutdown().unwrap_err()));
        assert!(is_closed(&near.stopped().await.unwrap_err()));
        near.reset(0);
        client.go_away();
        client.close().await.unwrap();
        client.drain(Duration::ZERO).await.unwrap();
    });
}

#[test]
fn a_dropped_stream_that_the_peer_leaves_open_is_reset_on_both_sides() {
    run(async {
        let (client, near, server, far) = streams().await;
        near.shutdown().unwrap();
        drop(near);
        time::sleep(Duration::from_secs(299)).await;
        assert_eq!((client.outbound_streams(), server.inbound_streams()), (1, 1));
        time::sleep(Duration::from_secs(2)).await;
        match far.write_bytes("late".into()).await {
            Err(Error::Reset { code: ResetCode::GARBAGE_COLLECTED, .. }) => {}
            other => panic!("{other:?}"),
        }
        drop(far);
        assert_eq!((client.outbound_streams(), server.inbound_streams()), (0, 0));
    });
}

/// Whether the last of these frames is not all there.
fn ends_within_a_frame(mut bytes: &[u8]) -> bool {
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(header).unwrap();
        let payload = if header.kind == Kind::Data { header.length as usize } else { 0 };
        let Some(rest) = rest.get(payload..) else { return true };
        bytes = rest;
    }
    !bytes.is_empty()
}

#[test]
fn closing_comes_between_a_thousand_writers_and_a_frame_half_sent() {
    run(async {
        let config = Config { close_timeout: Duration::from_secs(1), ..Config::default() };
        let config = Config { unacked_opens_max: 1000, accept_backlog_max: 1000, ..config };
        let config = Config { send_queue_bytes_max: 2000, ..config };
        let (near, far) = pipe(1000);
        let tap = near.outgoing();
        tap.record();
        let (client, driver) = Session::client(near, config.clone());
        drop(reactor::spawn(driver));
        let (server, driver) = Session::server(far, config);
        drop(reactor::spawn(driver));
        drop(reactor::spawn(serve_echo(server.clone())));
        let ended = Rc::new(Cell::new(0));
        for _ in 0..1000 {
            let (client, ended) = (client.clone(), Rc::clone(&ended));
            drop(reactor::spawn(async move {
                let Ok(stream) = client.open().await else { return ended.set(ended.get() + 1) };
                while stream.write_bytes(vec![0; 700].into()).await.is_ok() {}
                ended.set(ended.get() + 1);
            }));
        }
        for _ in 0..20 {
            reactor::yield_now().await;
        }
        assert!(ends_within_a_frame(&tap.recorded()));
        let outcome = client.close().await;
        assert!(matches!(outcome, Ok(()) | Err(Error::CloseTimeout { .. })), "{outcome:?}");
        assert!(server.closed().await.is_ok() || server.is_closed());
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(ended.get(), 1000);
    });
}

/// Both sides open, write, read, reset and drop, and in the middle of it one closes or drains.
#[test]
fn four_hundred_sessions_end_in_the_middle_of_things() {
    for seed in 1..=400 {
        run(async move {
            let mut random = Random(0x9E37_79B9u32.wrapping_mul(seed));
            let (client, server) =
                sessions_over(1 + random.below(4000) as usize, Config::default());
            for session in [&client, &server] {
                drop(reactor::spawn(serve_some(session.clone(), random.below(8))));
            }
            let mut tasks = Vec::new();
            for _ in 0..random.below(6) {
                let session = if random.below(2) == 0 { client.clone() } else { server.clone() };
                tasks.push(reactor::spawn(meddle(session, random.below(u32::MAX - 1) + 1)));
            }
            for _ in 0..random.below(40) {
                reactor::yield_now().await;
            }
            let (first, second) = (random.below(3), random.below(3));
            join(end(&client, first), end(&server, second)).await;
            for task in tasks {
                time::timeout(Duration::from_secs(600), task).await.expect("stuck").unwrap();
            }
            assert!(client.is_closed() && server.is_closed(), "seed {seed}");
            // Until the last handle is dropped.
            time::sleep(Duration::from_secs(2)).await;
            for session in [&client, &server] {
                // What came before the peer closed can still be accepted.
                while session.accept().await.is_ok() {}
                let left = session.stats();
                assert_eq!(left.outbound_streams + left.inbound_streams, 0, "seed {seed}");
                assert_eq!(left.unread_bytes + left.window_bytes_extra, 0, "seed {seed}");
            }
        });
    }
}

async fn end(session: &Session, how: u32) {
    let outcome = match how {
        0 => session.close().await,
        1 => session.drain(Duration::from_secs(1)).await,
        _ => match time::timeout(Duration::from_secs(2), session.closed()).await {
            Ok(outcome) => outcome,
            // Both waited for the other.
            Err(_) => session.close().await,
        },
    };
    let orderly = matches!(
        outcome,
        Ok(()) | Err(Error::DrainTimeout { .. } | Error::CloseTimeout { .. } | Error::Io(_))
    );
    assert!(orderly, "{outcome:?}");
}

/// Accepts so many, and no more: the rest is for the backlog.
async fn serve_some(session: Session, streams: u32) {
    for _ in 0..streams {
        let Ok(stream) = session.accept().await else { return };
        drop(reactor::spawn(async move {
            let _ = time::timeout(Duration::from_secs(1), read_to_end(&stream)).await;
        }));
    }
}

async fn meddle(session: Session, seed: u32) {
    let mut random = Random(seed);
    let Ok(stream) = session.open().await else { return };
    for _ in 0..random.below(10) {
        let done = match random.below(5) {
            0 => stream.write_bytes(vec![0; random.below(100_000) as usize].into()).await,
            1 => stream.shutdown(),
            2 => time::timeout(Duration::from_millis(5), stream.read_bytes())
                .await
                .map_or(Ok(()), |read| read.map(drop)),
            3 => (&stream).flush().await.map_err(|err| Error::of(&err).unwrap().clone()),
            _ => {
                reactor::yield_now().await;
                Ok(())
            }
        };
        if done.is_err() {
            break;
        }
    }
    if random.below(2) == 0 {
        stream.reset(random.below(100));
    }
}

#[test]
fn windows_of_any_size_on_either_side_never_stall() {
    for seed in 1..=30 {
        run(async move {
            let mut random = Random(0x85EB_CA6Bu32.wrapping_mul(seed));
            let mut config = || Config {
                window_bytes: random.below(2 << 20),
                window_bytes_max: random.below(4 << 20),
                receive_bytes_max: (1 << 20) + random.below(4 << 20) as usize,
                send_queue_bytes_max: random.below(100_000) as usize,
                frame_bytes_max: random.below(40_000),
                ..Config::default()
            };
            let (near, far) = pipe(20_000);
            let (client, driver) = Session::client(near, config());
            drop(reactor::spawn(driver));
            let (server, driver) = Session::server(far, config());
            drop(reactor::spawn(driver));
            drop(reactor::spawn(serve_echo(server)));
            join(ask(&client, 1, 700_000), ask(&client, 2, 300_001)).await;
        });
    }
}

#[test]
fn one_write_of_the_largest_window_needs_no_credit() {
    run(async {
        let bytes = 16 << 20;
        let config = Config { window_bytes: bytes, ..Config::default() };
        let (client, server) = sessions_over(1 << 20, config);
        let near = client.open().await.unwrap();
        let far = server.accept().await.unwrap();
        client.ping().await.unwrap();
        assert_eq!(near.stats().send_credit_bytes, bytes);
        near.write_bytes(vec![3; bytes as usize].into()).await.unwrap();
        (&near).flush().await.unwrap();
        client.ping().await.unwrap();
        assert_eq!(near.stats().send_credit_bytes, 0);
        assert_eq!(far.stats().unread_bytes, bytes as usize);
        drop(reactor::spawn(echo(far)));
        near.shutdown().unwrap();
        assert_eq!(read_to_end(&near).await.0.len(), bytes as usize);
    });
}

#[test]
fn a_ping_waits_for_a_connection_that_takes_nothing_and_is_answered_when_it_does() {
    run(async {
        let (client, near, _server, tap) = {
            let (client, server, tap) = crate::tapped(1024, Config::default());
            let near = client.open().await.unwrap();
            (client, near, server, tap)
        };
        tap.stop();
        drop(reactor::spawn(async move {
            let _ = near.write_bytes(vec![0; 100_000].into()).await;
            read_to_end(&near).await
        }));
        let mut ping = pin!(client.ping());
        assert!(poll!(ping.as_mut()).is_pending());
        time::sleep(Duration::from_secs(5)).await;
        assert!(poll!(ping.as_mut()).is_pending());
        tap.resume();
        ping.await.unwrap();
    });
}

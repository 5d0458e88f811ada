//! More streams than the other side takes, and signs of life.

use std::cell::Cell;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{join, join_all, join3};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Config, Error, GoAwayCode, Initiator};

use crate::payload::{answer, ask, give, read_all, take};
use crate::{
    Pair, Setup, WINDOW_BYTES, in_both_roles, opened_by_them, opened_by_us, settled, until,
};

#[test]
fn streams_beyond_our_backlog_are_refused_and_the_others_are_answered() {
    const BACKLOG: usize = 10;
    const TOO_MANY: usize = 40;
    let setup = || {
        let ours = Config { accept_backlog_max: BACKLOG, ..Config::default() };
        Setup { ours, ..Setup::default() }
    };
    in_both_roles(setup, async |pair: Pair| {
        let opened = (0..BACKLOG + TOO_MANY).map(async |_| {
            let mut stream = pair.theirs.open().await.unwrap();
            stream.write_all(b"?").await.unwrap();
            stream
        });
        let streams = join_all(opened).await;
        until(|| pair.session.stats().streams_refused >= TOO_MANY as u64).await;
        let stats = pair.session.stats();
        assert_eq!((stats.backlog, stats.streams_refused), (BACKLOG, TOO_MANY as u64));
        for _ in 0..BACKLOG {
            let mut stream = pair.session.accept().await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            stream.write_all(b"!").await.unwrap();
            stream.close().await.unwrap();
        }
        let mut answered = 0;
        for mut stream in streams {
            // A reset looks like an end to them.
            answered += stream.read(&mut [0; 2]).await.unwrap();
            drop(stream.close().await);
        }
        assert_eq!(answered, BACKLOG);
        pair.part().await;
    });
}

/// They have no backlog but a limit of streams, and beyond it they take it for a broken rule.
#[test]
fn streams_beyond_their_limit_end_the_session_and_say_who_ended_it() {
    const STREAMS_MAX: usize = 8;
    let setup = || {
        let mut theirs = yamux::Config::default();
        theirs.set_max_num_streams(STREAMS_MAX);
        Setup { theirs, ..Setup::default() }
    };
    in_both_roles(setup, async |pair: Pair| {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..STREAMS_MAX {
            ours.push(pair.session.open().await.unwrap());
            theirs.push(pair.theirs.accept().await.unwrap());
        }
        settled().await;
        assert!(!pair.session.is_closed(), "they were no more than the limit");
        ours.push(pair.session.open().await.unwrap());
        let code = GoAwayCode::ProtocolError;
        let wanted = Error::GoAway { by: Initiator::Remote, code }.to_string();
        assert_eq!(pair.session.closed().await.unwrap_err().to_string(), wanted);
        for stream in ours {
            assert_eq!(stream.read_bytes().await.unwrap_err().to_string(), wanted);
        }
        assert!(pair.driver.await.unwrap().is_err());
    });
}

#[test]
fn opening_waits_for_their_acks_and_five_backlogs_pass() {
    const BACKLOG: usize = 16;
    let setup = || {
        let ours = Config { unacked_opens_max: BACKLOG, ..Config::default() };
        Setup { ours, ..Setup::default() }
    };
    in_both_roles(setup, async |pair: Pair| {
        let asks = (0..5 * BACKLOG as u32)
            .map(async |seed| ask(pair.session.open().await.unwrap(), seed).await);
        let answers = async {
            settled().await;
            assert_eq!(pair.session.stats().streams_opened, BACKLOG as u64);
            let answers =
                (0..5 * BACKLOG).map(async |_| answer(pair.theirs.accept().await.unwrap()).await);
            join_all(answers).await;
        };
        join(join_all(asks), answers).await;
        pair.part().await;
    });
}

/// Theirs waits too, with as many streams that nobody has accepted as our backlog takes.
#[test]
fn they_wait_for_our_acks_and_five_backlogs_pass() {
    let backlog = Config::default().accept_backlog_max;
    let setup = || {
        let mut theirs = yamux::Config::default();
        let ours = Config { inbound_streams_max: 5 * backlog, ..Config::default() };
        theirs.set_max_connection_receive_window(None).set_max_num_streams(5 * backlog);
        Setup { ours, theirs, ..Setup::default() }
    };
    in_both_roles(setup, async |pair: Pair| {
        let asks = async {
            for _ in 0..5 * backlog {
                let mut stream = pair.theirs.open().await.unwrap();
                // A stream that they have closed does not count any more.
                let ask = async move {
                    stream.write_all(b"?").await.unwrap();
                    stream.read_exact(&mut [0]).await.unwrap();
                    stream.close().await.unwrap();
                };
                reactor::spawn(ask).detach();
            }
        };
        let answers = async {
            settled().await;
            assert_eq!(pair.session.stats().backlog, backlog);
            // Nothing is said on them but the ACK until all are there.
            let mut streams = Vec::new();
            for _ in 0..5 * backlog {
                streams.push(pair.session.accept().await.unwrap());
            }
            for mut stream in streams {
                stream.write_all(b"!").await.unwrap();
                stream.close().await.unwrap();
                assert!(read_all(stream).await == b"?");
            }
        };
        join(asks, answers).await;
        assert_eq!(pair.session.stats().streams_refused, 0);
        pair.part().await;
    });
}

/// They have no call for a ping and no keepalive; they ping to measure the round trip, and end the
/// connection when the answer is not the one that they wait for.
#[test]
fn a_session_lives_by_keepalive_and_their_ping_is_answered() {
    let setup = || {
        let keepalive = Some(Duration::from_secs(1));
        Setup { ours: Config { keepalive, ..Config::default() }, ..Setup::default() }
    };
    in_both_roles(setup, async |pair: Pair| {
        until(|| pair.session.stats().pongs_received >= 5).await;
        assert_eq!(pair.session.stats().pings_received, 1);
        let ours = async { ask(pair.session.open().await.unwrap(), 3).await };
        join(ours, async { answer(pair.theirs.accept().await.unwrap()).await }).await;
        pair.part().await;
    });
}

#[test]
fn a_ping_is_answered_while_the_streams_are_stuck_in_both_directions() {
    const BYTES: usize = 1 << 20;
    // Less than a frame of theirs.
    let setup = || Setup { pipe_bytes: 1024, ..Setup::default() };
    in_both_roles(setup, async |pair: Pair| {
        let (ours, theirs) = opened_by_us(&pair).await;
        let (also_ours, also_theirs) = opened_by_them(&pair).await;
        let reading = Cell::new(false);
        let reads = || reading.get();
        let asked = async {
            settled().await;
            for stream in [&ours, &also_ours] {
                let stats = stream.stats();
                assert!(stats.send_credit_bytes == 0 && stats.unsent_bytes > 0, "{stats:?}");
                assert!(stats.unread_bytes >= WINDOW_BYTES - 1, "{stats:?}"); // the first was read
            }
            for _ in 0..10 {
                pair.session.ping().await.unwrap();
            }
            reading.set(true);
        };
        let near =
            join(exchange_once(&ours, BYTES, reads), exchange_once(&also_ours, BYTES, reads));
        let far =
            join(exchange_once(theirs, BYTES, reads), exchange_once(also_theirs, BYTES, reads));
        join3(near, far, asked).await;
        drop((ours, also_ours));
        pair.part().await;
    });
}

/// Writes at once, and reads when it may.
async fn exchange_once(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    length: usize,
    may_read: impl Fn() -> bool,
) {
    let (reader, writer) = stream.split();
    let read = async {
        until(may_read).await;
        take(reader).await
    };
    let (taken, ()) = join(read, give(writer, length)).await;
    assert_eq!(taken, length);
}

//! Against the yamux of rust-libp2p: 100 streams of 1 MiB, there and back, every byte checked, with
//! each implementation in each role; and the ends of streams and sessions.

mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Config, Error, Initiator, Session};
use support::{End, pipe};

const STREAMS: u32 = 100;
const BYTES: usize = 1 << 20;
const PIPE_BYTES: usize = 256 * 1024;

thread_local! {
    /// Bytes of a xorshift generator: any sequence without a short period does.
    static NOISE: Vec<u8> = {
        let mut state = 0x9E37_79B9u32;
        let mut bytes = Vec::with_capacity(2 * BYTES);
        while bytes.len() < 2 * BYTES {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        bytes
    };
}

/// What stream `seed` carries: its number, then noise from a place of its own.
fn payload(seed: u32) -> Vec<u8> {
    let from = seed as usize * 4099;
    let noise = NOISE.with(|noise| noise[from..from + BYTES - 4].to_vec());
    [&seed.to_be_bytes(), &noise[..]].concat()
}

fn assert_payload(received: &[u8]) -> u32 {
    let seed = u32::from_be_bytes(received[..4].try_into().unwrap());
    assert!(received == payload(seed), "stream {seed} came back changed");
    seed
}

/// Reads to the end. In pieces: `read_to_end` clears its buffer byte by byte, which takes minutes
/// in a build without optimisation.
async fn read_all(mut stream: impl futures_io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = vec![0; BYTES + 1];
    let mut filled = 0;
    loop {
        match stream.read(&mut bytes[filled..]).await.unwrap() {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Sends a payload, and reads it back.
async fn ask(mut stream: impl futures_io::AsyncRead + futures_io::AsyncWrite + Unpin, seed: u32) {
    stream.write_all(&payload(seed)).await.unwrap();
    stream.close().await.unwrap();
    let echo = read_all(stream).await;
    assert_eq!(assert_payload(&echo), seed);
}

/// Reads to the end, checks, and sends it back.
async fn answer(mut stream: impl futures_io::AsyncRead + futures_io::AsyncWrite + Unpin) {
    let request = read_all(&mut stream).await;
    assert_payload(&request);
    stream.write_all(&request).await.unwrap();
    stream.close().await.unwrap();
}

async fn answer_theirs(io: End, mode: yamux::Mode) {
    let mut connection = yamux::Connection::new(io, yamux::Config::default(), mode);
    let mut answers = Vec::new();
    while let Some(stream) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        answers.push(reactor::spawn(answer(stream.unwrap())));
    }
    assert_eq!(answers.len(), STREAMS as usize);
    for task in answers {
        task.await.unwrap();
    }
}

async fn ask_theirs(io: End, mode: yamux::Mode) {
    let mut connection = yamux::Connection::new(io, yamux::Config::default(), mode);
    let mut asks = Vec::new();
    for seed in 0..STREAMS {
        let stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await.unwrap();
        asks.push(reactor::spawn(ask(stream, seed)));
    }
    let done = reactor::spawn(async {
        for task in asks {
            task.await.unwrap();
        }
    });
    // The connection moves only while it is polled for inbound streams.
    let mut done = std::pin::pin!(done);
    poll_fn(|cx| {
        assert!(connection.poll_next_inbound(cx).is_pending(), "nobody opens a stream here");
        done.as_mut().poll(cx)
    })
    .await
    .unwrap();
    poll_fn(|cx| connection.poll_close(cx)).await.unwrap();
}

async fn ask_ours((session, driver): (Session, mux::Driver<End>)) {
    let driver = reactor::spawn(driver);
    let asks = (0..STREAMS).map(|seed| {
        let session = session.clone();
        async move { ask(session.open().await.unwrap(), seed).await }
    });
    join_all(asks).await;
    assert_eq!((session.inbound_streams(), session.outbound_streams()), (0, 0));
    session.close().await.unwrap();
    driver.await.unwrap().unwrap();
}

async fn answer_ours((session, driver): (Session, mux::Driver<End>)) {
    let driver = reactor::spawn(driver);
    let mut answers = Vec::new();
    while let Ok(stream) = session.accept().await {
        answers.push(reactor::spawn(answer(stream)));
    }
    assert_eq!(answers.len(), STREAMS as usize);
    for task in answers {
        task.await.unwrap();
    }
    assert_eq!((session.inbound_streams(), session.outbound_streams()), (0, 0));
    driver.await.unwrap().unwrap();
}

fn run(near: impl Future<Output = ()>, far: impl Future<Output = ()>) {
    reactor::block_on(futures_util::future::join(near, far)).unwrap();
}

#[test]
fn our_client_talks_to_their_server() {
    let (near, far) = pipe(PIPE_BYTES);
    run(
        async { ask_ours(Session::client(near, Config::default())).await },
        answer_theirs(far, yamux::Mode::Server),
    );
}

#[test]
fn our_server_talks_to_their_client() {
    let (near, far) = pipe(PIPE_BYTES);
    run(
        async { answer_ours(Session::server(near, Config::default())).await },
        ask_theirs(far, yamux::Mode::Client),
    );
}

#[test]
fn our_server_opens_streams_to_their_client() {
    let (near, far) = pipe(PIPE_BYTES);
    run(
        async { ask_ours(Session::server(near, Config::default())).await },
        answer_theirs(far, yamux::Mode::Client),
    );
}

#[test]
fn our_client_accepts_streams_of_their_server() {
    let (near, far) = pipe(PIPE_BYTES);
    run(
        async { answer_ours(Session::client(near, Config::default())).await },
        ask_theirs(far, yamux::Mode::Server),
    );
}

#[test]
fn larger_windows_of_ours_are_understood_by_theirs() {
    let (near, far) = pipe(PIPE_BYTES);
    let config = Config { window_bytes: 1 << 20, ..Config::default() };
    run(
        async { ask_ours(Session::client(near, config)).await },
        answer_theirs(far, yamux::Mode::Server),
    );
}

#[test]
fn ours_talks_to_ours() {
    let (near, far) = pipe(PIPE_BYTES);
    run(async { ask_ours(Session::client(near, Config::default())).await }, async {
        answer_ours(Session::server(far, Config::default())).await
    });
}

/// Polls their connection until `work` is done: it moves only while it is polled. What it accepts is
/// answered.
async fn drive_theirs<T>(
    connection: &mut yamux::Connection<End>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(stream))) = connection.poll_next_inbound(cx) {
            reactor::spawn(answer(stream)).detach();
        }
        work.as_mut().poll(cx)
    })
    .await
}

fn theirs(io: End, mode: yamux::Mode) -> yamux::Connection<End> {
    yamux::Connection::new(io, yamux::Config::default(), mode)
}

#[test]
fn a_reset_of_ours_ends_their_stream_and_no_other() {
    let (near, far) = pipe(PIPE_BYTES);
    let ours = async {
        let (session, driver) = Session::client(near, Config::default());
        let driver = reactor::spawn(driver);
        for _ in 0..20 {
            let stream = session.open().await.unwrap();
            stream.write_bytes("half of it".into()).await.unwrap();
            session.ping().await.unwrap(); // they have heard of it
            stream.reset(7);
        }
        ask(session.open().await.unwrap(), 2).await;
        session.close().await.unwrap();
        driver.await.unwrap().unwrap();
    };
    let theirs = async {
        let mut connection = theirs(far, yamux::Mode::Server);
        let resets = Rc::new(Cell::new(0));
        while let Some(Ok(mut stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
            let resets = Rc::clone(&resets);
            reactor::spawn(async move {
                let request = read_all(&mut stream).await;
                if request == b"half of it" {
                    // To them a reset looks like an end, and then nothing can be written.
                    assert!(stream.write_all(b"answer").await.is_err());
                    return resets.set(resets.get() + 1);
                }
                assert_payload(&request);
                stream.write_all(&request).await.unwrap();
                stream.close().await.unwrap();
            })
            .detach();
        }
        assert_eq!(resets.get(), 20);
    };
    run(ours, theirs);
}

#[test]
fn a_stream_that_they_drop_reads_as_a_reset_and_the_session_goes_on() {
    let (near, far) = pipe(PIPE_BYTES);
    let ours = async {
        let (session, driver) = Session::server(near, Config::default());
        let driver = reactor::spawn(driver);
        let dropped = session.accept().await.unwrap();
        let mut outcome = dropped.read_bytes().await;
        while matches!(outcome, Ok(Some(_))) {
            outcome = dropped.read_bytes().await;
        }
        assert!(matches!(outcome, Err(Error::Reset { by: Initiator::Remote, .. })), "{outcome:?}");
        answer(session.accept().await.unwrap()).await;
        driver.await.unwrap().unwrap();
    };
    let theirs = async {
        let mut connection = theirs(far, yamux::Mode::Client);
        let mut stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await.unwrap();
        let write = async {
            stream.write_all(b"something").await.unwrap();
            stream.flush().await.unwrap();
        };
        drive_theirs(&mut connection, write).await;
        drop(stream);
        let stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await.unwrap();
        drive_theirs(&mut connection, ask(stream, 5)).await;
        poll_fn(|cx| connection.poll_close(cx)).await.unwrap();
    };
    run(ours, theirs);
}

#[test]
fn streams_beyond_our_backlog_are_refused_and_the_others_are_answered() {
    const BACKLOG: usize = 10;
    const TOO_MANY: usize = 5;
    let (near, far) = pipe(PIPE_BYTES);
    let ours = async {
        let config = Config { accept_backlog_max: BACKLOG, ..Config::default() };
        let (session, driver) = Session::server(near, config);
        let driver = reactor::spawn(driver);
        while session.stats().streams_refused < TOO_MANY as u64 {
            reactor::yield_now().await;
        }
        while let Ok(stream) = session.accept().await {
            reactor::spawn(answer(stream)).detach();
        }
        driver.await.unwrap().unwrap();
    };
    let theirs = async {
        let mut connection = theirs(far, yamux::Mode::Client);
        let mut asks = Vec::new();
        for seed in 0..(BACKLOG + TOO_MANY) as u32 {
            let mut stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await.unwrap();
            asks.push(reactor::spawn(async move {
                stream.write_all(&payload(seed)).await?;
                stream.close().await?;
                let echo = read_all(stream).await;
                // A reset looks like an end to them.
                Ok::<_, io::Error>(!echo.is_empty() && assert_payload(&echo) == seed)
            }));
        }
        let outcomes = drive_theirs(&mut connection, join_all(asks)).await;
        let answered = outcomes.into_iter().filter(|ask| matches!(ask, Ok(Ok(true)))).count();
        assert_eq!(answered, BACKLOG);
        poll_fn(|cx| connection.poll_close(cx)).await.unwrap();
    };
    run(ours, theirs);
}

#[test]
fn a_session_lives_by_keepalive_and_their_pings_are_answered() {
    let (near, far) = pipe(PIPE_BYTES);
    let ours = async {
        let keepalive = Some(Duration::from_secs(1));
        let (session, driver) = Session::client(near, Config { keepalive, ..Config::default() });
        let driver = reactor::spawn(driver);
        reactor::time::sleep(Duration::from_secs(10)).await;
        for _ in 0..10 {
            session.ping().await.unwrap();
        }
        ask(session.open().await.unwrap(), 3).await;
        session.close().await.unwrap();
        driver.await.unwrap().unwrap();
    };
    let theirs = async {
        let mut connection = theirs(far, yamux::Mode::Server);
        while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
            reactor::spawn(answer(stream)).detach();
        }
    };
    let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
    runtime.block_on(futures_util::future::join(ours, theirs));
}

#[test]
fn their_close_ends_our_session_in_order() {
    let (near, far) = pipe(PIPE_BYTES);
    let ours = async {
        let (session, driver) = Session::server(near, Config::default());
        let driver = reactor::spawn(driver);
        assert!(matches!(session.accept().await, Err(Error::Closed { by: Initiator::Remote })));
        session.closed().await.unwrap();
        driver.await.unwrap().unwrap();
    };
    run(ours, async {
        let mut connection = theirs(far, yamux::Mode::Client);
        poll_fn(|cx| connection.poll_close(cx)).await.unwrap();
    });
}

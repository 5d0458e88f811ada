//! How streams and sessions end: by halves, by a reset, by GoAway.

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::join;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Error, GoAwayCode, Initiator, Stream};

use crate::payload::{answer, ask, noise, read_all};
use crate::{Pair, Setup, in_both_roles, opened_by_them, opened_by_us, settled, until};

/// What each side sends: the one that ends its direction first, and the other one behind that end.
const HALVES: [(usize, usize); 4] = [(0, 0), (1, 0), (0, 300_000), (300_000, 1000)];

/// Sends `length` bytes and the end, and then reads `back` bytes and the end.
async fn end_first(mut stream: impl AsyncRead + AsyncWrite + Unpin, length: usize, back: usize) {
    stream.write_all(&noise(0, length)).await.unwrap();
    stream.close().await.unwrap();
    assert!(read_all(stream).await == noise(7, back));
}

/// The other side of [`end_first`].
async fn end_last(mut stream: impl AsyncRead + AsyncWrite + Unpin, length: usize, back: usize) {
    assert!(read_all(&mut stream).await == noise(0, length));
    stream.write_all(&noise(7, back)).await.unwrap();
    stream.close().await.unwrap();
}

#[test]
fn either_side_of_a_stream_that_we_open_may_end_first() {
    in_both_roles(Setup::default, async |pair: Pair| {
        for (first, last) in HALVES {
            let (ours, theirs) = opened_by_us(&pair).await;
            join(end_first(ours, first, last), end_last(theirs, first, last)).await;
            let (ours, theirs) = opened_by_us(&pair).await;
            join(end_last(ours, first, last), end_first(theirs, first, last)).await;
        }
        pair.part().await;
    });
}

#[test]
fn either_side_of_a_stream_that_they_open_may_end_first() {
    in_both_roles(Setup::default, async |pair: Pair| {
        for (first, last) in HALVES {
            let (ours, theirs) = opened_by_them(&pair).await;
            join(end_first(ours, first, last), end_last(theirs, first, last)).await;
            let (ours, theirs) = opened_by_them(&pair).await;
            join(end_last(ours, first, last), end_first(theirs, first, last)).await;
        }
        pair.part().await;
    });
}

async fn assert_reset_by_us_ends_theirs((ours, mut theirs): (Stream, yamux::Stream)) {
    ours.write_bytes("half of it".into()).await.unwrap();
    let mut half = [0; 10];
    theirs.read_exact(&mut half).await.unwrap();
    ours.reset(7);
    // To them a reset looks like an end, and then nothing can be written.
    assert_eq!(theirs.read(&mut half).await.unwrap(), 0);
    assert!(theirs.write_all(b"answer").await.is_err());
}

#[test]
fn a_reset_of_ours_ends_their_stream_and_no_other() {
    in_both_roles(Setup::default, async |pair: Pair| {
        for _ in 0..20 {
            assert_reset_by_us_ends_theirs(opened_by_us(&pair).await).await;
            assert_reset_by_us_ends_theirs(opened_by_them(&pair).await).await;
        }
        let (ours, theirs) = opened_by_us(&pair).await;
        join(ask(ours, 2), answer(theirs)).await;
        pair.part().await;
    });
}

async fn assert_drop_by_them_reads_as_a_reset((ours, mut theirs): (Stream, yamux::Stream)) {
    theirs.write_all(b"something").await.unwrap();
    theirs.flush().await.unwrap();
    drop(theirs);
    let mut outcome = ours.read_bytes().await;
    while matches!(outcome, Ok(Some(_))) {
        outcome = ours.read_bytes().await;
    }
    assert!(matches!(outcome, Err(Error::Reset { by: Initiator::Remote, .. })), "{outcome:?}");
}

#[test]
fn a_stream_that_they_drop_reads_as_a_reset_and_the_session_goes_on() {
    in_both_roles(Setup::default, async |pair: Pair| {
        for _ in 0..20 {
            assert_drop_by_them_reads_as_a_reset(opened_by_us(&pair).await).await;
            assert_drop_by_them_reads_as_a_reset(opened_by_them(&pair).await).await;
        }
        let (ours, theirs) = opened_by_us(&pair).await;
        join(ask(ours, 2), answer(theirs)).await;
        pair.part().await;
    });
}

/// They say FIN then, and no RST.
#[test]
fn a_stream_that_they_drop_behind_our_end_ends_in_order() {
    in_both_roles(Setup::default, async |pair: Pair| {
        for (ours, mut theirs) in [opened_by_us(&pair).await, opened_by_them(&pair).await] {
            ours.shutdown().unwrap();
            assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
            drop(theirs);
            assert!(ours.read_bytes().await.unwrap().is_none());
        }
        pair.part().await;
    });
}

/// What has arrived of a stream, and then what ended it.
async fn cut_off(stream: &Stream) -> (Vec<u8>, Error) {
    let mut arrived = Vec::new();
    loop {
        match stream.read_bytes().await {
            Ok(Some(bytes)) => arrived.extend_from_slice(&bytes),
            Ok(None) => panic!("a stream that was cut off looks complete"),
            Err(err) => return (arrived, err),
        }
    }
}

#[test]
fn a_go_away_of_ours_ends_their_connection_and_our_streams() {
    in_both_roles(Setup::default, async |pair: Pair| {
        let (first, mut theirs) = opened_by_us(&pair).await;
        theirs.write_all(b"so far").await.unwrap();
        let (second, mut also_theirs) = opened_by_them(&pair).await;
        also_theirs.write_all(b"so good").await.unwrap();
        until(|| pair.session.stats().unread_bytes == 13).await;
        pair.session.go_away();
        let Pair { session, driver, theirs: connection, .. } = pair;
        connection.ended().await.unwrap();
        for mut stream in [theirs, also_theirs] {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            assert!(stream.write_all(b"more").await.is_err());
        }
        for (stream, said) in [(first, "so far"), (second, "so good")] {
            let (arrived, err) = cut_off(&stream).await;
            assert_eq!(arrived, said.as_bytes());
            assert!(matches!(err, Error::Closed { by: Initiator::Remote }), "{err:?}");
        }
        session.closed().await.unwrap();
        driver.await.unwrap().unwrap();
    });
}

#[test]
fn their_go_away_keeps_us_from_opening_and_their_hanging_up_ends_our_session_in_order() {
    in_both_roles(Setup::default, async |pair: Pair| {
        let (complete, mut theirs) = opened_by_us(&pair).await;
        theirs.write_all(b"all").await.unwrap();
        theirs.close().await.unwrap();
        let (first, mut theirs) = opened_by_us(&pair).await;
        theirs.write_all(b"so far").await.unwrap();
        let (second, mut also_theirs) = opened_by_them(&pair).await;
        also_theirs.write_all(b"so good").await.unwrap();
        pair.theirs.go_away();
        settled().await;
        let Pair { session, driver, theirs: connection, .. } = pair;
        let wanted = Error::GoAway { by: Initiator::Remote, code: GoAwayCode::Normal }.to_string();
        assert_eq!(session.open().await.unwrap_err().to_string(), wanted);
        assert!(!session.is_closed());

        connection.hang_up().await.unwrap();
        session.closed().await.unwrap();
        driver.await.unwrap().unwrap();
        assert_eq!(read_all(complete).await, b"all");
        for (stream, said) in [(first, "so far"), (second, "so good")] {
            let (arrived, err) = cut_off(&stream).await;
            assert_eq!(arrived, said.as_bytes());
            assert!(matches!(err, Error::Closed { by: Initiator::Remote }), "{err:?}");
        }
        let late = session.accept().await.unwrap_err();
        assert!(matches!(late, Error::Closed { by: Initiator::Remote }), "{late:?}");
    });
}

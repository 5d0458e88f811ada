//! How streams and sessions end: by halves, by a reset, by GoAway.

use std::io;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Error, Initiator, Session};

use crate::Peer;
use crate::check::{echo, expect, open, told, upload};
use crate::serve::{give, sum, sum_until, told_to_go};

/// Either direction ends first, and the other goes on.
pub(crate) async fn half_close(session: Session) -> io::Result<()> {
    for bytes in [0, 1, 1000, 300_000] {
        upload(session.clone(), bytes).await?;
    }
    let tail = 100_000;
    let mut stream = open(&session, b'g', 1000).await?;
    expect(sum(&stream).await? == 1000, "their direction did not end behind 1,000 bytes")?;
    give(&stream, tail).await?; // behind their FIN
    stream.close().await?;
    told(open(&session, b't', tail).await?, tail).await
}

/// The stream ends there too, and the session goes on.
pub(crate) async fn reset_ours(session: Session) -> io::Result<()> {
    for _ in 0..20 {
        let mut stream = open(&session, b'g', 1 << 20).await?;
        stream.read_exact(&mut [0; 1000]).await?;
        stream.reset(7);
        let stream = open(&session, b'e', 0).await?;
        give(&stream, 1000).await?;
        drop(stream); // a reset too
    }
    told(open(&session, b'n', 40).await?, 40).await?;
    echo(session, 100_000).await
}

pub(crate) async fn reset_theirs(session: Session) -> io::Result<()> {
    let stream = open(&session, b'r', 0).await?;
    let err = stream.read_bytes().await.err();
    let reset = matches!(err, Some(Error::Reset { by: Initiator::Remote, .. }));
    expect(reset, "a reset looks like something else")?;
    echo(session, 1000).await
}

pub(crate) async fn close(session: Session) -> io::Result<()> {
    echo(session.clone(), 10_000).await?;
    session.close().await?;
    expect(session.open().await.is_err(), "a session that is closed opens a stream")
}

/// They hear it, and the stream goes on.
pub(crate) async fn go_away(session: Session) -> io::Result<()> {
    let stream = open(&session, b'o', 0).await?;
    session.go_away();
    refused(&session).await?;
    give(&stream, 100_000).await?;
    told(stream, 100_000).await
}

/// What their streams end by is no end here: it was not said that there will be no more. The other
/// program hangs up when that has happened.
pub(crate) async fn go_away_ends_theirs(session: Session) -> io::Result<()> {
    let mut stream = open(&session, b'e', 0).await?;
    give(&stream, 1000).await?;
    expect(sum_until(&stream, 1000).await? == 1000, "another number of bytes came back")?;
    session.go_away();
    refused(&session).await?;
    session.closed().await?;
    expect(stream.read(&mut [0]).await.is_err(), "a stream that was cut off looks complete")
}

/// The streams go on, and no other can be opened.
pub(crate) async fn go_away_theirs(session: Session, peer: Peer) -> io::Result<()> {
    let bytes = 100_000;
    let mut stream = open(&session, b'a', bytes).await?;
    expect(sum_until(&stream, bytes).await? == bytes, "another number of bytes came")?;
    told_to_go(&session).await?;
    give(&stream, bytes).await?;
    stream.close().await?;
    // libp2p has ended its direction: it prints what it misses.
    let back = if peer == Peer::Libp2p { 0 } else { bytes };
    expect(sum(&stream).await? == back, "another number of bytes came back")
}

async fn refused(session: &Session) -> io::Result<()> {
    let err = session.open().await.err();
    let refused = matches!(err, Some(Error::GoAway { by: Initiator::Local, .. }));
    expect(refused, "a stream was opened after GoAway")
}

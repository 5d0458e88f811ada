//! What is more than the other side takes: streams, and bytes that nobody reads.

use std::io;
use std::time::Duration;

use futures_util::future::join;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Session, Stream};
use reactor::time;

use crate::check::{echo, expect, open, told};
use crate::serve::{give, give_from, sum};
use crate::{BACKLOG, Peer, WINDOW_BYTES};

/// They refuse what is above their limit, and nothing else.
pub(crate) async fn too_many(session: Session, peer: Peer) -> io::Result<()> {
    // libp2p has no backlog: its limit is for streams that are alive.
    let (pause, takes) = match peer {
        Peer::Hashicorp => (Some(open(&session, b'p', 0).await?), BACKLOG),
        Peer::Libp2p => (None, 300),
    };
    if let Some(mut pause) = pause.as_ref() {
        pause.read_exact(&mut [0]).await?;
    }
    let mut streams = Vec::new();
    for _ in 0..takes + 20 {
        streams.push(open(&session, b'e', 0).await?);
    }
    session.ping().await?; // all of them have arrived
    if let Some(pause) = pause {
        told_nothing(pause).await?;
    }
    let mut refused = 0;
    for stream in streams {
        match stream.shutdown() {
            Ok(()) => match sum(&stream).await {
                Ok(bytes) => expect(bytes == 0, "bytes came from nowhere")?,
                Err(_) => refused += 1,
            },
            Err(_) => refused += 1,
        }
    }
    expect(refused == 20, &format!("{refused} streams were refused, not 20"))?;
    echo(session, 1000).await
}

async fn told_nothing(mut stream: Stream) -> io::Result<()> {
    stream.close().await?;
    expect(sum(&stream).await? == 0, "a pause says more than that")
}

/// Nobody reads, on either side, and each has used up what the other gave it.
pub(crate) async fn ping_behind_stuck_streams(session: Session) -> io::Result<()> {
    const BYTES: u64 = 8 << 20;
    let held = open(&session, b'h', BYTES).await?;
    let unread = open(&session, b'g', BYTES).await?;
    let window = WINDOW_BYTES as usize;
    let pings = async {
        while held.stats().send_credit_bytes > 0 || unread.stats().unread_bytes < window {
            time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..10 {
            session.ping().await?;
        }
        let stuck = held.stats().unsent_bytes > 0 && unread.stats().unread_bytes == window;
        expect(stuck, "the streams went on meanwhile")?;
        release(&session).await?;
        expect(sum(&unread).await? == BYTES, "another number of bytes came")?;
        unread.shutdown().map_err(io::Error::from)
    };
    let (given, pinged) = join(give(&held, BYTES), pings).await;
    given?;
    pinged?;
    told(held, BYTES).await
}

/// Lets the streams go on that are held.
async fn release(session: &Session) -> io::Result<()> {
    told_nothing(open(session, b'w', 0).await?).await
}

/// They read nothing, and take 1 MiB all the same: the credit that their ACK announced.
pub(crate) async fn large_window(session: Session) -> io::Result<()> {
    let bytes = u64::from(WINDOW_BYTES) - 9;
    let mut held = open(&session, b'h', 0).await?;
    give(&held, bytes).await?;
    held.flush().await?;
    release(&session).await?;
    told(held, bytes).await
}

/// As before, with a peer that says no larger window at first, and lets a window grow that is used.
pub(crate) async fn grown_window(session: Session) -> io::Result<()> {
    const PIECE_BYTES: u64 = 100;
    let mut held = open(&session, b'h', 0).await?;
    let mut sent = 0;
    while held.stats().send_credit_bytes < WINDOW_BYTES {
        give_from(&held, sent, sent + PIECE_BYTES).await?;
        sent += PIECE_BYTES;
        held.flush().await?; // a ping would overtake what waits to be sent
        session.ping().await?; // their credit comes before the answer
    }
    let bytes = sent + u64::from(WINDOW_BYTES);
    give_from(&held, sent, bytes).await?;
    held.flush().await?;
    session.ping().await?;
    expect(held.stats().send_credit_bytes == 0, "they gave credit for what nobody has read")?;
    release(&session).await?;
    told(held, bytes).await
}

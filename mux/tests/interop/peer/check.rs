//! What an opener asks of the other implementation, each time over a connection of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Error, Initiator, Session, Stream};
use net::TcpStream;
use reactor::time;

use crate::serve::{give, sum, sum_until};
use crate::{BACKLOG, Peer};

/// Longer than any check takes.
const CHECK_TIME_MAX: Duration = Duration::from_secs(60);

/// Pings of each side of a session that lives by its keepalive alone.
const KEEPALIVE_PINGS: u64 = 3;

const BULK_BYTES: u64 = 32 << 20;

/// Runs all checks; an error says which failed first.
pub(crate) async fn check(role: &str, address: SocketAddr, peer: Peer) -> io::Result<()> {
    let run = Run { role, address, peer };
    run.check("many streams", many_streams).await?;
    run.check("32 MiB there", |s| upload(s, BULK_BYTES)).await?;
    run.check("32 MiB back", |s| download(s, BULK_BYTES)).await?;
    run.check("32 MiB both ways at once", |s| echo(s, BULK_BYTES)).await?;
    run.check("half close", half_close).await?;
    run.check("a reset of ours", reset_ours).await?;
    run.check("a ping", ping).await?;
    run.check("keepalive", keepalive).await?;
    run.check("close", close).await?;
    run.check("more streams than they take", move |s| too_many(s, peer)).await?;
    if peer == Peer::Hashicorp {
        // Its streams end when libp2p's hear a GoAway.
        run.check("GoAway leaves streams alone", go_away).await?;
        // libp2p grows its windows as it measures them.
        run.check("a window of 1 MiB", large_window).await?;
    } else {
        // hashicorp has no call for it.
        run.check("a reset of theirs", reset_theirs).await?;
    }
    Ok(())
}

struct Run<'r> {
    role: &'r str,
    address: SocketAddr,
    peer: Peer,
}

impl Run<'_> {
    async fn check<F>(&self, name: &str, check: impl FnOnce(Session) -> F) -> io::Result<()>
    where
        F: Future<Output = io::Result<()>>,
    {
        let io = TcpStream::connect(self.address).await?;
        let (session, driver) = crate::session(self.role, io);
        let driver = reactor::spawn(driver);
        let checked = time::timeout(CHECK_TIME_MAX, async {
            check(session.clone()).await?;
            session.close().await?;
            if (session.inbound_streams(), session.outbound_streams()) != (0, 0) {
                return Err(io::Error::other("streams are left"));
            }
            driver.await.expect("the driver does not panic").map_err(io::Error::from)
        });
        let outcome = checked.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (peer, role) = (self.peer, self.role);
        outcome.map_err(|err| io::Error::other(format!("{peer:?}, {role}: {name}: {err}")))?;
        println!("ok {peer:?}, our {role} opens: {name}");
        Ok(())
    }
}

async fn open(session: &Session, what: u8, n: u64) -> io::Result<Stream> {
    let mut stream = session.open().await?;
    stream.write_all(&[&[what][..], &n.to_be_bytes()].concat()).await?;
    Ok(stream)
}

#[track_caller]
fn expect(holds: bool, what: &str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(what.to_owned())) }
}

/// Writes and reads at the same time: the window is smaller than what is under way.
async fn echo(session: Session, bytes: u64) -> io::Result<()> {
    let stream = open(&session, b'e', 0).await?;
    let there = async {
        give(&stream, bytes).await?;
        stream.shutdown().map_err(io::Error::from)
    };
    let (there, back) = join(there, sum(&stream)).await;
    there?;
    expect(back? == bytes, "another number of bytes came back")
}

async fn many_streams(session: Session) -> io::Result<()> {
    // As many at once as the backlog bears.
    for round in 0..4 {
        let echoes = (0..BACKLOG as u64).map(|i| echo(session.clone(), 500 * i + round));
        join_all(echoes).await.into_iter().collect::<io::Result<()>>()?;
    }
    Ok(())
}

async fn upload(session: Session, bytes: u64) -> io::Result<()> {
    let stream = open(&session, b's', 0).await?;
    give(&stream, bytes).await?;
    told(stream, bytes).await
}

/// Ends this direction, and reads what the other side has counted.
async fn told(mut stream: Stream, bytes: u64) -> io::Result<()> {
    stream.close().await?;
    let mut count = Vec::new();
    stream.read_to_end(&mut count).await?;
    expect(count == bytes.to_be_bytes(), "another number of bytes arrived")
}

async fn download(session: Session, bytes: u64) -> io::Result<()> {
    let mut stream = open(&session, b'g', bytes).await?;
    // hashicorp sends its FIN behind ours.
    expect(sum_until(&stream, bytes).await? == bytes, "another number of bytes came")?;
    stream.close().await?;
    expect(sum(&stream).await? == 0, "more bytes came than were asked for")
}

async fn half_close(session: Session) -> io::Result<()> {
    for bytes in [0, 1, 1000, 300_000] {
        upload(session.clone(), bytes).await?;
    }
    Ok(())
}

/// The stream ends, and the session goes on.
async fn reset_ours(session: Session) -> io::Result<()> {
    for _ in 0..20 {
        let mut stream = open(&session, b'g', 1 << 20).await?;
        stream.read_exact(&mut [0; 1000]).await?;
        stream.reset(7);
        let stream = open(&session, b'e', 0).await?;
        give(&stream, 1000).await?;
        drop(stream); // a reset too
    }
    echo(session, 100_000).await
}

async fn reset_theirs(session: Session) -> io::Result<()> {
    let stream = open(&session, b'r', 0).await?;
    let err = stream.read_bytes().await.err();
    let reset = matches!(err, Some(Error::Reset { by: Initiator::Remote, .. }));
    expect(reset, "a reset looks like something else")?;
    echo(session, 1000).await
}

async fn ping(session: Session) -> io::Result<()> {
    for _ in 0..10 {
        session.ping().await?;
    }
    Ok(())
}

/// Both sides ask after each other several times a second, and nothing else happens: their pings
/// come, and the answers to ours. Without either this waits until the check's time is over.
async fn keepalive(session: Session) -> io::Result<()> {
    let asked = || {
        let stats = session.stats();
        stats.pings_received.min(stats.pongs_received)
    };
    while !session.is_closed() && asked() < KEEPALIVE_PINGS {
        time::sleep(Duration::from_millis(10)).await;
    }
    expect(!session.is_closed(), "the session did not outlive its keepalive")?;
    echo(session, 1000).await
}

async fn close(session: Session) -> io::Result<()> {
    echo(session.clone(), 10_000).await?;
    session.close().await?;
    expect(session.open().await.is_err(), "a session that is closed opens a stream")
}

/// They refuse what is above their limit, and nothing else.
async fn too_many(session: Session, peer: Peer) -> io::Result<()> {
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

async fn go_away(session: Session) -> io::Result<()> {
    let mut stream = open(&session, b'e', 0).await?;
    session.go_away();
    let refused = session.open().await.err();
    expect(matches!(refused, Some(Error::GoAway { .. })), "a stream was opened after GoAway")?;
    give(&stream, 100_000).await?;
    stream.close().await?;
    expect(sum(&stream).await? == 100_000, "the stream did not go on after GoAway")
}

/// They read nothing, and take 1 MiB all the same: the credit that their ACK announced.
async fn large_window(session: Session) -> io::Result<()> {
    let bytes = (1 << 20) - 9;
    let mut held = open(&session, b'h', 0).await?;
    give(&held, bytes).await?;
    held.flush().await?;
    drop(open(&session, b'w', 0).await?.close().await);
    told(held, bytes).await
}

//! What an opener asks of the other implementation, each time over a connection of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Session, Stream};
use net::TcpStream;
use reactor::time;

use crate::serve::{give, pinged, sum, sum_until};
use crate::{BACKLOG, Peer, ends, pressure};

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
    run.check("half close", ends::half_close).await?;
    run.check("a reset of ours", ends::reset_ours).await?;
    run.check("a ping", ping).await?;
    run.check("a ping while the streams are stuck", pressure::ping_behind_stuck_streams).await?;
    run.check("keepalive", keepalive).await?;
    run.check("close", ends::close).await?;
    run.check("more streams than they take", move |s| pressure::too_many(s, peer)).await?;
    run.check("a GoAway of theirs", move |s| ends::go_away_theirs(s, peer)).await?;
    if peer == Peer::Hashicorp {
        run.check("a GoAway of ours leaves streams alone", ends::go_away).await?;
        run.check("a window of 1 MiB", pressure::large_window).await?;
    } else {
        run.check("a GoAway of ours ends their streams", ends::go_away_ends_theirs).await?;
        run.check("a window that grows to 1 MiB", pressure::grown_window).await?;
        // hashicorp has no call for it.
        run.check("a reset of theirs", ends::reset_theirs).await?;
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

pub(crate) async fn open(session: &Session, what: u8, n: u64) -> io::Result<Stream> {
    let mut stream = session.open().await?;
    stream.write_all(&[&[what][..], &n.to_be_bytes()].concat()).await?;
    Ok(stream)
}

pub(crate) fn expect(holds: bool, what: &str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(what.to_owned())) }
}

/// Writes and reads at the same time: the window is smaller than what is under way.
pub(crate) async fn echo(session: Session, bytes: u64) -> io::Result<()> {
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

pub(crate) async fn upload(session: Session, bytes: u64) -> io::Result<()> {
    let stream = open(&session, b's', 0).await?;
    give(&stream, bytes).await?;
    told(stream, bytes).await
}

/// Ends this direction, and reads what the other side has counted.
pub(crate) async fn told(mut stream: Stream, bytes: u64) -> io::Result<()> {
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

async fn ping(session: Session) -> io::Result<()> {
    for _ in 0..10 {
        session.ping().await?;
    }
    Ok(())
}

/// Both sides ask after each other several times a second, and nothing else happens: their pings
/// come, and the answers to ours. Without either this waits until the check's time is over.
async fn keepalive(session: Session) -> io::Result<()> {
    pinged(&session, KEEPALIVE_PINGS).await;
    expect(!session.is_closed(), "the session did not outlive its keepalive")?;
    echo(session, 1000).await
}

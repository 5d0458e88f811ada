//! What an accepter does with a stream. The first byte says what, the eight bytes behind it are a
//! number `n`, big-endian:
//!
//! | byte | does |
//! |---|---|
//! | `e` | sends back what comes, up to the FIN |
//! | `s` | reads the pattern, `n` bytes of it or with 0 up to the FIN, then says how many bytes there were, in eight bytes |
//! | `g` | sends `n` bytes of the pattern and the FIN, and reads the pattern up to the peer's |
//! | `t` | says `n` once a stream `g` has read `n` bytes behind its own FIN |
//! | `r` | resets the stream |
//! | `p` | says `p`, and accepts no other stream until this one ends |
//! | `h` | as `s`, but reads nothing until a stream `w` comes |
//! | `w` | lets the held streams go on |
//! | `n` | says `n` once `n` streams of the session have ended by a reset of the opener |
//! | `k` | says `n` once each side has pinged the other `n` times; only this program counts |
//! | `a` | sends `n` bytes of the pattern, says GoAway, and goes on as `e` |
//! | `o` | as `s`, but says it when the peer's GoAway keeps it from opening streams |
//!
//! Numbers that it says have eight bytes, too. `t` and `n` are questions about other streams: a stream
//! that was ended or reset cannot tell what became of it. libp2p ends its directions before it says
//! GoAway: its `a` only reads then, and prints if it is not the `n` bytes that the opener sends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Error, GoAwayCode, Initiator, Session, Stream};
use net::TcpListener;
use reactor::time;

use crate::pattern;

/// What has happened on a session, for the streams that wait for it.
#[derive(Default)]
struct Seen {
    releases: Cell<u32>,
    resets: Cell<u64>,
    /// What a stream `g` has read behind its own FIN.
    tail_bytes: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Seen {
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        poll_fn(|cx| {
            if holds(self) {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn change<T>(&self, cell: &Cell<T>, value: T) {
        cell.set(value);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    fn note_end(&self, outcome: &io::Result<()>) {
        let Err(err) = outcome else { return };
        if let Some(Error::Reset { by: Initiator::Remote, .. }) = Error::of(err) {
            self.change(&self.resets, self.resets.get() + 1);
        }
    }
}

pub(crate) async fn serve(role: &str) -> io::Result<()> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (io, _) = listener.accept().await?;
        let (session, driver) = crate::session(role, io);
        reactor::spawn(async {
            match driver.await {
                // hashicorp closes its socket with our last words unread.
                Err(Error::Io(err)) if err.kind() == io::ErrorKind::ConnectionReset => {}
                Err(err) => println!("session: {err:?}"),
                Ok(()) => {}
            }
        })
        .detach();
        reactor::spawn(serve_session(session)).detach();
    }
}

async fn serve_session(session: Session) {
    let seen = Rc::new(Seen::default());
    while let Ok(mut stream) = session.accept().await {
        let mut head = [0; 9];
        if let Err(err) = stream.read_exact(&mut head).await {
            seen.note_end(&Err(err));
            continue; // reset before it began
        }
        let [what, n @ ..] = head;
        if what == b'p' {
            drop(pause(stream).await);
            continue;
        }
        let (session, seen) = (session.clone(), Rc::clone(&seen));
        reactor::spawn(async move {
            let n = u64::from_be_bytes(n);
            // Its errors are the checker's to judge, which sees them too.
            seen.note_end(&serve_stream(&session, stream, what, n, &seen).await);
        })
        .detach();
    }
}

async fn pause(mut stream: Stream) -> io::Result<()> {
    stream.write_all(b"p").await?;
    sum(&stream).await?;
    stream.close().await
}

async fn serve_stream(
    session: &Session,
    mut stream: Stream,
    what: u8,
    n: u64,
    seen: &Seen,
) -> io::Result<()> {
    match what {
        b'e' => echo(&stream).await?,
        b's' => tell_sum(&stream, n).await?,
        b'g' => {
            give(&stream, n).await?;
            stream.close().await?;
            seen.change(&seen.tail_bytes, sum(&stream).await?);
        }
        b't' => {
            seen.until(|seen| seen.tail_bytes.get() == n).await;
            say(&stream, n).await?;
        }
        b'r' => stream.reset(7),
        b'h' => {
            let before = seen.releases.get();
            seen.until(|seen| seen.releases.get() != before).await;
            tell_sum(&stream, n).await?;
        }
        b'w' => seen.change(&seen.releases, seen.releases.get() + 1),
        b'n' => {
            seen.until(|seen| seen.resets.get() >= n).await;
            say(&stream, n).await?;
        }
        b'k' => {
            pinged(session, n).await;
            say(&stream, n).await?;
        }
        b'a' => {
            give(&stream, n).await?;
            stream.flush().await?; // a GoAway would overtake what waits to be sent
            session.go_away();
            echo(&stream).await?;
        }
        b'o' => {
            let bytes = sum_until(&stream, if n == 0 { u64::MAX } else { n }).await?;
            told_to_go(session).await?;
            say(&stream, bytes).await?;
        }
        _ => return Err(io::Error::other(format!("no service is called {what}"))),
    }
    stream.close().await
}

async fn echo(stream: &Stream) -> io::Result<()> {
    while let Some(chunk) = stream.read_bytes().await? {
        stream.write_bytes(chunk).await?;
    }
    Ok(())
}

/// Waits until the peer's GoAway has come: then no stream can be opened.
pub(crate) async fn told_to_go(session: &Session) -> io::Result<()> {
    loop {
        match session.open().await {
            Ok(early) => drop(early),
            Err(Error::GoAway { by: Initiator::Remote, code: GoAwayCode::Normal }) => return Ok(()),
            Err(err) => return Err(err.into()),
        }
        session.ping().await?;
    }
}

/// Waits until each side has been asked after `n` times, and this one answered: their pings come, and
/// the answers to ours.
pub(crate) async fn pinged(session: &Session, n: u64) {
    let asked = || {
        let stats = session.stats();
        stats.pings_received.min(stats.pongs_received)
    };
    while !session.is_closed() && asked() < n {
        time::sleep(Duration::from_millis(10)).await;
    }
}

async fn say(mut stream: &Stream, n: u64) -> io::Result<()> {
    stream.write_all(&n.to_be_bytes()).await
}

/// Sends `n` bytes of the pattern.
pub(crate) async fn give(stream: &Stream, n: u64) -> io::Result<()> {
    give_from(stream, 0, n).await
}

/// Sends the pattern from `position` up to `end`.
pub(crate) async fn give_from(mut stream: &Stream, position: u64, end: u64) -> io::Result<()> {
    let mut position = position;
    while position < end {
        let length = (end - position).min(pattern::CHUNK_BYTES as u64) as usize;
        stream.write_all(pattern::chunk(position, length)).await?;
        position += length as u64;
    }
    Ok(())
}

/// Reads the pattern up to the FIN, and says how many bytes there were.
pub(crate) async fn sum(stream: &Stream) -> io::Result<u64> {
    sum_until(stream, u64::MAX).await
}

/// Reads at least `n` bytes, or up to the FIN.
pub(crate) async fn sum_until(stream: &Stream, n: u64) -> io::Result<u64> {
    let mut position = 0;
    while position < n {
        let Some(chunk) = stream.read_bytes().await? else { break };
        if !pattern::matches(position, &chunk) {
            return Err(io::Error::other(format!("other bytes than sent, from {position} on")));
        }
        position += chunk.len() as u64;
    }
    Ok(position)
}

async fn tell_sum(stream: &Stream, n: u64) -> io::Result<()> {
    let bytes = sum_until(stream, if n == 0 { u64::MAX } else { n }).await?;
    say(stream, bytes).await
}

//! What an accepter does with a stream. The first byte says what, the eight bytes behind it are a
//! number `n`, big-endian:
//!
//! | byte | does |
//! |---|---|
//! | `e` | sends back what comes, up to the FIN |
//! | `s` | reads the pattern, `n` bytes of it or with 0 up to the FIN, then says how many bytes there were, in eight bytes |
//! | `g` | sends `n` bytes of the pattern and the FIN, and reads up to the peer's |
//! | `r` | resets the stream |
//! | `p` | says `p`, and accepts no other stream until this one ends |
//! | `h` | as `s`, but reads nothing until a stream `w` comes |
//! | `w` | lets the held streams go on |

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Error, Session, Stream};
use net::TcpListener;

use crate::pattern;

/// Where streams wait until they are let go.
#[derive(Default)]
struct Held {
    releases: Cell<u32>,
    wakers: RefCell<Vec<Waker>>,
}

impl Held {
    async fn wait(&self) {
        let before = self.releases.get();
        poll_fn(|cx| {
            if self.releases.get() != before {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn release(&self) {
        self.releases.set(self.releases.get() + 1);
        self.wakers.take().into_iter().for_each(Waker::wake);
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
    let held = Rc::new(Held::default());
    while let Ok(mut stream) = session.accept().await {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            continue; // reset before it began
        }
        let ([what, n @ ..], held) = (head, Rc::clone(&held));
        if what == b'p' {
            drop(pause(stream).await);
        } else {
            // Its errors are the checker's to judge, which sees them too.
            reactor::spawn(serve_stream(stream, what, u64::from_be_bytes(n), held)).detach();
        }
    }
}

async fn pause(mut stream: Stream) -> io::Result<()> {
    stream.write_all(b"p").await?;
    sum(&stream).await?;
    stream.close().await
}

async fn serve_stream(mut stream: Stream, what: u8, n: u64, held: Rc<Held>) -> io::Result<()> {
    match what {
        b'e' => {
            while let Some(chunk) = stream.read_bytes().await? {
                stream.write_bytes(chunk).await?;
            }
        }
        b's' => tell_sum(&stream, n).await?,
        b'g' => {
            give(&stream, n).await?;
            stream.close().await?;
            sum(&stream).await?;
        }
        b'r' => stream.reset(7),
        b'h' => {
            held.wait().await;
            tell_sum(&stream, n).await?;
        }
        b'w' => held.release(),
        _ => return Err(io::Error::other(format!("no service is called {what}"))),
    }
    stream.close().await
}

/// Sends `n` bytes of the pattern.
pub(crate) async fn give(mut stream: &Stream, n: u64) -> io::Result<()> {
    let mut position = 0;
    while position < n {
        let length = (n - position).min(pattern::CHUNK_BYTES as u64) as usize;
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

async fn tell_sum(mut stream: &Stream, n: u64) -> io::Result<()> {
    let bytes = sum_until(stream, if n == 0 { u64::MAX } else { n }).await?;
    stream.write_all(&bytes.to_be_bytes()).await
}

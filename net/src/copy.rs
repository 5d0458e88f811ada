//! Moving bytes from socket to socket, without a look at them.
//!
//! One round waits until the source is readable, borrows a [pipe](crate::pipe), moves what is there
//! into it and from there to the sink, and gives the pipe back. Where there is little to move, or
//! splice(2) cannot be had, a round goes through a buffer that the thread lends: the system refuses
//! it for these descriptors, or there is no pipe. Either way a copy that waits for its source holds
//! nothing.
//!
//! Go's `internal/poll.Splice` keeps its pipe for the whole copy. Here ten thousand idle connections
//! would then be twenty thousand descriptors.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::Poll;

use reactor::{Direction, is_closed};

use crate::lent;
use crate::network::StreamNetwork;
use crate::pipe::{self, LentPipe};
use crate::socket::{Sink, Source};
use crate::stream::Stream;

mod idle;

pub use idle::copy_bidirectional_idle;

/// What a read has to find for a copy to splice: 16 KiB. To hand on a page costs more than to copy a
/// few hundred bytes: 64 bytes and 4 KiB at a time take a tenth more CPU spliced, from 16 KiB on there
/// is no difference, and 64 KiB take half as much (`echo_table forward`).
pub const SPLICE_BYTES_MIN: usize = 16 << 10;

/// An error of a copy, and how far it came.
///
/// `N` is the count of bytes that were written, or for [`copy_bidirectional`] the two counts. What
/// was read and not written is lost: it was in the pipe. As an [`io::Error`], which `?` turns it
/// into, it is [`source`](Self::source).
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// let (near, from) = net::UnixStream::pair()?;
/// let (to, gone) = net::UnixStream::pair()?;
/// near.write_all(b"lost").await?;
/// drop(gone);
/// let err = net::copy(&from, &to).await.unwrap_err();
/// assert_eq!((err.copied, err.source.kind()), (0, std::io::ErrorKind::BrokenPipe));
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct CopyError<N = u64> {
    /// Bytes written before the error.
    pub copied: N,
    /// What failed: a `read` of the source or a `write` to the sink ([`OpError`](crate::OpError)).
    pub source: io::Error,
}

impl<N> fmt::Display for CopyError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl<N: fmt::Debug> Error for CopyError<N> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl<N> From<CopyError<N>> for io::Error {
    fn from(err: CopyError<N>) -> Self {
        err.source
    }
}

/// Moves bytes from one socket to another until the source's end of stream, and returns how many.
/// The sink is not shut down.
///
/// Small messages go through a buffer. Once [`SPLICE_BYTES_MIN`] bytes have come at a time, and until
/// less has come twice in a row, they stay within the kernel where that is possible, by splice(2) in
/// pieces of at most [`SPLICE_BYTES_MAX`](crate::SPLICE_BYTES_MAX). What is on the way is never more than
/// one piece: a sink that takes nothing stops the reading. Deadlines are those of the
/// sockets: the source's for reads, the sink's for writes.
///
/// ```
/// # reactor::block_on(async {
/// use net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let near = TcpStream::connect(listener.local_addr()?).await?;
/// let (far, _) = listener.accept().await?;
/// let echo = reactor::spawn(async move { net::copy(&far, &far).await });
///
/// near.write_all(b"to and fro").await?;
/// near.shutdown(std::net::Shutdown::Write)?;
/// assert_eq!(echo.await.unwrap()?, 10);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Cancellation
/// Dropped while it waits for the source, it has lost nothing. Dropped while it waits for the sink,
/// what it holds is lost, at most one piece, and how many bytes were written is not known. So cancel
/// it together with its connections.
///
/// # SIGPIPE
/// splice(2) cannot say `MSG_NOSIGNAL`: a sink that lost its peer raises the signal. A Rust program
/// ignores it from its start; a library in a program of another language has to see to that.
///
/// # Errors
/// What failed and how many bytes were written before: [`CopyError`].
pub async fn copy<R: Source, W: Sink>(from: &R, to: &W) -> Result<u64, CopyError> {
    let copied = Cell::new(0);
    let ended = transfer(from.stream(), to.stream(), &copied).await;
    counted(ended, copied.get())
}

/// Moves bytes both ways between two sockets until both have ended, and returns how many: from `a`
/// to `b`, and from `b` to `a`.
///
/// The end of one's stream is passed on by shutting down writing to the other, and the other way
/// goes on: half-closed connections stay half-closed. An error of either way ends both, since a
/// connection that lost a byte is of no use. Who then [resets](crate::TcpStream::reset) the two streams
/// tells both peers; who only drops them may end them in order, as if all had arrived.
///
/// Each way is a [`copy`], with its limits and its deadlines. Those are points in time that nobody moves
/// on here, so they limit how long the pair lives; [`copy_bidirectional_idle`] limits how long it may be
/// silent.
///
/// ```
/// # reactor::block_on(async {
/// use net::UnixStream;
/// use std::net::Shutdown;
///
/// let (client, accepted) = UnixStream::pair()?;
/// let (dialed, server) = UnixStream::pair()?;
/// let forwarding = reactor::spawn(async move {
///     net::copy_bidirectional(&accepted, &dialed).await
/// });
///
/// client.write_all(b"a question").await?;
/// client.shutdown(Shutdown::Write)?;
/// let mut buffer = [0; 16];
/// assert_eq!(server.read(&mut buffer).await?, 10);
/// assert_eq!(server.read(&mut buffer).await?, 0, "the end is passed on");
/// server.write_all(b"an answer").await?;
/// drop(server);
/// assert_eq!(client.read(&mut buffer).await?, 9);
/// assert_eq!(forwarding.await.unwrap()?, (10, 9));
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Cancellation
/// As [`copy`]: what either way holds is lost, so [reset](crate::TcpStream::reset) both.
///
/// # Errors
/// What failed first, and how many bytes were written each way: [`CopyError`].
pub async fn copy_bidirectional<A, B>(a: &A, b: &B) -> Result<(u64, u64), CopyError<(u64, u64)>>
where
    A: Source + Sink,
    B: Source + Sink,
{
    let copied = Counts::default();
    let ended = pass(a.stream(), b.stream(), &copied).await;
    counted(ended, copied.both())
}

/// Bytes written from the first to the second, and back. They grow while others look on.
#[derive(Default)]
struct Counts {
    there: Cell<u64>,
    back: Cell<u64>,
}

impl Counts {
    fn both(&self) -> (u64, u64) {
        (self.there.get(), self.back.get())
    }
}

pub(crate) fn add(count: &Cell<u64>, bytes: usize) {
    count.set(count.get() + bytes as u64);
}

pub(crate) fn counted<N>(ended: io::Result<()>, copied: N) -> Result<N, CopyError<N>> {
    match ended {
        Ok(()) => Ok(copied),
        Err(source) => Err(CopyError { copied, source }),
    }
}

async fn pass<A: StreamNetwork, B: StreamNetwork>(
    a: &Stream<A>,
    b: &Stream<B>,
    copied: &Counts,
) -> io::Result<()> {
    let there = transfer_and_shut_down(a, b, &copied.there);
    let back = transfer_and_shut_down(b, a, &copied.back);
    both(there, back).await
}

/// Both to their end, or one to its error. They take turns at being first, or the one that is
/// always first could use up the operations of every poll.
async fn both(
    a: impl Future<Output = io::Result<()>>,
    b: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut ways: [Pin<&mut dyn Future<Output = io::Result<()>>>; 2] = [pin!(a), pin!(b)];
    let mut ended = [false; 2];
    let mut first = 1;
    poll_fn(|cx| {
        first = 1 - first;
        for way in [first, 1 - first] {
            if !ended[way] {
                ended[way] = ways[way].as_mut().poll(cx)?.is_ready();
            }
        }
        if ended == [true; 2] { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

async fn transfer_and_shut_down<R: StreamNetwork, W: StreamNetwork>(
    from: &Stream<R>,
    to: &Stream<W>,
    copied: &Cell<u64>,
) -> io::Result<()> {
    transfer(from, to, copied).await?;
    match to.shutdown(Shutdown::Write) {
        // The peer is gone, and nobody is left to be told.
        Err(err) if err.kind() == io::ErrorKind::NotConnected && !is_closed(&err) => Ok(()),
        result => result,
    }
}

/// What a round came to.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// There was nothing.
    Nothing,
    /// So many bytes were there, and were moved.
    Moved(usize),
    /// The source has ended.
    End,
    /// The system does not splice these two. What was in the pipe was moved all the same.
    CannotSplice,
}

async fn transfer<R: StreamNetwork, W: StreamNetwork>(
    from: &Stream<R>,
    to: &Stream<W>,
    copied: &Cell<u64>,
) -> io::Result<()> {
    let mut splices = true;
    // Of the last two rounds that found something: a large message ends in a small piece.
    let mut found_much = [false; 2];
    loop {
        from.readable().await?;
        let pipe = if splices && found_much != [false; 2] { pipe::lend() } else { None };
        let round = match pipe {
            Some(pipe) => splice_round(from, to, pipe, copied).await?,
            None => buffer_round(from, to, copied).await?,
        };
        match round {
            Round::Nothing => {}
            Round::Moved(n) => found_much = [found_much[1], n >= SPLICE_BYTES_MIN],
            Round::End => return Ok(()),
            Round::CannotSplice => splices = false,
        }
    }
}

async fn splice_round<R: StreamNetwork, W: StreamNetwork>(
    from: &Stream<R>,
    to: &Stream<W>,
    mut pipe: LentPipe,
    copied: &Cell<u64>,
) -> io::Result<Round> {
    let found = match from.fd.try_io(Direction::Read, |fd| pipe.fill(fd)) {
        Ok(0) => return Ok(Round::End),
        Ok(n) => n,
        Err(err) if is_nothing_yet(&err) => return Ok(Round::Nothing),
        Err(err) if cannot_splice(&err) => return Ok(Round::CannotSplice),
        Err(err) => return Err(from.error("read", err)),
    };
    if !R::HAS_MARKS && pipe.proves_drained(found) {
        from.fd.drained(Direction::Read);
    }
    while pipe.held_bytes() != 0 {
        let held = pipe.held_bytes();
        match to.fd.io(Direction::Write, |fd| pipe.drain(fd)).await {
            Ok(n) => {
                add(copied, n);
                if n < held {
                    to.fd.drained(Direction::Write);
                }
            }
            Err(err) if cannot_splice(&err) => {
                pour(&mut pipe, to, copied).await?;
                return Ok(Round::CannotSplice);
            }
            Err(err) => return Err(to.error("write", err)),
        }
    }
    Ok(Round::Moved(found))
}

/// Writes what is in the pipe, by a buffer.
async fn pour<W: StreamNetwork>(
    pipe: &mut LentPipe,
    to: &Stream<W>,
    copied: &Cell<u64>,
) -> io::Result<()> {
    while pipe.held_bytes() != 0 {
        let poured = lent::with(|buf| pipe.read(buf).map(|n| buf[..n].to_vec()));
        let poured = poured.map_err(|err| to.error("write", err))?;
        write_all(to, &poured, copied).await?;
    }
    Ok(())
}

/// A round without a pipe: one read and one write, and what the sink did not take is waited for.
async fn buffer_round<R: StreamNetwork, W: StreamNetwork>(
    from: &Stream<R>,
    to: &Stream<W>,
    copied: &Cell<u64>,
) -> io::Result<Round> {
    let (round, rest) = lent::with(|buf| {
        let n = match from.try_read(buf) {
            Ok(0) => return Ok((Round::End, Vec::new())),
            Err(err) if is_nothing_yet(&err) => return Ok((Round::Nothing, Vec::new())),
            result => result?,
        };
        let sent = match to.try_write(&buf[..n]) {
            Err(err) if is_nothing_yet(&err) => 0,
            result => result?,
        };
        add(copied, sent);
        Ok::<_, io::Error>((Round::Moved(n), buf[sent..n].to_vec()))
    })?;
    write_all(to, &rest, copied).await?;
    Ok(round)
}

/// [`Stream::write_all`] that counts.
pub(crate) async fn write_all<W: StreamNetwork>(
    to: &Stream<W>,
    mut buf: &[u8],
    copied: &Cell<u64>,
) -> io::Result<()> {
    while !buf.is_empty() {
        let n = to.write(buf).await?;
        add(copied, n);
        buf = &buf[n..];
    }
    Ok(())
}

fn is_nothing_yet(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// `EINVAL`: one of the two has no such operation. `ENOSYS` and `EPERM`: a sandbox forbids the call.
pub(crate) fn cannot_splice(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM))
}

#[cfg(test)]
mod tests;

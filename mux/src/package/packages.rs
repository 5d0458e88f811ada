//! Packages on a connection.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use super::{Decoder, Error, Format, Package};
use crate::buffers;
use crate::proto::LEND_BYTES_MIN;

/// Reads and writes packages on any connection.
///
/// It holds no read buffer while it waits. At most it holds what one read brought (64 KiB), the
/// package that has begun, and the one that is being written. Of the 64 KiB that a large read
/// fills, packages are parts and not copies ([`Decoder`]); a header and its body leave in one
/// vectored write.
///
/// Each direction goes on by itself only as long as somebody waits for it: there is no driver.
///
/// ```
/// # #[path = "../../tests/support/mod.rs"] mod support;
/// use mux::package::{Format, Packages};
///
/// # let (near, far) = support::pipe(64 * 1024);
/// # reactor::block_on(async {
/// let (mut near, mut far) = (Packages::new(near, Format::STREAM), Packages::new(far, Format::STREAM));
/// near.write("hello".into()).await?;
/// near.close().await?;
/// assert_eq!(far.read().await?.unwrap().body(), b"hello");
/// assert!(far.read().await?.is_none());
/// # Ok::<_, mux::package::Error>(())
/// # })?.unwrap();
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Packages<S> {
    io: S,
    format: Format,
    decoder: Decoder,
    /// What was read and belongs to no package yet.
    input: Bytes,
    ended: bool,
    outgoing: Outgoing,
    /// A write has begun, and its package is not in `outgoing` yet.
    untaken: bool,
    written_bytes: u64,
}

/// The package that is being written. Its place is here and not in a future, so that one that is
/// dropped leaves no half of a package on the wire.
#[derive(Debug, Default)]
struct Outgoing {
    /// Kept for the next package: a write allocates nothing.
    header: Vec<u8>,
    body: Bytes,
    sent_bytes: usize,
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packages<S> {
    /// Packages of this format on a connection.
    pub fn new(io: S, format: Format) -> Self {
        Self {
            io,
            format,
            decoder: Decoder::new(format),
            input: Bytes::new(),
            ended: false,
            outgoing: Outgoing::default(),
            untaken: false,
            written_bytes: 0,
        }
    }

    /// The next package. `None`: the connection has ended, behind a whole one.
    ///
    /// Cancel-safe: what has come of a package stays.
    ///
    /// # Errors
    /// [`Error::Malformed`] by the peer, whose connection is of no more use: a length that is not
    /// allowed, or an end within a package. [`Error::Io`].
    pub async fn read(&mut self) -> Result<Option<Package>, Error> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// [`read`](Self::read) for poll functions.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Package>, Error>> {
        loop {
            let decoded = self.decoder.decode(&mut self.input).map_err(Error::received)?;
            if decoded.is_some() {
                return Poll::Ready(Ok(decoded));
            }
            if self.ended {
                let end = self.decoder.end().map_err(Error::received);
                return Poll::Ready(end.map(|()| None));
            }
            ready!(self.poll_fill(cx)).map_err(Error::io)?;
        }
    }

    /// Writes a package and flushes it. What its header has beside the length is 0.
    ///
    /// If the future is dropped, the package goes out whole or not at all. It has been taken, and
    /// goes out all the same, when it was polled and nothing of an earlier write that was dropped
    /// was left to be sent before it: what is left of it comes before the next one, or with
    /// [`flush`](Self::flush). So whoever drops writes, and has to know, waits for `flush` before
    /// each: that is cancel-safe, and behind it a write takes its package in its first poll.
    ///
    /// # Errors
    /// [`Error::Malformed`] by this side when the package would be too long: nothing is written,
    /// and the connection is as it was. [`Error::Io`].
    pub async fn write(&mut self, body: Bytes) -> Result<(), Error> {
        self.make_room().await?;
        self.outgoing.header.resize(self.format.header_bytes(), 0);
        self.begin(body)?;
        self.flush().await
    }

    /// [`write`](Self::write) with a header of one's own, in which the length is filled in.
    /// Dropping the future does what it does there.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Panics
    /// When `header` does not have exactly [`Format::header_bytes`]; then nothing was written, and
    /// the connection is as it was.
    pub async fn write_with(&mut self, header: &[u8], body: Bytes) -> Result<(), Error> {
        let header_bytes = self.format.header_bytes();
        assert_eq!(header.len(), header_bytes, "a header of another length than the format's");
        self.make_room().await?;
        self.outgoing.header.extend_from_slice(header);
        self.begin(body)?;
        self.flush().await
    }

    /// Sends what a write that was dropped has left. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await.map_err(Error::io)
    }

    /// Sends what is left, and closes this direction: the peer reads to the end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn close(&mut self) -> Result<(), Error> {
        self.flush().await?;
        poll_fn(|cx| Pin::new(&mut self.io).poll_close(cx)).await.map_err(Error::io)
    }

    /// Waits until the peer has ended its direction, or the connection has failed. What comes
    /// before that is not looked at.
    pub(super) async fn ended(&mut self) {
        let ended = poll_fn(|cx| {
            while !self.ended {
                self.input = Bytes::new();
                if ready!(self.poll_fill(cx)).is_err() {
                    break;
                }
            }
            Poll::Ready(())
        });
        ended.await;
    }

    /// Sends what is left of an earlier package, so that the next can be taken.
    async fn make_room(&mut self) -> Result<(), Error> {
        self.untaken = true;
        let flushed = self.flush().await;
        self.untaken = false;
        flushed
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = buffers::take();
        let outcome = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
        let lent = match outcome {
            Poll::Ready(Ok(len)) if len >= LEND_BYTES_MIN => buffers::lend(buffer),
            _ => Err(buffer),
        };
        match (outcome, lent) {
            (Poll::Ready(Ok(len)), Ok(mut lent)) => self.input = lent.split_to(len),
            (outcome, Ok(_)) => unreachable!("lent after {outcome:?}"),
            (outcome, Err(buffer)) => {
                if let Poll::Ready(Ok(len)) = outcome {
                    self.input = Bytes::copy_from_slice(&buffer[..len]);
                    self.ended = len == 0;
                }
                buffers::give(buffer);
                return match ready!(outcome) {
                    Err(err) if err.kind() != io::ErrorKind::Interrupted => Poll::Ready(Err(err)),
                    _ => Poll::Ready(Ok(())),
                };
            }
        }
        Poll::Ready(Ok(()))
    }

    fn begin(&mut self, body: Bytes) -> Result<(), Error> {
        let outgoing = &mut self.outgoing;
        if let Err(what) = self.format.write_length(&mut outgoing.header, body.len()) {
            outgoing.header.clear();
            return Err(Error::own(what.behind(self.written_bytes)));
        }
        outgoing.body = body;
        outgoing.unflushed = true;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_sent() {
            let slices = self.outgoing.slices();
            match ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &slices)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => {
                    self.outgoing.sent_bytes += bytes;
                    self.written_bytes += bytes as u64;
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Poll::Ready(Err(err)),
            }
        }
        self.outgoing.clear();
        if self.outgoing.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.outgoing.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Packages<S> {
    /// Whether the last write was dropped before its package was taken.
    pub(super) fn has_untaken(&self) -> bool {
        self.untaken
    }

    /// Bytes that the connection has taken, with the headers.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// The connection.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// The connection. What was read and not given, and what was not sent, is lost.
    pub fn into_inner(self) -> S {
        self.io
    }
}

impl<S> fmt::Debug for Packages<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packages")
            .field("format", &self.format)
            .field("written_bytes", &self.written_bytes)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    fn is_sent(&self) -> bool {
        self.sent_bytes == self.header.len() + self.body.len()
    }

    fn slices(&self) -> [IoSlice<'_>; 2] {
        let header = &self.header[self.sent_bytes.min(self.header.len())..];
        let body = &self.body[self.sent_bytes.saturating_sub(self.header.len())..];
        [IoSlice::new(header), IoSlice::new(body)]
    }

    fn clear(&mut self) {
        self.header.clear();
        self.body = Bytes::new();
        self.sent_bytes = 0;
    }
}

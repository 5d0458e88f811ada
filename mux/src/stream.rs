//! The handle of a stream.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use crate::Error;
use crate::proto::{self, Key};
use crate::shared::{Shared, Side};

/// One stream of a [`Session`](crate::Session): an ordered pipe of bytes each way.
///
/// Reading gives what has arrived, then the end if the peer has sent its FIN, or else an error: a
/// stream that was reset, or whose session died, does not look like one that ended. Writing queues
/// up to [`Config::send_queue_bytes_max`](crate::Config); the driver sends.
///
/// `AsyncRead` and `AsyncWrite` are there for `&Stream` too, so that two futures of a task can read
/// and write at the same time. One reader and one writer can wait; a second of a kind takes the
/// place of the first.
///
/// # Dropping
/// What was written is still sent. Behind it goes a FIN if both directions are clean: the peer's
/// FIN has come, and everything was read. If only this side has shut down, the peer may go on until
/// it sends data, which is answered by an RST. In every other case an RST goes behind what was
/// written, and the peer reads an error after it.
pub struct Stream {
    shared: Rc<Shared>,
    key: Key,
}

impl Stream {
    pub(crate) fn new(shared: Rc<Shared>, key: Key) -> Self {
        Self { shared, key }
    }

    /// The id on the wire: odd for streams of the client, even for streams of the server.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.key.id
    }

    /// Takes the next chunk that has arrived, without copying it, or waits for it; `None` at the
    /// end of the stream. A chunk is never empty, and at most as large as the window. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Reset`], and what ended the session; after everything that arrived before.
    pub async fn read_bytes(&self) -> Result<Option<Bytes>, Error> {
        Attempt::new(self, Side::Reader, proto::Session::read_bytes).await
    }

    /// Queues a chunk to be sent, without copying it (unless it is small). Waits until less than
    /// [`Config::send_queue_bytes_max`](crate::Config) is queued; the chunk may be larger.
    /// Cancel-safe: until it returns nothing is queued.
    ///
    /// # Errors
    /// [`Error::WriteAfterShutdown`], [`Error::Reset`], and what ended the session.
    pub async fn write_bytes(&self, data: Bytes) -> Result<(), Error> {
        Attempt::new(self, Side::Writer, proto::Session::poll_room).await?;
        self.shared.inner.borrow_mut().proto.write_bytes(self.key, data);
        self.shared.kick();
        Ok(())
    }

    /// Ends this side's direction: a FIN goes out behind what was written. Does not wait for it to
    /// be sent; `flush` does. Reading goes on. The same as `close` of `AsyncWrite`; twice is no
    /// error.
    ///
    /// # Errors
    /// [`Error::Reset`], and what ended the session.
    pub fn shutdown(&self) -> Result<(), Error> {
        let done = self.shared.inner.borrow_mut().proto.shutdown(self.key);
        self.shared.kick();
        done
    }

    /// Ends both directions at once. What is queued or unread is dropped, and the peer reads an
    /// error after what it has received. Without effect on a stream that is over.
    pub fn reset(&self) {
        self.shared.inner.borrow_mut().proto.reset(self.key);
        self.shared.kick();
    }

    fn poll<T>(
        &self,
        cx: &Context<'_>,
        side: Side,
        attempt: impl FnOnce(&mut proto::Session, Key) -> Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        self.poll_parking(cx, side, &mut None, attempt)
    }

    /// Notes in `parked` which turn it waits in.
    fn poll_parking<T>(
        &self,
        cx: &Context<'_>,
        side: Side,
        parked: &mut Option<u64>,
        attempt: impl FnOnce(&mut proto::Session, Key) -> Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        let mut inner = self.shared.inner.borrow_mut();
        let outcome = attempt(&mut inner.proto, self.key);
        if outcome.is_pending() {
            let (turn, old) = inner.place(self.key, side).park(cx);
            drop(inner);
            drop(old);
            *parked = Some(turn);
            return Poll::Pending;
        }
        let work = inner.proto.has_work();
        drop(inner);
        if work {
            self.shared.kick();
        }
        outcome
    }

    fn poll_write_slices(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut room = ready!(self.poll(cx, Side::Writer, proto::Session::poll_room))?;
        let mut written = 0;
        let mut inner = self.shared.inner.borrow_mut();
        for buf in bufs {
            let part = &buf[..buf.len().min(room)];
            inner.proto.write(self.key, part);
            written += part.len();
            room -= part.len();
        }
        drop(inner);
        self.shared.kick();
        Poll::Ready(Ok(written))
    }
}

/// Waits for a side of a stream; takes its waker along when it is dropped.
struct Attempt<'s, F> {
    stream: &'s Stream,
    side: Side,
    parked: Option<u64>,
    attempt: F,
}

impl<'s, F> Attempt<'s, F> {
    fn new(stream: &'s Stream, side: Side, attempt: F) -> Self {
        Self { stream, side, parked: None, attempt }
    }
}

impl<T, F> Future for Attempt<'_, F>
where
    F: FnMut(&mut proto::Session, Key) -> Poll<Result<T, Error>> + Unpin,
{
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.stream.poll_parking(cx, this.side, &mut this.parked, &mut this.attempt)
    }
}

impl<F> Drop for Attempt<'_, F> {
    fn drop(&mut self) {
        let Some(turn) = self.parked else { return };
        let mut inner = self.stream.shared.inner.borrow_mut();
        let own = inner.place(self.stream.key, self.side).leave(turn);
        drop(inner);
        drop(own);
    }
}

impl AsyncRead for &Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = self.poll(cx, Side::Reader, |proto, key| proto.read(key, buf));
        read.map_err(io::Error::from)
    }
}

impl AsyncWrite for &Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, bufs)
    }

    /// Ready when the writer has taken everything that was written, and the FIN behind it. An error
    /// if the stream or the session ended before.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, Side::Writer, proto::Session::poll_flushed).map_err(io::Error::from)
    }

    /// [`Stream::shutdown`]: never pending.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown().map_err(io::Error::from))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let wakers = {
            let mut inner = self.shared.inner.borrow_mut();
            inner.proto.release(self.key);
            std::mem::take(inner.wakers(self.key))
        };
        drop(wakers);
        self.shared.kick();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.key.id).finish_non_exhaustive()
    }
}

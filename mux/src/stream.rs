//! The handle of a stream.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use crate::proto::{self, Alarm, Key};
use crate::shared::{NoClone, Shared, Side};
use crate::split::{self, OwnedReadHalf, OwnedWriteHalf};
use crate::{Error, ResetCode, StreamStats};

/// One stream of a [`Session`](crate::Session): an ordered pipe of bytes each way.
///
/// Reading gives what has arrived, then the end if the peer has sent its FIN, or else an error: a
/// stream that was reset, or whose session died, does not look like one that ended. Writing queues
/// up to `send_queue_bytes_max` of the [`Config`](crate::Config), and up to its `send_bytes_max` for all
/// streams together; the driver sends.
///
/// `AsyncRead` and `AsyncWrite` are there for `&Stream` too, so that two futures of a task can read
/// and write at the same time. One reader and one writer can wait; a second of a kind takes the
/// place of the first. [`into_split`](Self::into_split) gives halves for two tasks.
///
/// # Deadlines
/// A deadline holds for all operations of its direction, those that wait already included, until
/// another is set. Past it they give [`Error::DeadlineExceeded`], even when they could proceed. What
/// was written before is still sent.
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
    /// end of the stream. A chunk is never empty, and at most as large as the window. A large one
    /// (8 KiB and more) can be part of the buffer of 64 KiB that it was read into, and keeps that in
    /// memory as long as it lives, or as any other part of it does. At most 32 such buffers of a thread
    /// are out at a time; when they are, chunks are copies, which keep at most twice their own size
    /// (unless `read` took the beginning of one): so who keeps many pays by copies for all.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] at once; after everything that arrived before, [`Error::Reset`],
    /// [`Error::OpenTimeout`], and what ended the session.
    pub async fn read_bytes(&self) -> Result<Option<Bytes>, Error> {
        Attempt::new(self, Side::Reader, proto::Session::read_bytes).await
    }

    /// Queues a chunk to be sent, without copying it (unless it is small). Waits until less than
    /// [`Config::send_queue_bytes_max`](crate::Config) of the stream is queued, and until there is room
    /// in `send_bytes_max` or its turn has come; the chunk may be larger than either, and goes whole.
    /// Cancel-safe: until it returns nothing is queued.
    ///
    /// # Errors
    /// [`Error::WriteAfterShutdown`], [`Error::DeadlineExceeded`], [`Error::Reset`],
    /// [`Error::OpenTimeout`], and what ended the session.
    pub async fn write_bytes(&self, mut data: Bytes) -> Result<(), Error> {
        // What is left in `data` is dropped here, when nothing is borrowed.
        let write = |proto: &mut proto::Session, key| {
            ready!(proto.poll_room(key, data.len()))?;
            proto.write_bytes(key, &mut data);
            Poll::Ready(Ok(()))
        };
        Attempt::new(self, Side::Writer, write).await
    }

    /// Ends this side's direction: a FIN goes out behind what was written. Does not wait for it to
    /// be sent; `flush` does. Reading goes on. The same as `close` of `AsyncWrite`; twice is no
    /// error.
    ///
    /// # Errors
    /// [`Error::Reset`], and what ended the session.
    pub fn shutdown(&self) -> Result<(), Error> {
        let done = self.shared.with(|inner| inner.proto.shutdown(self.key));
        self.shared.kick();
        done
    }

    /// Ends both directions at once. What is queued or unread is dropped, and the peer reads an
    /// error after what it has received, with the code if it knows of codes ([`ResetCode`]). Without
    /// effect on a stream that is over.
    pub fn reset(&self, code: impl Into<ResetCode>) {
        let code = code.into();
        self.shared.with(|inner| inner.proto.reset(self.key, code));
        self.shared.kick();
    }

    /// Waits until nobody will read what is written: for a writer that has nothing to write yet and
    /// wants to stop its work when the reader is gone. `Ok` when both directions have ended in
    /// order. Cancel-safe; one can wait.
    ///
    /// yamux has no frame for a reader alone, so this is the end of the stream as a whole.
    ///
    /// # Errors
    /// [`Error::Reset`], [`Error::OpenTimeout`], and what ended the session: why nobody reads.
    pub async fn stopped(&self) -> Result<(), Error> {
        Attempt::new(self, Side::Watcher, proto::Session::poll_stopped).await
    }

    /// Two halves, for two tasks. The stream is dropped with the second of them.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::owned(self)
    }

    /// Sets the deadline of reads and writes both; `None` clears them.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.set_read_deadline(deadline);
        self.set_write_deadline(deadline);
    }

    /// Sets the deadline of reads; `None` clears it.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.set_alarm(Alarm::Read, deadline);
    }

    /// Sets the deadline of writes and flushes; `None` clears it.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.set_alarm(Alarm::Write, deadline);
    }

    fn set_alarm(&self, alarm: Alarm, at: Option<Instant>) {
        let now = reactor::time::now();
        self.shared.with(|inner| inner.proto.set_deadline(self.key, alarm, at, now));
        self.shared.kick();
    }

    /// What the stream has done, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> StreamStats {
        self.shared.with(|inner| inner.proto.stream_stats(self.key))
    }

    /// Nobody will write any more, though somebody may read.
    pub(crate) fn finish_writing(&self) {
        self.shared.with(|inner| inner.proto.finish_writing(self.key));
        self.shared.kick();
    }

    fn poll<T>(
        &self,
        cx: &Context<'_>,
        side: Side,
        attempt: impl FnMut(&mut proto::Session, Key) -> Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        self.poll_parking(cx, side, &mut None, attempt)
    }

    /// Notes in `parked` which turn it waits in.
    fn poll_parking<T>(
        &self,
        cx: &Context<'_>,
        side: Side,
        parked: &mut Option<u32>,
        mut attempt: impl FnMut(&mut proto::Session, Key) -> Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        let outcome = self.try_or_park(cx, side, None, parked, Some(&mut attempt));
        outcome.unwrap_or_else(|NoClone| {
            let before = self.shared.acts();
            let clone = cx.waker().clone();
            // That is code of others, which may have brought about what this waits for.
            let again = (self.shared.acts() != before).then_some(&mut attempt);
            let outcome = self.try_or_park(cx, side, Some(clone), parked, again);
            outcome.unwrap_or_else(|NoClone| unreachable!("given above"))
        })
    }

    /// One try, if there is an attempt to make; else, or if it is pending, the task waits.
    fn try_or_park<T>(
        &self,
        cx: &Context<'_>,
        side: Side,
        clone: Option<Waker>,
        parked: &mut Option<u32>,
        attempt: Option<&mut impl FnMut(&mut proto::Session, Key) -> Poll<Result<T, Error>>>,
    ) -> Result<Poll<Result<T, Error>>, NoClone> {
        let (outcome, old, driver) = self.shared.with(|inner| {
            let outcome =
                attempt.map_or(Poll::Pending, |try_it| try_it(&mut inner.proto, self.key));
            if outcome.is_ready() {
                let work = inner.proto.has_work();
                return Ok((outcome, clone, inner.take_driver(work)));
            }
            let (turn, old) = inner.place(self.key, side).park(cx, clone)?;
            *parked = Some(turn);
            let work = inner.proto.owes_turn();
            Ok((Poll::Pending, old, inner.take_driver(work)))
        })?;
        drop(old);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(outcome)
    }

    fn poll_write_slices(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let write = |proto: &mut proto::Session, key| proto.write_vectored(key, bufs);
        self.poll(cx, Side::Writer, write).map_err(io::Error::from)
    }
}

/// Waits for a side of a stream; takes its waker along when it is dropped.
struct Attempt<'s, F> {
    stream: &'s Stream,
    side: Side,
    parked: Option<u32>,
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

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = self.poll(cx, Side::Reader, |proto, key| proto.read_vectored(key, bufs));
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

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
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
        let wakers = self.shared.with(|inner| {
            inner.proto.release(self.key);
            inner.take_wakers(self.key)
        });
        drop(wakers);
        self.shared.kick();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.key.id).finish_non_exhaustive()
    }
}

//! The driver: the task that reads and writes for a session.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use reactor::time::{self, Sleep};

use crate::Error;
use crate::buffers::{self, READ_BYTES};
use crate::proto::{BATCH_BYTES, LEND_BYTES_MIN, Outbox, Phase, Trash};
use crate::shared::{Inner, Shared};

/// Chunks in one vectored write: as many as a full batch has where everybody writes 1 KiB at a time,
/// eight frames of a header and seventeen chunks, of which the first and the last are parts.
const SLICES_MAX: usize = 144;

/// Rounds of one read and one write in a single poll; then other tasks have their turn.
const ROUNDS_MAX: usize = 8;

/// Once so much is read in a single poll, nothing more is. All of it lies in buffers until those whom
/// it is for have had their turn, and the fewer they are, the more of them and of what the kernel keeps
/// for us is in the processor's cache: with 512 KiB a byte cost up to a fifth more. Half of it would be
/// less than is written.
const READ_BYTES_MAX: usize = 2 * READ_BYTES;

/// Once so much is written in a single poll, nothing more is: one batch that is full, or some that are
/// not. A full batch is less than is read: what waits in the kernel's buffers, and makes everything
/// behind it wait, grows shorter by a turn at each end.
const WRITE_BYTES_MAX: usize = BATCH_BYTES / 2;

const _: () = assert!(BATCH_BYTES < READ_BYTES_MAX);

/// The other half of a [`Session`](crate::Session): a future to be spawned, that reads, writes and
/// keeps the time. It ends with the session, and says why: `Ok` when either side closed it in
/// order. Reading does not wait for writing, nor writing for reading.
///
/// Dropping it ends the session at once with [`Error::DriverGone`].
///
/// # Panics
/// When polled outside a runtime of the `reactor` crate: its timers are used.
#[must_use = "a session does nothing unless its driver is spawned"]
pub struct Driver<T> {
    /// Gone when the session is over, which closes the connection.
    io: Option<T>,
    shared: Rc<Shared>,
    /// Armed no later than the session's next time-out; earlier does no harm.
    timer: Option<Sleep>,
    unflushed: bool,
    io_closed: bool,
    /// Streams hold parts of what was read in the last poll: until the next poll.
    lent: bool,
    /// Bytes read and written in this poll.
    read: usize,
    written: usize,
    /// Kept for their capacity.
    wakers: Vec<Waker>,
    trash: Vec<Trash>,
}

/// What one step of the driver came to.
#[derive(PartialEq, Eq)]
enum Progress {
    /// It could go on.
    Some,
    /// It has to wait, or has nothing to do.
    None,
}

impl<T> Driver<T> {
    pub(crate) fn new(io: T, shared: Rc<Shared>) -> Self {
        Self {
            io: Some(io),
            shared,
            timer: None,
            unflushed: false,
            io_closed: false,
            lent: false,
            read: 0,
            written: 0,
            wakers: Vec::new(),
            trash: Vec::new(),
        }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Inner) -> R) -> R {
        self.shared.with_trash(&mut self.trash, act)
    }

    /// Takes back the buffers that were lent, unless the application keeps parts of them.
    fn settle(&mut self) {
        if std::mem::take(&mut self.lent) {
            self.with(|inner| inner.proto.settle());
        }
    }

    fn end(&mut self, err: Error) {
        self.with(|inner| inner.proto.end(err));
    }

    fn phase(&self) -> Phase {
        self.shared.inner.borrow().proto.phase()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Driver<T> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let clone = this.shared.clone_for_driver(cx);
        let now = time::now();
        this.with(|inner| inner.proto.wind(now));
        this.settle();
        let rested = this.rounds(cx);
        // After the rounds: what the peer has said and taken counts, however late we come to see it.
        let acted = this.with(|inner| {
            inner.proto.admit_writers();
            inner.proto.tick(now) | inner.proto.owes_turn()
        });
        // Before anyone is woken: a waker may run code that asks for more.
        let parked = this.shared.park_driver(cx, clone);
        this.shared.wake(&mut this.wakers);
        let outcome = this.with(|inner| inner.proto.poll_over());
        if outcome.is_ready() {
            this.shared.unpark_driver();
            this.settle();
            this.io = None;
            this.timer = None;
            return outcome;
        }
        let due = this.shared.inner.borrow().proto.next_timeout();
        if this.poll_timer(due, cx).is_ready() || acted || !rested || !parked {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// True if nothing is left to do for now.
    fn rounds(&mut self, cx: &mut Context<'_>) -> bool {
        (self.read, self.written) = (0, 0);
        for _ in 0..ROUNDS_MAX {
            if self.round(cx) == Progress::None {
                // What was lent is to be settled when the readers have had their turn.
                return !self.lent && self.may_read() && self.may_write();
            }
        }
        false
    }

    /// One read and one write.
    fn round(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.phase() == Phase::Over {
            return Progress::None;
        }
        let read = if self.may_read() { self.read(cx) } else { Progress::None };
        let written = if self.may_write() { self.write(cx) } else { Progress::None };
        if read == Progress::None && written == Progress::None {
            return Progress::None;
        }
        Progress::Some
    }

    fn may_read(&self) -> bool {
        self.read < READ_BYTES_MAX
    }

    fn may_write(&self) -> bool {
        self.written < WRITE_BYTES_MAX
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Progress {
        let Some(io) = &mut self.io else { return Progress::None };
        let mut buffer = buffers::take();
        match Pin::new(io).poll_read(cx, &mut buffer) {
            Poll::Pending => {
                buffers::give(buffer);
                Progress::None
            }
            Poll::Ready(outcome) => {
                self.take_in(outcome, buffer);
                Progress::Some
            }
        }
    }

    fn take_in(&mut self, outcome: io::Result<usize>, buffer: Box<[u8]>) {
        match outcome {
            Ok(0) => self.with(|inner| inner.proto.feed_end()),
            Ok(n) => {
                self.read += n;
                return self.feed(buffer, n);
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => self.end(Error::Io(Arc::new(err))),
        }
        buffers::give(buffer);
    }

    fn feed(&mut self, buffer: Box<[u8]>, len: usize) {
        let lent = if len < LEND_BYTES_MIN { Err(buffer) } else { buffers::lend(buffer) };
        match lent {
            Ok(lent) => self.lent |= self.with(|inner| inner.proto.feed_lending(&lent, len)),
            Err(buffer) => {
                self.with(|inner| inner.proto.feed(&buffer[..len]));
                buffers::give(buffer);
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Progress {
        let outcome = match self.poll_write(cx) {
            Poll::Pending => return Progress::None,
            Poll::Ready(outcome) => outcome,
        };
        match outcome {
            Ok(progress) => progress,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => Progress::Some,
            Err(err) => {
                self.end(Error::Io(Arc::new(err)));
                Progress::Some
            }
        }
    }

    /// The connection is polled while nothing of the session is borrowed: it may use the session.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Progress>> {
        let (outbox, phase) = self.with(|inner| {
            inner.proto.fill();
            (inner.proto.lend_outbox(), inner.proto.phase())
        });
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(Progress::None)) };
        let mut io = Pin::new(io);
        if !outbox.is_empty() {
            return self.poll_write_outbox(outbox, cx);
        }
        if self.unflushed {
            std::task::ready!(io.as_mut().poll_flush(cx))?;
            self.unflushed = false;
        }
        if phase == Phase::HangUp && !self.io_closed {
            std::task::ready!(io.poll_close(cx))?;
            self.io_closed = true;
        }
        Poll::Ready(Ok(Progress::None))
    }

    fn poll_write_outbox(
        &mut self,
        mut outbox: Outbox,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Progress>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(Progress::None)) };
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.slices(&mut slices);
        let written = Pin::new(io).poll_write_vectored(cx, &slices[..count]);
        let bytes = if let Poll::Ready(Ok(bytes)) = &written { *bytes } else { 0 };
        outbox.advance(bytes);
        self.written += bytes;
        self.with(|inner| inner.proto.return_outbox(outbox, bytes > 0));
        match std::task::ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            _ => {
                self.unflushed = true;
                Poll::Ready(Ok(Progress::Some))
            }
        }
    }

    /// Ready when the time-out is due.
    fn poll_timer(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| time::sleep_until(due));
        if timer.deadline().is_none_or(|armed| due < armed) {
            timer.reset(due);
        }
        std::task::ready!(Pin::new(timer).poll(cx));
        self.timer = None;
        Poll::Ready(())
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.settle();
        if self.phase() != Phase::Over {
            self.end(Error::DriverGone);
            self.shared.unpark_driver();
            self.shared.wake(&mut self.wakers);
        }
    }
}

impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

//! One connection: a socket, what waits to be written to it, and the waker of the one task that
//! reads and writes it.
//!
//! Anybody may queue output and wake the task; only the task touches the socket. It runs after the
//! tasks that were ready before it, so what they all queued in one turn leaves in one `writev`.

mod reason;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use net::TcpStream;
use reactor::time;

use crate::codec::{Codec, Frame, FrameLimits, LocalReply, Origin, Protocol};
use crate::filter::{NetworkFilter, NetworkFilters, NetworkFlow};
use crate::inbox::{Inbox, Payload, Verdict};
use crate::limits::{LINGER_TIME, READS_PER_TURN_MAX};
use crate::outbox::{Outbox, WRITE_PIECES_MAX};
use crate::worker::Worker;

pub(crate) use reason::CloseReason;

/// A frame at least so long is written at once, if the socket takes it; shorter ones are gathered.
const WRITE_THROUGH_BYTES_MIN: usize = 16 * 1024;

/// See the module's page.
pub(crate) struct Conn {
    worker: Rc<Worker>,
    protocol: Protocol,
    /// Empty while it is being connected, and when it is closed. What is called on it under the borrow
    /// makes system calls and parks the connection's own task, and runs no other code.
    stream: RefCell<Option<TcpStream>>,
    outbox: RefCell<Outbox>,
    waker: RefCell<Option<Waker>>,
    /// Whether the task will run anyway, so that it is woken once however much is queued.
    woken: Cell<bool>,
    closed: Cell<bool>,
    written_bytes: Cell<u64>,
    /// Whether there are filters: most connections have none, and ask no further.
    is_filtered: bool,
    filters: Cell<NetworkFilters>,
    /// A filter wants it to end.
    stopped: Cell<bool>,
    /// Whether the socket is read.
    reads: Cell<bool>,
}

impl Conn {
    pub(crate) fn new(worker: Rc<Worker>, protocol: Protocol) -> Self {
        Conn {
            worker,
            protocol,
            stream: RefCell::default(),
            outbox: RefCell::default(),
            waker: RefCell::default(),
            woken: Cell::new(false),
            closed: Cell::new(false),
            written_bytes: Cell::new(0),
            is_filtered: false,
            filters: Cell::default(),
            stopped: Cell::new(false),
            reads: Cell::new(true),
        }
    }

    /// The same behind these filters.
    pub(crate) fn behind(self, filters: NetworkFilters) -> Self {
        Conn { is_filtered: !filters.0.is_empty(), filters: Cell::new(filters), ..self }
    }

    /// Gives it its socket. What was queued before is written by the next flush.
    pub(crate) fn open(&self, stream: TcpStream) {
        let before = self.stream.borrow_mut().replace(stream);
        assert!(before.is_none(), "a connection is opened once");
    }

    /// To be called first in every poll of the task.
    pub(crate) fn enter(&self, cx: &Context<'_>) {
        self.woken.set(false);
        let mut place = self.waker.borrow_mut();
        if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *place = Some(cx.waker().clone());
        }
    }

    /// Makes the task run after those that are ready now.
    pub(crate) fn wake(&self) {
        if self.woken.replace(true) {
            return;
        }
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the task will run anyway: it may have left something unread.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.get()
    }

    /// Whether the socket is read from now on; frames come only from what was read before otherwise.
    pub(crate) fn set_reads(&self, reads: bool) {
        self.reads.set(reads);
    }

    /// Shows bytes to the filters, if there are any; whether they may go on.
    pub(crate) fn may_pass(&self, ask: impl FnMut(&mut dyn NetworkFilter) -> NetworkFlow) -> bool {
        if self.is_filtered && !self.stopped.get() {
            let mut filters = self.filters.take();
            self.stopped.set(!filters.all_continue(ask));
            self.filters.set(filters);
        }
        !self.stopped.get()
    }

    /// Whether a filter has stopped it. Its task is to end it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Queues a frame. The task is not woken: see [`wake`](Self::wake).
    pub(crate) fn queue(&self, payload: &mut Payload<'_>) {
        if self.closed.get() || !self.may_pass(|filter| filter.on_write(payload.bytes())) {
            return;
        }
        let sent_bytes = self.write_through(payload.bytes());
        self.worker.stats.output_bytes.add(payload.bytes().len() - sent_bytes);
        self.outbox.borrow_mut().push(payload, sent_bytes, &self.worker.buffers);
    }

    /// Writes a long frame behind what waits, from where it lies; how much of it the socket took.
    ///
    /// It gains nothing from others in the same system call, and costs a copy, and the memory for it,
    /// when it waits for them.
    fn write_through(&self, frame: &[u8]) -> usize {
        let stream = self.stream.borrow();
        let Some(stream) = stream.as_ref().filter(|_| frame.len() >= WRITE_THROUGH_BYTES_MIN)
        else {
            return 0;
        };
        let mut outbox = self.outbox.borrow_mut();
        let mut slices = [IoSlice::new(&[]); WRITE_PIECES_MAX];
        let (count, bytes) = outbox.slices(&mut slices);
        let Some(slot) = slices.get_mut(count) else { return 0 };
        *slot = IoSlice::new(frame);
        // An error is for the task to find.
        let written_bytes = stream.try_write_vectored(&slices[..=count]).unwrap_or(0);
        let waited_bytes = written_bytes.min(bytes);
        self.sent(&mut outbox, waited_bytes);
        self.written_bytes.set(self.written_bytes.get() + (written_bytes - waited_bytes) as u64);
        written_bytes - waited_bytes
    }

    /// Takes note that so much of what waits was written.
    fn sent(&self, outbox: &mut Outbox, bytes: usize) {
        outbox.sent(bytes, &self.worker.buffers);
        self.worker.stats.output_bytes.sub(bytes);
        self.written_bytes.set(self.written_bytes.get() + bytes as u64);
    }

    /// Queues a copy of bytes.
    pub(crate) fn queue_copy(&self, bytes: &[u8]) {
        if self.closed.get() || !self.may_pass(|filter| filter.on_write(bytes)) {
            return;
        }
        self.worker.stats.output_bytes.add(bytes.len());
        self.outbox.borrow_mut().extend(bytes, &self.worker.buffers);
    }

    /// Queues an answer of the proxy's own; see [`Codec::local_reply`].
    pub(crate) fn queue_reply(&self, origin: Origin, repeated: &[u8], reply: LocalReply) {
        self.queue_built(|out| self.protocol.local_reply(origin, repeated, reply, out));
    }

    /// Queues the acknowledgement of a heartbeat.
    pub(crate) fn queue_ack(&self, origin: Origin) {
        self.queue_built(|out| self.protocol.heartbeat_ack(origin, out));
    }

    /// Queues a heartbeat under this id.
    pub(crate) fn queue_heartbeat(&self, id: u64) {
        self.queue_built(|out| self.protocol.heartbeat(id, out));
    }

    /// Queues the frame that asks for no further calls.
    pub(crate) fn queue_go_away(&self) {
        self.queue_built(|out| self.protocol.go_away(out));
    }

    fn queue_built(&self, build: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.worker.buffers.take();
        build(&mut out);
        self.queue_copy(&out);
        self.worker.buffers.give(out);
    }

    pub(crate) fn output_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    /// What the socket has taken so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes.get()
    }

    /// Writes until nothing waits (`Ready`) or the socket takes no more (`Pending`).
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.stream.borrow();
        let Some(stream) = stream.as_ref() else { return Poll::Pending };
        let mut outbox = self.outbox.borrow_mut();
        while !outbox.is_empty() {
            match poll_write(stream, cx, &outbox) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(bytes)) => self.sent(&mut outbox, bytes),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands on what a stall left behind, then reads and hands on frames until there is nothing to
    /// read, a frame was stalled, or it is somebody else's turn; `Pending` in all three cases.
    /// `Ready` is the end of the connection.
    ///
    /// After a stall nothing wakes the task by itself: whoever stalls frames sees to that.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        inbox: &mut Inbox,
        mut on_frame: impl FnMut(&Frame, &mut Payload<'_>) -> Verdict,
    ) -> Poll<CloseReason> {
        let limits = self.worker.limits.frame();
        if inbox.is_stalled() {
            if let Err(error) = inbox.resume(&self.protocol, &limits, &mut on_frame) {
                return Poll::Ready(CloseReason::Undecodable(error));
            }
            if inbox.is_stalled() {
                return Poll::Pending;
            }
        }
        if !self.reads.get() {
            return Poll::Pending;
        }
        for _ in 0..READS_PER_TURN_MAX {
            match self.poll_read(cx, inbox, &limits, &mut on_frame) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(CloseReason::Eof)) => return Poll::Ready(end_of_stream(inbox)),
                Poll::Ready(Err(reason)) => return Poll::Ready(reason),
                Poll::Ready(Ok(())) if inbox.is_stalled() => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
            }
        }
        self.wake();
        Poll::Pending
    }

    /// One read, and the frames that it made whole.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        inbox: &mut Inbox,
        limits: &FrameLimits,
        on_frame: impl FnMut(&Frame, &mut Payload<'_>) -> Verdict,
    ) -> Poll<Result<(), CloseReason>> {
        let received = if let Some(rest) = inbox.long_rest() {
            let before = rest.len();
            let read = ready!(self.poll_stream(|stream| stream.poll_read_into(cx, rest)));
            self.checked(read, &rest[before..])?;
            inbox.receive_rest(&self.protocol, limits, on_frame)
        } else {
            let mut scratch = self.worker.buffers.take_scratch();
            let read = self.poll_stream(|stream| stream.poll_read(cx, scratch.read_area()));
            let received = read.map(|read| {
                let fresh_bytes = self.checked(read, scratch.read_area())?;
                Ok(inbox.receive(&self.protocol, limits, &mut scratch, fresh_bytes, on_frame))
            });
            self.worker.buffers.put_scratch(scratch);
            ready!(received)?
        };
        Poll::Ready(received.map_err(CloseReason::Undecodable))
    }

    /// Polls the socket while there is one.
    fn poll_stream<T>(&self, poll: impl FnOnce(&TcpStream) -> Poll<T>) -> Poll<T> {
        self.stream.borrow().as_ref().map_or(Poll::Pending, poll)
    }

    /// How much was read to the start of `fresh`, if the connection goes on.
    fn checked(&self, read: io::Result<usize>, fresh: &[u8]) -> Result<usize, CloseReason> {
        match read {
            Ok(0) => Err(CloseReason::Eof),
            Ok(n) if !self.may_pass(|filter| filter.on_data(&fresh[..n])) => {
                Err(CloseReason::Stopped)
            }
            Ok(n) => Ok(n),
            Err(error) => Err(CloseReason::Io(error)),
        }
    }

    /// Closes the writing side, and waits a little for the peer to close its own. The kernel would
    /// reset a connection that is closed while something lies unread in it, and the peer could lose the
    /// answers that it has not read yet.
    pub(crate) async fn linger(&self) {
        let shut = |stream: &TcpStream| Poll::Ready(stream.shutdown(Shutdown::Write));
        if !matches!(self.poll_stream(shut), Poll::Ready(Ok(()))) {
            return;
        }
        let end = poll_fn(|cx| {
            self.enter(cx);
            let mut scratch = self.worker.buffers.take_scratch();
            let mut ended = Poll::Pending;
            for turn in 1..=READS_PER_TURN_MAX {
                match self.poll_stream(|stream| stream.poll_read(cx, scratch.read_area())) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(0) | Err(_)) => {
                        ended = Poll::Ready(());
                        break;
                    }
                    Poll::Ready(Ok(_)) if turn == READS_PER_TURN_MAX => self.wake(),
                    Poll::Ready(Ok(_)) => {}
                }
            }
            self.worker.buffers.put_scratch(scratch);
            ended
        });
        // Who does not close it by then is not waited for.
        let _ = time::timeout(LINGER_TIME, end).await;
    }

    /// Forgets what waits and closes the socket, for the task that is at its end. Who holds the connection
    /// longer, for answers that are still to come, holds no descriptor.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let dropped = self.outbox.borrow_mut().clear(&self.worker.buffers);
        self.worker.stats.output_bytes.sub(dropped);
        *self.waker.borrow_mut() = None;
        let stream = self.stream.borrow_mut().take();
        drop(stream);
    }
}

/// One system call for as much as it takes.
fn poll_write(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    outbox: &Outbox,
) -> Poll<io::Result<usize>> {
    if let Some(single) = outbox.single() {
        return stream.poll_write(cx, single);
    }
    let mut slices = [IoSlice::new(&[]); WRITE_PIECES_MAX];
    let (count, _) = outbox.slices(&mut slices);
    stream.poll_write_vectored(cx, &slices[..count])
}

fn end_of_stream(inbox: &Inbox) -> CloseReason {
    match inbox.held_bytes() {
        0 => CloseReason::Eof,
        have_bytes => CloseReason::Truncated { have_bytes, need_bytes: inbox.need_bytes() },
    }
}

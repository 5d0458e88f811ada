//! The task of a client's connection: write, read, keep the time.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use reactor::time;

use super::Downstream;
use crate::conn::CloseReason;
use crate::drain::Stage;
use crate::inbox::Inbox;
use crate::patience::{Patience, View};

/// The task of one client's connection, of which `inbox` may have something already.
pub(crate) async fn run(downstream: Rc<Downstream>, mut inbox: Inbox, mut patience: Patience) {
    // Closes it also when the task is aborted or panics.
    let guard = Guard(downstream);
    let reason = poll_fn(|cx| match guard.0.poll(cx, &mut inbox) {
        Poll::Pending => {
            guard.0.look_after_calls(cx);
            let view = guard.0.look(&inbox);
            match guard.0.leave(&view) {
                Some(reason) => Poll::Ready(reason),
                None => patience.poll(cx, view),
            }
        }
        ended => ended,
    })
    .await;
    if matches!(reason, CloseReason::Drained) {
        guard.0.conn.linger().await;
    }
    guard.0.close(&reason);
}

struct Guard(Rc<Downstream>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close(&CloseReason::Retired);
    }
}

impl Downstream {
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<CloseReason> {
        self.conn.enter(cx);
        if let Some(reason) = self.doomed.take() {
            let _ = self.conn.poll_flush(cx);
            return Poll::Ready(reason);
        }
        if self.has_outlived() {
            let _ = self.conn.poll_flush(cx);
            return Poll::Ready(CloseReason::Unbound);
        }
        if self.conn.is_stopped() {
            return Poll::Ready(CloseReason::Stopped);
        }
        if self.worker.drain.stage() > Stage::Serving {
            self.prepare_to_leave();
        }
        // First what came back: it may be what reading waits for.
        if let Poll::Ready(Err(error)) = self.conn.poll_flush(cx) {
            return Poll::Ready(CloseReason::Io(error));
        }
        if let Poll::Ready(reason) = self.poll_read(cx, inbox) {
            // Answers made while reading are owed all the same.
            let _ = self.conn.poll_flush(cx);
            return Poll::Ready(reason);
        }
        if self.conn.is_stopped() {
            return Poll::Ready(CloseReason::Stopped);
        }
        match self.conn.poll_flush(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(CloseReason::Io(error)),
            // It stalled over answers made meanwhile, and they have left: nobody else will say so.
            Poll::Ready(Ok(())) if inbox.is_stalled() && !self.must_hold() => self.conn.wake(),
            _ => {}
        }
        if !self.drops_requests.get() && self.is_late() && !inbox.is_stalled() {
            // It has caught up: now it reads on.
            self.conn.wake();
        }
        Poll::Pending
    }

    fn poll_read(self: &Rc<Self>, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<CloseReason> {
        if self.is_late() {
            self.prepare_to_end(inbox);
        }
        if self.must_hold() {
            return Poll::Pending;
        }
        // One look at the clock for all requests of this poll, and none when there are none.
        let mut now = None;
        let received = self.conn.poll_receive(cx, inbox, |frame, payload| {
            self.frames.set(self.frames.get() + 1);
            self.on_frame(frame, payload, *now.get_or_insert_with(time::now))
        });
        if now.is_some() {
            self.last_frame.set(now);
        }
        received
    }

    /// What a worker that stops wants of it before it reads and writes.
    #[cold]
    fn prepare_to_leave(&self) {
        if self.says_go_away && !self.said_go_away.replace(true) {
            self.conn.queue_go_away();
        }
    }

    /// What a worker that takes no further requests wants of it before it reads: requests that were read
    /// before are served; then reading goes on as long as something is in flight, for answers to hosts and
    /// for heartbeats, and requests are dropped.
    #[cold]
    fn prepare_to_end(&self, inbox: &Inbox) {
        let is_behind = inbox.is_stalled() && !self.drops_requests.get();
        self.drops_requests.set(!is_behind);
        self.conn.set_reads(!is_behind && self.is_in_flight());
    }

    /// Whether no further requests are taken.
    fn is_late(&self) -> bool {
        self.worker.drain.stage() >= Stage::NoMore
    }

    fn is_in_flight(&self) -> bool {
        !self.flights.borrow().is_empty() || self.is_called()
    }

    /// Why it is to end, if it is, when it has done all that it could.
    fn leave(&self, view: &View) -> Option<CloseReason> {
        let stage = self.worker.drain.stage();
        if stage < Stage::WhenIdle {
            return None;
        }
        let is_reading = view.partial.is_some() && stage < Stage::NoMore;
        let is_done = !view.busy && !is_reading && !self.conn.is_woken();
        match stage {
            _ if is_done => Some(CloseReason::Drained),
            Stage::Cut => Some(CloseReason::Cut),
            _ => None,
        }
    }

    fn look(&self, inbox: &Inbox) -> View {
        let stalled = inbox.is_stalled();
        let held_bytes = inbox.held_bytes();
        let is_partial = held_bytes > 0 && !stalled;
        View {
            frames: self.frames.get(),
            last_frame: self.last_frame.get(),
            answers: self.answers.get(),
            busy: stalled || self.conn.output_bytes() > 0 || self.is_in_flight(),
            partial: is_partial.then(|| (held_bytes, inbox.need_bytes())),
        }
    }
}

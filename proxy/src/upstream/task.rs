//! The task of an upstream connection: dial, read, write, keep the time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use net::TcpStream;
use reactor::time;

use super::idle::Idle;
use super::{Phase, Upstream};
use crate::alarm::Alarm;
use crate::conn::CloseReason;
use crate::inbox::Inbox;
use crate::limits::WRITE_STALL;

/// The task of one connection, from the dial to the end.
pub(crate) async fn run(upstream: Rc<Upstream>) {
    // Closes it also when the task is aborted or panics.
    let guard = Guard(upstream);
    let mut task = Task::new(&guard.0);
    let reason = poll_fn(|cx| guard.0.poll(cx, &mut task)).await;
    guard.0.close(&reason);
}

struct Guard(Rc<Upstream>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close(&CloseReason::Retired);
    }
}

/// What only the task itself touches.
struct Task {
    dial: Option<Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>>,
    inbox: Inbox,
    alarm: Alarm,
    /// From the moment the connection is made.
    idle: Option<Idle>,
    /// Since when the socket has taken nothing although something waits, and how many bytes it had
    /// taken until then.
    stuck_since: Option<(Instant, u64)>,
}

impl Task {
    fn new(upstream: &Upstream) -> Self {
        let host = &upstream.host;
        let (address, limit) = (host.address, host.shared.config.connect_timeout);
        let dial = async move { time::timeout(limit, TcpStream::connect(address)).await? };
        Task {
            dial: Some(Box::pin(dial)),
            inbox: Inbox::new(),
            alarm: Alarm::default(),
            idle: None,
            stuck_since: None,
        }
    }
}

impl Upstream {
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>, task: &mut Task) -> Poll<CloseReason> {
        self.conn.enter(cx);
        if let Some(dial) = &mut task.dial {
            match dial.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Poll::Ready(CloseReason::NotConnected(error)),
                Poll::Ready(Ok(stream)) => {
                    task.dial = None;
                    task.idle = Some(Idle::new(self, time::now()));
                    self.opened(stream);
                }
            }
        }
        if task.dial.is_none() {
            let received =
                self.conn.poll_receive(cx, &mut task.inbox, |f, payload| self.on_frame(f, payload));
            if let Poll::Ready(reason) = received {
                return Poll::Ready(reason);
            }
            if let Poll::Ready(Err(error)) = self.conn.poll_flush(cx) {
                return Poll::Ready(CloseReason::Io(error));
            }
            if self.conn.output_bytes() <= self.host.worker.limits.output_low_bytes {
                self.wake_parked();
            }
        }
        self.after_io(cx, task)
    }

    fn opened(&self, stream: TcpStream) {
        self.conn.open(stream);
        self.phase.set(Phase::Open);
        self.host.shared.breakers.pending.sub(self.waiting.borrow().len());
        self.host.worker.stats.upstream_connected.up();
        self.host.connected();
        log::info!("upstream {}: connected", self.host.address);
    }

    /// Time-outs, the stuck peer, and the end of a retired connection.
    fn after_io(self: &Rc<Self>, cx: &mut Context<'_>, task: &mut Task) -> Poll<CloseReason> {
        let now = time::now();
        self.expire(now);
        if let Some(waiting_bytes) = self.stuck(task, now) {
            return Poll::Ready(CloseReason::NotReading { waiting_bytes });
        }
        if let Some(reason) = task.idle.as_mut().and_then(|idle| idle.look(self, now)) {
            return Poll::Ready(reason);
        }
        if self.is_over() {
            return Poll::Ready(CloseReason::Retired);
        }
        let idle_at = task.idle.as_ref().and_then(|idle| idle.next_at(self));
        let stall_at = task.stuck_since.map(|(since, _)| since + WRITE_STALL);
        let at = [self.next_deadline(), stall_at, idle_at].into_iter().flatten().min();
        task.alarm.set(at, now, cx);
        Poll::Pending
    }

    /// Keeps an eye on output that does not move; its length when it has not for too long.
    fn stuck(&self, task: &mut Task, now: Instant) -> Option<usize> {
        let bytes = self.conn.output_bytes();
        if bytes == 0 || task.dial.is_some() {
            task.stuck_since = None;
            return None;
        }
        let written = self.conn.written_bytes();
        match task.stuck_since {
            Some((since, before)) if before == written => {
                (now - since >= WRITE_STALL).then_some(bytes)
            }
            _ => {
                task.stuck_since = Some((now, written));
                None
            }
        }
    }
}

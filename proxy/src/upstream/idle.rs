//! What a connection does when nobody uses it: heartbeats, and at last its end.

use std::time::Instant;

use super::Upstream;
use crate::config::PoolMode;
use crate::conn::CloseReason;
use crate::health::{Due, Keepalive};
use crate::limits::PING_PONG_IDLE_MAX;

/// See the module's page. It begins when the connection is made.
pub(super) struct Idle {
    /// `None` in protocols without heartbeats.
    keepalive: Option<Keepalive>,
    /// When a request was last there.
    used_at: Instant,
}

impl Idle {
    pub(super) fn new(upstream: &Upstream, now: Instant) -> Self {
        let keepalive = upstream.protocol.has_heartbeats().then(|| Keepalive::new(now));
        Idle { keepalive, used_at: now }
    }

    /// To be called whenever the task runs: sends what is due; why the connection is to end, if it is.
    pub(super) fn look(&mut self, upstream: &Upstream, now: Instant) -> Option<CloseReason> {
        let busy = upstream.is_busy();
        if upstream.used.replace(false) || busy {
            self.used_at = now;
        }
        if self.ends_at(upstream).is_some_and(|at| now >= at) {
            upstream.retire();
        }
        let keepalive = self.keepalive.as_mut()?;
        if upstream.heard.replace(false) {
            keepalive.heard(now);
        }
        if busy {
            keepalive.busy(now);
            return None;
        }
        match keepalive.due(now) {
            Due::Nothing => None,
            Due::Heartbeat => {
                upstream.send_heartbeat();
                None
            }
            Due::Close => Some(CloseReason::Silent),
        }
    }

    /// When it has something to do next; nothing while requests or calls wait, whose ends wake the task.
    pub(super) fn next_at(&self, upstream: &Upstream) -> Option<Instant> {
        if upstream.is_busy() {
            return None;
        }
        let beat_at = self.keepalive.as_ref().map(Keepalive::next_at);
        [beat_at, self.ends_at(upstream)].into_iter().flatten().min()
    }

    /// A pool that makes a connection for every request in flight gives those back that it does not
    /// need any more.
    fn ends_at(&self, upstream: &Upstream) -> Option<Instant> {
        let is_spare = upstream.host.shared.config.pool == PoolMode::PingPong;
        is_spare.then(|| self.used_at + PING_PONG_IDLE_MAX)
    }
}

impl Upstream {
    fn send_heartbeat(&self) {
        let id = self.waiting.borrow_mut().unused_id();
        self.heartbeats.set(self.heartbeats.get() + 1);
        self.host.worker.stats.heartbeats_sent.up();
        self.conn.queue_heartbeat(id);
        self.conn.wake();
    }
}

//! The end of a connection.

use std::rc::Rc;

use reactor::time;

use super::{Leaving, Phase, Upstream};
use crate::conn::CloseReason;
use crate::descriptors::is_exhausted;
use crate::stream::Event;

impl Upstream {
    /// Ends the connection: every request in flight gets its one answer, every parked client goes
    /// on, the slot is free for another dial.
    pub(super) fn close(self: &Rc<Self>, reason: &CloseReason) {
        let was = self.phase.replace(Phase::Closed);
        if was == Phase::Closed {
            return;
        }
        self.host.pool(self.protocol).vacate(self);
        self.host.shared.breakers.connections.down();
        if was == Phase::Dialing {
            self.host.shared.breakers.pending.sub(self.waiting.borrow().len());
        }
        let stats = &self.host.worker.stats;
        stats.upstream_connections.down();
        self.host.worker.drain.gone();
        let lost = self.fail_waiting(was);
        if was == Phase::Dialing {
            stats.upstream_connect_failed.up();
        } else {
            stats.upstream_closed.up();
        }
        // One that was told to go has not failed, and neither has one that the proxy does not need; nor is
        // it the host's fault when the proxy has no descriptor.
        let is_needed = !matches!(reason, CloseReason::Retired);
        let is_ours = matches!(reason, CloseReason::NotConnected(error) if is_exhausted(error));
        if was != Phase::Proved && self.leaving.get() != Leaving::Told && is_needed && !is_ours {
            self.host.failed(time::now());
        }
        if lost > 0 && !is_ours {
            self.host.missed(time::now());
        }
        self.conn.close();
        let bound = self.bound.borrow_mut().take();
        if let Some(client) = bound {
            client.bindings.forget(self);
            client.unbound();
        }
        self.wake_parked();
        self.log_close(reason, was, lost);
    }

    fn fail_waiting(&self, was: Phase) -> usize {
        let event = if was == Phase::Dialing { Event::ConnectFailed } else { Event::UpstreamLost };
        let mut entries = Vec::new();
        self.waiting.borrow_mut().drain(|id, entry| entries.push((id, entry)));
        self.deadlines.borrow_mut().clear();
        let (lost, now) = (entries.len(), time::now());
        for (id, entry) in entries {
            self.host.worker.stats.lost_upstream.up();
            self.give_up(id, entry, event, now);
        }
        lost
    }

    fn log_close(&self, reason: &CloseReason, was: Phase, lost: usize) {
        let address = self.host.address;
        match reason {
            CloseReason::Retired => log::debug!("upstream {address}: closed"),
            CloseReason::Eof if lost == 0 && was == Phase::Proved => {
                log::info!("upstream {address}: {reason}");
            }
            _ => log::warn!("upstream {address}: {reason}; {lost} requests were in flight"),
        }
    }
}

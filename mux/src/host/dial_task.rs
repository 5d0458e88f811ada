//! The task of a dial.

use std::future::poll_fn;
use std::hash::Hash;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

use reactor::time;

use super::DialFailure;
use super::dial::{AnyDriver, Attempts};
use super::dials::DialId;
use super::shared::{Landing, Part, Shared};
use super::wait::Waiting;
use crate::Session;

/// Waits for a slot, dials, and tells the host what came of it. It keeps no host alive.
///
/// It is made with the dial, and not when its turn comes: a turn can come where nothing can be
/// spawned, outside the runtime, and this task then takes it when the runtime goes on.
pub(super) fn run<P: Eq + Hash + 'static>(
    host: &Rc<Shared<P>>,
    part: &Part<P>,
) -> impl Future<Output = ()> + use<P> {
    let (weak, landing) = (Rc::downgrade(host), Rc::clone(&part.landing));
    let peer = Rc::clone(&part.peer);
    let report =
        Report { host: Weak::clone(&weak), peer: Rc::clone(&peer), id: part.id, is_made: false };
    let slot = Slot { host: Weak::clone(&weak), peer: Rc::clone(&peer), landing };
    async move {
        // Dropped in the other order when the task is cancelled: the attempt before its slot.
        let (report, slot) = (report, slot);
        slot.granted().await;
        let Some(host) = weak.upgrade() else { return };
        host.dial_started();
        let (waited, config) = (host.config.dial_timeout, host.config.session.clone());
        let dialer = Rc::clone(&host.dialer);
        drop(host);
        let dialing = dialer.dial_any(Rc::clone(&peer), Attempts::new(weak, peer), config);
        let outcome = match time::timeout(waited, dialing).await {
            Ok(Ok(dialed)) => Ok(dialed),
            Ok(Err(err)) => Err(DialFailure::Io(Arc::new(err))),
            Err(_) => Err(DialFailure::Timeout { waited }),
        };
        drop(slot);
        report.make(outcome);
    }
}

/// The slot of the dial, once it has one; given back when this is dropped.
struct Slot<P: Eq + Hash + 'static> {
    host: Weak<Shared<P>>,
    peer: Rc<P>,
    landing: Rc<Landing>,
}

impl<P: Eq + Hash + 'static> Slot<P> {
    async fn granted(&self) {
        let mut waiting = Waiting::new(&self.landing.waits_for_slot);
        let granted = poll_fn(|cx| {
            if !self.landing.has_slot.get() {
                waiting.park(cx);
            }
            if self.landing.has_slot.get() { Poll::Ready(()) } else { Poll::Pending }
        });
        granted.await;
    }
}

impl<P: Eq + Hash + 'static> Drop for Slot<P> {
    fn drop(&mut self) {
        if self.landing.has_slot.take()
            && let Some(host) = self.host.upgrade()
        {
            host.release(&self.peer);
        }
    }
}

/// Tells the host how the dial ended, also if it panicked.
struct Report<P: Eq + Hash + 'static> {
    host: Weak<Shared<P>>,
    peer: Rc<P>,
    id: DialId,
    is_made: bool,
}

impl<P: Eq + Hash + 'static> Report<P> {
    fn make(mut self, outcome: Result<(Session, AnyDriver), DialFailure>) {
        self.is_made = true;
        let Some(host) = self.host.upgrade() else { return };
        match outcome {
            Ok((session, driver)) => host.dial_succeeded(&self.peer, self.id, session, driver),
            Err(failure) => host.dial_failed(&self.peer, self.id, failure),
        }
    }
}

impl<P: Eq + Hash + 'static> Drop for Report<P> {
    /// Without effect on a dial that was cancelled: nobody waits for it.
    fn drop(&mut self) {
        if self.is_made {
            return;
        }
        if let Some(host) = self.host.upgrade() {
            host.dial_failed(&self.peer, self.id, DialFailure::Lost);
        }
    }
}

//! The task of a dial.

use std::hash::Hash;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use reactor::time;

use super::DialFailure;
use super::dial::{AnyDriver, Attempt, Attempts};
use super::dials::DialId;
use super::shared::Shared;
use crate::Session;

/// Dials, and tells the host what came of it. It keeps no host alive. To be made when the dial has its
/// place, which it holds.
pub(super) fn run<P: Eq + Hash + 'static>(
    host: &Rc<Shared<P>>,
    peer: &Rc<P>,
    id: DialId,
) -> impl Future<Output = ()> + use<P> {
    let weak = Rc::downgrade(host);
    let attempts = Attempts::new(Weak::clone(&weak), Rc::clone(peer));
    let place = Attempt::new(&weak, peer);
    let report = Report { host: weak, peer: Rc::clone(peer), id, is_made: false };
    let (waited, config) = (host.config.dial_timeout, host.config.session.clone());
    let (dialer, peer) = (Rc::clone(&host.dialer), Rc::clone(peer));
    async move {
        // Dropped in this order when the task is cancelled: the attempt before its place.
        let (report, place) = (report, place);
        let dialing = dialer.dial_any(peer, attempts, config);
        let outcome = match time::timeout(waited, dialing).await {
            Ok(Ok(dialed)) => Ok(dialed),
            Ok(Err(err)) => Err(DialFailure::Io(Arc::new(err))),
            Err(_) => Err(DialFailure::Timeout { waited }),
        };
        drop(place);
        report.make(outcome);
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

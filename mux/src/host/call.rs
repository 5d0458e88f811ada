//! A caller who waits for a session.

use std::future::poll_fn;
use std::hash::Hash;
use std::rc::Rc;
use std::task::Poll;

use super::HostErrorKind;
use super::shared::{Part, Shared};
use super::wait::Waiting;
use crate::Session;

/// Waits for a session with a peer until there is one, dialed or not, or the dial has failed.
///
/// Dropping it leaves the dial to its other callers, or cancels it if there is none.
pub(super) async fn call<P: Eq + Hash + 'static>(
    host: &Rc<Shared<P>>,
    peer: Rc<P>,
) -> Result<Session, HostErrorKind> {
    let call = Call { host, part: host.join(peer)? };
    let mut waiting = Waiting::new(&call.part.landing.callers);
    let arrival = poll_fn(|cx| {
        waiting.park(cx);
        call.outcome().map_or(Poll::Pending, Poll::Ready)
    });
    arrival.await
}

/// A part in a dial, which ends when it is dropped.
struct Call<'h, P: Eq + Hash + 'static> {
    host: &'h Rc<Shared<P>>,
    part: Part<P>,
}

impl<P: Eq + Hash + 'static> Call<'_, P> {
    fn outcome(&self) -> Option<Result<Session, HostErrorKind>> {
        if let Some(session) = self.host.best(&self.part.peer) {
            self.host.keep(&self.part);
            return Some(Ok(session));
        }
        self.part.landing.outcome()
    }
}

impl<P: Eq + Hash + 'static> Drop for Call<'_, P> {
    fn drop(&mut self) {
        self.host.leave(&self.part);
    }
}

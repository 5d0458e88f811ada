//! A caller who waits for a session.

use std::hash::Hash;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
    let waiting = Waiting::new(&call.part.landing.waiters);
    Arrival { call: &call, waiting }.await
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

struct Arrival<'c, P: Eq + Hash + 'static> {
    call: &'c Call<'c, P>,
    waiting: Waiting<'c>,
}

impl<P: Eq + Hash + 'static> Future for Arrival<'_, P> {
    type Output = Result<Session, HostErrorKind>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.call.host.start(&this.call.part);
        this.waiting.park(cx);
        this.call.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}

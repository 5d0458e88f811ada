//! The task of a session: its driver, and what the host has to know of it.

use std::hash::Hash;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use reactor::time::{self, Sleep};

use super::dial::AnyDriver;
use super::sessions::SessionKey;
use super::shared::Shared;
use crate::{Initiator, Session, shared};

/// Drives a session, tells the host of streams that arrive and of the end, and closes a session
/// that is spent. Streams arrive nowhere else, so no second task has to wait for them. It keeps
/// neither the host nor the session's handle alive.
pub(super) struct SessionTask<P: Eq + Hash + 'static> {
    driver: AnyDriver,
    session: Rc<shared::Shared>,
    host: Weak<Shared<P>>,
    key: SessionKey,
    /// How long a peer that has gone away may go without a stream.
    grace: Duration,
    /// Until that is over, while it runs.
    spent: Option<Pin<Box<Sleep>>>,
}

impl<P: Eq + Hash + 'static> SessionTask<P> {
    pub(super) fn new(
        host: &Rc<Shared<P>>,
        key: SessionKey,
        session: &Session,
        driver: AnyDriver,
    ) -> Self {
        let (session, grace) = (Rc::clone(session.shared()), host.config.drain_timeout);
        Self { driver, session, host: Rc::downgrade(host), key, grace, spent: None }
    }
}

impl<P: Eq + Hash + 'static> SessionTask<P> {
    /// A session in which neither side has a stream, and this one can have none, would stay for as
    /// long as its peer likes, and take the place of another. At once if this side has gone away:
    /// then what the peer opens is refused. But a peer that says `GoAway` may only mean that it
    /// accepts nothing more, and go on opening, as hashicorp/yamux does: it has a while for it.
    fn close_if_spent(&mut self, cx: &mut Context<'_>) {
        let spent_by = self.session.inner.borrow().proto.spent_by();
        let is_over = match spent_by {
            None => {
                self.spent = None;
                false
            }
            Some(Initiator::Local) => true,
            Some(Initiator::Remote) => {
                let spent = self.spent.get_or_insert_with(|| Box::pin(time::sleep(self.grace)));
                spent.as_mut().poll(cx).is_ready()
            }
        };
        if is_over {
            self.spent = None;
            self.session.with(|inner| inner.proto.close());
            self.session.kick();
        }
    }
}

impl<P: Eq + Hash + 'static> Future for SessionTask<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.driver.as_mut().poll(cx).is_ready();
        if self.session.has_backlog()
            && let Some(host) = self.host.upgrade()
        {
            host.arrived(self.key);
        }
        if ended {
            return Poll::Ready(());
        }
        self.close_if_spent(cx);
        Poll::Pending
    }
}

/// Also when the driver has panicked, or the runtime is gone.
impl<P: Eq + Hash + 'static> Drop for SessionTask<P> {
    fn drop(&mut self) {
        if let Some(host) = self.host.upgrade() {
            host.ended(self.key);
        }
    }
}

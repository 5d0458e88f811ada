//! The task of a session: its driver, and what the host has to know of it.

use std::hash::Hash;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::dial::AnyDriver;
use super::sessions::SessionKey;
use super::shared::Shared;
use crate::{Session, shared};

/// Drives a session, tells the host of streams that arrive and of the end, and closes a session of which
/// a side has gone away behind its last stream. Streams arrive nowhere
/// else, so no second task has to wait for them. It keeps neither the host nor the session's handle
/// alive.
pub(super) struct SessionTask<P: Eq + Hash + 'static> {
    driver: AnyDriver,
    session: Rc<shared::Shared>,
    host: Weak<Shared<P>>,
    key: SessionKey,
}

impl<P: Eq + Hash + 'static> SessionTask<P> {
    pub(super) fn new(
        host: &Rc<Shared<P>>,
        key: SessionKey,
        session: &Session,
        driver: AnyDriver,
    ) -> Self {
        let (session, host) = (Rc::clone(session.shared()), Rc::downgrade(host));
        Self { driver, session, host, key }
    }
}

impl<P: Eq + Hash + 'static> SessionTask<P> {
    /// A session that has no streams and gets none would stay for as long as its peer likes, and take
    /// the place of another.
    fn close_if_spent(&self) {
        if self.session.inner.borrow().proto.is_spent() {
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
        self.close_if_spent();
        if ended { Poll::Ready(()) } else { Poll::Pending }
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

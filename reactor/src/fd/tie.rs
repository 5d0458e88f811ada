//! What ties a descriptor to its runtime, and how it is cut.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use crate::netpoll::{Entry, Netpoll};
use crate::task::ignore_panic;
use crate::waiters::Woken;

/// What ties a descriptor to a runtime. Dropping it wakes those who wait.
pub(super) struct Tie {
    pub(super) entry: Rc<Entry>,
    pub(super) netpoll: Rc<Netpoll>,
    /// That of the descriptor.
    pub(super) number: RawFd,
}

impl Tie {
    pub(super) fn new(netpoll: Rc<Netpoll>, fd: &OwnedFd) -> Self {
        Self { entry: Entry::new(), netpoll, number: fd.as_raw_fd() }
    }

    /// Says whether it was whole. Those who waited are in `woken` then.
    pub(super) fn cut(&self, woken: &mut Woken) -> bool {
        let was_open = self.entry.desc.close(woken);
        if was_open {
            if self.entry.desc.is_shared() {
                self.delete();
            }
            self.netpoll.forget(&self.entry);
        }
        was_open
    }

    #[cold]
    fn delete(&self) {
        if let Err(err) = self.netpoll.delete(self.number, &self.entry) {
            // A logger is code of users, and those who wait are still to be woken.
            ignore_panic(|| {
                log::warn!("cannot take a shared descriptor out of the epoll set: {err}");
            });
        }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        let mut woken = Woken::default();
        self.cut(&mut woken);
        woken.wake();
    }
}

//! An inbox with a bell: how other threads end the owner's sleep, and no more often than needed.
//!
//! The only atomics of the crate but for those of the signal handler. The protocol, between any
//! thread and the owner:
//!
//! | any thread                             | owner                                      |
//! |----------------------------------------|--------------------------------------------|
//! | lock; put something in                 |                                            |
//! | `pending = true`; fence                | `sleeping = true`; fence                   |
//! | swap `sleeping` for `false`; unlock    | `pending`? then do not sleep               |
//! | was it `true`? then ring               | wait for the bell; `sleeping = false`      |
//! |                                        | lock; `pending = false`; take all; unlock  |
//!
//! Each side writes its flag, and looks at the other's behind a sequentially consistent fence. One
//! fence comes first, and the side of the other sees what was written before it: either the owner
//! sees `pending` and stays awake, or the other thread sees `sleeping` and rings. An owner that is
//! awake costs the others no system call, and the owner itself makes no read-modify-write.
//!
//! What the bell is made of is not known here: the inbox holds it, and whoever is told to rings.

#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, fence},
};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, fence},
};

/// What other threads put things into, and the flags that say who has to ring.
#[derive(Default)]
pub(super) struct Bell<T> {
    pending: AtomicBool,
    sleeping: AtomicBool,
    inbox: Mutex<T>,
}

impl<T> Bell<T> {
    /// Puts something in, from any thread. `Some`: the owner sleeps, and the caller is to ring.
    ///
    /// # Errors
    /// Those of `add`; the owner then learns of nothing.
    pub(super) fn send<R, E>(
        &self,
        add: impl FnOnce(&mut T) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        let mut inbox = self.lock();
        let added = add(&mut inbox)?;
        self.pending.store(true, Release);
        fence(SeqCst);
        // Under the lock: after it there may be another owner, whose flag is not ours to take down
        // with the bell of its predecessor in hand.
        let asleep = self.sleeping.swap(false, Relaxed);
        drop(inbox);
        Ok(asleep.then_some(added))
    }

    /// Whether there is something to take. The owner's question, as all that follow.
    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        self.pending.load(Acquire)
    }

    /// Takes what has come.
    pub(super) fn take<R>(&self, take: impl FnOnce(&mut T) -> R) -> R {
        let mut inbox = self.lock();
        self.pending.store(false, Relaxed);
        take(&mut inbox)
    }

    /// Announces that the owner is about to sleep. `false`: something has come, it must not.
    #[inline]
    pub(super) fn fall_asleep(&self) -> bool {
        self.sleeping.store(true, Relaxed);
        fence(SeqCst);
        if self.has_mail() {
            self.wake_up();
            return false;
        }
        true
    }

    #[inline]
    pub(super) fn wake_up(&self) {
        // Whoever still sees `true` rings for nothing.
        self.sleeping.store(false, Relaxed);
    }

    /// Changes the inbox for another owner, who is awake and has no mail.
    pub(super) fn hand_over<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut inbox = self.lock();
        self.pending.store(false, Relaxed);
        self.wake_up();
        change(&mut inbox)
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // Nothing that can panic runs under the lock, so what it guards is whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, loom))]
mod tests;

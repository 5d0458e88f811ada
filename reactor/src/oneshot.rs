//! One value from one thread to a task of another: the result of work that was sent away. The way back says
//! that nobody wants it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::JoinError;

/// Makes both ends.
pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    result: Option<Result<T, JoinError>>,
    receiver: Option<Waker>,
    taken: bool,
    aborted: bool,
    /// Of who does the work, to hear of an abort.
    sender: Option<Waker>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { result: None, receiver: None, taken: false, aborted: false, sender: None }
    }
}

/// The end that gives the result. Dropped without one, it gives "cancelled".
pub(crate) struct Sender<T>(Arc<Mutex<Shared<T>>>);

/// The end that waits.
pub(crate) struct Receiver<T>(Arc<Mutex<Shared<T>>>);

impl<T> Sender<T> {
    pub(crate) fn send(self, result: Result<T, JoinError>) {
        // The first result stays: dropping `self` afterwards sends "cancelled" in vain.
        send(&self.0, result);
    }

    /// Whether the receiver has asked for an end.
    pub(crate) fn is_aborted(&self) -> bool {
        lock(&self.0).aborted
    }

    /// Ready when it has.
    pub(crate) fn poll_aborted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let sender = cx.waker().clone();
        let mut shared = lock(&self.0);
        if shared.aborted {
            return Poll::Ready(());
        }
        let old = shared.sender.replace(sender);
        drop(shared);
        drop(old);
        Poll::Pending
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        send(&self.0, Err(JoinError::cancelled()));
    }
}

fn send<T>(shared: &Mutex<Shared<T>>, result: Result<T, JoinError>) {
    let mut shared = lock(shared);
    if shared.result.is_some() || shared.taken {
        return;
    }
    shared.result = Some(result);
    let receiver = shared.receiver.take();
    drop(shared);
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

impl<T> Receiver<T> {
    /// # Panics
    /// When polled again after it gave the result.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        // Cloning it is code of users, if it is not ours.
        let receiver = cx.waker().clone();
        let mut shared = lock(&self.0);
        assert!(!shared.taken, "polled after it gave its result");
        if let Some(result) = shared.result.take() {
            shared.taken = true;
            return Poll::Ready(result);
        }
        let old = shared.receiver.replace(receiver);
        drop(shared);
        drop(old);
        Poll::Pending
    }

    /// Asks the sender for an end.
    pub(crate) fn abort(&self) {
        let mut shared = lock(&self.0);
        shared.aborted = true;
        let sender = shared.sender.take();
        drop(shared);
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        let shared = lock(&self.0);
        shared.taken || shared.result.is_some()
    }
}

fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    // Neither wakers nor values are dropped under the lock, so what it guards is whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

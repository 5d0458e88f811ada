//! What the threads of a proxy are told from outside.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// One side says, from any thread; every worker hears.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    drain: Option<Duration>,
    ended: bool,
    /// How often the logs were to be opened anew.
    reopened: u64,
    /// At most one for each worker.
    waiting: Vec<Waker>,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop, within this time.
    Drain(Duration),
    /// End at once.
    End,
    ReopenLogs,
}

/// What one worker has heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    drain: bool,
    ended: bool,
    reopened: u64,
}

impl Orders {
    /// Whoever has been told already goes by what it was told then.
    pub(crate) fn drain(&self, grace: Duration) {
        self.tell(|state| _ = state.drain.get_or_insert(grace));
    }

    pub(crate) fn end(&self) {
        self.tell(|state| {
            state.drain.get_or_insert(Duration::ZERO);
            state.ended = true;
        });
    }

    pub(crate) fn reopen_logs(&self) {
        self.tell(|state| state.reopened += 1);
    }

    /// What is to be done next. One that came several times meanwhile is done once; a stop goes before
    /// everything else.
    pub(crate) async fn next(&self, heard: &mut Heard) -> Order {
        self.wait(|state| {
            if let Some(grace) = state.drain.filter(|_| !heard.drain) {
                heard.drain = true;
                return Some(Order::Drain(grace));
            }
            if state.ended && !heard.ended {
                heard.ended = true;
                return Some(Order::End);
            }
            let is_new = heard.reopened != state.reopened;
            heard.reopened = state.reopened;
            is_new.then_some(Order::ReopenLogs)
        })
        .await
    }

    async fn wait<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut state = self.lock();
            match look(&state) {
                Some(found) => Poll::Ready(found),
                None => {
                    if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                        state.waiting.push(cx.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whichever is there first; the first of the two when both are.
pub(crate) async fn first_of<T>(
    mut first: Pin<&mut impl Future<Output = T>>,
    mut second: Pin<&mut impl Future<Output = T>>,
) -> T {
    poll_fn(|cx: &mut Context<'_>| match first.as_mut().poll(cx) {
        Poll::Pending => second.as_mut().poll(cx),
        ready => ready,
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    #[test]
    fn a_stop_goes_before_everything_else_and_what_was_told_first_counts() {
        let orders = Orders::default();
        orders.reopen_logs();
        orders.drain(GRACE);
        orders.drain(2 * GRACE);
        orders.end();
        let mut heard = Heard::default();
        let mut next = || reactor::block_on(orders.next(&mut heard)).unwrap();
        let expected = [Order::Drain(GRACE), Order::End, Order::ReopenLogs];
        assert_eq!([next(), next(), next()], expected);
    }

    #[test]
    fn every_worker_hears_once_of_what_was_told_before_it_listened_or_while_it_did() {
        let orders = Orders::default();
        orders.reopen_logs();
        orders.reopen_logs();
        let hear = async |heard: &mut Heard| orders.next(heard).await;
        let (mut one, mut other) = (Heard::default(), Heard::default());
        let heard = reactor::block_on(async {
            assert_eq!(hear(&mut one).await, Order::ReopenLogs);
            assert_eq!(hear(&mut other).await, Order::ReopenLogs);
            let teller = orders.clone();
            std::thread::spawn(move || teller.end());
            [hear(&mut one).await, hear(&mut other).await]
        });
        assert_eq!(heard.unwrap(), [Order::Drain(Duration::ZERO); 2]);
    }
}

//! A worker on its way out: what it asks of its connections, step by step.
//!
//! | stage | begins | what a connection does |
//! |---|---|---|
//! | `Serving` | | serves |
//! | `Leaving` | at once | serves; its client is told to go, where the protocol has a frame for that |
//! | `WhenIdle` | after [`GO_AWAY_TIME`], at most a quarter of the grace | serves, and ends as soon as nothing is in flight |
//! | `NoMore` | after half of the grace | takes no further request, of its client or of a host, and ends when the last in flight has; until then answers and heartbeats are read, and requests with them, which are dropped |
//! | `Cut` | after the grace | ends |
//!
//! Listeners are closed with the first step. Plain TCP has no moment at which nothing is in flight: it
//! ends when its peers end it, or with the last step.
//!
//! Whoever must notice a step is a [`Member`]: its task is woken by each, and looks at the stage.
//!
//! Rejected: to close connections that are idle at once. A client that does not know yet has perhaps
//! sent its next request; the second step gives it the time that the news takes to get there.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use reactor::time;
use slab::Slab;

use crate::limits::GO_AWAY_TIME;
use crate::worker::Worker;

/// See the module's page. They follow one another in this order, and none comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    #[default]
    Serving,
    Leaving,
    WhenIdle,
    NoMore,
    Cut,
}

/// How a proxy, or a thread of one, has stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Client connections that did not end within the grace and were cut.
    pub cut: u64,
}

/// How far a worker is. See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    stage: Cell<Stage>,
    /// Client connections that were cut.
    pub(crate) cut: Cell<u64>,
    members: RefCell<Slab<Waker>>,
    /// Of those that wait for others to go.
    waiting: RefCell<Vec<Waker>>,
}

impl Drain {
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Goes through the stages until `is_empty`, which may become true when [`gone`](Self::gone) is
    /// called; `at_cut` is called before the last of them.
    pub(crate) async fn run(
        &self,
        start: Instant,
        grace: Duration,
        is_empty: impl Fn() -> bool,
        at_cut: impl FnOnce(),
    ) {
        let steps = [
            (Duration::ZERO, Stage::Leaving),
            (GO_AWAY_TIME.min(grace / 4), Stage::WhenIdle),
            (grace / 2, Stage::NoMore),
        ];
        for (after, stage) in steps {
            let is_over = stage > Stage::Leaving && self.wait(start + after, &is_empty).await;
            if is_over {
                return;
            }
            self.advance(stage);
        }
        if self.wait(start + grace, &is_empty).await {
            return;
        }
        at_cut();
        self.advance(Stage::Cut);
        // What is cut ends by itself in its next turn.
        self.until(&is_empty).await;
    }

    /// Whether that came to be before this time.
    pub(crate) async fn wait(&self, end: Instant, condition: impl Fn() -> bool) -> bool {
        let left = end.saturating_duration_since(time::now());
        time::timeout(left, self.until(condition)).await.is_ok()
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        poll_fn(|cx| {
            if condition() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Something has ended that may be waited for.
    pub(crate) fn gone(&self) {
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    fn advance(&self, stage: Stage) {
        if stage <= self.stage.get() {
            return;
        }
        self.stage.set(stage);
        let wakers: Vec<Waker> =
            self.members.borrow().iter().map(|(_, waker)| waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The result of a member's future; `None` when it waits while this stage is there.
    pub(crate) async fn unless<T>(
        &self,
        stage: Stage,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Pending if self.stage.get() >= stage => Poll::Ready(None),
            result => result.map(Some),
        })
        .await
    }
}

/// A task that is woken by every step, as long as it has this.
pub(crate) struct Member {
    worker: Rc<Worker>,
    place: usize,
}

impl Member {
    /// Makes the calling task a member. What it does is done by this one task: its waker is asked
    /// for once.
    pub(crate) async fn new(worker: &Rc<Worker>) -> Member {
        poll_fn(|cx| {
            let place = worker.drain.members.borrow_mut().insert(cx.waker().clone());
            Poll::Ready(Member { worker: Rc::clone(worker), place })
        })
        .await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let waker = self.worker.drain.members.borrow_mut().remove(self.place);
        drop(waker);
        self.worker.drain.gone();
    }
}

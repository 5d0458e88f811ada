//! One timer for whatever comes first of many things.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use reactor::time::{self, Sleep};

/// Not armed, and without a timer, until it is [`set`](Self::set).
#[derive(Default)]
pub(crate) struct Alarm(Option<Sleep>);

impl Alarm {
    /// Has the task run at `at`; to be called whenever it runs.
    ///
    /// An alarm for an earlier time stays: it costs a wake-up, and saves arming anew for every change.
    /// When there is nothing to wait for, the timer is dropped once it has rung.
    pub(crate) fn set(&mut self, at: Option<Instant>, now: Instant, cx: &mut Context<'_>) {
        let armed = self.0.as_ref().and_then(Sleep::deadline);
        let Some(at) = at else {
            self.0.take_if(|_| armed.is_some_and(|armed| armed <= now));
            return;
        };
        if armed.is_some_and(|armed| armed > now && armed <= at) {
            return;
        }
        let timer = self.0.insert(time::sleep_until(at));
        if let Poll::Ready(()) = Pin::new(timer).poll(cx) {
            cx.waker().wake_by_ref();
        }
    }
}

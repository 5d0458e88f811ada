//! Futures that are given until a point in time.

use std::future::Future;
use std::time::{Duration, Instant};

use reactor::time;

use super::{Error, Stage};

/// So long from now; `None` for longer than the clock can count, which is never.
pub(super) fn after(time: Duration) -> Option<Instant> {
    time::now().checked_add(time)
}

/// What the future gives, if it does in time. When the time is up it is not even polled: for what
/// may be ready each time it is asked, and would so go on for ever.
pub(super) async fn before<F: Future>(
    deadline: Option<Instant>,
    during: Stage,
    future: F,
) -> Result<F::Output, Error> {
    if deadline.is_some_and(|deadline| deadline <= time::now()) {
        return Err(Error::DeadlineExceeded { during });
    }
    within(deadline, during, future).await
}

/// What the future gives, if it does in time. One that is ready wins, however late it is polled.
pub(super) async fn within<F: Future>(
    deadline: Option<Instant>,
    during: Stage,
    future: F,
) -> Result<F::Output, Error> {
    let Some(deadline) = deadline else { return Ok(future.await) };
    let left = deadline.saturating_duration_since(time::now());
    time::timeout(left, future).await.map_err(|_| Error::DeadlineExceeded { during })
}

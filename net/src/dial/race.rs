//! Happy Eyeballs: which of a host's addresses is tried when (RFC 8305, as Go's
//! `sysDialer.dialParallel` and `dialSerial` do it).
//!
//! Nothing here knows a socket: the caller says how one address is connected to. What it needs of
//! time comes from the reactor's clock, so the tests are in virtual time.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use reactor::time::{now, timeout};

use crate::error::OpError;

/// What one address gets of the time that is left, at least, as long as so much is left.
pub const DIAL_SHARE_MIN: Duration = Duration::from_secs(2);

/// When to give up, and when to stop waiting for the first family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) deadline: Option<Instant>,
    /// How far ahead the first family is; `None` for one address after another, whatever its family.
    pub(super) fallback_delay: Option<Duration>,
    /// Where the sockets are bound, for the text of errors.
    pub(super) local: Option<SocketAddr>,
}

type Outcome<T> = Result<T, Vec<io::Error>>;

/// Connects to one of `addrs`, which are in order of preference. The losers' futures are dropped.
///
/// # Errors
/// Those of all addresses that were tried, of the first one's family first. Each names its address
/// if `connect`'s do.
pub(super) async fn race<T>(
    addrs: &[SocketAddr],
    plan: Plan,
    connect: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> Outcome<T> {
    let Some(delay) = plan.fallback_delay else {
        return in_turn(addrs, plan, &connect).await;
    };
    let (primaries, fallbacks) = by_family(addrs);
    let mut primary = pin!(in_turn(&primaries, plan, &connect));
    if fallbacks.is_empty() {
        return primary.await;
    }
    let fallback = in_turn(&fallbacks, plan, &connect);
    match timeout(delay, primary.as_mut()).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(failures)) => fallback.await.map_err(|more| concat(failures, more)),
        Err(_elapsed) => first_success(primary, pin!(fallback)).await,
    }
}

/// Those of the first one's family, and the others, each in their order.
fn by_family(addrs: &[SocketAddr]) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let first_is_v4 = addrs.first().is_some_and(SocketAddr::is_ipv4);
    addrs.iter().partition(|addr| addr.is_ipv4() == first_is_v4)
}

/// One address after another, each with its share of the time that is left.
async fn in_turn<T>(
    addrs: &[SocketAddr],
    Plan { deadline, local, .. }: Plan,
    connect: &impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> Outcome<T> {
    let mut failures = Vec::new();
    for (at, &addr) in addrs.iter().enumerate() {
        let connected = match deadline {
            None => connect(addr).await,
            Some(deadline) => match share(now(), deadline, addrs.len() - at) {
                Some(time) => {
                    let in_time = timeout(time, connect(addr)).await;
                    in_time.unwrap_or_else(|_elapsed| Err(out_of_time(local, addr, time)))
                }
                None => {
                    failures.push(out_of_time(local, addr, Duration::ZERO));
                    break;
                }
            },
        };
        match connected {
            Ok(connected) => return Ok(connected),
            Err(err) => failures.push(err),
        }
    }
    Err(failures)
}

/// How long the next of `addrs_left` addresses may take (Go: `partialDeadline`). `None`: the time
/// is over.
fn share(now: Instant, deadline: Instant, addrs_left: usize) -> Option<Duration> {
    let left = deadline.checked_duration_since(now).filter(|left| !left.is_zero())?;
    let addrs_left = u32::try_from(addrs_left).unwrap_or(u32::MAX).max(1);
    Some((left / addrs_left).max(DIAL_SHARE_MIN).min(left))
}

/// The success that comes first; the first family's, should both come at once.
async fn first_success<T>(
    mut primary: Pin<&mut impl Future<Output = Outcome<T>>>,
    mut fallback: Pin<&mut impl Future<Output = Outcome<T>>>,
) -> Outcome<T> {
    let (mut failures, mut more) = (None, None);
    poll_fn(|cx| {
        let connected = poll_unless(&mut failures, || primary.as_mut().poll(cx))
            .or_else(|| poll_unless(&mut more, || fallback.as_mut().poll(cx)));
        if let Some(connected) = connected {
            return Poll::Ready(Ok(connected));
        }
        if failures.is_none() || more.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(Err(concat(
            failures.take().unwrap_or_default(),
            more.take().unwrap_or_default(),
        )))
    })
    .await
}

/// Polls what has not failed yet. Gives its success, and keeps its failure.
fn poll_unless<T>(
    failures: &mut Option<Vec<io::Error>>,
    poll: impl FnOnce() -> Poll<Outcome<T>>,
) -> Option<T> {
    if failures.is_some() {
        return None;
    }
    match poll() {
        Poll::Ready(Ok(connected)) => Some(connected),
        Poll::Ready(Err(err)) => {
            *failures = Some(err);
            None
        }
        Poll::Pending => None,
    }
}

fn concat(mut failures: Vec<io::Error>, more: Vec<io::Error>) -> Vec<io::Error> {
    failures.extend(more);
    failures
}

#[cold]
fn out_of_time(local: Option<SocketAddr>, addr: SocketAddr, after: Duration) -> io::Error {
    let why = if after.is_zero() {
        "out of time before it was tried".to_owned()
    } else {
        format!("no answer within {after:?}")
    };
    OpError::tcp("connect", local, Some(addr), io::Error::new(io::ErrorKind::TimedOut, why))
}

#[cfg(test)]
mod tests;

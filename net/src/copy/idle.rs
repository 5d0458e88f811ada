//! Giving up a pair of sockets between which nothing moves any more.
//!
//! Every byte pushes the clock on, and none of them moves a timer: the time of the last one is a
//! number, and the timer asks for it when it fires. Rejected: the read deadlines of both sockets, moved
//! on by each way's copy, since a download would let the other way's pass.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use reactor::time::{Sleep, now, sleep};

use super::{CopyError, Counts, counted, pass};
use crate::network::StreamNetwork;
use crate::socket::{Sink, Source};
use crate::stream::Stream;
use crate::sys;

/// [`copy_bidirectional`](super::copy_bidirectional) that gives up when no byte has moved either way for
/// `idle`.
///
/// A byte has moved when a socket has taken it, and each starts the time anew, whatever its direction.
/// While a peer is still taking what its socket holds, which may be megabytes for a slow one, that counts
/// too. The kernel only tells how much is left, not since when: so a pair with bytes on their way is given
/// up after `idle` at the earliest and twice that at the latest, and any other after `idle` exactly.
/// [`Duration::MAX`] waits for ever, and zero until there is nothing to move. A pair costs one timer.
///
/// # Slow peers
/// What a peer has taken is what its kernel says, and that comes in pieces. **A peer that takes longer
/// than `idle` to read one of them may be given up although it reads.**
///
/// - A Unix socket lets go what was written to it only when it has been read to its end: all of one write
///   of the copy, or some 36 KiB of that where it was longer, and 68 KiB where it was
///   [spliced](super::copy).
/// - A TCP socket lets go what the peer has acknowledged, read or not. The acknowledgement may be put off
///   for a moment, in which the bytes are on their way. A peer whose buffer is full takes more once there is
///   room for a segment in it, or half of it is free (RFC 9293, 3.8.6.2.2).
///
/// ```
/// use net::{CopyError, UnixStream};
/// use std::{io, time::Duration};
///
/// const IDLE: Duration = Duration::from_secs(300);
///
/// let mut runtime = reactor::Runtime::builder().paused(true).build()?;
/// runtime.block_on(async {
///     let (client, accepted) = UnixStream::pair()?;
///     let (dialed, _server) = UnixStream::pair()?;
///     client.write_all(b"a question").await?;
///     let ended = net::copy_bidirectional_idle(&accepted, &dialed, IDLE).await;
///     let CopyError { copied, source } = ended.unwrap_err();
///     assert_eq!((copied, source.kind()), ((10, 0), io::ErrorKind::TimedOut));
///     Ok::<_, io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Cancellation
/// As [`copy_bidirectional`](super::copy_bidirectional).
///
/// # Errors
/// As [`copy_bidirectional`](super::copy_bidirectional), and `TimedOut` for an idle pair: an
/// [`OpError`](crate::OpError) of the operation `copy` on `a`. The two streams stay open.
pub async fn copy_bidirectional_idle<A, B>(
    a: &A,
    b: &B,
    idle: Duration,
) -> Result<(u64, u64), CopyError<(u64, u64)>>
where
    A: Source + Sink,
    B: Source + Sink,
{
    let (a, b) = (a.stream(), b.stream());
    let copied = Counts::default();
    let mut passing = pin!(pass(a, b, &copied));
    let mut watch = Watch::new(idle);
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = passing.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        let (there, back) = copied.both();
        let queued_bytes = || queued_bytes(a) + queued_bytes(b);
        watch.poll(cx, there + back, queued_bytes).map(|()| Err(a.error("copy", is_idle(idle))))
    })
    .await;
    counted(ended, copied.both())
}

#[cold]
fn is_idle(idle: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nothing moved either way for {idle:?}"))
}

/// What the peer has not taken yet. A connection that is gone holds nothing.
fn queued_bytes<N: StreamNetwork>(stream: &Stream<N>) -> usize {
    stream.fd.with_fd(sys::queued_bytes).flatten().unwrap_or(0)
}

/// Ends when nothing has moved for so long.
struct Watch {
    idle: Duration,
    timer: Sleep,
    moved_at: Instant,
    moved_bytes: u64,
    /// What the sockets held at the last look, if nothing has been handed to them since.
    queued_bytes: Option<usize>,
}

impl Watch {
    fn new(idle: Duration) -> Self {
        let (timer, moved_at) = (sleep(idle), now());
        Self { idle, timer, moved_at, moved_bytes: 0, queued_bytes: None }
    }

    /// To be polled after whatever moves bytes, with how many it has moved by now.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved_bytes: u64,
        queued_bytes: impl Fn() -> usize,
    ) -> Poll<()> {
        if moved_bytes != self.moved_bytes {
            (self.moved_bytes, self.queued_bytes) = (moved_bytes, None);
            self.moved_at = now();
        }
        loop {
            ready!(Pin::new(&mut self.timer).poll(cx));
            if self.is_over(now(), &queued_bytes) {
                return Poll::Ready(());
            }
            // A time that the clock cannot count to has not passed.
            let Some(end) = self.moved_at.checked_add(self.idle) else { return Poll::Pending };
            self.timer.reset(end);
        }
    }

    fn is_over(&mut self, now: Instant, queued_bytes: impl Fn() -> usize) -> bool {
        if now.saturating_duration_since(self.moved_at) < self.idle {
            return false;
        }
        let before = self.queued_bytes.replace(queued_bytes());
        let is_still = self.queued_bytes == Some(0) || self.queued_bytes == before;
        if !is_still {
            self.moved_at = now;
        }
        is_still
    }
}

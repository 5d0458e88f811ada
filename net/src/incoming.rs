//! Accepting for ever: the loop that every server writes, with the pauses that many forget.

use std::io;
use std::time::{Duration, Instant};

use reactor::time::{now, sleep_until};

use crate::error::OpError;
use crate::listener::Listener;
use crate::network::StreamNetwork;
use crate::stream::Stream;

/// The pause after an accept that failed for want of descriptors or memory. It doubles with each
/// further failure, up to [`ACCEPT_PAUSE_MAX`], as in Go's `net/http`.
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);

/// The longest such pause.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The connections of a listener, one after another: made by [`Listener::incoming`].
///
/// ```
/// # reactor::block_on(async {
/// # let listener = net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// # let _near = net::TcpStream::connect(listener.local_addr()?).await?;
/// # let server = async {
/// let mut incoming = listener.incoming();
/// loop {
///     let (stream, peer) = incoming.next().await?;
///     reactor::spawn(async move { stream.write_all(b"hello").await }).detach();
///     # if true { return Ok::<_, std::io::Error>(peer); }
/// }
/// # };
/// # server.await?;
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # As a `Stream`
/// The trait is not in futures-io, and this crate depends on no more of futures than that. Where
/// futures-util is at hand, `unfold` makes a stream:
///
/// ```
/// # reactor::block_on(async {
/// use futures_util::{StreamExt, stream};
/// # let listener = net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// # let near = net::TcpStream::connect(listener.local_addr()?).await?;
///
/// let mut connections = Box::pin(stream::unfold(listener.incoming(), async |mut incoming| {
///     Some((incoming.next().await, incoming))
/// }));
/// let (stream, peer) = connections.next().await.unwrap()?;
/// # assert_eq!(near.local_addr()?, peer);
/// # drop(stream);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is accepted before next"]
pub struct Connections<'a, N: StreamNetwork> {
    listener: &'a Listener<N>,
    pause: Duration,
    /// The end of the pause, when one is on. Kept here, so that it holds also for who drops the
    /// future of `next` and makes another.
    paused_until: Option<Instant>,
}

impl<'a, N: StreamNetwork> Connections<'a, N> {
    pub(crate) fn new(listener: &'a Listener<N>) -> Self {
        Self { listener, pause: ACCEPT_PAUSE_MIN, paused_until: None }
    }

    /// The next connection, and its peer.
    ///
    /// When the system is out of descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`),
    /// this logs a warning and tries again after a pause: [`ACCEPT_PAUSE_MIN`], doubled with each
    /// further failure up to [`ACCEPT_PAUSE_MAX`], and the first again after a success. A close of
    /// the listener during a pause is noticed at its end.
    ///
    /// Cancel-safe: a dropped future has taken no connection, and a pause goes on.
    ///
    /// # Errors
    /// All others of [`Listener::accept`]: `TimedOut` past the deadline, use after close
    /// ([`reactor::is_closed`]). To go on after any other would fail again at once.
    pub async fn next(&mut self) -> io::Result<(Stream<N>, N::Addr)> {
        loop {
            if let Some(end) = self.paused_until {
                sleep_until(end).await;
                self.paused_until = None;
            }
            match self.listener.accept().await {
                Err(err) if is_shortage(&err) => self.back_off(&err),
                accepted => {
                    self.pause = ACCEPT_PAUSE_MIN;
                    return accepted;
                }
            }
        }
    }

    #[cold]
    fn back_off(&mut self, err: &io::Error) {
        log::warn!("{err}; the next try is in {:?}", self.pause);
        self.paused_until = Some(now() + self.pause);
        self.pause = (self.pause * 2).min(ACCEPT_PAUSE_MAX);
    }
}

/// Whether waiting may help. A flood of aborted connections counts: it has cost
/// [`ACCEPT_ABORTED_MAX`](crate::ACCEPT_ABORTED_MAX) system calls already.
fn is_shortage(err: &io::Error) -> bool {
    matches!(
        OpError::of(err).and_then(OpError::raw_os_error),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ECONNABORTED)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::leaving_nothing_open;
    use crate::sys::fault::script;
    use crate::{TcpListener, TcpStream};
    use reactor::time::timeout;

    const SHORTAGES: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];

    fn run_virtual(test: impl Future<Output = io::Result<()>>) {
        leaving_nothing_open(|| {
            let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
            runtime.block_on(test).unwrap();
        });
    }

    async fn listener_with_a_connection() -> io::Result<(TcpListener, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        Ok((listener, near))
    }

    #[test]
    fn a_shortage_pauses_5_ms_doubling_and_loses_no_connection() {
        run_virtual(async {
            let (listener, near) = listener_with_a_connection().await?;
            let script = script("accept4", &SHORTAGES);
            let start = now();
            let (_far, peer) = listener.incoming().next().await?;
            assert_eq!(peer, near.local_addr()?);
            assert_eq!(script.left(), 0);
            assert_eq!(now() - start, Duration::from_millis(5 + 10 + 20 + 40));
            Ok(())
        });
    }

    #[test]
    fn pauses_grow_to_one_second_and_no_further() {
        run_virtual(async {
            let (listener, _near) = listener_with_a_connection().await?;
            let _script = script("accept4", &[libc::EMFILE; 20]);
            let start = now();
            listener.incoming().next().await?;
            let doubling = 5 + 10 + 20 + 40 + 80 + 160 + 320 + 640;
            assert_eq!(now() - start, Duration::from_millis(doubling + 12 * 1000));
            Ok(())
        });
    }

    #[test]
    fn a_success_makes_the_next_pause_short_again() {
        run_virtual(async {
            let (listener, _near) = listener_with_a_connection().await?;
            let mut incoming = listener.incoming();
            let failing = script("accept4", &[libc::EMFILE; 3]);
            incoming.next().await?;
            drop(failing);
            let _near = TcpStream::connect(listener.local_addr()?).await?;
            let _failing = script("accept4", &[libc::EMFILE]);
            let start = now();
            incoming.next().await?;
            assert_eq!(now() - start, ACCEPT_PAUSE_MIN);
            Ok(())
        });
    }

    #[test]
    fn a_pause_holds_for_who_drops_next_and_calls_it_again() {
        run_virtual(async {
            let (listener, _near) = listener_with_a_connection().await?;
            let script = script("accept4", &[libc::EMFILE; 2]);
            let mut incoming = listener.incoming();
            for _ in 0..100 {
                assert!(timeout(Duration::ZERO, incoming.next()).await.is_err());
            }
            assert_eq!(script.left(), 1, "one try, then the pause");
            incoming.next().await?;
            Ok(())
        });
    }

    #[test]
    fn other_errors_are_the_callers() {
        run_virtual(async {
            let (listener, _near) = listener_with_a_connection().await?;
            let failing = script("accept4", &[libc::EPERM]);
            let mut incoming = listener.incoming();
            let err = incoming.next().await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::PermissionDenied);
            drop(failing);
            listener.set_deadline(Some(now()));
            assert_eq!(incoming.next().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            listener.close();
            assert!(reactor::is_closed(&incoming.next().await.unwrap_err()));
            Ok(())
        });
    }
}

//! Accepting for ever: the loop that every server writes, with the pauses that many forget.

use std::io;
#[cfg(feature = "stream")]
use std::pin::Pin;
#[cfg(feature = "stream")]
use std::task::{Context, Poll, ready};
use std::time::Duration;

use reactor::time::{Sleep, sleep};

use crate::error::OpError;
use crate::listener::{Listener, is_errno_of_the_connection};
use crate::network::{Network, StreamNetwork};
use crate::stream::Stream;

/// The pause after an accept that failed for want of descriptors or memory. It doubles with each
/// further failure, up to [`ACCEPT_PAUSE_MAX`], as in Go's `net/http`.
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);

/// The longest such pause.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection and its peer.
type Accepted<N> = io::Result<(Stream<N>, <N as Network>::Addr)>;

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
/// With the feature `stream` it is one: futures' `Stream` of `io::Result<(Stream, Addr)>`, for combinators
/// such as `for_each_concurrent`. It pauses as [`next`](Self::next) does. It ends when the listener is
/// closed, and after any other error, which it gives once: to go on would fail again at once, for
/// ever, and who only logs errors, as below, would spin. When the deadline of the listener was put
/// off, [`Listener::incoming`] makes another. It waits by [`Listener::poll_accept`], so only one
/// such stream of a listener can wait at a time.
///
/// ```
/// # #[cfg(feature = "stream")] {
/// # reactor::block_on(async {
/// use futures_util::StreamExt;
/// # let listener = net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// # let near = net::TcpStream::connect(listener.local_addr()?).await?;
///
/// let serve = listener.incoming().for_each_concurrent(1000, async |connection| match connection {
///     Ok((stream, _peer)) => drop(stream.write_all(b"hello").await),
///     Err(error) => log::warn!("{error}"),
/// });
/// # let mut buffer = [0; 5];
/// # let read = near.read(&mut buffer);
/// # futures_util::future::select(std::pin::pin!(serve), std::pin::pin!(read)).await;
/// # assert_eq!(buffer[0], b'h');
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # }
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is accepted before next"]
pub struct Connections<'a, N: StreamNetwork> {
    listener: &'a Listener<N>,
    pause: Duration,
    /// The pause, when one is on. Kept here, so that it holds also for who drops the future of
    /// `next` and makes another.
    pausing: Option<Sleep>,
    /// The stream has given its error, or seen the close.
    #[cfg(feature = "stream")]
    ended: bool,
}

impl<'a, N: StreamNetwork> Connections<'a, N> {
    pub(crate) fn new(listener: &'a Listener<N>) -> Self {
        Self {
            listener,
            pause: ACCEPT_PAUSE_MIN,
            pausing: None,
            #[cfg(feature = "stream")]
            ended: false,
        }
    }

    /// The next connection, and its peer.
    ///
    /// When the system is out of descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`),
    /// this logs a warning and tries again after a pause: [`ACCEPT_PAUSE_MIN`], doubled with each
    /// further failure up to [`ACCEPT_PAUSE_MAX`], and the first again after a success. It does the
    /// same when more than [`ACCEPT_ABORTED_MAX`](crate::ACCEPT_ABORTED_MAX) connections in a row were
    /// given up in the queue. A close of the listener during a pause is noticed at its end.
    ///
    /// Cancel-safe: a dropped future has taken no connection, and a pause goes on.
    ///
    /// # Errors
    /// All others of [`Listener::accept`]: `TimedOut` past the deadline, use after close
    /// ([`reactor::is_closed`]). To go on after any other would fail again at once.
    pub async fn next(&mut self) -> io::Result<(Stream<N>, N::Addr)> {
        loop {
            if let Some(pausing) = &mut self.pausing {
                pausing.await;
                self.pausing = None;
            }
            let accepted = self.listener.accept().await;
            if let Some(accepted) = self.unless_short(accepted) {
                return accepted;
            }
        }
    }

    /// `None`: a pause is on.
    fn unless_short(&mut self, accepted: Accepted<N>) -> Option<Accepted<N>> {
        match accepted {
            Err(err) if is_shortage(&err) => {
                self.back_off(&err);
                None
            }
            accepted => {
                self.pause = ACCEPT_PAUSE_MIN;
                Some(accepted)
            }
        }
    }

    #[cold]
    fn back_off(&mut self, err: &io::Error) {
        log::warn!("{err}; the next try is in {:?}", self.pause);
        self.pausing = Some(sleep(self.pause));
        self.pause = (self.pause * 2).min(ACCEPT_PAUSE_MAX);
    }
}

#[cfg(feature = "stream")]
impl<N: StreamNetwork> futures_core::Stream for Connections<'_, N> {
    type Item = Accepted<N>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.ended {
            if let Some(pausing) = &mut this.pausing {
                ready!(Pin::new(pausing).poll(cx));
                this.pausing = None;
            }
            let accepted = ready!(this.listener.poll_accept(cx));
            let Some(accepted) = this.unless_short(accepted) else { continue };
            this.ended = accepted.is_err();
            if !accepted.as_ref().is_err_and(reactor::is_closed) {
                return Poll::Ready(Some(accepted));
            }
        }
        Poll::Ready(None)
    }
}

/// Whether waiting may help. A flood of connections that were given up counts, whatever became of the
/// last one: it has cost [`ACCEPT_ABORTED_MAX`](crate::ACCEPT_ABORTED_MAX) system calls already, and
/// the listener is as good as before.
fn is_shortage(err: &io::Error) -> bool {
    let Some(errno) = OpError::of(err).and_then(OpError::raw_os_error) else { return false };
    matches!(errno, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
        || is_errno_of_the_connection(errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::leaving_nothing_open;
    use crate::sys::fault::script;
    use crate::{ACCEPT_ABORTED_MAX, TcpListener, TcpStream};
    use reactor::time::{now, timeout};

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
    fn a_flood_of_connections_that_were_given_up_pauses_whatever_the_last_one_says() {
        run_virtual(async {
            for last in [libc::ECONNABORTED, libc::ENETUNREACH] {
                let (listener, near) = listener_with_a_connection().await?;
                let mut flood = vec![libc::ECONNABORTED; ACCEPT_ABORTED_MAX];
                flood.push(last);
                let script = script("accept4", &flood);
                let start = now();
                let (_far, peer) = listener.incoming().next().await?;
                assert_eq!((peer, script.left()), (near.local_addr()?, 0));
                assert_eq!(now() - start, ACCEPT_PAUSE_MIN);
            }
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

    #[cfg(feature = "stream")]
    #[test]
    fn a_stream_of_connections_pauses_as_well_and_ends_with_the_listener() {
        use futures_util::StreamExt;
        run_virtual(async {
            let (listener, near) = listener_with_a_connection().await?;
            let script = script("accept4", &[libc::EMFILE, libc::EMFILE]);
            let mut incoming = listener.incoming();
            let start = now();
            let (_far, peer) = StreamExt::next(&mut incoming).await.unwrap()?;
            assert_eq!(peer, near.local_addr()?);
            assert_eq!((script.left(), now() - start), (0, Duration::from_millis(5 + 10)));
            listener.set_deadline(Some(now()));
            let err = StreamExt::next(&mut incoming).await.unwrap().unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::TimedOut);
            assert!(StreamExt::next(&mut incoming).await.is_none(), "the error was given once");
            listener.set_deadline(None);
            let mut incoming = listener.incoming();
            listener.close();
            for _ in 0..2 {
                assert!(StreamExt::next(&mut incoming).await.is_none());
            }
            Ok(())
        });
    }
}

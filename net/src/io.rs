//! Reading and writing a [`Stream`].
//!
//! Each operation comes as a future, as a poll function and as a try, and is one system call when
//! it succeeds. A short one is followed by `drained`: the next of its kind need not be tried before
//! an event says so, which saves the call that would return `EAGAIN`.

mod future;
mod read;
mod write;

use std::io;

use reactor::{Direction, Ready, WhileReady};

use crate::error::OpError;
use crate::network::StreamNetwork;
use crate::stream::Stream;
use future::Explained;

impl<N: StreamNetwork> Stream<N> {
    /// Calls `op` as long as the direction is ready, and waits whenever it is not, until `op` returns
    /// something. `Ok(None)` is "go on".
    ///
    /// `op` makes its calls by [`try_read`](Self::try_read), [`try_write`](Self::try_write) and their
    /// kin, which note what is not ready; when it returns their `WouldBlock`, that is "go on" too.
    /// What it borrows is borrowed while it runs, and not while the task waits: thousands of idle
    /// connections can share one buffer. Each call takes one operation from the task's budget.
    ///
    /// Cancel-safe: a future that is dropped while it waits has done what `op` did, and no more.
    ///
    /// ```
    /// # reactor::block_on(async {
    /// use net::{TcpListener, TcpStream};
    /// use reactor::Direction;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let near = TcpStream::connect(listener.local_addr()?).await?;
    /// let (far, _) = listener.accept().await?;
    ///
    /// // Counts what comes until the peer has said everything.
    /// let buffer = std::cell::RefCell::new([0; 16]);
    /// let mut count = 0;
    /// let counting = far.while_ready(Direction::Read, || {
    ///     match far.try_read(&mut *buffer.borrow_mut())? {
    ///         0 => Ok(Some(count)),
    ///         n => {
    ///             count += n;
    ///             Ok(None)
    ///         }
    ///     }
    /// });
    /// near.write_all(&[7; 100]).await?;
    /// drop(near);
    /// assert_eq!(counting.await?, 100);
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `op`; `TimedOut` past the deadline; use after close ([`reactor::is_closed`]).
    #[inline]
    pub fn while_ready<'a, T, Op>(
        &'a self,
        direction: Direction,
        op: Op,
    ) -> impl Future<Output = io::Result<T>> + Unpin + use<'a, N, T, Op>
    where
        Op: FnMut() -> io::Result<Option<T>>,
    {
        // What `op` says is explained already.
        let explain = |err, waiting: &WhileReady<'_, Op>| match waiting.direction() {
            _ if OpError::of(&err).is_some() => err,
            Direction::Read => self.error("read", err),
            Direction::Write => self.error("write", err),
        };
        Explained { inner: self.fd.while_ready(direction, op), explain }
    }

    /// Waits until a read would not block, or does not know better: it may block all the same.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `TimedOut` past the deadline; use after close ([`reactor::is_closed`]).
    #[inline]
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> + use<'_, N> {
        Explained {
            inner: self.fd.readable(),
            explain: |err, _: &Ready<'_>| self.error("read", err),
        }
    }

    /// Waits until a write would not block, or does not know better: it may block all the same.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `TimedOut` past the deadline; use after close ([`reactor::is_closed`]).
    #[inline]
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> + use<'_, N> {
        Explained {
            inner: self.fd.writable(),
            explain: |err, _: &Ready<'_>| self.error("write", err),
        }
    }

    /// To be told "not now" is part of a try, and not worth the addresses.
    #[cold]
    fn refused(&self, operation: &'static str, err: io::Error) -> io::Error {
        if err.kind() == io::ErrorKind::WouldBlock { err } else { self.error(operation, err) }
    }
}

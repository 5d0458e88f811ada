//! Reading and writing a [`Stream`].
//!
//! Each operation comes as a future, as a poll function and as a try, and is one system call when
//! it succeeds. A short one is followed by `drained`: the next of its kind need not be tried before
//! an event says so, which saves the call that would return `EAGAIN`.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use reactor::{Direction, Ready, WhileReady};

use crate::batch::{self, Batch};
use crate::error::OpError;
use crate::network::StreamNetwork;
use crate::stream::Stream;
use crate::sys::{self, Taken};

impl<N: StreamNetwork> Stream<N> {
    /// Reads into `buf` and returns how many bytes, at most [`IO_BYTES_MAX`](crate::IO_BYTES_MAX);
    /// 0 is the end of the stream. An empty `buf` gives 0 without a system call.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `ConnectionReset` and what else recv(2) says; `TimedOut` past the deadline; use after close
    /// ([`reactor::is_closed`]).
    #[inline]
    pub fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + use<'a, N> {
        let buf = batch::capped_mut(buf);
        let asked = buf.len();
        let reading = self.fd.io(Direction::Read, move |fd| N::recv(fd, buf));
        Transfer::new(asked, reading, move |result| self.received(asked, result))
    }

    /// [`read`](Self::read) for poll functions. The task of the last call is woken, and of the last
    /// one only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let buf = batch::capped_mut(buf);
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let result = ready!(self.fd.poll_io(cx, Direction::Read, |fd| N::recv(fd, buf)));
        Poll::Ready(self.received(buf.len(), result))
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, else as [`read`](Self::read).
    #[inline(always)]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let buf = batch::capped_mut(buf);
        if buf.is_empty() {
            return Ok(0);
        }
        let result = self.fd.try_io(Direction::Read, |fd| N::recv(fd, buf));
        self.received(buf.len(), result)
    }

    /// Reads into the buffers in turn, with one system call: at most
    /// [`IOVECS_MAX`](crate::IOVECS_MAX) of them. Otherwise as [`read`](Self::read).
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match batch::of(bufs) {
            Batch::Nothing => Ok(0),
            Batch::Single(at) => self.read(&mut bufs[at]).await,
            Batch::Many { count, bytes } => {
                let op = |fd: BorrowedFd<'_>| N::recv_vectored(fd, &mut bufs[..count]);
                let result = self.fd.io(Direction::Read, op).await;
                self.received(bytes, result)
            }
        }
    }

    /// [`read_vectored`](Self::read_vectored) for poll functions. The task of the last call is
    /// woken, and of the last one only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match batch::of(bufs) {
            Batch::Nothing => Poll::Ready(Ok(0)),
            Batch::Single(at) => self.poll_read(cx, &mut bufs[at]),
            Batch::Many { count, bytes } => {
                let op = |fd: BorrowedFd<'_>| N::recv_vectored(fd, &mut bufs[..count]);
                let result = ready!(self.fd.poll_io(cx, Direction::Read, op));
                Poll::Ready(self.received(bytes, result))
            }
        }
    }

    /// Reads without taking: the next read gets the same bytes again. A 0 for a buffer with room
    /// is the end of the stream.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let buf = batch::capped_mut(buf);
        if buf.is_empty() {
            return Ok(0);
        }
        let result = self.fd.io(Direction::Read, |fd| sys::recv(fd, buf, libc::MSG_PEEK)).await;
        result.map_err(|err| self.error("peek", err))
    }

    /// Writes from `buf` and returns how many bytes the kernel took, at most
    /// [`IO_BYTES_MAX`](crate::IO_BYTES_MAX): all of them, or as many as there was room for. An
    /// empty `buf` gives 0 without a system call.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// `BrokenPipe`, `ConnectionReset` and what else send(2) says; `TimedOut` past the deadline; use
    /// after close ([`reactor::is_closed`]). A lost peer raises no `SIGPIPE`.
    #[inline]
    pub fn write<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + use<'a, N> {
        let buf = batch::capped(buf);
        let asked = buf.len();
        let writing = self.fd.io(Direction::Write, move |fd| sys::send(fd, buf));
        Transfer::new(asked, writing, move |result| self.sent(asked, result))
    }

    /// [`write`](Self::write) for poll functions. The task of the last call is woken, and of the
    /// last one only.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let buf = batch::capped(buf);
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let result = ready!(self.fd.poll_io(cx, Direction::Write, |fd| sys::send(fd, buf)));
        Poll::Ready(self.sent(buf.len(), result))
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, else as [`write`](Self::write).
    #[inline(always)]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let asked = buf.len();
        if asked == 0 {
            return Ok(0);
        }
        let buf = batch::capped(buf);
        let result = self.fd.try_io(Direction::Write, |fd| sys::send(fd, buf));
        self.sent(asked, result)
    }

    /// Writes from the buffers in turn, with one system call: at most
    /// [`IOVECS_MAX`](crate::IOVECS_MAX) of them. Otherwise as [`write`](Self::write).
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match batch::of(bufs) {
            Batch::Nothing => Ok(0),
            Batch::Single(at) => self.write(&bufs[at]).await,
            Batch::Many { count, bytes } => {
                let op = |fd: BorrowedFd<'_>| sys::send_vectored(fd, &bufs[..count]);
                let result = self.fd.io(Direction::Write, op).await;
                self.sent(bytes, result)
            }
        }
    }

    /// [`write_vectored`](Self::write_vectored) for poll functions. The task of the last call is
    /// woken, and of the last one only.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match batch::of(bufs) {
            Batch::Nothing => Poll::Ready(Ok(0)),
            Batch::Single(at) => self.poll_write(cx, &bufs[at]),
            Batch::Many { count, bytes } => {
                let op = |fd: BorrowedFd<'_>| sys::send_vectored(fd, &bufs[..count]);
                let result = ready!(self.fd.poll_io(cx, Direction::Write, op));
                Poll::Ready(self.sent(bytes, result))
            }
        }
    }

    /// Writes from the buffers as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, else as [`write`](Self::write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match batch::of(bufs) {
            Batch::Nothing => Ok(0),
            Batch::Single(at) => self.try_write(&bufs[at]),
            Batch::Many { count, bytes } => {
                let op = |fd: BorrowedFd<'_>| sys::send_vectored(fd, &bufs[..count]);
                let result = self.fd.try_io(Direction::Write, op);
                self.sent(bytes, result)
            }
        }
    }

    /// Writes all of `buf`. Two tasks that do so at once get their pieces mixed.
    ///
    /// Not cancel-safe: a dropped future has sent a part that nobody knows.
    ///
    /// # Errors
    /// As [`write`](Self::write), after any part was sent.
    pub fn write_all<'a>(
        &'a self,
        mut buf: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + use<'a, N> {
        let asked = buf.len();
        let write_some = move || {
            buf = &buf[self.try_write(buf)?..];
            Ok(buf.is_empty().then_some(()))
        };
        Transfer::new(asked, self.while_ready(Direction::Write, write_some), |result| result)
    }

    /// Writes all that is in the buffers, which are used up: what they hold afterwards is not
    /// specified. Two tasks that do so at once get their pieces mixed.
    ///
    /// Not cancel-safe, as [`write_all`](Self::write_all).
    ///
    /// # Errors
    /// As [`write`](Self::write), after any part was sent.
    pub async fn write_all_vectored(&self, mut bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            let n = self.write_vectored(bufs).await?;
            IoSlice::advance_slices(&mut bufs, n);
        }
        Ok(())
    }

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

    /// A read that took less than `asked` and did not stop at a mark emptied the socket, and the
    /// next one need not be tried before an event says so.
    #[inline]
    pub(crate) fn received(&self, asked: usize, result: io::Result<Taken>) -> io::Result<usize> {
        match result {
            Ok(Taken { bytes: n, at_mark }) => {
                if n != 0 && n < asked && !at_mark {
                    self.fd.drained(Direction::Read);
                }
                Ok(n)
            }
            Err(err) => Err(self.refused("read", err)),
        }
    }

    /// The mirror: a write that gave less than `asked` filled the socket.
    #[inline]
    fn sent(&self, asked: usize, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(n) => {
                if n < asked {
                    self.sent_less(asked, n);
                }
                Ok(n)
            }
            Err(err) => Err(self.refused("write", err)),
        }
    }

    #[cold]
    fn sent_less(&self, asked: usize, n: usize) {
        if batch::is_short(asked, n) {
            self.fd.drained(Direction::Write);
        }
    }

    /// To be told "not now" is part of a try, and not worth the addresses.
    #[cold]
    fn refused(&self, operation: &'static str, err: io::Error) -> io::Error {
        if err.kind() == io::ErrorKind::WouldBlock { err } else { self.error(operation, err) }
    }
}

// By hand, as the reactor's: an `async fn` around each would be one more state machine to pass on the
// way of every operation.

/// Reads or writes, and notes what came of it. Of an empty buffer there is nothing to do.
struct Transfer<F, M> {
    inner: Option<F>,
    note: M,
}

impl<F, M> Transfer<F, M> {
    #[inline]
    fn new(asked: usize, inner: F, note: M) -> Self {
        Self { inner: (asked > 0).then_some(inner), note }
    }
}

impl<F: Unpin, M> Unpin for Transfer<F, M> {}

impl<F, M, T> Future for Transfer<F, M>
where
    F: Future + Unpin,
    M: FnMut(F::Output) -> io::Result<T>,
    T: Default,
{
    type Output = io::Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, note } = self.get_mut();
        match inner {
            Some(inner) => Poll::Ready(note(ready!(Pin::new(inner).poll(cx)))),
            None => Poll::Ready(Ok(T::default())),
        }
    }
}

/// Does as the inner future, and says of its errors where they come from.
struct Explained<F, M> {
    inner: F,
    explain: M,
}

impl<F: Unpin, M> Unpin for Explained<F, M> {}

impl<T, F, M> Future for Explained<F, M>
where
    F: Future<Output = io::Result<T>> + Unpin,
    M: FnMut(io::Error, &F) -> io::Error,
{
    type Output = io::Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, explain } = self.get_mut();
        let result = ready!(Pin::new(&mut *inner).poll(cx));
        Poll::Ready(result.map_err(|err| explain(err, inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use crate::TcpListener;
    use crate::leaks::leaving_nothing_open;

    /// A read stops at the urgent mark: it is short, and there is more, and no edge will say so.
    #[test]
    fn urgent_data_does_not_hide_what_follows_it() {
        let received = leaving_nothing_open(|| {
            reactor::block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
                let peer = std::net::TcpStream::connect(listener.local_addr()?)?;
                let (stream, _) = listener.accept().await?;
                let mut buf = [0; 16];
                assert_eq!(
                    stream.try_read(&mut buf).unwrap_err().kind(),
                    io::ErrorKind::WouldBlock
                );

                io::Write::write_all(&mut &peer, b"before")?;
                sys::send_urgent(peer.as_fd(), b'!')?;
                io::Write::write_all(&mut &peer, b"after")?;
                let mut received = Vec::new();
                while received.len() < b"beforeafter".len() {
                    let read =
                        reactor::time::timeout(Duration::from_secs(20), stream.read(&mut buf));
                    let n = read.await.expect("parked with data in the socket")?;
                    received.extend_from_slice(&buf[..n]);
                }
                Ok::<_, io::Error>(received)
            })
        });
        assert_eq!(received.unwrap().unwrap(), b"beforeafter");
    }
}

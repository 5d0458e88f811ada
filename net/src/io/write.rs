//! Writing a [`Stream`].

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use reactor::Direction;

use super::future::Transfer;
use crate::batch::{self, Batch};
use crate::network::StreamNetwork;
use crate::stream::Stream;
use crate::sys;

impl<N: StreamNetwork> Stream<N> {
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
}

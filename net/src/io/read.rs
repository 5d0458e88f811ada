//! Reading a [`Stream`].

use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use reactor::Direction;

use super::future::Transfer;
use crate::batch::{self, Batch};
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

//! tokio's `AsyncRead` and `AsyncWrite` on the streams and their owned halves: for the crates that are
//! written against these traits, and not against tokio's runtime. Nothing of that is here.
//!
//! Reads go straight into what a `ReadBuf` has left, uninitialised as it is. Shutting down is
//! `shutdown(Write)`.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use reactor::Direction;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::network::StreamNetwork;
use crate::split::{Reader, Writer};
use crate::stream::Stream;
use crate::sys;

impl<N: StreamNetwork> AsyncRead for Stream<N> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        read(&self, cx, buf)
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin> AsyncRead for Reader<S> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        read(self.stream(), cx, buf)
    }
}

#[inline]
fn read<N: StreamNetwork>(
    stream: &Stream<N>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let asked = buf.remaining().min(crate::IO_BYTES_MAX);
    if asked == 0 {
        return Poll::Ready(Ok(()));
    }
    let op = |fd: BorrowedFd<'_>| sys::recv_read_buf::<N>(fd, buf);
    let result = ready!(stream.fd.poll_io(cx, Direction::Read, op));
    Poll::Ready(stream.received(asked, result).map(drop))
}

impl<N: StreamNetwork> AsyncWrite for Stream<N> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write(&self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Stream::shutdown(&self, Shutdown::Write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write_vectored(&self, cx, bufs)
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin> AsyncWrite for Writer<S> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream().shutdown(Shutdown::Write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }
}

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
use crate::traits::writes;

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

writes!(AsyncWrite, poll_shutdown, is_write_vectored; [N: StreamNetwork] Stream<N>);
writes!(AsyncWrite, poll_shutdown, is_write_vectored;
    [N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin] Writer<S>);

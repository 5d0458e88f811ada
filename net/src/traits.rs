//! The traits of futures-io, each a call of the inherent method.
//!
//! Flushing does nothing: there is no buffer above the kernel's. Closing is `shutdown(Write)`,
//! which lets the peer read to the end and leaves reading open; dropping closes the descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::network::StreamNetwork;
use crate::split::{Reader, Writer};
use crate::stream::Stream;

/// Implements `AsyncRead` for what has a stream, through [`AsRef`].
macro_rules! reads {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> AsyncRead for $type {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let stream: &Stream<N> = (*self).as_ref();
                stream.poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let stream: &Stream<N> = (*self).as_ref();
                stream.poll_read_vectored(cx, bufs)
            }
        }
    };
}

/// Implements `AsyncWrite`, or a trait that differs from it in the name of closing and in saying
/// whether it is vectored, for what has a stream, through [`AsRef`].
macro_rules! writes {
    ($trait:ident, $close:ident $(, $is_vectored:ident)?; [$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> $trait for $type {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let stream: &Stream<N> = (*self).as_ref();
                stream.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let stream: &Stream<N> = (*self).as_ref();
                stream.poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn $close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                let stream: &Stream<N> = (*self).as_ref();
                Poll::Ready(stream.shutdown(Shutdown::Write))
            }

            $(fn $is_vectored(&self) -> bool {
                true
            })?
        }
    };
}
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
pub(crate) use writes;

reads!([N: StreamNetwork] Stream<N>);
reads!([N: StreamNetwork] &Stream<N>);
reads!([N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin] Reader<S>);
writes!(AsyncWrite, poll_close; [N: StreamNetwork] Stream<N>);
writes!(AsyncWrite, poll_close; [N: StreamNetwork] &Stream<N>);
writes!(AsyncWrite, poll_close; [N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin] Writer<S>);

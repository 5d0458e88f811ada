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

/// Implements `AsyncWrite` for what has a stream, through [`AsRef`].
macro_rules! writes {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> AsyncWrite for $type {
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

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                let stream: &Stream<N> = (*self).as_ref();
                Poll::Ready(stream.shutdown(Shutdown::Write))
            }
        }
    };
}

reads!([N: StreamNetwork] Stream<N>);
reads!([N: StreamNetwork] &Stream<N>);
reads!([N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin] Reader<S>);
writes!([N: StreamNetwork] Stream<N>);
writes!([N: StreamNetwork] &Stream<N>);
writes!([N: StreamNetwork, S: Deref<Target = Stream<N>> + Unpin] Writer<S>);

//! Halves of a stream.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use crate::{Error, Stream};

/// The half of a stream that reads: see [`Stream::into_split`].
///
/// Dropping it alone says nothing to the peer, which may send until the window is full. The stream
/// itself is there through [`AsRef`].
#[derive(Debug)]
pub struct OwnedReadHalf(Rc<Stream>);

/// The half of a stream that writes: see [`Stream::into_split`].
///
/// Dropping it without [`shutdown`](Self::shutdown) resets the stream, behind what was written,
/// unless the peer's FIN has come: what was cut short must not look complete, and yamux has no word
/// for it but the RST, which ends both directions. The stream itself is there through [`AsRef`].
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Rc<Stream>,
    finish_on_drop: bool,
}

pub(crate) fn owned(stream: Stream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Rc::new(stream);
    (OwnedReadHalf(Rc::clone(&stream)), OwnedWriteHalf { stream, finish_on_drop: true })
}

impl OwnedReadHalf {
    /// As [`Stream::read_bytes`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_bytes(&self) -> Result<Option<Bytes>, Error> {
        self.0.read_bytes().await
    }

    /// As [`Stream::set_read_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.0.set_read_deadline(deadline);
    }

    /// Puts the stream together again. Nothing is said to the peer.
    ///
    /// # Errors
    /// [`ReuniteError`], with both halves in it, when they are not of one stream.
    pub fn reunite(self, mut write: OwnedWriteHalf) -> Result<Stream, ReuniteError> {
        if !Rc::ptr_eq(&self.0, &write.stream) {
            return Err(ReuniteError(self, write));
        }
        write.finish_on_drop = false;
        drop(write);
        Ok(Rc::into_inner(self.0).expect("a stream has two halves, and one was just dropped"))
    }
}

impl OwnedWriteHalf {
    /// As [`Stream::write_bytes`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_bytes(&self, data: Bytes) -> Result<(), Error> {
        self.stream.write_bytes(data).await
    }

    /// As [`Stream::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.stream.shutdown()
    }

    /// As [`Stream::stopped`].
    ///
    /// # Errors
    /// As there.
    pub async fn stopped(&self) -> Result<(), Error> {
        self.stream.stopped().await
    }

    /// As [`Stream::set_write_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.stream.set_write_deadline(deadline);
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.finish_on_drop {
            self.stream.finish_writing();
        }
    }
}

impl AsRef<Stream> for OwnedReadHalf {
    fn as_ref(&self) -> &Stream {
        &self.0
    }
}

impl AsRef<Stream> for OwnedWriteHalf {
    fn as_ref(&self) -> &Stream {
        &self.stream
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.0).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.0).poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self.stream).poll_close(cx)
    }
}

/// Halves of two different streams cannot be put together. Holds both.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one stream")
    }
}

impl StdError for ReuniteError {}

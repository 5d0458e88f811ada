//! Halves of a stream.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Instant;

use crate::stream::TcpStream;

/// The half of a stream that reads, borrowed: see [`TcpStream::split`].
///
/// The stream itself is there through [`AsRef`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The half of a stream that writes, borrowed: see [`TcpStream::split`].
///
/// The stream itself is there through [`AsRef`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The half of a stream that reads, owned: see [`TcpStream::into_split`].
///
/// The stream itself is there through [`AsRef`].
#[derive(Debug)]
pub struct OwnedReadHalf(Rc<TcpStream>);

/// The half of a stream that writes, owned: see [`TcpStream::into_split`]. Dropping it shuts down
/// writing, so that the peer reads the end of the stream.
///
/// The stream itself is there through [`AsRef`].
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Rc<TcpStream>,
    shutdown_on_drop: bool,
}

pub(crate) fn borrowed(stream: &mut TcpStream) -> (ReadHalf<'_>, WriteHalf<'_>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(crate) fn owned(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Rc::new(stream);
    (OwnedReadHalf(Rc::clone(&stream)), OwnedWriteHalf { stream, shutdown_on_drop: true })
}

impl ReadHalf<'_> {
    /// As [`TcpStream::read`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).await
    }

    /// As [`TcpStream::read_vectored`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(bufs).await
    }

    /// As [`TcpStream::peek`].
    ///
    /// # Errors
    /// As there.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buf).await
    }

    /// As [`TcpStream::set_read_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.0.set_read_deadline(deadline);
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0
    }
}

impl WriteHalf<'_> {
    /// As [`TcpStream::write`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).await
    }

    /// As [`TcpStream::write_vectored`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs).await
    }

    /// As [`TcpStream::write_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        self.0.write_all(buf).await
    }

    /// Shuts down writing: the peer reads the end of the stream.
    ///
    /// # Errors
    /// As [`TcpStream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    /// As [`TcpStream::set_write_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.0.set_write_deadline(deadline);
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0
    }
}

impl OwnedReadHalf {
    /// As [`TcpStream::read`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).await
    }

    /// As [`TcpStream::read_vectored`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(bufs).await
    }

    /// As [`TcpStream::peek`].
    ///
    /// # Errors
    /// As there.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buf).await
    }

    /// As [`TcpStream::set_read_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.0.set_read_deadline(deadline);
    }

    /// Puts the stream together again. Nothing is shut down.
    ///
    /// # Errors
    /// [`ReuniteError`], with both halves in it, when they are not of one stream.
    pub fn reunite(self, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Rc::ptr_eq(&self.0, &write.stream) {
            return Err(ReuniteError(self, write));
        }
        write.shutdown_on_drop = false;
        drop(write);
        Ok(Rc::into_inner(self.0).expect("a stream has two halves, and one was just dropped"))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.0
    }
}

impl OwnedWriteHalf {
    /// As [`TcpStream::write`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf).await
    }

    /// As [`TcpStream::write_vectored`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(bufs).await
    }

    /// As [`TcpStream::write_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        self.stream.write_all(buf).await
    }

    /// Shuts down writing: the peer reads the end of the stream.
    ///
    /// # Errors
    /// As [`TcpStream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// As [`TcpStream::set_write_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.stream.set_write_deadline(deadline);
    }

    /// Drops this half without shutting down writing: the stream stays open both ways until the
    /// read half is dropped.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            // It fails on a connection that is lost or closed, where there is nothing to shut down.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream()
    }
}

impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream()
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        self.stream()
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        self.stream()
    }
}

/// The halves given to [`OwnedReadHalf::reunite`] are of two streams. They are in here.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one stream")
    }
}

impl Error for ReuniteError {}

//! Halves of a stream, written once over whatever lends them the stream: a reference for
//! [`Stream::split`], a share for [`Stream::into_split`].

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Instant;

use crate::network::{StreamNetwork, Tcp};
use crate::stream::Stream;

/// The half of a stream that reads, borrowed: see [`Stream::split`].
///
/// ```
/// use net::{ReadHalf, TcpStream};
///
/// async fn first_byte(half: &mut ReadHalf<'_>) -> std::io::Result<Option<u8>> {
///     let mut byte = [0];
///     Ok((half.read(&mut byte).await? > 0).then_some(byte[0]))
/// }
/// # reactor::block_on(async {
/// # let listener = net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let mut near = TcpStream::connect(listener.local_addr()?).await?;
/// let (far, _) = listener.accept().await?;
/// far.write_all(b"hello").await?;
/// let (mut reader, _writer) = near.split();
/// assert_eq!(first_byte(&mut reader).await?, Some(b'h'));
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type ReadHalf<'a, N = Tcp> = Reader<&'a Stream<N>>;

/// The half of a stream that writes, borrowed: see [`Stream::split`].
///
/// ```
/// use net::{Unix, UnixStream, WriteHalf};
///
/// async fn say(half: &mut WriteHalf<'_, Unix>) -> std::io::Result<()> {
///     half.write_all(b"hello").await
/// }
/// # reactor::block_on(async {
/// let (mut near, far) = UnixStream::pair()?;
/// let (_reader, mut writer) = near.split();
/// say(&mut writer).await?;
/// assert_eq!(far.read(&mut [0; 8]).await?, 5);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type WriteHalf<'a, N = Tcp> = Writer<&'a Stream<N>>;

/// The half of a stream that reads, owned: see [`Stream::into_split`].
///
/// ```
/// use net::{OwnedReadHalf, Unix, UnixStream};
///
/// async fn count(half: OwnedReadHalf<Unix>) -> std::io::Result<usize> {
///     let (mut bytes, mut buffer) = (0, [0; 1024]);
///     loop {
///         match half.read(&mut buffer).await? {
///             0 => return Ok(bytes),
///             n => bytes += n,
///         }
///     }
/// }
/// # reactor::block_on(async {
/// let (near, far) = UnixStream::pair()?;
/// let (reader, _writer) = far.into_split();
/// let counting = reactor::spawn(count(reader));
/// near.write_all(b"hello").await?;
/// drop(near);
/// assert_eq!(counting.await.unwrap()?, 5);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type OwnedReadHalf<N = Tcp> = Reader<Rc<Stream<N>>>;

/// The half of a stream that writes, owned: see [`Stream::into_split`]. Dropping it shuts down
/// writing, so that the peer reads the end of the stream.
///
/// ```
/// # reactor::block_on(async {
/// let (near, far) = net::UnixStream::pair()?;
/// let (_reader, writer) = near.into_split();
/// writer.write_all(b"bye").await?;
/// drop(writer);
/// let mut buffer = [0; 8];
/// assert_eq!(far.read(&mut buffer).await?, 3);
/// assert_eq!(far.read(&mut buffer).await?, 0, "the end");
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub type OwnedWriteHalf<N = Tcp> = Writer<WriteShare<N>>;

/// A half that reads: a [`ReadHalf`] or an [`OwnedReadHalf`].
///
/// The stream itself is there through [`AsRef`].
///
/// ```
/// # reactor::block_on(async {
/// let (mut near, far) = net::UnixStream::pair()?;
/// let (read, write) = near.split();
/// write.write_all(b"ping").await?;
/// far.write_all(b"pong").await?;
/// let mut buf = [0; 8];
/// assert_eq!(read.read(&mut buf).await?, 4);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<S>(S);

/// A half that writes: a [`WriteHalf`] or an [`OwnedWriteHalf`].
///
/// The stream itself is there through [`AsRef`].
///
/// ```
/// # reactor::block_on(async {
/// let (near, far) = net::UnixStream::pair()?;
/// let (read, write) = near.into_split();
/// write.write_all(b"all of it").await?;
/// drop(write);
/// let mut buf = [0; 16];
/// assert_eq!(far.read(&mut buf).await?, 9);
/// assert_eq!(far.read(&mut buf).await?, 0, "the end");
/// far.write_all(b"answer").await?;
/// assert_eq!(read.read(&mut buf).await?, 6);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<S>(S);

/// The share of a stream that an [`OwnedWriteHalf`] has: what it is a [`Writer`] of. Dropping it shuts
/// down writing.
///
/// ```
/// use net::{Unix, UnixStream, WriteShare, Writer};
///
/// # reactor::block_on(async {
/// let (near, far) = UnixStream::pair()?;
/// let (reader, writer) = near.into_split();
/// let writer: Writer<WriteShare<Unix>> = writer;
/// drop(writer);
/// assert_eq!(far.read(&mut [0; 8]).await?, 0, "the end");
/// far.write_all(b"still heard").await?;
/// assert_eq!(reader.read(&mut [0; 16]).await?, 11);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct WriteShare<N: StreamNetwork> {
    stream: Rc<Stream<N>>,
    shutdown_on_drop: bool,
}

pub(crate) fn borrowed<N: StreamNetwork>(
    stream: &mut Stream<N>,
) -> (ReadHalf<'_, N>, WriteHalf<'_, N>) {
    (Reader(stream), Writer(stream))
}

pub(crate) fn owned<N: StreamNetwork>(stream: Stream<N>) -> (OwnedReadHalf<N>, OwnedWriteHalf<N>) {
    let stream = Rc::new(stream);
    (Reader(Rc::clone(&stream)), Writer(WriteShare { stream, shutdown_on_drop: true }))
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> Reader<S> {
    /// As [`Stream::read`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).await
    }

    /// As [`Stream::read_vectored`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(bufs).await
    }

    /// As [`Stream::peek`].
    ///
    /// # Errors
    /// As there.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buf).await
    }

    /// As [`Stream::set_read_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.0.set_read_deadline(deadline);
    }

    pub(crate) fn stream(&self) -> &Stream<N> {
        &self.0
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> Writer<S> {
    /// As [`Stream::write`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).await
    }

    /// As [`Stream::write_vectored`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs).await
    }

    /// As [`Stream::write_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        self.0.write_all(buf).await
    }

    /// Shuts down writing: the peer reads the end of the stream.
    ///
    /// # Errors
    /// As [`Stream::shutdown`].
    pub fn shutdown(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    /// As [`Stream::set_write_deadline`].
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.0.set_write_deadline(deadline);
    }

    pub(crate) fn stream(&self) -> &Stream<N> {
        &self.0
    }
}

impl<N: StreamNetwork> OwnedReadHalf<N> {
    /// Puts the stream together again. Nothing is shut down.
    ///
    /// # Errors
    /// [`ReuniteError`], with both halves in it, when they are not of one stream.
    pub fn reunite(self, mut write: OwnedWriteHalf<N>) -> Result<Stream<N>, ReuniteError<N>> {
        if !Rc::ptr_eq(&self.0, &write.0.stream) {
            return Err(ReuniteError(self, write));
        }
        write.0.shutdown_on_drop = false;
        drop(write);
        Ok(Rc::into_inner(self.0).expect("a stream has two halves, and one was just dropped"))
    }
}

impl<N: StreamNetwork> OwnedWriteHalf<N> {
    /// Drops this half without shutting down writing: the stream stays open both ways until the
    /// read half is dropped.
    pub fn forget(mut self) {
        self.0.shutdown_on_drop = false;
    }
}

impl<N: StreamNetwork> Deref for WriteShare<N> {
    type Target = Stream<N>;

    #[inline]
    fn deref(&self) -> &Stream<N> {
        &self.stream
    }
}

impl<N: StreamNetwork> Drop for WriteShare<N> {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            // It fails on a connection that is lost or closed, where there is nothing to shut down.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> AsRef<Stream<N>> for Reader<S> {
    fn as_ref(&self) -> &Stream<N> {
        self.stream()
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> AsRef<Stream<N>> for Writer<S> {
    fn as_ref(&self) -> &Stream<N> {
        self.stream()
    }
}

/// The halves given to [`OwnedReadHalf::reunite`] are of two streams. They are in here.
///
/// # Examples
/// ```
/// # reactor::block_on(async {
/// use net::{ReuniteError, UnixStream};
///
/// let (a, b) = UnixStream::pair()?;
/// let ((a_reads, a_writes), (b_reads, _b_writes)) = (a.into_split(), b.into_split());
/// let ReuniteError(_, a_writes) = b_reads.reunite(a_writes).unwrap_err();
/// assert!(a_reads.reunite(a_writes).is_ok());
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ReuniteError<N: StreamNetwork = Tcp>(pub OwnedReadHalf<N>, pub OwnedWriteHalf<N>);

impl<N: StreamNetwork> fmt::Display for ReuniteError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one stream")
    }
}

impl<N: StreamNetwork> Error for ReuniteError<N> {}

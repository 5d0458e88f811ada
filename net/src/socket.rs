//! What bytes can be moved from and to: streams and their halves, each for what it can do.

use std::ops::Deref;

use crate::network::StreamNetwork;
use crate::split::{Reader, Writer};
use crate::stream::Stream;

/// What [`copy`](crate::copy) reads from: a stream, or the half of one that reads. Sealed.
///
/// ```
/// use net::{Sink, Source, UnixStream, copy};
///
/// /// Passes on what comes from several, one after another.
/// async fn concat(from: &[impl Source], to: &impl Sink) -> std::io::Result<u64> {
///     let mut bytes = 0;
///     for from in from {
///         bytes += copy(from, to).await?;
///     }
///     Ok(bytes)
/// }
/// # reactor::block_on(async {
/// let (near, far) = UnixStream::pair()?;
/// let (to, end) = UnixStream::pair()?;
/// near.write_all(b"hello").await?;
/// drop(near);
/// let (from, _writer) = far.into_split();
/// assert_eq!(concat(&[from], &to).await?, 5);
/// assert_eq!(end.read(&mut [0; 8]).await?, 5);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub trait Source: Socket {}

/// What [`copy`](crate::copy) writes to: a stream, or the half of one that writes. Sealed.
///
/// ```
/// use net::{Sink, UnixStream, copy};
///
/// async fn collect(from: UnixStream, to: impl Sink) -> std::io::Result<u64> {
///     Ok(copy(&from, &to).await?)
/// }
/// # reactor::block_on(async {
/// let (near, far) = UnixStream::pair()?;
/// let (to, end) = UnixStream::pair()?;
/// let (_reader, writer) = to.into_split();
/// let collecting = reactor::spawn(collect(far, writer));
/// near.write_all(b"hello").await?;
/// drop(near);
/// assert_eq!(collecting.await.unwrap()?, 5);
/// let mut buffer = [0; 8];
/// assert_eq!(end.read(&mut buffer).await?, 5);
/// assert_eq!(end.read(&mut buffer).await?, 0, "the half was dropped");
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub trait Sink: Socket {}

/// What has a stream. Public in name only: the crate does not export it, which seals the other two.
pub trait Socket {
    /// The network of the stream.
    type Network: StreamNetwork;

    /// The stream.
    fn stream(&self) -> &Stream<Self::Network>;
}

impl<N: StreamNetwork> Socket for Stream<N> {
    type Network = N;

    fn stream(&self) -> &Stream<N> {
        self
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> Socket for Reader<S> {
    type Network = N;

    fn stream(&self) -> &Stream<N> {
        self.as_ref()
    }
}

impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> Socket for Writer<S> {
    type Network = N;

    fn stream(&self) -> &Stream<N> {
        self.as_ref()
    }
}

impl<N: StreamNetwork> Source for Stream<N> {}
impl<N: StreamNetwork> Sink for Stream<N> {}
impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> Source for Reader<S> {}
impl<N: StreamNetwork, S: Deref<Target = Stream<N>>> Sink for Writer<S> {}

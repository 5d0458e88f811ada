//! What bytes can be moved from and to: streams and their halves, each for what it can do.

use std::ops::Deref;

use crate::network::StreamNetwork;
use crate::split::{Reader, Writer};
use crate::stream::Stream;

/// What [`copy`](crate::copy) reads from: a stream, or the half of one that reads. Sealed.
pub trait Source: Socket {}

/// What [`copy`](crate::copy) writes to: a stream, or the half of one that writes. Sealed.
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

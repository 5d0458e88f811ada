//! The futures of reading and writing.
//!
//! By hand, as the reactor's: an `async fn` around each would be one more state machine to pass on the
//! way of every operation.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Reads or writes, and notes what came of it. Of an empty buffer there is nothing to do.
pub(super) struct Transfer<F, M> {
    inner: Option<F>,
    note: M,
}

impl<F, M> Transfer<F, M> {
    #[inline]
    pub(super) fn new(asked: usize, inner: F, note: M) -> Self {
        Self { inner: (asked > 0).then_some(inner), note }
    }
}

impl<F: Unpin, M> Unpin for Transfer<F, M> {}

impl<F, M, T> Future for Transfer<F, M>
where
    F: Future + Unpin,
    M: FnMut(F::Output) -> io::Result<T>,
    T: Default,
{
    type Output = io::Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, note } = self.get_mut();
        match inner {
            Some(inner) => Poll::Ready(note(ready!(Pin::new(inner).poll(cx)))),
            None => Poll::Ready(Ok(T::default())),
        }
    }
}

/// Does as the inner future, and says of its errors where they come from.
pub(super) struct Explained<F, M> {
    pub(super) inner: F,
    pub(super) explain: M,
}

impl<F: Unpin, M> Unpin for Explained<F, M> {}

impl<T, F, M> Future for Explained<F, M>
where
    F: Future<Output = io::Result<T>> + Unpin,
    M: FnMut(io::Error, &F) -> io::Error,
{
    type Output = io::Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, explain } = self.get_mut();
        let result = ready!(Pin::new(&mut *inner).poll(cx));
        Poll::Ready(result.map_err(|err| explain(err, inner)))
    }
}

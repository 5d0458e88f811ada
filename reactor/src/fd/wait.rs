//! The futures of a [`PollFd`].
//!
//! By hand: an `async fn` around `poll_fn` would cost two more state machines on the way of every
//! operation.

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::PollFd;
use crate::polldesc::Direction;

/// Waits for a direction of a [`PollFd`]. Made by [`PollFd::ready`].
#[must_use = "a future does nothing unless awaited"]
pub struct Ready<'a> {
    parked: Parked<'a>,
}

/// Makes an operation on a [`PollFd`]. Made by [`PollFd::io`].
#[must_use = "a future does nothing unless awaited"]
pub struct Io<'a, Op> {
    parked: Parked<'a>,
    op: Op,
}

/// Makes operations on a [`PollFd`] whenever it is ready. Made by [`PollFd::while_ready`].
#[must_use = "a future does nothing unless awaited"]
pub struct WhileReady<'a, Op> {
    parked: Parked<'a>,
    op: Op,
}

/// The operation is called, never pinned.
impl<Op> Unpin for Io<'_, Op> {}

/// The operation is called, never pinned.
impl<Op> Unpin for WhileReady<'_, Op> {}

impl<'a> Ready<'a> {
    #[inline]
    pub(super) fn new(parked: Parked<'a>) -> Self {
        Self { parked }
    }
}

impl<'a, Op> Io<'a, Op> {
    #[inline]
    pub(super) fn new(parked: Parked<'a>, op: Op) -> Self {
        Self { parked, op }
    }
}

impl<'a, Op> WhileReady<'a, Op> {
    #[inline]
    pub(super) fn new(parked: Parked<'a>, op: Op) -> Self {
        Self { parked, op }
    }

    /// Which way it waits.
    pub fn direction(&self) -> Direction {
        self.parked.dir
    }
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Parked { fd, dir, place } = &mut self.parked;
        let ready = fd.poll_ready_within_budget(cx, *dir, place);
        self.parked.leave_if(&ready);
        ready
    }
}

impl<T, Op> Future for Io<'_, Op>
where
    Op: FnMut(BorrowedFd<'_>) -> io::Result<T>,
{
    type Output = io::Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Io { parked, op } = self.get_mut();
        let result = parked.fd.poll_in_place(cx, parked.dir, &mut parked.place, op);
        parked.leave_if(&result);
        result
    }
}

impl<T, Op> Future for WhileReady<'_, Op>
where
    Op: FnMut() -> io::Result<Option<T>>,
{
    type Output = io::Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let WhileReady { parked, op } = self.get_mut();
        loop {
            ready!(parked.fd.poll_ready_within_budget(cx, parked.dir, &mut parked.place))?;
            match op() {
                Ok(Some(result)) => return Poll::Ready(Ok(result)),
                Ok(None) => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) => return Poll::Ready(Err(err)),
            }
        }
    }
}

/// The parking place of a future, left when the future is dropped. 0: it has none yet.
pub(super) struct Parked<'a> {
    fd: &'a PollFd,
    dir: Direction,
    place: u32,
}

impl<'a> Parked<'a> {
    #[inline]
    pub(super) fn new(fd: &'a PollFd, dir: Direction) -> Self {
        Self { fd, dir, place: 0 }
    }

    /// What made the direction Ready took everyone out of their places.
    #[inline]
    fn leave_if<T>(&mut self, result: &Poll<io::Result<T>>) {
        if matches!(result, Poll::Ready(Ok(_))) {
            self.place = 0;
        }
    }
}

impl Drop for Parked<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.place != 0 {
            self.fd.entry.desc.unpark(self.dir, self.place);
        }
    }
}

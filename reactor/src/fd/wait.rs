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
///
/// ```
/// # use std::{io::{self, Read}, os::unix::net::UnixStream};
/// # reactor::block_on(async {
/// # let (mut near, far) = UnixStream::pair()?;
/// # near.set_nonblocking(true)?;
/// use reactor::{Direction, PollFd};
///
/// let readiness = PollFd::from_socket(near.try_clone()?.into());
/// # io::Write::write_all(&mut &far, b"hello")?;
/// let mut buf = [0; 16];
/// let n = loop {
///     readiness.ready(Direction::Read).await?;
///     match readiness.try_io(Direction::Read, |_| near.read(&mut buf)) {
///         Err(err) if err.kind() == io::ErrorKind::WouldBlock => {} // Ready is a hint
///         result => break result?,
///     }
/// };
/// assert_eq!(&buf[..n], b"hello");
/// # Ok::<_, io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "a future does nothing unless awaited"]
pub struct Ready<'a> {
    parked: Parked<'a>,
}

/// Makes an operation on a [`PollFd`]. Made by [`PollFd::io`].
///
/// ```
/// # use std::net::UdpSocket;
/// # reactor::block_on(async {
/// use reactor::{Direction, PollFd};
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// socket.set_nonblocking(true)?;
/// let readiness = PollFd::from_socket(socket.try_clone()?.into());
/// # socket.send_to(b"hello", socket.local_addr()?)?;
/// let mut buf = [0; 1500];
/// let (n, from) = readiness.io(Direction::Read, |_| socket.recv_from(&mut buf)).await?;
/// # assert_eq!((&buf[..n], from), (&b"hello"[..], socket.local_addr()?));
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[must_use = "a future does nothing unless awaited"]
pub struct Io<'a, Op> {
    parked: Parked<'a>,
    op: Op,
}

/// Makes operations on a [`PollFd`] whenever it is ready. Made by [`PollFd::while_ready`].
///
/// ```
/// # use std::{io::{self, Read}, os::unix::net::UnixStream};
/// # reactor::block_on(async {
/// # let (mut near, far) = UnixStream::pair()?;
/// # near.set_nonblocking(true)?;
/// use reactor::{Direction, PollFd};
///
/// let readiness = PollFd::from_socket(near.try_clone()?.into());
/// # io::Write::write_all(&mut &far, b"a line\n")?;
/// let mut line = Vec::new();
/// let read_line = readiness.while_ready(Direction::Read, || {
///     let mut piece = [0; 64]; // borrowed while this runs, not while the task waits
///     let n = readiness.try_io(Direction::Read, |_| near.read(&mut piece))?;
///     line.extend_from_slice(&piece[..n]);
///     Ok((n == 0 || line.ends_with(b"\n")).then_some(()))
/// });
/// read_line.await?;
/// assert_eq!(line, b"a line\n");
/// # Ok::<_, io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
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
            self.fd.tie.entry.desc.unpark(self.dir, self.place);
        }
    }
}

//! `PollFd`: a descriptor that tasks wait for.
//!
//! The counterpart of Go's `internal/poll.FD`. Every operation has one shape: look at closing and
//! deadline, try the system call, and on `EAGAIN` park until an edge, the deadline or the close;
//! then try again.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::context;
use crate::netpoll::not_pollable;
use crate::polldesc::{Direction, Found, POLL_PLACE};
use crate::sys;
use crate::waiters::Woken;

mod error;
mod park;
mod tie;
mod wait;

pub use error::is_closed;
use error::{closed, refused};
use tie::Tie;
use wait::Parked;
pub use wait::{Io, Ready, WhileReady};

/// The longest read or write of one call, 1 GiB, as in Go.
const IO_BYTES_MAX: usize = 1 << 30;

/// An owned descriptor, tied to the runtime of the thread it was made on.
///
/// Any descriptor that epoll takes will do: sockets, pipes, terminals, eventfd, timerfd, inotify.
/// It must be in nonblocking mode, or an operation blocks the whole thread. It is tried first and
/// registered with epoll at its first `EAGAIN`, once, for both directions, edge-triggered.
///
/// **Several tasks** may wait for one direction. An edge wakes them all, and who tries first gets
/// what there is; the others park again. Which of them that is, is not defined: two readers of one
/// stream each get some of its bytes. A close and a deadline wake them all with an error.
///
/// **Deadlines** are points in time, for each direction. When one has passed, every operation of
/// the direction fails with [`TimedOut`](io::ErrorKind::TimedOut), also if data is there, until
/// another deadline is set.
///
/// **Close** wakes every waiting task with an error that [`is_closed`] knows. Dropping closes. The number
/// of a descriptor that was closed stays taken until the `PollFd` is dropped, by a file that refuses
/// to be read, written or asked, so what is borrowed by [`AsFd`] never comes to mean another file.
///
/// # Examples
/// ```
/// use std::os::{fd::OwnedFd, unix::net::UnixStream};
/// use reactor::PollFd;
///
/// reactor::block_on(async {
///     let (a, b) = UnixStream::pair()?;
///     a.set_nonblocking(true)?;
///     b.set_nonblocking(true)?;
///     let (a, b) = (PollFd::from_socket(OwnedFd::from(a)), PollFd::from_socket(OwnedFd::from(b)));
///     let reader = reactor::spawn(async move {
///         let mut buf = [0; 16];
///         let n = a.read(&mut buf).await?;      // parks: nothing has been written yet
///         Ok::<_, std::io::Error>(buf[..n].to_vec())
///     });
///     reactor::yield_now().await;
///     b.write(b"hello").await?;
///     assert_eq!(reader.await??, b"hello");
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct PollFd {
    // In this order: the tie is cut while the descriptor is open.
    tie: Tie,
    fd: OwnedFd,
}

impl PollFd {
    /// Ties `fd` to the runtime of this thread. The caller has set `O_NONBLOCK`.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) for a regular file or a directory: they are
    /// always "ready", and reading them blocks the thread all the same. What `fstat` says of a bad
    /// descriptor.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        if sys::is_file_or_directory(fd.as_fd())? {
            return Err(not_pollable());
        }
        Ok(Self::from_socket(fd))
    }

    /// [`new`](Self::new) for a descriptor that is known to be a socket, without a system call.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn from_socket(fd: OwnedFd) -> Self {
        let netpoll = context::with(|core| Rc::clone(&core.netpoll));
        Self { tie: Tie::new(netpoll, &fd), fd }
    }

    /// Calls `op` until it is not refused for want of readiness, waiting in between.
    ///
    /// `op` makes one nonblocking system call. On [`WouldBlock`](io::ErrorKind::WouldBlock) the
    /// task parks; on [`Interrupted`](io::ErrorKind::Interrupted) `op` is called again at once; all
    /// else is the answer. Cancel-safe: dropped while it waits, it has done nothing and leaves no
    /// waker behind.
    ///
    /// # Errors
    /// Those of `op`; [`TimedOut`](io::ErrorKind::TimedOut) when the deadline has passed;
    /// [`is_closed`] when the descriptor was closed; `Unsupported` when it cannot be polled.
    #[inline]
    pub fn io<T, Op>(&self, dir: Direction, op: Op) -> Io<'_, Op>
    where
        Op: FnMut(BorrowedFd<'_>) -> io::Result<T>,
    {
        Io::new(Parked::new(self, dir), op)
    }

    /// [`io`](Self::io) for poll functions, such as those of `AsyncRead`.
    ///
    /// There is one parking place a direction for all callers of this function and of
    /// [`poll_ready`](Self::poll_ready): the last to be told `Pending` is the one that is woken.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    #[inline]
    pub fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        dir: Direction,
        mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_in_place(cx, dir, &mut { POLL_PLACE }, &mut op)
    }

    /// Calls `op` once if the direction may be ready, and never waits.
    ///
    /// # Errors
    /// As [`io`](Self::io), and [`WouldBlock`](io::ErrorKind::WouldBlock) when the direction is not
    /// ready. It says so without a system call when it is known.
    #[inline(always)]
    pub fn try_io<T>(
        &self,
        dir: Direction,
        op: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if !self.tie.entry.desc.is_ready(dir) {
            return Err(self.not_ready(dir));
        }
        match op(self.fd.as_fd()) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                self.blocked(dir)?;
                Err(err)
            }
            result => result,
        }
    }

    /// Calls `op` as long as the direction is ready, and waits whenever it is not, until `op` returns
    /// something. `Ok(None)` is "go on".
    ///
    /// `op` makes its calls through [`try_io`](Self::try_io), which notes what is not ready; when it
    /// returns the [`WouldBlock`](io::ErrorKind::WouldBlock) of one, that is "go on" too. That of a
    /// call in the other direction is not for it to return: this direction is ready still, so `op`
    /// would be called without end. Return `Some` then, and wait for the other.
    ///
    /// What it borrows is borrowed while it runs and not while the task waits, which is how many idle
    /// connections share one buffer. Each call takes one operation from the task's budget, so an `op`
    /// that never gets on starves nobody. Cancel-safe.
    ///
    /// # Errors
    /// Those of `op`, and as [`io`](Self::io).
    #[inline]
    pub fn while_ready<T, Op>(&self, dir: Direction, op: Op) -> WhileReady<'_, Op>
    where
        Op: FnMut() -> io::Result<Option<T>>,
    {
        WhileReady::new(Parked::new(self, dir), op)
    }

    /// Waits until the direction is ready.
    ///
    /// Ready means that a try is worth its while, no more: the call may still say `EAGAIN`, so make
    /// it through [`try_io`](Self::try_io), which notes that. Cancel-safe.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    #[inline]
    pub fn ready(&self, dir: Direction) -> Ready<'_> {
        Ready::new(Parked::new(self, dir))
    }

    /// [`ready`](Self::ready) for reading.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    #[inline]
    pub fn readable(&self) -> Ready<'_> {
        self.ready(Direction::Read)
    }

    /// [`ready`](Self::ready) for writing.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    #[inline]
    pub fn writable(&self) -> Ready<'_> {
        self.ready(Direction::Write)
    }

    /// [`ready`](Self::ready) for poll functions; see [`poll_io`](Self::poll_io).
    ///
    /// # Errors
    /// As [`io`](Self::io).
    pub fn poll_ready(&self, cx: &mut Context<'_>, dir: Direction) -> Poll<io::Result<()>> {
        self.poll_ready_within_budget(cx, dir, &mut { POLL_PLACE })
    }

    /// Notes that the last operation proved that there is no more for now, which saves the one
    /// that would say `EAGAIN`.
    ///
    /// It is proved on a **stream socket** by a read or write of `0 < n < len` bytes. It is *not*
    /// proved on anything else: not on datagrams or listeners (the next may be queued), not on
    /// packet pipes, not after out-of-band data or passed descriptors. After the peer's end was
    /// seen the call is ignored, since the end itself is still to be read.
    #[inline]
    pub fn drained(&self, dir: Direction) {
        self.tie.entry.desc.drained(dir);
    }

    /// `read(2)` into `buf`. `Ok(0)` is the end of the stream; an empty `buf` gives `Ok(0)` without
    /// a system call. At most 1 GiB. Cancel-safe.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(IO_BYTES_MAX);
        if len == 0 {
            return Ok(0);
        }
        self.io(Direction::Read, |fd| sys::read(fd, &mut buf[..len])).await
    }

    /// `write(2)` of some of `buf`; returns how much. An empty `buf` is written too: to a datagram
    /// socket it is a message. At most 1 GiB. Cancel-safe.
    ///
    /// # Errors
    /// As [`io`](Self::io).
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let len = buf.len().min(IO_BYTES_MAX);
        self.io(Direction::Write, |fd| sys::write(fd, &buf[..len])).await
    }

    /// Sets the deadline of both directions; `None` clears them. One that is past, or now, fails
    /// waiting operations at once.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.set_read_deadline(deadline);
        self.set_write_deadline(deadline);
    }

    /// Sets or clears the deadline of reads. To push it on before every read costs no timer work.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.set_deadline_of(Direction::Read, deadline);
    }

    /// Sets or clears the deadline of writes.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.set_deadline_of(Direction::Write, deadline);
    }

    /// Wakes everyone who waits, with an error that [`is_closed`] knows, and closes the descriptor.
    ///
    /// Its number stays taken until this is dropped: what an `op` that is under way does with it from
    /// here on is refused (`EINVAL`, `ENOTSOCK`), and no call meets another file under it. The JDK closes
    /// the channels that other threads are using in this way (`preClose` of `sun.nio.ch`).
    ///
    /// Who needs the number for something else drops this. A number that is beyond what the process may open
    /// by now (`RLIMIT_NOFILE`) cannot be given another file: a socket is then shut down, and closed by the
    /// drop.
    pub fn close(&self) {
        let mut woken = Woken::default();
        if self.tie.cut(&mut woken) {
            self.tie.netpoll.vacate(self.fd.as_fd());
        }
        woken.wake();
    }

    /// Says that the descriptor is open elsewhere too: duplicated, passed on, inherited by a child
    /// process. Close then takes it out of the epoll set, which costs a system call; without, the
    /// kernel would go on to report events of the copy that lead nowhere.
    pub fn mark_shared(&self) {
        self.tie.entry.desc.set_shared();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.tie.entry.desc.is_closing()
    }

    /// Lends the descriptor, for `getsockopt` and its kin.
    ///
    /// Who makes a duplicate that outlives this `PollFd` says so with
    /// [`mark_shared`](Self::mark_shared), or borrows it by [`AsFd`].
    ///
    /// # Errors
    /// [`is_closed`] after a close.
    pub fn with_fd<T>(&self, f: impl FnOnce(BorrowedFd<'_>) -> T) -> io::Result<T> {
        if self.is_closed() { Err(closed()) } else { Ok(f(self.fd.as_fd())) }
    }

    /// Takes the descriptor out of the runtime, open and in nonblocking mode.
    ///
    /// # Errors
    /// [`is_closed`] after a close; what `epoll_ctl(DEL)` says, and then the descriptor is closed.
    pub fn into_inner(self) -> io::Result<OwnedFd> {
        if self.is_closed() {
            return Err(closed());
        }
        // In this order, so that the tie is dropped first.
        let Self { fd, tie } = self;
        tie.netpoll.delete(tie.number, &tie.entry)?;
        tie.netpoll.forget(&tie.entry);
        Ok(fd)
    }

    #[cold]
    fn not_ready(&self, dir: Direction) -> io::Error {
        match self.tie.entry.desc.look(dir) {
            Found::Refused(refusal) => refused(refusal),
            Found::Ready | Found::Idle => io::ErrorKind::WouldBlock.into(),
        }
    }

    #[inline]
    fn set_deadline_of(&self, dir: Direction, deadline: Option<Instant>) {
        if self.is_closed() {
            return;
        }
        let at_ns = deadline.map(|at| self.tie.netpoll.clock.ns_of(at));
        if self.tie.netpoll.set_deadline(&self.tie.entry, dir, at_ns) {
            self.expire(dir);
        }
    }

    #[cold]
    fn expire(&self, dir: Direction) {
        let mut woken = Woken::default();
        self.tie.entry.desc.expire(dir, &mut woken);
        woken.wake();
    }
}

/// Who borrows a descriptor may duplicate it, so it counts as shared from then on
/// ([`mark_shared`](PollFd::mark_shared)); [`with_fd`](PollFd::with_fd) lends it without. After a close it is
/// that of an epoll instance of nothing, which refuses to be read, written or asked (`EINVAL`, `ENOTSOCK`).
impl AsFd for PollFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mark_shared();
        self.fd.as_fd()
    }
}

/// Its number, for logs and the like: nothing is lent, so it does not count as shared. The number is this
/// descriptor's until the drop, also after a close. Who makes a duplicate of it that outlives this `PollFd` says so
/// with [`mark_shared`](PollFd::mark_shared).
impl AsRawFd for PollFd {
    fn as_raw_fd(&self) -> RawFd {
        self.tie.number
    }
}

impl fmt::Debug for PollFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fd = (!self.is_closed()).then_some(self.tie.number);
        f.debug_struct("PollFd").field("fd", &fd).finish_non_exhaustive()
    }
}

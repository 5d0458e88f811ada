//! The operating system's poller: add, delete, wait. It knows tokens and readiness, not tasks.
//!
//! The counterpart of Go's `runtime/netpoll_epoll.go`. The contract with `netpoll.rs`:
//!
//! - [`Epoll::add`] registers a descriptor once, for both directions, edge-triggered, for life.
//!   There is no "modify": interest never changes, only what the `PollDesc` remembers does.
//! - A descriptor that is ready when it is added produces an event at once, so trying first and
//!   registering at the first `EAGAIN` loses no edge.
//! - [`Epoll::delete`] is needed only for a descriptor that stays open elsewhere (duplicated,
//!   handed out, inherited): closing the last copy removes it from the set.
//! - [`Epoll::wait`] reports `(token, Readiness)` pairs. Tokens of closed descriptors may still
//!   come; whoever receives them compares generations.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::sys::{self, EpollEvent, Wait};

/// Events taken from the kernel by one wait, at first. The batch doubles whenever it comes back
/// full, up to [`EVENTS_MAX`].
const EVENTS_AT_FIRST: usize = 128;

/// Events taken from the kernel by one wait, at most.
pub(crate) const EVENTS_MAX: usize = 1024;

/// What epoll said of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness(u32);

impl Readiness {
    /// There is something to read and room to write, and that is all: what nearly every event of a
    /// connection says, since edges are reported with the whole state of the descriptor.
    pub(crate) const READ_AND_WRITE: Self = Self((libc::EPOLLIN | libc::EPOLLOUT) as u32);

    const READ: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
    const WRITE: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;
    const END: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
    const MARK: u32 = libc::EPOLLPRI as u32;

    #[cfg(test)]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// A read would not block: data, the peer's end of stream, hang-up or an error.
    pub(crate) fn is_readable(self) -> bool {
        self.0 & Self::READ != 0
    }

    /// A write would not block: room, hang-up or an error. `EPOLLRDHUP` is not among them: the
    /// peer's half close says nothing of the other direction.
    pub(crate) fn is_writable(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// A short read may have more behind it, for which no further edge comes: the stream's end or
    /// failure (`RDHUP`, `HUP`, `ERR`), or TCP's urgent mark (`PRI`), at which reads stop.
    pub(crate) fn voids_short_reads(self) -> bool {
        self.0 & (Self::END | Self::MARK) != 0
    }
}

/// An epoll instance and the buffer its events are read into.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: RefCell<Vec<EpollEvent>>,
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        let events = vec![EpollEvent { events: 0, u64: 0 }; EVENTS_AT_FIRST];
        Ok(Self { fd: sys::epoll_create()?, events: RefCell::new(events) })
    }

    /// Registers `fd` for both directions, edge-triggered.
    ///
    /// # Errors
    /// `EPERM` for a descriptor that cannot be polled (a regular file, a directory); `ENOMEM` and
    /// `ENOSPC` when the kernel has no room.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let interest =
            libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLET;
        match sys::epoll_add(self.fd.as_fd(), fd, interest as u32, token) {
            // A copy of a descriptor that was closed here has come back under its number.
            Err(err) if err.raw_os_error() == Some(libc::EEXIST) => {
                sys::epoll_del(self.fd.as_fd(), fd.as_raw_fd())?;
                sys::epoll_add(self.fd.as_fd(), fd, interest as u32, token)
            }
            added => added,
        }
    }

    /// Registers `fd` for reading only, edge-triggered.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) fn add_readable(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        sys::epoll_add(self.fd.as_fd(), fd, (libc::EPOLLIN | libc::EPOLLET) as u32, token)
    }

    /// Removes the descriptor of this number.
    pub(crate) fn delete(&self, number: RawFd) -> io::Result<()> {
        sys::epoll_del(self.fd.as_fd(), number)
    }

    /// Waits and hands each event to `each`; returns how many there were.
    ///
    /// An interrupted wait returns 0: the caller computes the time that is left afresh.
    pub(crate) fn wait(
        &self,
        wait: Wait,
        mut each: impl FnMut(u64, Readiness),
    ) -> io::Result<usize> {
        let mut events = self.events.borrow_mut();
        let filled = match sys::epoll_wait(self.fd.as_fd(), &mut events, wait) {
            Ok(filled) => filled,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => 0,
            Err(err) => return Err(err),
        };
        for event in &events[..filled] {
            each(event.u64, Readiness(event.events));
        }
        if filled == events.len() && filled < EVENTS_MAX {
            events.resize(filled * 2, EpollEvent { events: 0, u64: 0 });
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn tokens(epoll: &Epoll) -> Vec<u64> {
        let mut seen = Vec::new();
        epoll.wait(Wait::No, |token, _| seen.push(token)).unwrap();
        seen.sort_unstable();
        seen
    }

    #[test]
    fn the_batch_grows_while_it_comes_back_full() {
        let epoll = Epoll::new().unwrap();
        let pairs: Vec<_> = (0..EVENTS_AT_FIRST).map(|_| UnixStream::pair().unwrap()).collect();
        for (i, (a, b)) in pairs.iter().enumerate() {
            epoll.add(a.as_fd(), 2 * i as u64).unwrap();
            epoll.add(b.as_fd(), 2 * i as u64 + 1).unwrap();
        }
        assert_eq!(tokens(&epoll).len(), EVENTS_AT_FIRST);
        assert_eq!(epoll.events.borrow().len(), 2 * EVENTS_AT_FIRST);
        assert_eq!(tokens(&epoll).len(), EVENTS_AT_FIRST, "the second half of the edges");
        assert!(tokens(&epoll).is_empty(), "an edge is reported once");
    }

    #[test]
    fn a_regular_file_cannot_be_added() {
        let epoll = Epoll::new().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let err = epoll.add(file.as_fd(), 1).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn half_close_is_readable_and_voids_short_reads_but_is_not_writable() {
        let rdhup = Readiness::from_bits(libc::EPOLLRDHUP as u32);
        assert!(rdhup.is_readable() && rdhup.voids_short_reads() && !rdhup.is_writable());
    }
}

//! Pipes for splice(2), and the pool that each thread keeps of them.
//!
//! splice(2) moves bytes between a socket and a pipe without copying them, so bytes on their way
//! from socket to socket pass through a pipe. One is lent for as long as it holds bytes and no
//! longer: a connection that waits for its source has none.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// Bytes that one splice(2) moves, at most, and the room that a pipe is given: 1 MiB, as in Go
/// (`internal/poll`, `maxSpliceSize`) and as `/proc/sys/fs/pipe-max-size` allows everybody.
pub const SPLICE_BYTES_MAX: usize = 1 << 20;

/// Empty pipes that a thread keeps for later, at most. A pipe is two descriptors; they are closed
/// when the thread ends.
pub const PIPES_POOLED_MAX: usize = 16;

/// What a pipe has when nobody asked for more: 16 pages. A user who has too many pipes gets new ones
/// of two pages, and through those a copy is the faster way.
const PIPE_BYTES_MIN: usize = 16 * 4096;

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe that somebody has borrowed. Dropped empty, it goes back to the pool; dropped with bytes in
/// it, it is closed: they are nobody else's.
pub(crate) struct LentPipe(Option<Pipe>);

struct Pipe {
    reads: OwnedFd,
    writes: OwnedFd,
    /// How many pieces it takes, however small: a slot for each page of its room.
    slots: usize,
    held_bytes: usize,
}

/// A pipe from this thread's pool, or a new one.
///
/// # Errors
/// What pipe2(2) says, `EMFILE` above all; `ENOBUFS` when it would be too small to be of use.
pub(crate) fn lend() -> io::Result<LentPipe> {
    let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
    pooled.map_or_else(Pipe::new, Ok).map(|pipe| LentPipe(Some(pipe)))
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reads, writes) = sys::splice::pipe()?;
        let room = sys::splice::set_pipe_bytes(writes.as_fd(), SPLICE_BYTES_MAX)
            .or_else(|_| sys::splice::pipe_bytes(writes.as_fd()))?;
        if room < PIPE_BYTES_MIN {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        Ok(Self { reads, writes, slots: room / sys::splice::page_bytes(), held_bytes: 0 })
    }
}

impl LentPipe {
    /// Moves what `from` has into the pipe, which must be empty: else its `EAGAIN` could mean that
    /// the pipe is full.
    pub(crate) fn fill(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
        let pipe = self.pipe();
        debug_assert_eq!(pipe.held_bytes, 0);
        let n = sys::splice::splice(from, pipe.writes.as_fd(), SPLICE_BYTES_MAX)?;
        pipe.held_bytes = n;
        Ok(n)
    }

    /// Whether a [`fill`](Self::fill) of `n` bytes stopped because there were no more. A piece
    /// of the source takes a slot, and has at least a byte: fewer bytes than slots have not filled
    /// them. More may have, however many bytes that were.
    pub(crate) fn proves_drained(&mut self, n: usize) -> bool {
        n < self.pipe().slots
    }

    /// Moves what is in the pipe to `to`, or a part of it.
    pub(crate) fn drain(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let pipe = self.pipe();
        let n = sys::splice::splice(pipe.reads.as_fd(), to, pipe.held_bytes)?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        pipe.held_bytes -= n;
        Ok(n)
    }

    /// Reads what is in the pipe, or a part of it.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let pipe = self.pipe();
        let n = sys::splice::read(pipe.reads.as_fd(), buf)?;
        pipe.held_bytes -= n;
        Ok(n)
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |pipe| pipe.held_bytes)
    }

    fn pipe(&mut self) -> &mut Pipe {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for LentPipe {
    fn drop(&mut self) {
        let Some(pipe) = self.0.take() else { return };
        if pipe.held_bytes == 0 {
            // At the end of a thread there is no pool, and the pipe is closed.
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < PIPES_POOLED_MAX {
                    pool.push(pipe);
                }
            });
        }
    }
}

/// For tests, which may run on one thread after each other.
#[cfg(test)]
pub(crate) fn empty_pool() {
    POOL.take();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pooled() -> usize {
        POOL.with_borrow(Vec::len)
    }

    #[test]
    fn a_pipe_is_pooled_when_it_is_empty_and_closed_when_it_is_not() {
        empty_pool();
        let (mut near, far) = UnixStream::pair().unwrap();
        let (mut sink, sunk) = UnixStream::pair().unwrap();
        near.write_all(b"lost").unwrap();
        let mut pipe = lend().unwrap();
        assert_eq!(pipe.fill(far.as_fd()).unwrap(), 4);
        drop(pipe);
        assert_eq!(pooled(), 0, "nobody else is to get these bytes");

        near.write_all(b"kept").unwrap();
        let mut pipe = lend().unwrap();
        assert_eq!(pipe.fill(far.as_fd()).unwrap(), 4);
        assert_eq!(pipe.drain(sunk.as_fd()).unwrap(), 4);
        drop(pipe);
        assert_eq!(pooled(), 1);
        let mut buf = [0; 4];
        sink.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"kept");
        drop(lend().unwrap());
        assert_eq!(pooled(), 1, "it was lent out again");
    }

    #[test]
    fn the_pool_is_bounded() {
        empty_pool();
        let lent: Vec<_> = (0..PIPES_POOLED_MAX + 3).map(|_| lend().unwrap()).collect();
        drop(lent);
        assert_eq!(pooled(), PIPES_POOLED_MAX);
    }

    #[test]
    fn a_pipe_of_the_wanted_size_takes_a_mebibyte_of_pages() {
        empty_pool();
        let mut pipe = lend().unwrap();
        let slots = SPLICE_BYTES_MAX / sys::splice::page_bytes();
        assert!(pipe.proves_drained(slots - 1) && !pipe.proves_drained(slots));
    }
}

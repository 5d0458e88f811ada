//! Pipes for splice(2), and the pool that each thread keeps of them.
//!
//! splice(2) moves bytes between a socket and a pipe without copying them, so bytes on their way
//! from socket to socket pass through a pipe. One is lent for as long as it holds bytes and no
//! longer: a connection that waits for its source has none.

use std::cell::{Cell, RefCell};
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

/// For how many loans no new pipe is asked for after one could not be had: for one, then for two, and
/// so on up to this many.
const LOANS_REFUSED_MAX: u32 = 1024;

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static SHORTAGE: Cell<Shortage> = const { Cell::new(Shortage::NONE) };
}

/// How long pipes have been out of reach. To ask in every round costs up to five system calls, of a
/// process that has too little as it is.
#[derive(Clone, Copy)]
struct Shortage {
    /// Loans to refuse before the next attempt.
    refusals_left: u32,
    /// How many after the next failure.
    refusals_next: u32,
}

impl Shortage {
    const NONE: Self = Self { refusals_left: 0, refusals_next: 1 };

    fn longer(self) -> Self {
        let twice = (2 * self.refusals_next).min(LOANS_REFUSED_MAX);
        Self { refusals_left: self.refusals_next, refusals_next: twice }
    }
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

/// A pipe from this thread's pool, or a new one. `None` when there are no descriptors for it, or it
/// would be too small to be of use; and then for up to [`LOANS_REFUSED_MAX`] loans without another try.
pub(crate) fn lend() -> Option<LentPipe> {
    let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
    pooled.or_else(new_unless_short).map(|pipe| LentPipe(Some(pipe)))
}

fn new_unless_short() -> Option<Pipe> {
    let shortage = SHORTAGE.get();
    if let Some(left) = shortage.refusals_left.checked_sub(1) {
        SHORTAGE.set(Shortage { refusals_left: left, ..shortage });
        return None;
    }
    let pipe = Pipe::new().ok();
    SHORTAGE.set(if pipe.is_some() { Shortage::NONE } else { shortage.longer() });
    pipe
}

impl Pipe {
    /// # Errors
    /// What pipe2(2) says, `EMFILE` above all; `ENOBUFS` when it would be too small.
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
    SHORTAGE.set(Shortage::NONE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use crate::leaks::leaving_nothing_open;
    use crate::sys::fault::{PASS, script};

    fn pooled() -> usize {
        POOL.with_borrow(Vec::len)
    }

    #[test]
    fn a_pipe_is_pooled_when_it_is_empty_and_closed_when_it_is_not() {
        leaving_nothing_open(|| {
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
        });
    }

    #[test]
    fn the_pool_is_bounded() {
        empty_pool();
        let lent: Vec<_> = (0..PIPES_POOLED_MAX + 3).map(|_| lend().unwrap()).collect();
        drop(lent);
        assert_eq!(pooled(), PIPES_POOLED_MAX);
    }

    /// Before which of these loans the system was asked for a pipe.
    fn asked_before(loans: usize, answers: &[libc::c_int]) -> Vec<usize> {
        let asked = script("pipe2", answers);
        let mut before = Vec::new();
        // What is pooled need not be asked for, so all are kept.
        let mut kept = Vec::new();
        for loan in 0..loans {
            let left = asked.left();
            let lent = lend();
            if asked.left() < left {
                before.push(loan);
            }
            assert_eq!(lent.is_some(), asked.left() < left && answers[before.len() - 1] == PASS);
            kept.push(lent);
        }
        before
    }

    #[test]
    fn without_pipes_ever_fewer_loans_ask_for_one() {
        empty_pool();
        let asked = asked_before(5000, &[libc::EMFILE; 20]);
        let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0] - 1).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
        empty_pool();
        let answers = [libc::EMFILE, libc::ENFILE, PASS, PASS, libc::EMFILE, PASS];
        assert_eq!(asked_before(10, &answers), [0, 2, 5, 6, 7, 9], "a pipe ends the shortage");
        empty_pool();
    }

    #[test]
    fn a_pooled_pipe_is_lent_in_a_shortage_too() {
        empty_pool();
        let lent = lend().unwrap();
        let _no_pipes = script("pipe2", &[libc::EMFILE]);
        assert!(lend().is_none());
        drop(lent);
        assert!(lend().is_some());
        empty_pool();
    }

    #[test]
    fn a_pipe_of_the_wanted_size_takes_a_mebibyte_of_pages() {
        empty_pool();
        let mut pipe = lend().unwrap();
        let slots = SPLICE_BYTES_MAX / sys::splice::page_bytes();
        assert!(pipe.proves_drained(slots - 1) && !pipe.proves_drained(slots));
    }
}

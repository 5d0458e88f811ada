//! How much goes into one system call.

use std::ops::Deref;

/// Bytes one read or write moves, at most: 1 GiB, as in Go (`internal/poll`, `maxRW`). Linux itself
/// stops a page short of 2 GiB.
pub const IO_BYTES_MAX: usize = 1 << 30;

/// Buffers one vectored read or write takes, at most: the `IOV_MAX` of Linux. Further ones wait for
/// the next call.
pub const IOVECS_MAX: usize = 1024;

/// Which buffers of a vectored operation go into one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// All are empty, or there are none: no call.
    Nothing,
    /// The one at this index, for a plain read or write: it is too large for a vectored one, or
    /// comes after too many empty ones.
    Single(usize),
    /// The first `count`, which hold so many bytes.
    Many { count: usize, bytes: usize },
}

/// The longest beginning of `bufs` within both limits that holds a byte.
pub(crate) fn of(bufs: &[impl Deref<Target = [u8]>]) -> Batch {
    let (mut count, mut bytes) = (0, 0);
    for buf in bufs.iter().take(IOVECS_MAX) {
        if buf.len() > IO_BYTES_MAX - bytes {
            break;
        }
        count += 1;
        bytes += buf.len();
    }
    if bytes != 0 {
        return Batch::Many { count, bytes };
    }
    bufs.iter().position(|buf| !buf.is_empty()).map_or(Batch::Nothing, Batch::Single)
}

/// Whether a call took less than it was given, of `asked` bytes that somebody wanted to move.
pub(crate) fn is_short(asked: usize, taken: usize) -> bool {
    taken != 0 && taken < asked.min(IO_BYTES_MAX)
}

#[inline]
pub(crate) fn capped(buf: &[u8]) -> &[u8] {
    if buf.len() > IO_BYTES_MAX { shortened(buf) } else { buf }
}

#[inline]
pub(crate) fn capped_mut(buf: &mut [u8]) -> &mut [u8] {
    if buf.len() > IO_BYTES_MAX { shortened_mut(buf) } else { buf }
}

// Apart and cold, so that all others pay for one comparison.

#[cold]
fn shortened(buf: &[u8]) -> &[u8] {
    &buf[..IO_BYTES_MAX]
}

#[cold]
fn shortened_mut(buf: &mut [u8]) -> &mut [u8] {
    &mut buf[..IO_BYTES_MAX]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch_of(lens: impl IntoIterator<Item = usize>) -> Batch {
        // One allocation stands for all: of zeros never touched, it takes no memory.
        let zeros = vec![0; 2 * IO_BYTES_MAX];
        let bufs: Vec<&[u8]> = lens.into_iter().map(|len| &zeros[..len]).collect();
        of(&bufs)
    }

    #[test]
    fn a_call_takes_1024_buffers() {
        let many = Batch::Many { count: IOVECS_MAX, bytes: IOVECS_MAX };
        assert_eq!(batch_of([1; IOVECS_MAX]), many);
        assert_eq!(batch_of([1; IOVECS_MAX + 1]), many);
    }

    #[test]
    fn a_call_takes_a_gibibyte() {
        let whole = Batch::Many { count: 2, bytes: IO_BYTES_MAX };
        assert_eq!(batch_of([1, IO_BYTES_MAX - 1]), whole);
        assert_eq!(batch_of([1, IO_BYTES_MAX - 1, 1]), whole);
        assert_eq!(batch_of([1, IO_BYTES_MAX]), Batch::Many { count: 1, bytes: 1 });
        assert_eq!(capped(&vec![0; IO_BYTES_MAX + 1]).len(), IO_BYTES_MAX);
        assert_eq!(capped_mut(&mut vec![0; IO_BYTES_MAX + 1]).len(), IO_BYTES_MAX);
    }

    #[test]
    fn what_was_not_given_to_the_call_is_not_missing() {
        let max = IO_BYTES_MAX;
        assert!(is_short(2, 1) && is_short(max + 1, max - 1));
        assert!(!is_short(2, 0) && !is_short(2, 2) && !is_short(max + 1, max));
    }

    #[test]
    fn a_buffer_too_large_for_a_call_goes_by_itself() {
        assert_eq!(batch_of([0, 0, IO_BYTES_MAX + 1, 1]), Batch::Single(2));
    }

    #[test]
    fn empty_buffers_are_no_reason_to_stop_or_to_call() {
        assert_eq!(batch_of([0, 3, 0]), Batch::Many { count: 3, bytes: 3 });
        let after_many = std::iter::repeat_n(0, IOVECS_MAX).chain([5]);
        assert_eq!(batch_of(after_many), Batch::Single(IOVECS_MAX));
        assert_eq!(batch_of([0, 0]), Batch::Nothing);
        assert_eq!(batch_of([]), Batch::Nothing);
    }
}

//! A descriptor that may be given up while it is in use.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// An owned descriptor, or none any more.
///
/// The counterpart of the reference count in Go's `fdMutex`: who gives the descriptor up while calls
/// on it are under way leaves its closing to the last of them, so that no call meets another file
/// under the number. A `RefCell<Option<OwnedFd>>` says the same at twice the cost, in the middle of
/// every read and write.
pub(crate) struct FdCell {
    /// The number; its complement, which is negative, when it is given up and still in use; [`GONE`].
    fd: Cell<RawFd>,
    /// Calls under way, one inside the other.
    uses: Cell<u32>,
}

/// No descriptor's number, and no number's complement.
const GONE: RawFd = RawFd::MIN;

impl FdCell {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd: Cell::new(fd.into_raw_fd()), uses: Cell::new(0) }
    }

    /// Lends the descriptor to `f`; `None` when it was given up.
    #[inline]
    pub(crate) fn with<T>(&self, f: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let fd = self.fd.get();
        if fd < 0 {
            return None;
        }
        let used = Use::begin(self);
        // SAFETY: the number is that of an open descriptor which this cell owns. It is closed only
        // by `close_now`, and that not before `used` has ended, which outlives the call.
        let result = f(unsafe { BorrowedFd::borrow_raw(fd) });
        drop(used);
        Some(result)
    }

    /// Takes the descriptor out; `None` when it was given up before, or is in use.
    pub(crate) fn take(&self) -> Option<OwnedFd> {
        if self.uses.get() > 0 || self.fd.get() < 0 {
            return None;
        }
        let fd = self.fd.replace(GONE);
        // SAFETY: the cell owned the descriptor of this number, nothing borrows it, and the cell has
        // forgotten it a line above.
        Some(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Closes the descriptor: at once, or when the calls under way have ended.
    pub(crate) fn close(&self) {
        if self.uses.get() > 0 {
            let fd = self.fd.get();
            self.fd.set(if fd < 0 { fd } else { !fd });
        } else {
            drop(self.take());
        }
    }

    #[cold]
    fn end_of_use_when_closed(&self) {
        let fd = self.fd.get();
        if self.uses.get() == 0 && fd != GONE {
            self.fd.set(!fd);
            drop(self.take());
        }
    }
}

impl Drop for FdCell {
    fn drop(&mut self) {
        self.close();
    }
}

/// A call under way.
struct Use<'a>(&'a FdCell);

impl<'a> Use<'a> {
    #[inline]
    fn begin(cell: &'a FdCell) -> Self {
        cell.uses.set(cell.uses.get() + 1);
        Self(cell)
    }
}

impl Drop for Use<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.uses.set(self.0.uses.get() - 1);
        if self.0.fd.get() < 0 {
            self.0.end_of_use_when_closed();
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write, pipe};

    fn is_open(writer: &mut impl Write) -> bool {
        writer.write(b"x").is_ok()
    }

    fn cell() -> (FdCell, impl Write) {
        let (reader, writer) = pipe().unwrap();
        (FdCell::new(reader.into()), writer)
    }

    #[test]
    fn a_descriptor_that_is_given_up_in_use_is_closed_after_the_last_use() {
        let (cell, mut writer) = cell();
        let seen = cell.with(|_| {
            let inner = cell.with(|fd| {
                assert!(cell.take().is_none(), "it is in use");
                cell.close();
                cell.close();
                let mut copy = File::from(fd.try_clone_to_owned().unwrap());
                assert!(is_open(&mut writer));
                copy.read(&mut [0; 1]).unwrap()
            });
            assert!(is_open(&mut writer), "the outer use goes on");
            assert!(cell.with(|_| ()).is_none() && cell.take().is_none());
            inner
        });
        assert_eq!(seen, Some(Some(1)));
        assert!(!is_open(&mut writer));
        cell.close();
    }

    #[test]
    fn a_descriptor_is_closed_also_when_its_last_use_panics() {
        let (cell, mut writer) = cell();
        let panicking = std::panic::AssertUnwindSafe(|| {
            cell.with(|_| {
                cell.close();
                panic!("in use");
            })
        });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert!(!is_open(&mut writer));
    }

    #[test]
    fn a_descriptor_that_was_taken_out_stays_open() {
        let (cell, mut writer) = cell();
        let fd = cell.take().unwrap();
        assert!(cell.take().is_none() && cell.with(|_| ()).is_none());
        cell.close();
        drop(cell);
        assert!(is_open(&mut writer));
        drop(fd);
        assert!(!is_open(&mut writer));
    }
}

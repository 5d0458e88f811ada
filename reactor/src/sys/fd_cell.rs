//! A descriptor that may be given up while it is in use.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

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

    /// Lends the descriptor; `None` when it was given up.
    #[inline]
    pub(crate) fn lend(&self) -> Option<Lent<'_>> {
        if self.fd.get() < 0 {
            return None;
        }
        self.uses.set(self.uses.get() + 1);
        Some(Lent(self))
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

/// The descriptor of a cell while a call on it is under way.
pub(crate) struct Lent<'a>(&'a FdCell);

impl AsFd for Lent<'_> {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        let fd = self.0.fd.get();
        // The complement of what was given up since.
        let fd = if fd < 0 { !fd } else { fd };
        // SAFETY: the number is that of an open descriptor which the cell owns. It is closed only by
        // `take`, and that not before this use has ended, which outlives what is returned.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }
}

impl Drop for Lent<'_> {
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
        let outer = cell.lend().unwrap();
        let inner = cell.lend().unwrap();
        assert!(cell.take().is_none(), "it is in use");
        cell.close();
        cell.close();
        assert!(is_open(&mut writer));
        let mut copy = File::from(inner.as_fd().try_clone_to_owned().unwrap());
        assert_eq!(copy.read(&mut [0; 1]).unwrap(), 1);
        drop((inner, copy));
        assert!(is_open(&mut writer), "the outer use goes on");
        assert!(cell.lend().is_none() && cell.take().is_none());
        drop(outer);
        assert!(!is_open(&mut writer));
        cell.close();
    }

    #[test]
    fn a_descriptor_is_closed_also_when_its_last_use_panics() {
        let (cell, mut writer) = cell();
        let panicking = std::panic::AssertUnwindSafe(|| {
            let _lent = cell.lend();
            cell.close();
            panic!("in use");
        });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert!(!is_open(&mut writer));
    }

    #[test]
    fn a_descriptor_that_was_taken_out_stays_open() {
        let (cell, mut writer) = cell();
        let fd = cell.take().unwrap();
        assert!(cell.take().is_none() && cell.lend().is_none());
        cell.close();
        drop(cell);
        assert!(is_open(&mut writer));
        drop(fd);
        assert!(!is_open(&mut writer));
    }
}

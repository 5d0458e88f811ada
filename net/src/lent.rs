//! The buffer of a thread, lent for the moment between a read and a write.
//!
//! So a connection that waits holds none. What could not be written in that moment is kept by the
//! borrower in a vector of its own.

use std::cell::RefCell;

/// Bytes of the buffer: what one round of a copy that cannot splice moves, at most.
pub(crate) const LENT_BYTES: usize = 64 << 10;

thread_local! {
    /// Allocated at its first use.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the buffer. `f` makes system calls and runs nobody else's code.
pub(crate) fn with<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(LENT_BYTES, 0);
        f(buffer)
    })
}

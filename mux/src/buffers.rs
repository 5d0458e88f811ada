//! The buffers that drivers read into, shared by all sessions of the thread.
//!
//! A buffer is *lent* when streams, and then the application, may keep parts of it instead of copies.
//! It comes back when the last part is dropped. A part can be an eighth of its buffer, and a peer can
//! see to it that a program that passes on what it reads keeps many. So few buffers of a thread are
//! lent at a time, and when all are out, what arrives is copied.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes of one read.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Buffers of the thread that may be lent at a time, and that may wait for the next read of any
/// session: 2 MiB. Enough for twenty sessions that receive at full speed.
const BUFFERS_MAX: usize = 32;

type Buffer = Box<[u8]>;

thread_local! {
    static SPARES: Cell<Vec<Buffer>> = const { Cell::new(Vec::new()) };
    /// Each buffer that is lent holds one: they are counted, on whatever thread they are dropped.
    static LENT: Arc<()> = Arc::default();
}

/// `None` when the thread is about to end: a driver may be dropped as late as that.
fn with_spares<R>(act: impl FnOnce(&mut Vec<Buffer>) -> R) -> Option<R> {
    let act = |place: &Cell<Vec<_>>| {
        let mut spares = place.take();
        let result = act(&mut spares);
        place.set(spares);
        result
    };
    SPARES.try_with(act).ok()
}

/// A buffer for one read.
pub(crate) fn take() -> Buffer {
    with_spares(Vec::pop).flatten().unwrap_or_else(|| vec![0; READ_BYTES].into())
}

/// Gives back a buffer that was not lent.
pub(crate) fn give(buffer: Buffer) {
    with_spares(|spares| {
        if spares.len() < BUFFERS_MAX {
            spares.push(buffer);
        }
    });
}

/// Lends a buffer; or says, by giving it back, that as many are out as may be.
pub(crate) fn lend(buffer: Buffer) -> Result<Bytes, Buffer> {
    match LENT.try_with(Arc::clone) {
        // One is the thread's own, one that of the buffer.
        Ok(count) if Arc::strong_count(&count) <= BUFFERS_MAX + 1 => {
            Ok(Bytes::from_owner(Lent { buffer, count }))
        }
        _ => Err(buffer),
    }
}

struct Lent {
    buffer: Buffer,
    count: Arc<()>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Another thread may have no driver that would take it from there.
        if LENT.try_with(|own| Arc::ptr_eq(own, &self.count)) == Ok(true) {
            give(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spares() -> usize {
        with_spares(|spares| spares.len()).unwrap()
    }

    #[test]
    fn a_lent_buffer_comes_back_with_its_last_part() {
        let whole = lend(take()).unwrap();
        let (address, part) = (whole.as_ptr(), whole.slice(100..200));
        drop(whole);
        assert_eq!(spares(), 0);
        drop(part);
        assert_eq!(spares(), 1);
        let again = take();
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn as_many_are_lent_as_may_be_and_as_many_kept_as_are_needed() {
        let lent: Vec<_> = (0..BUFFERS_MAX).map(|_| lend(take()).unwrap()).collect();
        give(lend(take()).unwrap_err());
        drop(lent);
        assert_eq!(spares(), BUFFERS_MAX);
        lend(take()).unwrap();
    }

    #[test]
    fn a_part_that_is_dropped_on_another_thread_leaves_nothing_there() {
        let lent: Vec<_> = (0..BUFFERS_MAX).map(|_| lend(take()).unwrap()).collect();
        let there = std::thread::spawn(move || {
            drop(lent);
            spares()
        });
        assert_eq!((there.join().unwrap(), spares()), (0, 0));
        lend(take()).unwrap();
    }
}

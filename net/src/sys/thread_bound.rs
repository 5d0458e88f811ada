//! What must not leave its thread, in a type that may.

use std::mem::ManuallyDrop;
use std::thread::{self, ThreadId};

/// A value that is reached on the thread it was made on and nowhere else, for traits that ask for
/// `Send` and `Sync` of what is then used on one thread. Dropped elsewhere, it is leaked.
pub(crate) struct ThreadBound<T> {
    value: ManuallyDrop<T>,
    home: ThreadId,
}

// SAFETY: another thread that owns this can neither read, write nor drop the value: `reach` and
// `drop` compare the thread's id with that of its home first, and ids are never used twice.
unsafe impl<T> Send for ThreadBound<T> {}

// SAFETY: a shared reference gives no way to the value at all.
unsafe impl<T> Sync for ThreadBound<T> {}

impl<T> ThreadBound<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), home: thread::current().id() }
    }

    /// The value.
    ///
    /// # Panics
    /// On another thread than its own.
    pub(crate) fn reach(&mut self) -> &mut T {
        assert!(self.is_home(), "used on another thread than the one it was made on");
        &mut self.value
    }

    fn is_home(&self) -> bool {
        thread::current().id() == self.home
    }
}

impl<T> Drop for ThreadBound<T> {
    fn drop(&mut self) {
        if self.is_home() {
            // SAFETY: nobody uses the value after the drop of what holds it, and this is the only
            // place that drops it.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn at_home_the_value_is_reached_and_dropped() {
        let value = Rc::new(7);
        let mut bound = ThreadBound::new(Rc::clone(&value));
        assert_eq!(**bound.reach(), 7);
        drop(bound);
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn elsewhere_the_value_is_neither_reached_nor_dropped() {
        let value = Rc::new(7);
        let mut bound = ThreadBound::new(Rc::clone(&value));
        let reached = thread::spawn(move || *bound.reach() == Rc::new(7)).join();
        assert!(reached.is_err(), "it panics there");
        assert_eq!(Rc::strong_count(&value), 2, "and is leaked");
    }
}

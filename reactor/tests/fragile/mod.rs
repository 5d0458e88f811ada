// A future that panics wherever it can when it is dropped.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Ready at once with a value whose drop panics; its own drop panics too, and is counted.
pub(crate) struct Fragile(pub(crate) Rc<Cell<u32>>);

pub(crate) struct Bomb;

impl Future for Fragile {
    type Output = Bomb;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Bomb> {
        Poll::Ready(Bomb)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        panic!("drop of the future");
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("drop of the value");
    }
}

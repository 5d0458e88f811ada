//! Tasks among each other: who runs when, who is counted, who ends whom.

mod ending;
mod fairness;
mod metrics;
mod sets;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use reactor::{PollFd, Runtime};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

/// A runtime whose time stands still while anything is ready.
fn virtually<T>(future: impl Future<Output = T>) -> T {
    Runtime::builder().paused(true).build().unwrap().block_on(future)
}

fn pair() -> (Rc<PollFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Rc::new(PollFd::from_socket(OwnedFd::from(ours))), theirs)
}

/// What happened, in its order.
type Log = Rc<RefCell<Vec<u32>>>;

/// Writes its number when it is dropped.
struct Droplet(Log, u32);

impl Drop for Droplet {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

/// Says when it is to stop.
type Flag = Rc<Cell<bool>>;

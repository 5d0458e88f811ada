//! A logger is code of users too: it may panic, and it may come back into the runtime.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Once;
use std::task::{Context, Poll};

use log::{LevelFilter, Log, Metadata, Record};
use reactor::{Runtime, spawn};

type Action = Rc<dyn Fn(&str)>;

thread_local! {
    /// What the logger does with the messages of this thread.
    static ACTION: RefCell<Option<Action>> = const { RefCell::new(None) };
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let action = ACTION.with_borrow(Clone::clone);
        if let Some(action) = action {
            action(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Runs `test` with a logger that does `action`.
fn logging<T>(action: impl Fn(&str) + 'static, test: impl FnOnce() -> T) -> T {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    ACTION.set(Some(Rc::new(action)));
    let result = test();
    ACTION.set(None);
    result
}

fn virtually<T>(future: impl Future<Output = T>) -> T {
    Runtime::builder().paused(true).build().unwrap().block_on(future)
}

/// Ready at once with a value whose drop panics; its own drop panics too, and is counted.
struct Fragile(Rc<Cell<u32>>);

struct Bomb;

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

#[test]
fn a_logger_that_panics_has_no_future_dropped_twice() {
    let drops = Rc::new(Cell::new(0));
    let fragile = Fragile(Rc::clone(&drops));
    let err = logging(
        |message| panic!("cannot log: {message}"),
        || virtually(async { spawn(fragile).await.err().unwrap() }),
    );
    assert_eq!(drops.get(), 1);
    assert_eq!(err.to_string(), "task panicked: drop of the future");
}

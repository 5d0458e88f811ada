//! A waker that runs code when it is cloned.

use std::cell::RefCell;
use std::task::{RawWaker, RawWakerVTable, Waker};

thread_local! {
    static CLONED: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Calls `with` a waker that runs `code` each time it is cloned. Waking and dropping it does
/// nothing.
pub fn while_cloned<T>(code: impl Fn() + 'static, with: impl FnOnce(&Waker) -> T) -> T {
    CLONED.set(Some(Box::new(code)));
    // SAFETY: the vtable looks at no data, so that there is none is as good as any.
    let waker = unsafe { Waker::from_raw(raw()) };
    let result = with(&waker);
    let code = CLONED.take();
    drop(code);
    result
}

fn raw() -> RawWaker {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |_| {
            CLONED.with_borrow(|code| code.iter().for_each(|code| code()));
            raw()
        },
        |_| {},
        |_| {},
        |_| {},
    );
    RawWaker::new(std::ptr::null(), &VTABLE)
}

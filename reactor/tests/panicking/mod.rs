//! Where a panic says it was. Shared by the tests of this crate and of `net`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// The last panic of the thread: its file, and what it says.
    static PANIC: RefCell<(String, String)> = RefCell::default();
}

/// The file in which `act` panics, and what it says.
pub(crate) fn panic_of(act: impl FnOnce()) -> (String, String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            let file = info.location().map(|at| at.file().to_owned()).unwrap_or_default();
            let said = info.payload_as_str().unwrap_or_default().to_owned();
            PANIC.set((file, said));
            others(info);
        }));
    });
    assert!(catch_unwind(AssertUnwindSafe(act)).is_err(), "it does not panic");
    PANIC.take()
}

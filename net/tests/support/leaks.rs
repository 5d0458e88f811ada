//! A test leaves no socket open.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

/// Sockets are counted for the whole process, so those who count take turns.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The numbers of the open sockets of this process.
pub(crate) fn sockets() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap);
    let is_socket = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    entries.filter(is_socket).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Runs a test alone, and fails it when it leaves a socket open.
#[track_caller]
pub(crate) fn leaving_no_socket<T>(test: impl FnOnce() -> T) -> T {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = sockets();
    let outcome = catch_unwind(AssertUnwindSafe(test));
    let after = sockets();
    drop(turn);
    let result = outcome.unwrap_or_else(|panic| resume_unwind(panic));
    assert_eq!(after, before, "sockets that were left open");
    result
}

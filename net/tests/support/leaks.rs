//! A test leaves nothing open.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is looked for: the sockets, and the three descriptors of a runtime. Pipes are not among them:
/// a thread keeps a few for the next copy, and `tests/pipes.rs` counts those.
const KINDS: [&str; 3] = ["socket:", "anon_inode:[eventpoll]", "anon_inode:[eventfd]"];

/// How long the last thread of a runtime may take to let go of what it wakes it by.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

/// Descriptors are counted for the whole process, so those who count take turns.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The numbers of the open descriptors of this process that are of these [`KINDS`].
pub(crate) fn descriptors() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap);
    let is_looked_for = |entry: &fs::DirEntry| {
        let target = fs::read_link(entry.path());
        target.is_ok_and(|to| KINDS.iter().any(|kind| to.to_string_lossy().starts_with(kind)))
    };
    entries.filter(is_looked_for).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Runs a test alone, and fails it when it leaves something open.
#[track_caller]
pub(crate) fn leaving_nothing_open<T>(test: impl FnOnce() -> T) -> T {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = descriptors();
    let outcome = catch_unwind(AssertUnwindSafe(test));
    let after = once_let_go(&before);
    drop(turn);
    let result = outcome.unwrap_or_else(|panic| resume_unwind(panic));
    assert_eq!(after, before, "descriptors that were left open");
    result
}

fn once_let_go(before: &BTreeSet<String>) -> BTreeSet<String> {
    let end = Instant::now() + LET_GO_WITHIN;
    loop {
        let after = descriptors();
        if after == *before || Instant::now() > end {
            return after;
        }
        thread::yield_now();
    }
}

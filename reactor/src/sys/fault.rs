//! Scripted failures of system calls, for tests.
//!
//! A script belongs to the thread that wrote it. Each function of `sys.rs` asks it first, by the
//! name of its call; the first errno that stands there is the answer, and the kernel is not asked.
#![deny(unsafe_code)]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;

/// In a [`script`]: this call goes to the kernel.
pub(crate) const PASS: libc::c_int = 0;

thread_local! {
    static SCRIPTS: RefCell<HashMap<&'static str, VecDeque<libc::c_int>>> = RefCell::default();
}

/// What is left of a script. Dropping it lets all calls through again.
pub(crate) struct Script(&'static str);

/// The next calls of this name on this thread fail with these errors, one after another.
pub(crate) fn script(call: &'static str, errors: &[libc::c_int]) -> Script {
    SCRIPTS.with_borrow_mut(|scripts| scripts.insert(call, errors.iter().copied().collect()));
    Script(call)
}

/// Answers for the kernel, if a script says so.
pub(super) fn scripted(call: &'static str) -> io::Result<()> {
    let error = SCRIPTS.with_borrow_mut(|scripts| scripts.get_mut(call)?.pop_front());
    match error {
        None | Some(PASS) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

impl Script {
    /// How many answers have not been asked for.
    pub(crate) fn left(&self) -> usize {
        SCRIPTS.with_borrow(|scripts| scripts.get(self.0).map_or(0, VecDeque::len))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        SCRIPTS.with_borrow_mut(|scripts| scripts.remove(self.0));
    }
}

//! The pipes of copies.

use std::fs;

/// How many descriptors of this process are ends of pipes.
pub(crate) fn pipe_ends() -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
}

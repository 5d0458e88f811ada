//! What the kernel says that this thread, and this process, have used.

use std::fs;
use std::time::Duration;

/// CPU time of this thread so far, to the nanosecond.
pub(crate) fn thread_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = schedstat.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

/// Memory of this process that is resident, in bytes.
pub(crate) fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS");
    let kib: usize =
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("KiB");
    kib * 1024
}

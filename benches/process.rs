//! What both tables do with the processes that they measure.

use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use rustix::process::{Resource, getrlimit, setrlimit};

/// What a server that has nothing to do may still need until it sleeps, and its CPU time is exact.
pub const SETTLE: Duration = Duration::from_millis(1);

/// A command that runs on one processor and ends with this process, however that ends.
pub fn pinned(cpu: usize) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cpu.to_string(), "setpriv", "--pdeathsig", "KILL"]);
    command
}

/// The CPU time of all threads of a process. Exact only while it sleeps: for a thread that runs, the
/// kernel brings the number up to date some hundred times a second.
///
/// # Errors
/// Of reading `/proc`: it has ended.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut total_ns = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let ns = text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        total_ns += ns.ok_or_else(|| io::Error::other(format!("schedstat says {text:?}")))?;
    }
    Ok(Duration::from_nanos(total_ns))
}

/// A number of bytes out of a file of `/proc` that gives them in kB, such as `VmRSS:` of `status`.
///
/// # Errors
/// Of reading the file; that it has no such line.
pub fn proc_bytes(pid: u32, file: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    bytes_of(&text, name).ok_or_else(|| io::Error::other(format!("{file} has no {name}")))
}

fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The number of calls in the last line of `strace -c`: percent, seconds, us/call, calls,
/// errors if any, total.
///
/// # Errors
/// That there is no such line.
pub fn total_calls(summary: &str) -> io::Result<u64> {
    let total = summary.lines().find(|line| line.trim_end().ends_with(" total"));
    let calls = total.and_then(|total| total.split_whitespace().nth(3)?.parse().ok());
    calls.ok_or_else(|| io::Error::other(format!("strace counted nothing: {summary}")))
}

/// Lets this process and those it starts open as many files as the system allows them.
///
/// # Errors
/// Of `setrlimit`.
pub fn raise_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_among_the_lines_of_a_file_of_proc() {
        let text = "5-7 ---p 0 00:00 0    [rollup]\nRss:    9 kB\nPrivate_Dirty:      12 kB\n";
        assert_eq!(bytes_of(text, "Private_Dirty:"), Some(12 * 1024));
        assert_eq!(bytes_of("Rss: 9 kB\n", "Private_Dirty:"), None);
        assert!(proc_bytes(std::process::id(), "status", "VmRSS:").unwrap() > 0);
    }

    #[test]
    fn the_total_of_strace_is_its_fourth_column_with_and_without_errors() {
        let with = "% time\n100.00    0.075417           3     20412        11 total\n";
        assert_eq!(total_calls(with).unwrap(), 20_412);
        let without = "100.00    0.075417           3     20412           total\n";
        assert_eq!(total_calls(without).unwrap(), 20_412);
        assert!(total_calls("strace: no such process\n").is_err());
    }
}

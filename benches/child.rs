//! What a child process says and when it ends, neither waited for without a limit: a child that
//! hangs becomes an error, and not a table that never comes.

use std::io::{self, ErrorKind, Read};
use std::mem;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The lines that a child says on a pipe.
#[derive(Debug)]
pub struct Lines<R = ChildStdout> {
    pipe: R,
    said: Vec<u8>,
}

impl<R: Read + AsFd> Lines<R> {
    /// Of one end of a pipe, such as a child's standard output.
    pub fn new(pipe: R) -> Self {
        Self { pipe, said: Vec::new() }
    }

    /// The next line.
    ///
    /// # Errors
    /// `TimedOut`; `UnexpectedEof` when the child has ended, or closed its output.
    pub fn next(&mut self, patience: Duration) -> io::Result<String> {
        let end = Instant::now() + patience;
        loop {
            if let Some(at) = self.said.iter().position(|byte| *byte == b'\n') {
                let rest = self.said.split_off(at + 1);
                let line = mem::replace(&mut self.said, rest);
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            let left = end.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).map_err(io::Error::other)?;
            if poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&limit))? == 0 {
                return Err(out_of_patience("it said nothing", patience));
            }
            let mut buffer = [0; 1024];
            match self.pipe.read(&mut buffer)? {
                0 => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it ended")),
                n => self.said.extend_from_slice(&buffer[..n]),
            }
        }
    }
}

/// Waits until `done` says so.
///
/// # Errors
/// `TimedOut`, with the text, which says what has not happened.
pub fn wait_until(
    mut done: impl FnMut() -> io::Result<bool>,
    patience: Duration,
    otherwise: &str,
) -> io::Result<()> {
    let end = Instant::now() + patience;
    while !done()? {
        if Instant::now() >= end {
            return Err(out_of_patience(otherwise, patience));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until a child has ended, and kills it when it does not.
///
/// # Errors
/// `TimedOut`: it had to be killed.
pub fn wait_for_end(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    let ended = wait_until(|| Ok(child.try_wait()?.is_some()), patience, "it did not end");
    if ended.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    ended.map(|()| status)
}

fn out_of_patience(what: &str, patience: Duration) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("{what} within {} s", patience.as_secs_f32()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    const AT_ONCE: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        let piped = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        piped.spawn().unwrap()
    }

    #[test]
    fn lines_come_one_by_one_until_the_child_ends() {
        let mut child = shell("printf 'one\\ntwo\\nhal'; printf 'f\\nrest'");
        let mut lines = Lines::new(child.stdout.take().unwrap());
        for expected in ["one", "two", "half"] {
            assert_eq!(lines.next(LONG).unwrap(), expected);
        }
        assert_eq!(lines.next(LONG).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(wait_for_end(&mut child, LONG).unwrap().success());
    }

    #[test]
    fn a_child_that_says_nothing_and_does_not_end_is_an_error_and_is_killed() {
        let mut child = shell("read forever");
        let mut lines = Lines::new(child.stdout.take().unwrap());
        let err = lines.next(AT_ONCE).unwrap_err();
        assert_eq!(err.to_string(), "it said nothing within 0.001 s");
        let err = wait_for_end(&mut child, AT_ONCE).unwrap_err();
        assert_eq!(err.to_string(), "it did not end within 0.001 s");
        assert!(child.try_wait().unwrap().is_some());
    }
}

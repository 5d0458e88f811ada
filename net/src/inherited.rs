//! Sockets that systemd opened for this program.

use std::env;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys;

/// How many descriptors a program may be handed, at most.
pub const LISTEN_FDS_MAX: usize = 1024;

/// The number of the first: 0 to 2 are the standard streams.
const FIRST: RawFd = 3;

/// The name of a descriptor that was given none.
const UNNAMED: &str = "unknown";

/// They are given out once: each has one owner.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A descriptor that this program was started with. Made by [`listen_fds`].
///
/// ```
/// use net::{TcpListener, UnixListener};
/// use std::os::fd::OwnedFd;
///
/// # reactor::block_on(async {
/// let (mut web, mut control) = (None, None);
/// for inherited in net::listen_fds()? {
///     match inherited.name() {
///         "web" => web = Some(TcpListener::try_from(OwnedFd::from(inherited))?),
///         "control" => control = Some(UnixListener::try_from(OwnedFd::from(inherited))?),
///         name => log::warn!("nothing is to listen on {name:?}"),
///     }
/// }
/// # assert!(web.is_none() && control.is_none());
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ListenFd {
    name: String,
    fd: OwnedFd,
}

impl ListenFd {
    /// Its name in the socket unit, `FileDescriptorName=`, by default the unit's; "unknown" when
    /// there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl From<ListenFd> for OwnedFd {
    fn from(inherited: ListenFd) -> Self {
        inherited.fd
    }
}

/// The descriptors that systemd, or whoever speaks its protocol, handed to this program (socket
/// activation, sd_listen_fds(3)), in the order of the unit. None where the program was not started
/// so.
///
/// `LISTEN_FDS` says how many there are, from 3 on, `LISTEN_PID` for which process they are meant,
/// and `LISTEN_FDNAMES` what they are called. The first call of the process takes them; later calls
/// find none. They are close-on-exec and non-blocking then, so a child gets none of them; the
/// variables stay, and name a process that is not the child.
///
/// What each of them is, its new owner checks: [`TcpListener`](crate::TcpListener) takes over no
/// socket that does not listen.
///
/// ```
/// use net::TcpListener;
/// use std::os::fd::OwnedFd;
///
/// # reactor::block_on(async {
/// let mut listeners = Vec::new();
/// for inherited in net::listen_fds()? {
///     listeners.push(TcpListener::try_from(OwnedFd::from(inherited))?);
/// }
/// if listeners.is_empty() {
///     listeners.push(TcpListener::bind("127.0.0.1:0".parse().unwrap())?);
/// }
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when a variable is not what it should be: the message names it.
/// When a descriptor is not open, or was opened by this program itself, the error names the first
/// such number, and the others are closed.
pub fn listen_fds() -> io::Result<Vec<ListenFd>> {
    let names = announced(process::id(), |name| {
        env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })?;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    // All of them, whatever is wrong with one: what is not taken now stays open, and nobody's.
    let taken: Vec<_> = (FIRST..).zip(names).map(take).collect();
    taken.into_iter().collect()
}

fn take((number, name): (RawFd, String)) -> io::Result<ListenFd> {
    let fd = sys::inherited(number).map_err(|err| {
        io::Error::new(err.kind(), format!("descriptor {number} of LISTEN_FDS: {err}"))
    })?;
    Ok(ListenFd { name, fd })
}

/// The names of the descriptors meant for `pid`, one for each.
fn announced(
    pid: u32,
    variable: impl Fn(&'static str) -> Option<String>,
) -> io::Result<Vec<String>> {
    let number = |name: &'static str| match variable(name) {
        None => Ok(None),
        Some(text) => text.parse::<u32>().map(Some).map_err(|_| odd(name, &text, "not a number")),
    };
    let (Some(meant_for), Some(count)) = (number("LISTEN_PID")?, number("LISTEN_FDS")?) else {
        return Ok(Vec::new());
    };
    if meant_for != pid || count == 0 {
        return Ok(Vec::new());
    }
    let count = count as usize;
    if count > LISTEN_FDS_MAX {
        let why = format!("more than {LISTEN_FDS_MAX}");
        return Err(odd("LISTEN_FDS", &count.to_string(), &why));
    }
    let Some(names) = variable("LISTEN_FDNAMES") else {
        return Ok(vec![UNNAMED.to_owned(); count]);
    };
    let split: Vec<String> = names.split(':').map(str::to_owned).collect();
    if split.len() != count {
        let why = format!("{} names for {count} descriptors", split.len());
        return Err(odd("LISTEN_FDNAMES", &names, &why));
    }
    Ok(split)
}

fn odd(name: &str, value: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{name} is {value:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 42;

    /// `variables` is `NAME=value` pairs, with `LISTEN_` left out.
    fn names(variables: &[(&str, &str)]) -> io::Result<Vec<String>> {
        announced(PID, |asked| {
            let asked = asked.strip_prefix("LISTEN_").unwrap();
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_program_started_otherwise_has_none() {
        assert!(names(&[]).unwrap().is_empty());
        assert!(names(&[("PID", "42")]).unwrap().is_empty());
        assert!(names(&[("FDS", "2")]).unwrap().is_empty());
        assert!(names(&[("PID", "42"), ("FDS", "0")]).unwrap().is_empty());
    }

    #[test]
    fn those_of_another_process_are_left_alone() {
        assert!(names(&[("PID", "41"), ("FDS", "2")]).unwrap().is_empty());
        assert!(names(&[("PID", "41"), ("FDS", "2000"), ("FDNAMES", "")]).unwrap().is_empty());
    }

    #[test]
    fn each_has_a_name() {
        let two = [("PID", "42"), ("FDS", "2")];
        assert_eq!(names(&two).unwrap(), ["unknown", "unknown"]);
        let named = [("PID", "42"), ("FDS", "3"), ("FDNAMES", "http::admin")];
        assert_eq!(names(&named).unwrap(), ["http", "", "admin"]);
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_named() {
        for (variables, expected) in [
            (vec![("PID", "me"), ("FDS", "1")], r#"LISTEN_PID is "me": not a number"#),
            (vec![("PID", "42"), ("FDS", "-1")], r#"LISTEN_FDS is "-1": not a number"#),
            (vec![("PID", "42"), ("FDS", "1025")], r#"LISTEN_FDS is "1025": more than 1024"#),
            (
                vec![("PID", "42"), ("FDS", "1"), ("FDNAMES", "a:b")],
                r#"LISTEN_FDNAMES is "a:b": 2 names for 1 descriptors"#,
            ),
        ] {
            let err = names(&variables).unwrap_err();
            assert_eq!(
                (err.kind(), err.to_string()),
                (io::ErrorKind::InvalidData, expected.into())
            );
        }
    }
}

//! What the operations of a [`PollFd`](super::PollFd) say when they are refused.

use std::fmt;
use std::io;

use crate::polldesc::Refusal;

/// Use of a descriptor after it was closed.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("use of closed descriptor")
    }
}

impl std::error::Error for Closed {}

/// Whether an error says that the descriptor was closed on this side, before the operation or
/// while it waited. It looks through the [sources](std::error::Error::source) of the error.
pub fn is_closed(err: &io::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> =
        err.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(err) = next {
        if err.is::<Closed>() {
            return true;
        }
        next = match err.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => err.source(),
        };
    }
    false
}

/// Only the runtime that a descriptor belongs to waits for its events.
#[cold]
pub(super) fn elsewhere() -> io::Error {
    io::Error::other("the descriptor belongs to another runtime")
}

pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, Closed)
}

#[cold]
pub(super) fn refused(refusal: Refusal) -> io::Error {
    match refusal {
        Refusal::Closed => closed(),
        Refusal::Expired => io::Error::new(io::ErrorKind::TimedOut, "deadline exceeded"),
    }
}

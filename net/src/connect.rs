//! Connecting, as Go's `net.netFD.connect` and `sysDialer.doDialTCP` do it.
//!
//! connect(2) on a non-blocking socket returns at once with `EINPROGRESS`. The socket becomes
//! writable when the matter is decided, and `SO_ERROR` says how. A wake-up may be spurious: an error
//! of 0 counts only if getpeername(2) succeeds too, else the socket waits again.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use reactor::{Direction, PollFd};

use crate::addr::{self, RawAddr};
use crate::error::OpError;
use crate::options::{self, Keepalive};
use crate::stream::TcpStream;
use crate::sys;

/// How often a connect is tried again that the kernel's choice of a local port spoiled.
const RETRIES_MAX: usize = 2;

pub(crate) async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    retry(async || dial(addr).await)
        .await
        .map_err(|Failed { operation, local, err }| OpError::tcp(operation, local, Some(addr), err))
}

/// Why an attempt failed.
#[derive(Debug)]
struct Failed {
    operation: &'static str,
    local: Option<SocketAddr>,
    err: io::Error,
}

/// Two accidents of the local port are worth another attempt, which gets another port.
///
/// `EADDRNOTAVAIL`: the kernel found none, for a moment. A connection to itself: nobody listens on
/// a port of this machine, the kernel took the same port for this end, and TCP's simultaneous open
/// connected the socket to itself. Go returns such a connection in the end; it could only hear its
/// own echo, so here it stays refused.
async fn retry<T>(mut attempt: impl AsyncFnMut() -> Result<T, Failed>) -> Result<T, Failed> {
    for _ in 0..RETRIES_MAX {
        match attempt().await {
            Err(failed) if is_accident(&failed) => {}
            decided => return decided,
        }
    }
    attempt().await
}

fn is_accident(failed: &Failed) -> bool {
    failed.err.raw_os_error() == Some(libc::EADDRNOTAVAIL) || failed.local.is_some()
}

/// One attempt. Dropping it closes the socket.
async fn dial(addr: SocketAddr) -> Result<TcpStream, Failed> {
    let at = |operation| move |err| Failed { operation, local: None, err };
    let owned = sys::tcp_socket(addr::family(addr)).map_err(at("socket"))?;
    set_defaults(owned.as_fd()).map_err(at("setsockopt"))?;
    let fd = PollFd::from_socket(owned);

    let mut attempt = Attempt { addr: RawAddr::from(addr), started: false };
    let connected = fd.io(Direction::Write, |fd| attempt.step(fd)).await;
    let (local, peer) = connected.map_err(at("connect"))?;
    if local == peer {
        let err = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        return Err(Failed { operation: "connect", local: Some(local), err });
    }
    Ok(TcpStream::new(fd, peer))
}

/// The options that accepted connections inherit from a listener, with the same defaults.
fn set_defaults(fd: BorrowedFd<'_>) -> io::Result<()> {
    sys::set_option(fd, options::NODELAY, 1)?;
    options::set_keepalive(fd, Some(Keepalive::default()))
}

struct Attempt {
    addr: RawAddr,
    started: bool,
}

impl Attempt {
    /// Starts to connect, or asks how it went. Both addresses when it is done, local first;
    /// `WouldBlock` when it is not.
    fn step(&mut self, fd: BorrowedFd<'_>) -> io::Result<(SocketAddr, SocketAddr)> {
        if !self.started {
            self.started = true;
            undecided(sys::connect(fd, &self.addr))?;
        }
        undecided(sys::take_error(fd)?.map_or(Ok(()), Err))?;
        let peer = sys::peer_addr(fd).map_err(not_connected_yet)?;
        Ok((sys::local_addr(fd)?, peer))
    }
}

/// Reads the answer of connect(2) and of `SO_ERROR` alike: connected, `WouldBlock` for not decided,
/// or failed.
///
/// `EINTR` does not stop a connect that has begun, and `EISCONN` says that it is over.
fn undecided(answer: io::Result<()>) -> io::Result<()> {
    let Err(err) = answer else { return Ok(()) };
    match err.raw_os_error() {
        Some(libc::EISCONN) => Ok(()),
        Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        _ => Err(err),
    }
}

fn not_connected_yet(err: io::Error) -> io::Error {
    match err.kind() {
        io::ErrorKind::NotConnected => io::ErrorKind::WouldBlock.into(),
        _ => err,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    fn failed(errno: i32, local: Option<&str>) -> Failed {
        let local = local.map(|local| local.parse().unwrap());
        Failed { operation: "connect", local, err: os(errno) }
    }

    /// The outcome of a retried attempt and how many there were, given what they return, last
    /// first.
    fn retried(mut answers: Vec<Result<u8, Failed>>) -> (Result<u8, Failed>, usize) {
        let before = answers.len();
        let outcome = reactor::block_on(retry(async || answers.pop().unwrap())).unwrap();
        (outcome, before - answers.len())
    }

    #[test]
    fn in_progress_and_interrupted_are_undecided() {
        for errno in [libc::EINPROGRESS, libc::EALREADY, libc::EINTR] {
            assert_eq!(undecided(Err(os(errno))).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn already_connected_is_connected() {
        undecided(Err(os(libc::EISCONN))).unwrap();
        undecided(Ok(())).unwrap();
    }

    #[test]
    fn every_other_answer_is_the_error() {
        for errno in [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::ENETUNREACH, libc::EACCES] {
            assert_eq!(undecided(Err(os(errno))).unwrap_err().raw_os_error(), Some(errno));
        }
    }

    #[test]
    fn a_spurious_wake_up_waits_again() {
        assert_eq!(not_connected_yet(os(libc::ENOTCONN)).kind(), io::ErrorKind::WouldBlock);
        assert_eq!(not_connected_yet(os(libc::ENOBUFS)).raw_os_error(), Some(libc::ENOBUFS));
    }

    #[test]
    fn no_local_port_and_a_self_connection_are_tried_again_twice() {
        let refused = || failed(libc::ECONNREFUSED, Some("127.0.0.1:7"));
        let no_port = || failed(libc::EADDRNOTAVAIL, None);
        let (outcome, attempts) = retried(vec![Ok(7), Err(refused()), Err(no_port())]);
        assert_eq!((outcome.unwrap(), attempts), (7, 3));

        let (outcome, attempts) = retried((0..9).map(|_| Err(no_port())).collect());
        assert_eq!(outcome.unwrap_err().err.raw_os_error(), Some(libc::EADDRNOTAVAIL));
        assert_eq!(attempts, 1 + RETRIES_MAX);
    }

    #[test]
    fn a_refused_connect_is_not_tried_again() {
        let refused = || Err(failed(libc::ECONNREFUSED, None));
        let (outcome, attempts) = retried(vec![refused(), refused()]);
        assert_eq!(outcome.unwrap_err().err.raw_os_error(), Some(libc::ECONNREFUSED));
        assert_eq!(attempts, 1);
    }

    #[test]
    fn a_fresh_attempt_that_is_asked_again_does_not_connect_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let socket = sys::tcp_socket(libc::AF_INET).unwrap();
        let mut attempt = Attempt { addr: RawAddr::from(addr), started: true };
        let err = attempt.step(socket.as_fd()).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock, "not connected, and no error");
    }
}

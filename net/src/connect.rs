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
use crate::options::{self, Options};
use crate::stream::TcpStream;
use crate::sys;

/// How often a connect is tried again that the kernel's choice of a local port spoiled.
const RETRIES_MAX: usize = 2;

/// What a socket is set to before it connects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    pub(crate) options: Options,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) fast_open: bool,
}

pub(crate) async fn connect(addr: SocketAddr, before: &Before) -> io::Result<TcpStream> {
    let connected = match before.local {
        // Another attempt would get the same port.
        Some(local) if local.port() != 0 => attempt(addr, before).await,
        _ => retry(async || attempt(addr, before).await).await,
    };
    connected.map_err(|failed| OpError::tcp(failed.operation, failed.local, Some(addr), failed.err))
}

/// Why an attempt failed.
#[derive(Debug)]
struct Failed {
    operation: &'static str,
    /// Where the socket was, or was to be, bound.
    local: Option<SocketAddr>,
    /// It was connected, to itself.
    to_itself: bool,
    err: io::Error,
}

/// Two accidents of the local port are worth another attempt, which gets another port.
///
/// `EADDRNOTAVAIL`, or `EAGAIN`: the kernel found none, for a moment. A connection to itself: nobody
/// listens on a port of this machine, the kernel took the same port for this end, and TCP's
/// simultaneous open connected the socket to itself. Go returns such a connection in the end; it
/// could only hear its own echo, so here it stays refused.
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
    let Failed { operation, to_itself, err, .. } = failed;
    *operation == "connect" && (*to_itself || err.kind() == io::ErrorKind::AddrNotAvailable)
}

/// One attempt. Dropping it closes the socket.
async fn attempt(addr: SocketAddr, before: &Before) -> Result<TcpStream, Failed> {
    let local = before.local;
    let at = |operation| move |err| Failed { operation, local, to_itself: false, err };
    let owned = sys::tcp_socket(addr::family(addr)).map_err(at("socket"))?;
    let fd = owned.as_fd();
    if before.fast_open {
        sys::set_option(fd, options::FASTOPEN_CONNECT, 1).map_err(at("setsockopt"))?;
    }
    before.options.apply(fd, addr).map_err(at("setsockopt"))?;
    if let Some(local) = before.local {
        bind(fd, local).map_err(at("bind"))?;
    }
    let fd = PollFd::from_socket(owned);

    let mut attempt = Attempt { addr, may_defer: before.fast_open, started: false };
    let connected = fd.io(Direction::Write, |fd| attempt.step(fd)).await;
    let (local, peer) = connected.map_err(at("connect"))?;
    if local == peer {
        let err = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        return Err(Failed { operation: "connect", local: Some(local), to_itself: true, err });
    }
    Ok(TcpStream::new(fd, peer))
}

/// A port of 0 stays open until connect(2), which takes one that is free towards this peer.
fn bind(fd: BorrowedFd<'_>, local: SocketAddr) -> io::Result<()> {
    if local.port() == 0 {
        sys::set_option(fd, options::BIND_ADDRESS_NO_PORT, 1)?;
    }
    sys::bind(fd, &RawAddr::from(local))
}

struct Attempt {
    addr: SocketAddr,
    /// With TCP fast open, connect(2) may be done before anything is sent.
    may_defer: bool,
    started: bool,
}

impl Attempt {
    /// Starts to connect, or asks how it went. Both addresses when it is done, local first;
    /// `WouldBlock` when it is not.
    fn step(&mut self, fd: BorrowedFd<'_>) -> io::Result<(SocketAddr, SocketAddr)> {
        if !self.started {
            self.started = true;
            undecided(sys::connect(fd, &RawAddr::from(self.addr)))?;
            if self.may_defer {
                return Ok((sys::local_addr(fd)?, self.addr));
            }
        }
        undecided(sys::take_error(fd)?.map_or(Ok(()), Err))?;
        let peer = sys::peer_addr(fd).map_err(not_connected_yet)?;
        Ok((sys::local_addr(fd)?, peer))
    }
}

/// Reads the answer of connect(2) and of `SO_ERROR` alike: connected, `WouldBlock` for not decided,
/// or failed.
///
/// `EINTR` does not stop a connect that has begun, and `EISCONN` says that it is over. `EAGAIN` is
/// no "not yet" (connect(2)): no port or route is left, no event will come, and to wait would be to
/// wait for ever.
fn undecided(answer: io::Result<()>) -> io::Result<()> {
    let Err(err) = answer else { return Ok(()) };
    match err.raw_os_error() {
        Some(libc::EISCONN) => Ok(()),
        Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Some(libc::EAGAIN) => Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "the system has no local port or route to spare (EAGAIN)",
        )),
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
    use std::ffi::c_int;
    use std::time::Duration;

    use reactor::time::timeout;

    use crate::leaks::leaving_nothing_open;
    use crate::sys::fault::{Script, script};

    const HUNG_AFTER: Duration = Duration::from_secs(60);

    fn os(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    fn failed(errno: i32, to_itself: bool) -> Failed {
        Failed { operation: "connect", local: None, to_itself, err: os(errno) }
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        leaving_nothing_open(|| reactor::block_on(test).unwrap())
    }

    /// The outcome of a retried attempt and how many there were, given what they return, last
    /// first.
    fn retried(mut answers: Vec<Result<u8, Failed>>) -> (Result<u8, Failed>, usize) {
        let before = answers.len();
        let outcome = run(retry(async || answers.pop().unwrap()));
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
    fn eagain_is_no_reason_to_wait() {
        let err = undecided(Err(os(libc::EAGAIN))).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrNotAvailable);
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
        let refused = || failed(libc::ECONNREFUSED, true);
        let no_port = || failed(libc::EADDRNOTAVAIL, false);
        let (outcome, attempts) = retried(vec![Ok(7), Err(refused()), Err(no_port())]);
        assert_eq!((outcome.unwrap(), attempts), (7, 3));

        let (outcome, attempts) = retried((0..9).map(|_| Err(no_port())).collect());
        assert_eq!(outcome.unwrap_err().err.raw_os_error(), Some(libc::EADDRNOTAVAIL));
        assert_eq!(attempts, 1 + RETRIES_MAX);
    }

    #[test]
    fn a_fast_open_is_asked_of_the_system_and_only_where_it_is_wanted() {
        run(async {
            for fast_open in [true, false] {
                for on in ["127.0.0.1:0", "[::1]:0"] {
                    let listener = std::net::TcpListener::bind(on).unwrap();
                    let before = Before { fast_open, ..Before::default() };
                    let stream = connect(listener.local_addr().unwrap(), &before).await.unwrap();
                    let set = sys::option(stream.as_fd(), options::FASTOPEN_CONNECT).unwrap();
                    assert_eq!(set, c_int::from(fast_open));
                }
            }
        });
    }

    #[test]
    fn a_connection_to_itself_is_refused() {
        run(async {
            // No other test uses this address of the loopback.
            let free = std::net::TcpListener::bind("127.0.0.41:0").unwrap().local_addr().unwrap();
            let before = Before { local: Some(free), ..Before::default() };
            let err = connect(free, &before).await.unwrap_err();
            assert_eq!(err.to_string(), format!("connect tcp {free}->{free}: connection refused"));
            assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        });
    }

    #[test]
    fn a_refused_connect_is_not_tried_again() {
        let refused = || {
            let local = Some("127.0.0.1:7".parse().unwrap());
            Err(Failed { local, ..failed(libc::ECONNREFUSED, false) })
        };
        let (outcome, attempts) = retried(vec![refused(), refused()]);
        assert_eq!(outcome.unwrap_err().err.raw_os_error(), Some(libc::ECONNREFUSED));
        assert_eq!(attempts, 1);
    }

    #[test]
    fn a_fresh_attempt_that_is_asked_again_does_not_connect_again() {
        leaving_nothing_open(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let socket = sys::tcp_socket(libc::AF_INET).unwrap();
            let mut attempt = Attempt { addr, may_defer: false, started: true };
            let err = attempt.step(socket.as_fd()).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::WouldBlock, "not connected, and no error");
        });
    }

    /// Connects to a listener while the kernel's answers are those of a script. What is left of it,
    /// and the peer.
    fn connect_with(scripts: &[(&'static str, &[i32])]) -> (io::Result<SocketAddr>, usize) {
        let scripts: Vec<_> = scripts.iter().map(|(call, errors)| script(call, errors)).collect();
        let connected = run(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let connected = timeout(HUNG_AFTER, connect(addr, &Before::default())).await;
            connected.expect("the connect hangs")?.peer_addr()
        });
        (connected, scripts.iter().map(Script::left).sum())
    }

    #[test]
    fn a_connect_without_ports_or_routes_fails_after_three_tries_and_does_not_hang() {
        let (connected, left) = connect_with(&[("connect", &[libc::EAGAIN; 4])]);
        let err = connected.unwrap_err();
        assert_eq!((err.kind(), left), (io::ErrorKind::AddrNotAvailable, 1));
        assert!(err.to_string().contains("no local port or route"), "{err}");

        let (connected, left) = connect_with(&[("connect", &[libc::EAGAIN, libc::EADDRNOTAVAIL])]);
        assert_eq!((connected.unwrap().port() != 0, left), (true, 0));
    }

    #[test]
    fn an_error_of_connect_is_returned_and_not_tried_again() {
        for errno in [libc::ENETUNREACH, libc::EACCES, libc::EPERM, libc::ENOBUFS] {
            let (connected, left) = connect_with(&[("connect", &[errno; 2])]);
            let err = connected.unwrap_err();
            assert_eq!(OpError::of(&err).unwrap().raw_os_error(), Some(errno));
            assert_eq!(left, 1);
        }
    }

    #[test]
    fn an_error_that_comes_later_is_that_of_the_connect() {
        for errno in [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::EHOSTUNREACH] {
            let (connected, _) = connect_with(&[("SO_ERROR", &[errno])]);
            let err = connected.unwrap_err();
            assert_eq!(OpError::of(&err).unwrap().raw_os_error(), Some(errno));
        }
    }

    #[test]
    fn a_connect_that_is_over_when_it_is_asked_is_over() {
        let (connected, left) = connect_with(&[("SO_ERROR", &[libc::EISCONN])]);
        assert_eq!((connected.is_ok(), left), (true, 0));
    }
}

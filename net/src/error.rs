//! Errors that say operation, network and addresses.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::addr::Address;
use crate::network::{Network, Tcp};
use crate::sys;
use crate::unix::UnixAddr;

/// What went wrong, in which operation, between which addresses.
///
/// Every [`io::Error`] of a socket carries one, except [`io::ErrorKind::WouldBlock`] of the `try_`
/// methods, and that of a dial by name, which carries a [`DialError`](crate::DialError). It is built when an operation failed, and never otherwise. Its text has the
/// form of Go's `net.OpError`:
///
/// ```text
/// read tcp 127.0.0.1:7000->127.0.0.1:51722: connection reset by peer
/// bind tcp 127.0.0.1:80: permission denied
/// bind tcp localhost:http (127.0.0.1:80): permission denied
/// ```
///
/// The `io::Error` around it keeps the [`io::ErrorKind`] of its cause: `TimedOut` for a deadline,
/// `ConnectionReset` for a reset. [`io::Error::raw_os_error`] gives `None` for an error that
/// carries another; ask [`OpError::raw_os_error`] instead. [`reactor::is_closed`] looks through.
///
/// ```
/// # reactor::block_on(async {
/// use net::{OpError, TcpListener};
///
/// let first = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let addr = first.local_addr()?;
/// let err = TcpListener::bind(addr).unwrap_err();
/// assert_eq!(err.kind(), std::io::ErrorKind::AddrInUse);
/// let op = OpError::of(&err).unwrap();
/// assert_eq!((op.operation(), op.local_addr()), ("bind", Some(addr)));
/// assert_eq!(op.raw_os_error(), Some(98), "EADDRINUSE");
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// Its `Debug` is that text too, for `main` prints by it the error that it returns:
///
/// ```text
/// Error: Custom { kind: AddrInUse, error: OpError(bind tcp 127.0.0.1:80: address already in use) }
/// ```
pub struct OpError {
    operation: &'static str,
    network: &'static str,
    local: Option<Endpoint>,
    remote: Option<Endpoint>,
    source: io::Error,
}

/// An address of any network.
pub enum Endpoint {
    Inet(SocketAddr),
    Named(Box<Named>),
    Unix(Box<UnixAddr>),
}

/// What was asked for by name, and what was found.
pub struct Named {
    asked: String,
    found: Option<SocketAddr>,
}

impl OpError {
    /// The one that `err` carries, if it comes from this crate.
    #[must_use]
    pub fn of(err: &io::Error) -> Option<&Self> {
        err.get_ref()?.downcast_ref()
    }

    /// What was tried: `read`, `write`, `accept`, `connect`, `bind`, `listen` by name, or the system call
    /// that failed on the way there, such as `socket` or `setsockopt`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// `tcp`, `udp`, `unix` or `unixgram`.
    #[must_use]
    pub fn network(&self) -> &'static str {
        self.network
    }

    /// The internet address of this side, when it is known.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local.as_ref().and_then(Endpoint::inet)
    }

    /// The internet address of the other side, when there is one.
    #[must_use]
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote.as_ref().and_then(Endpoint::inet)
    }

    /// The Unix address of this side, when it is known.
    #[must_use]
    pub fn local_unix_addr(&self) -> Option<&UnixAddr> {
        self.local.as_ref().and_then(Endpoint::unix)
    }

    /// The Unix address of the other side, when there is one.
    #[must_use]
    pub fn remote_unix_addr(&self) -> Option<&UnixAddr> {
        self.remote.as_ref().and_then(Endpoint::unix)
    }

    /// The system's number of the cause; `None` for a deadline and for use after close.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// An `io::Error` of the cause's kind that carries one of TCP.
    #[cold]
    pub(crate) fn tcp(
        operation: &'static str,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        source: io::Error,
    ) -> io::Error {
        Self::on::<Tcp>(operation, local.as_ref(), remote.as_ref(), source)
    }

    /// One that names what a listener was asked for: with the address it was found to be, when `err` is
    /// that of a bind.
    #[cold]
    pub(crate) fn asked(asked: &str, err: io::Error) -> io::Error {
        let kind = err.kind();
        let named = |found| {
            let asked = asked.to_owned();
            Some(Endpoint::Named(Box::new(Named { asked, found })))
        };
        let op = match err.downcast::<Self>() {
            Ok(op) => Self { local: named(op.local_addr()), ..op },
            Err(source) => {
                let (operation, network) = ("listen", Tcp::NAME);
                Self { operation, network, local: named(None), remote: None, source }
            }
        };
        io::Error::new(kind, op)
    }

    /// An `io::Error` of the cause's kind that carries one of the network. `WouldBlock` stays as it
    /// is: who tries is told so again and again.
    #[cold]
    pub(crate) fn on<N: Network>(
        operation: &'static str,
        local: Option<&N::Addr>,
        remote: Option<&N::Addr>,
        source: io::Error,
    ) -> io::Error {
        if source.kind() == io::ErrorKind::WouldBlock {
            return source;
        }
        let (local, remote) = (local.map(Address::endpoint), remote.map(Address::endpoint));
        let kind = source.kind();
        io::Error::new(kind, Self { operation, network: N::NAME, local, remote, source })
    }
}

impl Endpoint {
    fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(addr) => Some(*addr),
            Self::Named(named) => named.found,
            Self::Unix(_) => None,
        }
    }

    fn unix(&self) -> Option<&UnixAddr> {
        match self {
            Self::Inet(_) | Self::Named(_) => None,
            Self::Unix(addr) => Some(addr),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Named(named) => match named.found {
                Some(found) => write!(f, "{} ({found})", named.asked),
                None => f.write_str(&named.asked),
            },
            Self::Unix(addr) => addr.fmt(f),
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.network)?;
        match (&self.local, &self.remote) {
            (Some(local), Some(remote)) => write!(f, " {local}->{remote}")?,
            (Some(addr), None) | (None, Some(addr)) => write!(f, " {addr}")?,
            (None, None) => {}
        }
        match self.source.raw_os_error() {
            Some(errno) => write!(f, ": {}", lower_first(&sys::error_text(errno))),
            None => write!(f, ": {}", self.source),
        }
    }
}

impl fmt::Debug for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpError({self})")
    }
}

impl Error for OpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// The C library's texts begin with a capital, and this one stands at the end of a sentence.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_text_says_operation_network_addresses_and_cause() {
        let reset = || io::Error::from_raw_os_error(libc::ECONNRESET);
        let (a, b) = (addr("127.0.0.1:1"), addr("[::1]:2"));
        let both = OpError::tcp("read", a, b, reset());
        assert_eq!(both.to_string(), "read tcp 127.0.0.1:1->[::1]:2: connection reset by peer");
        let one = OpError::tcp("connect", None, b, reset());
        assert_eq!(one.to_string(), "connect tcp [::1]:2: connection reset by peer");
        let none = OpError::tcp("read", None, None, io::Error::other("odd"));
        assert_eq!(none.to_string(), "read tcp: odd");
    }

    #[test]
    fn kind_number_and_source_are_kept() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let err = OpError::tcp("connect", None, addr("127.0.0.1:1"), refused);
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(OpError::of(&err).unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
        let source = err.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn what_main_prints_of_an_error_is_its_text() {
        let in_use = io::Error::from_raw_os_error(libc::EADDRINUSE);
        let err = OpError::tcp("bind", addr("127.0.0.1:1"), None, in_use);
        let text = "OpError(bind tcp 127.0.0.1:1: address already in use)";
        assert_eq!(format!("{err:?}"), format!("Custom {{ kind: AddrInUse, error: {text} }}"));
        assert_eq!(format!("{:#?}", OpError::of(&err).unwrap()), text);
    }

    #[test]
    fn an_error_of_another_crate_carries_none() {
        assert!(OpError::of(&io::Error::other("odd")).is_none());
        assert!(OpError::of(&io::Error::from_raw_os_error(libc::EIO)).is_none());
    }

    #[test]
    fn an_unknown_error_number_still_has_a_text() {
        let err = OpError::tcp("read", None, None, io::Error::from_raw_os_error(9999));
        assert!(err.to_string().contains("9999"), "{err}");
    }
}

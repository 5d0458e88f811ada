//! Why a name could not be dialed.

use std::error::Error;
use std::fmt;
use std::io;

use crate::error::OpError;

/// Why a host could not be dialed: the failures of all addresses that were tried, or of the lookup.
///
/// The `io::Error` around it has the [`io::ErrorKind`] of the first address's failure, as in Go.
///
/// ```text
/// dial tcp example.com:80: connect tcp 203.0.113.7:80: connection refused; connect tcp
/// [2001:db8::7]:80: network is unreachable
/// dial tcp no-such-host.example:80: lookup: Name or service not known
/// ```
///
/// ```
/// # reactor::block_on(async {
/// use net::{DialError, Dialer};
///
/// let nowhere = Dialer::new().resolver(async |_host, _port| Ok(Vec::new()));
/// let err = nowhere.dial("example.com:80").await.unwrap_err();
/// assert_eq!(err.to_string(), "dial tcp example.com:80: lookup: the host has no address");
/// assert_eq!(DialError::of(&err).unwrap().attempts().count(), 0);
/// # })?;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// Its `Debug` is its text too: `DialError(dial tcp example.com:80: ...)`.
pub struct DialError {
    address: String,
    why: Why,
}

enum Why {
    Lookup(io::Error),
    Attempts(Vec<io::Error>),
}

impl DialError {
    /// The one that `err` carries, if it comes from a dial by name.
    #[must_use]
    pub fn of(err: &io::Error) -> Option<&Self> {
        err.get_ref()?.downcast_ref()
    }

    /// What was dialed: `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The failure of each address that was tried: of the first family first, and for each family
    /// in the order of the lookup. None when the lookup failed.
    pub fn attempts(&self) -> impl Iterator<Item = &OpError> {
        let attempts: &[io::Error] = match &self.why {
            Why::Lookup(_) => &[],
            Why::Attempts(attempts) => attempts,
        };
        attempts.iter().filter_map(OpError::of)
    }

    #[cold]
    pub(super) fn lookup(address: &str, err: io::Error) -> io::Error {
        let kind = err.kind();
        io::Error::new(kind, Self { address: address.to_owned(), why: Why::Lookup(err) })
    }

    /// `failures` is not empty.
    #[cold]
    pub(super) fn attempts_failed(address: &str, failures: Vec<io::Error>) -> io::Error {
        let kind = failures.first().map_or(io::ErrorKind::Other, io::Error::kind);
        io::Error::new(kind, Self { address: address.to_owned(), why: Why::Attempts(failures) })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dial tcp {}: ", self.address)?;
        match &self.why {
            Why::Lookup(err) => write!(f, "lookup: {err}"),
            Why::Attempts(failures) => {
                let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join("; "))
            }
        }
    }
}

impl fmt::Debug for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DialError({self})")
    }
}

impl Error for DialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Why::Lookup(err) => Some(err),
            Why::Attempts(failures) => failures.first().map(|err| err as _),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_main_prints_of_an_error_is_its_text() {
        let refused = || io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let attempt = |addr: &str| OpError::tcp("connect", None, addr.parse().ok(), refused());
        let failures = vec![attempt("127.0.0.1:1"), attempt("[::1]:1")];
        let err = DialError::attempts_failed("localhost:1", failures);
        let text = "DialError(dial tcp localhost:1: connect tcp 127.0.0.1:1: connection refused; \
                    connect tcp [::1]:1: connection refused)";
        assert_eq!(
            format!("{err:?}"),
            format!("Custom {{ kind: ConnectionRefused, error: {text} }}")
        );
    }
}

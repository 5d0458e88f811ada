//! What a listening socket is made with.

use std::ffi::c_int;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use reactor::PollFd;

use crate::addr::{self, RawAddr};
use crate::dial;
use crate::dial::address::{self, Target};
use crate::error::OpError;
use crate::listener::{Listener, TcpListener};
use crate::options::{self, Control, Keepalive, Options, option_setters};
#[cfg(doc)]
use crate::stream::TcpStream;
use crate::sys;

/// The backlog where `/proc/sys/net/core/somaxconn` cannot be read: the kernel's own default
/// until Linux 5.4.
const BACKLOG_FALLBACK: u32 = 128;

/// What a [`TcpListener`] is made with.
///
/// Accepted connections inherit from the listener what its methods below `fast_open` set (tcp(7),
/// socket(7)), which is why it is set here: an accept then costs one system call.
///
/// ```
/// # reactor::block_on(async {
/// let listener = net::TcpListener::builder()
///     .reuse_port(true)
///     .backlog(1024)
///     .bind("[::1]:0".parse().unwrap())?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing listens before bind or listen"]
pub struct ListenerBuilder {
    reuse_addr: bool,
    reuse_port: bool,
    v6only: bool,
    backlog: Option<u32>,
    defer_accept: Option<Duration>,
    fast_open: Option<u32>,
    options: Options,
}

impl Default for ListenerBuilder {
    /// Go's: `reuse_addr`, `nodelay` and `keepalive` on, everything else off or the system's.
    fn default() -> Self {
        Self {
            reuse_addr: true,
            reuse_port: false,
            v6only: false,
            backlog: None,
            defer_accept: None,
            fast_open: None,
            options: Options::default(),
        }
    }
}

option_setters!(ListenerBuilder, options);

impl ListenerBuilder {
    /// Lets several sockets of one user listen on one address, and the kernel spread connections
    /// over them (`SO_REUSEPORT`). Off by default.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Whether `[::]` takes IPv6 connections only. Off by default: it takes both, whatever
    /// `net.ipv6.bindv6only` says, and an IPv4 peer has an address like `::ffff:127.0.0.1`.
    pub fn v6only(mut self, v6only: bool) -> Self {
        self.v6only = v6only;
        self
    }

    /// How many connections wait to be accepted, at most. The kernel takes the smaller one of this
    /// and `net.core.somaxconn`, which is the default.
    pub fn backlog(mut self, connections_max: u32) -> Self {
        self.backlog = Some(connections_max);
        self
    }

    /// Lets a port be listened on again while connections of its last listener linger
    /// (`SO_REUSEADDR`). On by default, as in Go.
    pub fn reuse_addr(mut self, reuse_addr: bool) -> Self {
        self.reuse_addr = reuse_addr;
        self
    }

    /// Hands a connection out only once its first data is there, or once `patience` is over, in
    /// whole seconds rounded up (`TCP_DEFER_ACCEPT`). For protocols in which the client speaks
    /// first: the first read then succeeds at once. Off by default.
    pub fn defer_accept(mut self, patience: Duration) -> Self {
        self.defer_accept = Some(patience);
        self
    }

    /// Lets clients send data with their first segment (`TCP_FASTOPEN`, RFC 7413), at most so many
    /// of them before their handshake is done. Such data may arrive twice: for requests that may be
    /// repeated. It needs bit 2 in `net.ipv4.tcp_fastopen`. Off by default.
    pub fn fast_open(mut self, connections_max: u32) -> Self {
        self.fast_open = Some(connections_max);
        self
    }

    /// Binds `addr` and listens.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` and what else bind(2) and listen(2)
    /// say; `InvalidInput` for keep-alive out of its range; those of [`control`](Self::control).
    /// The error names the address.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn bind(self, addr: SocketAddr) -> io::Result<TcpListener> {
        self.bind_to(addr)
    }

    /// Listens on `host:port`, as [`Dialer::dial`](crate::Dialer::dial) reads it: an IPv4 address, an
    /// IPv6 address in brackets, or a name of this machine; the port is a number, 0 for a free one, or the
    /// name of a service. No host is all addresses: `:7000` is `[::]:7000`, and `0.0.0.0:7000` where the
    /// kernel has no IPv6.
    ///
    /// Names are looked up off the loop ([`lookup_host`](crate::lookup_host)). A listener has one address,
    /// so of those of a name it is the first of IPv4, or else the first, as in Go. What stands in numbers
    /// is bound without waiting.
    ///
    /// ```
    /// # reactor::block_on(async {
    /// use net::TcpListener;
    ///
    /// let listener = TcpListener::builder().backlog(16).listen("localhost:0").await?;
    /// assert!(listener.local_addr()?.ip().is_loopback());
    ///
    /// let err = TcpListener::listen("localhost:htpp").await.unwrap_err();
    /// let text = r#"listen tcp localhost:htpp: no TCP service is called "htpp""#;
    /// assert_eq!(err.to_string(), text);
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// Cancel-safe: a dropped future listens nowhere.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address; what the lookup says; those of [`bind`](Self::bind), which
    /// name what was asked for beside the address that was found.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn listen(self, address: &str) -> io::Result<TcpListener> {
        let target = address::parse(address, Ipv6Addr::UNSPECIFIED.into())
            .map_err(|err| OpError::tcp("listen", None, None, err))?;
        let is_unnamed = address.starts_with(':');
        match target {
            Target::Literal(addr) if is_unnamed => self.bind_all(addr),
            Target::Literal(addr) => self.bind_to(addr),
            Target::Named(host, port) => {
                let found = dial::find(host, port, None).await.and_then(|found| one_of(&found));
                let bind = |addr| if is_unnamed { self.bind_all(addr) } else { self.bind_to(addr) };
                found.and_then(bind).map_err(|err| OpError::asked(address, err))
            }
        }
    }

    /// `addr` is `[::]` with a port.
    #[track_caller]
    fn bind_all(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        let bound = self.bind_to(addr);
        match bound.as_ref().err().and_then(OpError::of).and_then(OpError::raw_os_error) {
            Some(libc::EAFNOSUPPORT) if !self.v6only => {
                self.bind_to((Ipv4Addr::UNSPECIFIED, addr.port()).into())
            }
            _ => bound,
        }
    }

    #[track_caller]
    fn bind_to(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        let at = |operation| move |err| OpError::tcp(operation, Some(addr), None, err);
        let owned = sys::tcp_socket(addr::family(addr)).map_err(at("socket"))?;
        let fd = owned.as_fd();
        self.set_options(fd, addr).map_err(at("setsockopt"))?;
        sys::bind(fd, &RawAddr::from(addr)).map_err(at("bind"))?;
        sys::listen(fd, self.effective_backlog()).map_err(at("listen"))?;
        let local = sys::local_addr(fd).map_err(at("getsockname"))?;
        Ok(Listener::new(PollFd::from_socket(owned), local, ()))
    }

    fn set_options(&self, fd: BorrowedFd<'_>, addr: SocketAddr) -> io::Result<()> {
        let numbers = [
            (options::REUSE_ADDR, self.reuse_addr.then_some(1)),
            (options::REUSE_PORT, self.reuse_port.then_some(1)),
            (options::V6ONLY, addr.is_ipv6().then_some(self.v6only.into())),
            (options::DEFER_ACCEPT, self.defer_accept.map(options::seconds_up)),
            (options::FASTOPEN, self.fast_open.map(options::int)),
        ];
        options::set_all(fd, numbers)?;
        self.options.apply(fd, addr)
    }

    fn effective_backlog(&self) -> c_int {
        backlog(self.backlog)
    }
}

/// Go's choice (`addrList.first` in `net/ipsock.go`).
fn one_of(found: &[SocketAddr]) -> io::Result<SocketAddr> {
    let chosen = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    chosen
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
}

/// The backlog that was set, or the system's limit.
pub(crate) fn backlog(connections_max: Option<u32>) -> c_int {
    options::int(connections_max.unwrap_or_else(somaxconn))
}

/// The system's limit of a backlog, read at each bind: it is a file of a few bytes, and may change.
fn somaxconn() -> u32 {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .map_or(BACKLOG_FALLBACK, |text| parse_somaxconn(&text))
}

/// As Go's `maxListenerBacklog`: what is no number, or 0, is the fallback. A number too large for
/// listen(2) is clamped, by the `u32` here or by [`options::int`].
fn parse_somaxconn(text: &str) -> u32 {
    match text.trim().parse::<u64>() {
        Ok(0) | Err(_) => BACKLOG_FALLBACK,
        Ok(connections) => u32::try_from(connections).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::leaving_nothing_open;
    use crate::sys::fault::script;

    #[test]
    fn somaxconn_is_read_as_go_reads_it() {
        assert_eq!(parse_somaxconn("4096\n"), 4096);
        assert_eq!(parse_somaxconn("65536\n"), 65536);
        assert_eq!(parse_somaxconn("99999999999\n"), u32::MAX);
        for odd in ["", "0\n", "many", "-1\n"] {
            assert_eq!(parse_somaxconn(odd), BACKLOG_FALLBACK, "{odd:?}");
        }
    }

    #[test]
    fn of_the_addresses_of_a_name_the_first_of_ipv4_is_listened_on() {
        let addrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let chosen = |texts: &[&str]| {
            let found: Vec<SocketAddr> = addrs(texts);
            one_of(&found).map(|addr| addr.to_string())
        };
        assert_eq!(chosen(&["[::1]:7", "127.0.0.1:7", "127.0.0.2:7"]).unwrap(), "127.0.0.1:7");
        assert_eq!(chosen(&["[::1]:7", "[::2]:7"]).unwrap(), "[::1]:7");
        assert_eq!(chosen(&[]).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn no_host_is_all_addresses_of_ipv4_where_the_kernel_has_no_ipv6() {
        let no_ipv6 = || script("socket", &[libc::EAFNOSUPPORT]);
        let test = async {
            let refusal = no_ipv6();
            let listener = TcpListener::listen(":0").await?;
            assert_eq!(
                (refusal.left(), listener.local_addr()?.ip()),
                (0, Ipv4Addr::UNSPECIFIED.into())
            );
            drop(refusal);
            let _refusal = no_ipv6();
            let six_only = TcpListener::builder().v6only(true).listen(":0").await.unwrap_err();
            assert!(six_only.to_string().starts_with("socket tcp [::]:0: "), "{six_only}");
            let _refusal = no_ipv6();
            assert!(TcpListener::listen("[::]:0").await.is_err(), "it was asked for");
            Ok::<_, io::Error>(())
        };
        leaving_nothing_open(|| reactor::block_on(test).unwrap().unwrap());
    }

    #[test]
    fn a_fast_open_is_asked_of_the_system_with_its_limit() {
        let queue_of = |builder: ListenerBuilder, on: &str| {
            let listener = builder.bind(on.parse().unwrap()).unwrap();
            sys::option(listener.as_fd(), options::FASTOPEN).unwrap()
        };
        let test = async {
            for on in ["127.0.0.1:0", "[::1]:0"] {
                assert_eq!(queue_of(TcpListener::builder().fast_open(16), on), 16);
                assert_eq!(queue_of(TcpListener::builder(), on), 0, "off by default");
            }
        };
        leaving_nothing_open(|| reactor::block_on(test).unwrap());
    }

    #[test]
    fn the_backlog_is_the_systems_limit_unless_it_is_set() {
        assert_eq!(TcpListener::builder().backlog(7).effective_backlog(), 7);
        assert_eq!(TcpListener::builder().backlog(u32::MAX).effective_backlog(), c_int::MAX);
        assert_eq!(TcpListener::builder().effective_backlog(), options::int(somaxconn()));
    }
}

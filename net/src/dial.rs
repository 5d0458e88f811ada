//! Dialing: from `host:port` to a connection, as Go's `net.Dialer` does it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::time::{now, timeout};

use crate::connect::{self, Before};
use crate::error::OpError;
use crate::options::{Control, Keepalive, option_setters};
use crate::stream::TcpStream;
use address::{Host, Port, Target};
use race::Plan;
use resolve::Resolver;

pub(crate) mod address;
mod error;
mod race;
mod resolve;
mod service;
mod shared;

pub use error::DialError;
pub use race::DIAL_SHARE_MIN;
pub use resolve::lookup_host;

/// How far ahead the first family of addresses is, unless told otherwise (RFC 6555, and Go).
pub const FALLBACK_DELAY: Duration = Duration::from_millis(300);

/// Addresses of one host that are tried, at most; further ones of a lookup are left out.
pub const DIAL_ADDRS_MAX: usize = 64;

const TWO_FAMILIES: &str = "addresses of two families";

/// Connects to hosts: how long, from where, by which of their addresses, with which options.
///
/// The methods are named as the fields of Go's `net.Dialer`, and one dialer may serve any number of
/// dials, at once too.
///
/// ```
/// # reactor::block_on(async {
/// use std::time::Duration;
/// use net::{Dialer, TcpListener};
///
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let port = listener.local_addr()?.port();
///
/// let dialer = Dialer::new().timeout(Duration::from_secs(5));
/// let stream = dialer.dial(&format!("localhost:{port}")).await?;
/// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Which address?
/// A name may have many. They are divided by family, IPv6 and IPv4, and the family of the first one
/// goes first: its addresses are tried one after another. When [`fallback_delay`](Self::fallback_delay)
/// is over, or at once when they have all failed, the other family starts beside it. Who connects
/// first wins, and all other sockets are closed (Happy Eyeballs, RFC 8305).
///
/// # How long?
/// [`timeout`](Self::timeout) and [`deadline`](Self::deadline) count for all of it, the lookup
/// included. Of the time that is left each address gets its share (of n addresses one n-th), but at
/// least [`DIAL_SHARE_MIN`]: so a first one that does not answer leaves time for the second. With
/// neither, each address has what the kernel gives it, some two minutes (`net.ipv4.tcp_syn_retries`).
#[derive(Clone, Debug)]
#[must_use = "nothing is dialed before dial"]
pub struct Dialer {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    fallback_delay: Option<Duration>,
    resolver: Option<Resolver>,
    before: Before,
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new()
    }
}

option_setters!(Dialer, before.options);

impl Dialer {
    /// A dialer without limit of time, with [`FALLBACK_DELAY`], the system's resolver, and `nodelay`
    /// and `keepalive` on.
    pub fn new() -> Self {
        Self {
            timeout: None,
            deadline: None,
            fallback_delay: Some(FALLBACK_DELAY),
            resolver: None,
            before: Before::default(),
        }
    }

    /// How long a dial may take in all. None by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// When a dial gives up, whatever [`timeout`](Self::timeout) says of later. None by default.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The address of this side, bound before the connect; port 0 takes a free one. Only addresses
    /// of its family are dialed, so `0.0.0.0:0` dials IPv4 only, and `[::]:0` IPv6 only.
    pub fn local_addr(mut self, local: SocketAddr) -> Self {
        self.before.local = Some(local);
        self
    }

    /// How long the first family of addresses is waited for before the other is tried beside it;
    /// `None` tries all addresses one after another, as they come. [`FALLBACK_DELAY`] by default.
    pub fn fallback_delay(mut self, delay: Option<Duration>) -> Self {
        self.fallback_delay = delay;
        self
    }

    /// Sends the first write with the handshake, where the kernel has met the peer before
    /// (`TCP_FASTOPEN_CONNECT`, RFC 7413). Off by default.
    ///
    /// The dial then returns at once, and the connection is made by the first write: a refusal is
    /// its error, and who reads first waits for ever. Such data may arrive twice.
    pub fn fast_open(mut self, fast_open: bool) -> Self {
        self.before.fast_open = fast_open;
        self
    }

    /// Who is asked for the addresses of a name, instead of [`lookup_host`]: for a resolver of your
    /// own, a cache, a table, a test. It is told the name and the port, and answers in order of
    /// preference. It runs on the loop, so it must not block, and is dropped when nobody waits. It is
    /// asked for each dial, also when several dial one name at the same time.
    ///
    /// ```
    /// # reactor::block_on(async {
    /// # let listener = net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let addr = listener.local_addr()?;
    /// let dialer = net::Dialer::new().resolver(async move |host, port| match host {
    ///     "backend.test" => Ok(vec![std::net::SocketAddr::from(([127, 0, 0, 1], port))]),
    ///     _ => net::lookup_host(host, port).await,
    /// });
    /// let stream = dialer.dial(&format!("backend.test:{}", addr.port())).await?;
    /// # assert_eq!(stream.peer_addr()?, addr);
    /// # Ok::<_, std::io::Error>(())
    /// # })??;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn resolver(
        mut self,
        resolver: impl AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>> + 'static,
    ) -> Self {
        self.resolver = Some(Resolver::new(resolver));
        self
    }

    /// Connects to `host:port`: a name, an IPv4 address, or an IPv6 address in brackets, with a
    /// zone if need be (`[fe80::1%eth0]:80`). No host is this machine. The port is a number, or the
    /// name of a service: `example.com:https`. An address is connected to without asking the
    /// resolver. Who dials a name that another task of this thread is looking up shares its lookup.
    ///
    /// Cancel-safe: dropping the future closes all its sockets, and disturbs no other dial. A lookup
    /// on a thread of the pool goes on: see [`lookup_host`].
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, and for an address that is not of the family of
    /// [`local_addr`](Self::local_addr). For a name, of a host or a service, a [`DialError`],
    /// with the kind of the first failure; for an address in numbers, what [`TcpStream::connect`]
    /// gives. `TimedOut` when the time is over.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        let deadline = self.deadline_from_now();
        let target = address::parse(address, Ipv4Addr::LOCALHOST.into())
            .map_err(|err| OpError::tcp("dial", None, None, err))?;
        let (host, port) = match target {
            Target::Literal(addr) => return self.connect_by(addr, deadline).await,
            Target::Named(host, port) => (host, port),
        };
        if let Host::Literal(addr) = host
            && let Some(local) = self.local_of_another_family(addr)
        {
            // Its port is not known yet.
            let text = format!("address {address:?}: {TWO_FAMILIES}");
            let err = io::Error::new(io::ErrorKind::InvalidInput, text);
            return Err(OpError::tcp("dial", Some(local), None, err));
        }
        let found = within(deadline, find(host, port, self.resolver.as_ref())).await;
        let addrs = found
            .and_then(|found| self.usable(found))
            .map_err(|err| DialError::lookup(address, err))?;
        self.race(&addrs, deadline)
            .await
            .map_err(|failures| DialError::attempts_failed(address, failures))
    }

    /// Connects to `addr`: [`TcpStream::connect`] with the settings of this dialer.
    ///
    /// Cancel-safe: dropping the future closes the socket.
    ///
    /// # Errors
    /// As [`TcpStream::connect`]; `InvalidInput` for an address that is not of the family of
    /// [`local_addr`](Self::local_addr); `TimedOut` when the time is over.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        self.connect_by(addr, self.deadline_from_now()).await
    }

    async fn connect_by(
        &self,
        addr: SocketAddr,
        deadline: Option<Instant>,
    ) -> io::Result<TcpStream> {
        if let Some(local) = self.local_of_another_family(addr) {
            let err = io::Error::new(io::ErrorKind::InvalidInput, TWO_FAMILIES);
            return Err(OpError::tcp("dial", Some(local), Some(addr), err));
        }
        let outcome = self.race(&[addr], deadline).await;
        outcome.map_err(|mut failures| failures.swap_remove(0))
    }

    /// The local address, when nothing of the family of `addr` can be dialed from it.
    fn local_of_another_family(&self, addr: SocketAddr) -> Option<SocketAddr> {
        self.before.local.filter(|local| !same_family(*local, addr))
    }

    async fn race(
        &self,
        addrs: &[SocketAddr],
        deadline: Option<Instant>,
    ) -> Result<TcpStream, Vec<io::Error>> {
        let (fallback_delay, local) = (self.fallback_delay, self.before.local);
        let plan = Plan { deadline, fallback_delay, local };
        race::race(addrs, plan, async |addr| connect::connect(addr, &self.before).await).await
    }

    /// The sooner of both; a time-out beyond what the clock can count is none.
    fn deadline_from_now(&self) -> Option<Instant> {
        let timeout = self.timeout.and_then(|timeout| now().checked_add(timeout));
        [self.deadline, timeout].into_iter().flatten().min()
    }

    /// Those of the local address's family.
    fn usable(&self, mut addrs: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let not_found = |why| Err(io::Error::new(io::ErrorKind::NotFound, why));
        if addrs.is_empty() {
            return not_found("the host has no address");
        }
        if let Some(local) = self.before.local {
            addrs.retain(|addr| same_family(*addr, local));
        }
        if addrs.is_empty() {
            return not_found("the host has no address of the local one's family");
        }
        addrs.truncate(DIAL_ADDRS_MAX);
        Ok(addrs)
    }
}

/// The addresses that are meant, by a resolver or else the system.
pub(crate) async fn find(
    host: Host<'_>,
    port: Port<'_>,
    resolver: Option<&Resolver>,
) -> io::Result<Vec<SocketAddr>> {
    let port = match port {
        Port::Number(port) => port,
        Port::Service(name) => service::port(name).await?,
    };
    match host {
        Host::Literal(mut addr) => {
            addr.set_port(port);
            Ok(vec![addr])
        }
        Host::Name(name) => resolve::by(resolver, name, port).await,
    }
}

/// Runs a lookup for as long as there is time. When there is none, it is not begun.
async fn within<T>(
    deadline: Option<Instant>,
    lookup: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let Some(deadline) = deadline else { return lookup.await };
    match deadline.checked_duration_since(now()) {
        Some(left) if !left.is_zero() => {
            let in_time = timeout(left, lookup).await;
            in_time.unwrap_or_else(|_elapsed| Err(out_of_time()))
        }
        _ => Err(out_of_time()),
    }
}

fn out_of_time() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "out of time")
}

fn same_family(a: SocketAddr, b: SocketAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

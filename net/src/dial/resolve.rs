//! Names to addresses.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;

use reactor::JoinError;

use super::shared::Lookups;
use crate::sys;

static LOOKUPS: Lookups<Vec<SocketAddr>> = Lookups::new();

/// The addresses of `host`, each with `port`, in the system's order of preference (RFC 6724).
///
/// getaddrinfo(3) blocks, so it runs on a thread of the runtime's pool
/// ([`reactor::spawn_blocking`]), and no task waits for it but those that asked: who asks for a host
/// while a lookup of it is under way shares that one's answer, if both are of one thread. Nothing is
/// remembered beyond that.
///
/// A call that has begun cannot be stopped. Dropping the future leaves it to those who share it, or
/// who ask next; its thread is taken until it is over. Dropping the runtime does not wait for it, and
/// neither does the end of the process. So when a name server is silent, lookups of as many hosts as
/// the pool has threads hold up all other blocking work for as long as `resolv.conf` allows (10 s by
/// default).
///
/// ```
/// # reactor::block_on(async {
/// let addrs = net::lookup_host("localhost", 80).await?;
/// assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// # Ok::<_, std::io::Error>(())
/// # })??;
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
/// What getaddrinfo says, such as "Name or service not known"; `EMFILE` or `ENFILE` instead, when it
/// failed and no descriptor is to be had; `InvalidInput` for a name with a zero byte; `ResourceBusy` when
/// the pool's queue is full. The error names the host.
///
/// # Panics
/// Outside a runtime.
pub async fn lookup_host(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    look_up(host, port).await.map_err(|err| named(host, err))
}

/// [`lookup_host`] for who names the host already.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addrs = LOOKUPS.share(host, ask_system).await?;
    addrs.iter_mut().for_each(|addr| addr.set_port(port));
    Ok(addrs)
}

fn ask_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    let found = (host, 0).to_socket_addrs();
    found.map(Iterator::collect).map_err(|err| shortage().unwrap_or(err))
}

/// Why no descriptor can be opened, if that is so. getaddrinfo(3) does not say it: who cannot open
/// `/etc/hosts` is told that no host of that name exists.
pub(super) fn shortage() -> Option<io::Error> {
    let err = sys::unix_socket(libc::SOCK_STREAM).err()?;
    matches!(err.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)).then_some(err)
}

/// An error of a lookup and the host it was for.
struct Named {
    host: String,
    err: io::Error,
}

#[cold]
fn named(host: &str, err: io::Error) -> io::Error {
    io::Error::new(err.kind(), Named { host: host.to_owned(), err })
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Quoted: the host may be anything, and nothing.
        write!(f, "lookup {:?}: {}", self.host, self.err)
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookup({self})")
    }
}

impl Error for Named {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.err)
    }
}

/// Why a lookup was not run to its end.
#[cold]
pub(super) fn not_run(err: JoinError) -> io::Error {
    let kind = if err.is_rejected() { io::ErrorKind::ResourceBusy } else { io::ErrorKind::Other };
    io::Error::new(kind, err)
}

/// Who is asked.
#[derive(Clone)]
pub(crate) struct Resolver(Rc<dyn Resolve>);

type Answer<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + 'a>>;

/// An `AsyncFn` that can be kept.
trait Resolve {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Answer<'a>;
}

impl<F: AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>>> Resolve for F {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Answer<'a> {
        Box::pin(self(host, port))
    }
}

impl Resolver {
    pub(super) fn new(
        resolver: impl AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>> + 'static,
    ) -> Self {
        Self(Rc::new(resolver))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// Asks `resolver`, or else the system.
pub(super) async fn by(
    resolver: Option<&Resolver>,
    host: &str,
    port: u16,
) -> io::Result<Vec<SocketAddr>> {
    match resolver {
        Some(Resolver(resolver)) => resolver.resolve(host, port).await,
        None => look_up(host, port).await,
    }
}

//! How names become addresses.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Gives the addresses of a name with a port, and may take its time: it is asked on a thread of its own.
/// By default the system is asked.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Lookup>);

impl Resolver {
    pub(crate) fn new(
        lookup: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Resolver(Arc::new(lookup))
    }

    pub(super) fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        (self.0)(name)
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver::new(|name| Ok(name.to_socket_addrs()?.collect()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

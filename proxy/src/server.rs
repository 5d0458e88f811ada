//! Listeners, and the wiring of everything a configuration names.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use net::{TcpListener, TcpStream};
use reactor::JoinHandle;

use crate::cluster::{Cluster, ClusterStatus};
use crate::config::{self, Config};
use crate::filter::{Filters, NetworkFilters};
use crate::limits::ACCEPTS_PER_TURN_MAX;
use crate::service::{Client, Entrance};
use crate::stats::Snapshot;
use crate::worker::Worker;

/// A proxy that serves in the runtime it was started in.
///
/// Dropping it stops the listeners; connections that are open live until their peers close them or
/// the runtime is dropped.
///
/// ```
/// reactor::block_on(async {
///     let config = proxy::Config::parse("inline.json".as_ref(), proxy::DEMO_CONFIG)?;
///     let server = proxy::Server::start(&config)?;
///     assert_eq!(server.addresses().len(), 1);
///     assert!(server.stats().is_idle());
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    worker: Rc<Worker>,
    addresses: Vec<SocketAddr>,
    listeners: Vec<JoinHandle<()>>,
    clusters: Clusters,
}

struct Clusters(Vec<Rc<Cluster>>);

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|cluster| cluster.name())).finish()
    }
}

/// A listener that could not be started.
#[derive(Debug)]
pub struct StartError {
    /// The configuration's file.
    pub file: std::path::PathBuf,
    /// Where in the document the address stands.
    pub path: String,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StartError { file, path, address, error } = self;
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is in use",
            io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
            io::ErrorKind::PermissionDenied => "not permitted",
            _ => "the system refused",
        };
        write!(f, "{}: {path}: cannot listen on {address}: {why} ({error})", file.display())
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Server {
    /// Listens on all addresses of the configuration. Upstream hosts are dialed when requests for
    /// them come.
    ///
    /// # Errors
    /// An address cannot be listened on; nothing is left listening then.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn start(config: &Config) -> Result<Server, StartError> {
        Server::start_with(config, &Filters::new())
    }

    /// The same, with the filter types that the configuration was read with.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// Outside a runtime; when the configuration names a filter that is not one of `filters`, or that
    /// they refuse.
    pub fn start_with(config: &Config, filters: &Filters) -> Result<Server, StartError> {
        let worker = Rc::new(Worker::new(config.limits));
        let clusters: Vec<Rc<Cluster>> =
            config.clusters.iter().map(|node| Cluster::new(node, &worker)).collect();
        let mut server = Server {
            worker,
            addresses: Vec::new(),
            listeners: Vec::new(),
            clusters: Clusters(clusters.clone()),
        };
        for listener in &config.listeners {
            server.listen(config, listener, &clusters, filters)?;
        }
        Ok(server)
    }

    fn listen(
        &mut self,
        config: &Config,
        listener: &config::Listener,
        clusters: &[Rc<Cluster>],
        filters: &Filters,
    ) -> Result<(), StartError> {
        let failed = |error| StartError {
            file: config.file.clone(),
            path: listener.address_path.clone(),
            address: listener.address,
            error,
        };
        let socket = TcpListener::bind(listener.address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let entrance = Entrance::new(listener, clusters, filters, &self.worker);
        log::info!("listener {}: listening for {entrance} on {address}", listener.name);
        self.addresses.push(address);
        let accepting = Accepting {
            worker: Rc::clone(&self.worker),
            entrance: Rc::new(entrance),
            name: listener.name.clone(),
            open: Rc::new(()),
            full: false,
        };
        self.listeners.push(reactor::spawn(accepting.run(socket)));
        Ok(())
    }

    /// The addresses listened on, in the order of the configuration, with the ports that the system
    /// chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Counters and gauges as they are now.
    pub fn stats(&self) -> Snapshot {
        self.worker.stats.snapshot()
    }

    /// Every cluster as it is now, in the order of the configuration.
    pub fn clusters(&self) -> Vec<ClusterStatus> {
        self.clusters.0.iter().map(|cluster| cluster.status()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

/// One listener's task.
struct Accepting {
    worker: Rc<Worker>,
    entrance: Rc<Entrance>,
    name: String,
    /// Held once by every open connection, so that its count is theirs plus one.
    open: Rc<()>,
    /// Whether the last connection was refused; the log says so once.
    full: bool,
}

impl Accepting {
    async fn run(mut self, socket: TcpListener) {
        let mut incoming = socket.incoming();
        for accepted in 1.. {
            match incoming.next().await {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) => {
                    log::error!("listener {}: {error}; it accepts no more", self.name);
                    return;
                }
            }
            if accepted % ACCEPTS_PER_TURN_MAX == 0 {
                reactor::yield_now().await;
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        let connections_max = self.worker.limits.connections_max;
        if Rc::strong_count(&self.open) > connections_max {
            self.worker.stats.downstream_refused.up();
            if !std::mem::replace(&mut self.full, true) {
                log::warn!(
                    "listener {}: client {peer} refused: there are {connections_max} connections",
                    self.name
                );
            }
            return;
        }
        self.full = false;
        let seat = Seat::take(&self.worker, &self.open);
        let (worker, filters) = (Rc::clone(&self.worker), NetworkFilters::default());
        let client = Client { worker, stream, peer, filters };
        let entrance = Rc::clone(&self.entrance);
        reactor::spawn(async move {
            client.run(entrance).await;
            drop(seat);
        })
        .detach();
    }
}

/// An open client connection, counted while it lives.
struct Seat {
    worker: Rc<Worker>,
    _open: Rc<()>,
}

impl Seat {
    fn take(worker: &Rc<Worker>, open: &Rc<()>) -> Self {
        worker.stats.downstream_accepted.up();
        worker.stats.downstream_connections.up();
        Seat { worker: Rc::clone(worker), _open: Rc::clone(open) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.stats.downstream_connections.down();
    }
}

//! Listeners, and the wiring of everything a configuration names.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use net::TcpListener;
use reactor::{JoinHandle, time};

use crate::accept::{Accepting, OpenCount, Refusals};
use crate::access_log;
use crate::cluster::{Cluster, ClusterStatus, Resolver};
use crate::config::{self, Config};
use crate::descriptors;
use crate::drain::Drained;
use crate::filter::Filters;
use crate::limits::{LAST_LINES_TIME, TIMEOUT_MAX};
use crate::service::Entrance;
use crate::stats::{Snapshot, Stats};
use crate::worker::Worker;

/// A proxy that serves in the runtime it was started in; [`Threads`](crate::Threads) runs one on
/// several.
///
/// [`drain`](Server::drain) stops it and lets the requests in flight end. Dropping it stops the
/// listeners; connections that are open live until their peers close them or the runtime is dropped.
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

/// What the threads of a proxy have in common, and what is this one's.
pub(crate) struct Part {
    pub(crate) stats: Arc<Stats>,
    /// One for each listener, shared by all threads.
    pub(crate) open: Vec<OpenCount>,
    pub(crate) reuse_port: bool,
    /// The configuration's for the first, and each further one's own.
    pub(crate) seed: Option<u64>,
    pub(crate) resolver: Resolver,
}

impl Part {
    /// For a single thread.
    pub(crate) fn whole(config: &Config) -> Self {
        let open = config.listeners.iter().map(|_| OpenCount::default()).collect();
        let (stats, resolver) = (Arc::default(), Resolver::default());
        Part { stats, open, reuse_port: false, seed: config.seed, resolver }
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

impl StartError {
    pub(crate) fn new(config: &Config, listener: &config::Listener, error: io::Error) -> Self {
        StartError {
            file: config.file.clone(),
            path: listener.address_path.clone(),
            address: listener.address,
            error,
        }
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
    /// The topmost quarter of the descriptors that the process may have, at most
    /// [`RESERVED_MAX`](descriptors::RESERVED_MAX), is not given to clients: those whose connections would
    /// take one are refused, also when the rest of the program has taken the others. So
    /// [`raise_limit`](descriptors::raise_limit), if at all, comes first.
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
        Server::start_part(config, filters, &Part::whole(config))
    }

    /// One of several that listen on the same addresses.
    pub(crate) fn start_part(
        config: &Config,
        filters: &Filters,
        part: &Part,
    ) -> Result<Server, StartError> {
        let worker = Rc::new(Worker {
            resolver: part.resolver.clone(),
            ..Worker::counting(config.limits, Arc::clone(&part.stats), part.seed)
        });
        let clusters: Vec<Rc<Cluster>> =
            config.clusters.iter().map(|node| Cluster::new(node, &worker)).collect();
        let mut server = Server {
            worker,
            addresses: Vec::new(),
            listeners: Vec::new(),
            clusters: Clusters(clusters.clone()),
        };
        for (listener, open) in config.listeners.iter().zip(&part.open) {
            let worker = &server.worker;
            let entrance = Entrance::new(listener, &clusters, filters, worker, part.seed);
            server.listen(config, listener, entrance, (part.reuse_port, open))?;
        }
        Ok(server)
    }

    fn listen(
        &mut self,
        config: &Config,
        listener: &config::Listener,
        entrance: Entrance,
        (reuse_port, open): (bool, &OpenCount),
    ) -> Result<(), StartError> {
        let failed = |error| StartError::new(config, listener, error);
        let socket = TcpListener::builder().reuse_port(reuse_port).bind(listener.address);
        let socket = socket.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        log::debug!("listener {}: listening for {entrance} on {address}", listener.name);
        self.addresses.push(address);
        let accepting = Accepting {
            worker: Rc::clone(&self.worker),
            entrance: Rc::new(entrance),
            name: listener.name.clone(),
            idle_timeout: listener.idle_timeout.unwrap_or(config.limits.client_idle_timeout),
            open: Arc::clone(open),
            descriptors: descriptors::of_clients(),
            refusals: Refusals::default(),
        };
        self.listeners.push(reactor::spawn(accepting.run(socket)));
        Ok(())
    }

    /// The addresses listened on, in the order of the configuration, with the ports that the system
    /// chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops without losing a request: closes the listeners, tells the clients to go where their
    /// protocol has a frame for that, serves what is in flight, and closes each connection when nothing
    /// is. What has not ended after `grace` is cut; [`Config::graceful_timeout`] is what the
    /// configuration says. Zero ends everything at once.
    ///
    /// Plain TCP connections have no requests that end: they are cut unless their peers end them. The
    /// upstream connections are closed when their last answers and oneways are through, and the access
    /// logs are written to their ends, within the same grace; the logs have [`LAST_LINES_TIME`] at least.
    /// No line is noted after that.
    ///
    /// More than [`TIMEOUT_MAX`] is as much as that. It may be called again, with less time: the shorter of
    /// the two counts. Dropping the future leaves the stop at the step it has come to.
    pub async fn drain(&self, grace: Duration) -> Drained {
        let (start, grace) = (time::now(), grace.min(TIMEOUT_MAX));
        let worker = &self.worker;
        let clients = || worker.stats.downstream_connections.now();
        let is_empty = || clients() == 0 && self.listeners.iter().all(JoinHandle::is_finished);
        worker.drain.run(start, grace, is_empty, || worker.drain.cut.set(clients())).await;
        self.clusters.0.iter().for_each(|cluster| cluster.retire());
        let is_silent = || worker.stats.upstream_connections.now() == 0;
        if !worker.drain.wait(start + grace, is_silent).await {
            log::debug!(
                "{} upstream connections are left",
                worker.stats.upstream_connections.now()
            );
        }
        let logs = worker.logs.borrow().clone();
        access_log::close_all(&logs, (start + grace).max(time::now() + LAST_LINES_TIME)).await;
        Drained { cut: worker.drain.cut.get() }
    }

    /// Writes what waits for the access logs, and has their files opened anew: for who has renamed
    /// them. A file that was renamed is opened anew with its next line also without this.
    pub fn reopen_logs(&self) {
        let logs = self.worker.logs.borrow().clone();
        logs.iter().for_each(|log| log.reopen());
    }

    pub(crate) fn stop_listening(&self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }

    /// Waits for a listener to end, which none does by itself; why it did, and its number.
    pub(crate) async fn ended(&mut self) -> (usize, String) {
        poll_fn(|cx| {
            for (number, listener) in self.listeners.iter_mut().enumerate() {
                if let Poll::Ready(result) = Pin::new(listener).poll(cx) {
                    let why = result.map_or_else(|e| e.to_string(), |()| "it ended".to_owned());
                    return Poll::Ready((number, why));
                }
            }
            Poll::Pending
        })
        .await
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
        self.stop_listening();
    }
}

//! The proxy on several threads: one reactor each, and nothing shared on the way of a request.
//!
//! Every thread listens on every address (`SO_REUSEPORT`: the kernel spreads connections by their
//! addresses and ports) and has upstream connections, ids and routers of its own. Common are only
//! numbers: each listener's count of open connections, which is changed when one comes or goes, and
//! the counters, which each thread keeps for itself and a reader adds up.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use reactor::WorkersError;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::accept::OpenCount;
use crate::cluster::Resolver;
use crate::config::Config;
use crate::drain::Drained;
use crate::filter::Filters;
use crate::orders::{Heard, Order, Orders, first_of};
use crate::server::{Part, Server, StartError};
use crate::stats::{Snapshot, Stats};

/// A proxy on several threads.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = proxy::Config::read("proxy.json".as_ref())?;
/// let grace = config.graceful_timeout;
/// let threads = std::sync::Arc::new(proxy::Threads::new(config, 4)?);
/// let stopper = std::sync::Arc::clone(&threads);
/// // Whenever it is time, from any thread:
/// std::thread::spawn(move || stopper.drain(grace));
/// let drained = threads.run()?;
/// println!("{} connections did not end in time", drained.cut);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Threads {
    config: Config,
    /// Makes the filter types of one thread.
    filters: fn() -> Filters,
    /// One for each thread.
    stats: Vec<Arc<Stats>>,
    /// One for each listener.
    open: Vec<OpenCount>,
    orders: Orders,
    /// The ports that the system has chosen, lest it gives them to a connection before the threads listen.
    _reserved: Vec<OwnedFd>,
}

/// Why a thread ended.
#[derive(Debug)]
pub enum WorkerError {
    /// It could not listen.
    Start(StartError),
    /// The task that accepts connections ended.
    Listener {
        /// The listener's name.
        name: String,
        /// What is known about it.
        why: String,
    },
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerError::Start(error) => error.fmt(f),
            WorkerError::Listener { name, why } => write!(f, "listener {name}: {why}"),
        }
    }
}

impl std::error::Error for WorkerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WorkerError::Start(error) => Some(error),
            WorkerError::Listener { .. } => None,
        }
    }
}

impl Threads {
    /// Looks whether all addresses can be listened on, and puts the ports that the system chooses in
    /// place of port 0. Nothing is served yet.
    ///
    /// As with [`Server::start`], the topmost quarter of the descriptors is not given to clients:
    /// [`raise_limit`](crate::descriptors::raise_limit), if at all, comes first.
    ///
    /// # Errors
    /// An address cannot be listened on; also when another process does already, even one that
    /// would share it.
    ///
    /// # Panics
    /// When `workers` is 0.
    pub fn new(mut config: Config, workers: usize) -> Result<Threads, StartError> {
        assert!(workers > 0, "a proxy needs a thread");
        // All at once: an address that stands there twice is taken.
        let (mut reserved, mut probes) = (Vec::new(), Vec::new());
        for number in 0..config.listeners.len() {
            let listener = &config.listeners[number];
            let mut address = listener.address;
            let free = match address.port() {
                0 => reserve(&mut address).map(|port| reserved.push(port)),
                _ => Ok(()),
            };
            let probe = free.and_then(|()| TcpListener::bind(address));
            probes.push(probe.map_err(|error| StartError::new(&config, listener, error))?);
            config.listeners[number].address = address;
        }
        drop(probes);
        let open = config.listeners.iter().map(|_| OpenCount::default()).collect();
        let stats = (0..workers).map(|_| Arc::default()).collect();
        let (filters, orders) = (Filters::new, Orders::default());
        Ok(Threads { config, filters, stats, open, orders, _reserved: reserved })
    }

    /// Sets the filter types that the configuration was read with; each thread makes its own.
    pub fn filters(self, filters: fn() -> Filters) -> Self {
        Threads { filters, ..self }
    }

    /// The addresses, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.config.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Counters and gauges of all threads together. Threads go on counting meanwhile: what one
    /// snapshot says about one request may come from different moments.
    pub fn stats(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for stats in &self.stats {
            sum += stats.snapshot();
        }
        sum
    }

    /// How many threads.
    pub fn workers(&self) -> usize {
        self.stats.len()
    }

    /// Has every thread stop as [`Server::drain`] does; [`run`](Self::run) returns when all have. From
    /// any thread, also before it runs. What was told first counts; more than
    /// [`TIMEOUT_MAX`](crate::limits::TIMEOUT_MAX) is as much as that.
    pub fn drain(&self, grace: Duration) {
        self.orders.drain(grace);
    }

    /// Has every thread end at once, also one that is being drained: within
    /// [`LAST_LINES_TIME`](crate::limits::LAST_LINES_TIME), which the access logs have for their last lines.
    pub fn end(&self) {
        self.orders.end();
    }

    /// Has every thread open its access logs anew, also one that is being drained:
    /// [`Server::reopen_logs`].
    pub fn reopen_logs(&self) {
        self.orders.reopen_logs();
    }

    /// Serves until it is told to stop, or a thread fails; the others end with it.
    ///
    /// # Errors
    /// What the first thread that failed says.
    ///
    /// # Panics
    /// With the panic of a thread; one in the task of a connection ends only that connection.
    pub fn run(&self) -> Result<Drained, WorkersError<WorkerError>> {
        for listener in &self.config.listeners {
            let workers = self.stats.len();
            log::info!("listener {}: {} on {workers} thread(s)", listener.name, listener.address);
        }
        let ended = reactor::workers(self.stats.len(), |index| self.work(index))?;
        Ok(Drained { cut: ended.iter().map(|drained| drained.cut).sum() })
    }

    async fn work(&self, index: usize) -> Result<Drained, WorkerError> {
        let part = Part {
            stats: Arc::clone(&self.stats[index]),
            open: self.open.clone(),
            reuse_port: self.stats.len() > 1,
            seed: self.config.seed.map(|seed| seed.wrapping_add(index as u64)),
            resolver: Resolver::default(),
        };
        let filters = (self.filters)();
        let server = Server::start_part(&self.config, &filters, &part);
        let mut server = server.map_err(WorkerError::Start)?;
        let mut heard = Heard::default();
        let grace = self.serve(&mut server, &mut heard).await?;
        Ok(self.stop(&server, &mut heard, grace).await)
    }

    /// Until it is told to stop: how much time it has for that.
    async fn serve(&self, server: &mut Server, heard: &mut Heard) -> Result<Duration, WorkerError> {
        loop {
            let order = {
                let failed = pin!(async { Err(self.end_of(server).await) });
                let told = pin!(async { Ok(self.orders.next(heard).await) });
                first_of(failed, told).await?
            };
            match order {
                Order::Drain(grace) => return Ok(grace),
                Order::End => return Ok(Duration::ZERO),
                Order::ReopenLogs => server.reopen_logs(),
            }
        }
    }

    /// Until it has stopped. It goes on hearing what it is told meanwhile.
    async fn stop(&self, server: &Server, heard: &mut Heard, grace: Duration) -> Drained {
        let mut drained = pin!(async { Err(server.drain(grace).await) });
        loop {
            let told = pin!(async { Ok(self.orders.next(heard).await) });
            match first_of(drained.as_mut(), told).await {
                Err(drained) => return drained,
                Ok(Order::ReopenLogs) => server.reopen_logs(),
                Ok(Order::Drain(_) | Order::End) => break,
            }
        }
        // The stop that is under way ends with it.
        server.drain(Duration::ZERO).await
    }

    async fn end_of(&self, server: &mut Server) -> WorkerError {
        let (number, why) = server.ended().await;
        WorkerError::Listener { name: self.config.listeners[number].name.clone(), why }
    }
}

/// Has the system choose a port, and holds it: a socket that is bound and does not listen. With `SO_REUSEADDR` on
/// both sides it is in the way of none that listens there, and the system chooses the port for nobody else.
fn reserve(address: &mut SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, address)?;
    *address = rustix::net::getsockname(&socket)?.try_into()?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads() -> Threads {
        let config = Config::parse("demo.json".as_ref(), crate::DEMO_CONFIG).unwrap();
        Threads::new(config, 2).unwrap()
    }

    #[test]
    fn the_end_of_a_listener_is_the_end_of_the_thread_and_is_named() {
        let threads = threads();
        let error = reactor::block_on(async {
            let part = Part::whole(&threads.config);
            let mut server = Server::start_part(&threads.config, &Filters::new(), &part).unwrap();
            server.stop_listening();
            threads.serve(&mut server, &mut Heard::default()).await.unwrap_err()
        });
        let text = error.unwrap().to_string();
        assert!(text.starts_with("listener demo: ") && text.contains("cancelled"), "{text}");
    }

    #[test]
    fn one_thread_that_fails_ends_the_others_with_its_number_and_reason() {
        let threads = threads();
        let taken = TcpListener::bind(threads.addresses()[0]).unwrap();
        let text = threads.run().unwrap_err().to_string();
        let expected = format!("cannot listen on {}: ", taken.local_addr().unwrap());
        // Both fail, and either may be the first.
        let named = ["worker 0 failed: ", "worker 1 failed: "];
        assert!(named.iter().any(|name| text.starts_with(name)), "{text}");
        assert!(text.contains(&expected), "{text}");
    }
}

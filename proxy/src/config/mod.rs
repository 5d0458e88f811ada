//! The configuration: a JSON file in MOSN's shape, read strictly.
//!
//! [`Config::read`] gives either a configuration that can be run or a [`ConfigError`] that names the
//! file, the line and column, the path in the document and what was expected there. Keys of MOSN
//! that have no meaning here yet are accepted and listed in [`Config::warnings`]; every other
//! unknown key is an error.

mod cluster;
mod document;
mod error;
mod explain;
mod extras;
mod filters;
mod hash_policy;
mod locate;
mod routes;
mod scalar;
mod surroundings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::balance::{Labels, Policy, Rules};
use crate::breakers::Thresholds;
use crate::codec::Protocol;
use crate::filter::Filters;
use crate::health::{CheckRules, OutlierRules};
use crate::limits::{GRACEFUL_TIMEOUT, Limits};

use document::{Document, ListenerNode, ServerNode};
use error::{Fault, fault};
use filters::filters;

pub use error::ConfigError;
pub use extras::{AccessLog, Filter, RetryPolicy};
pub use hash_policy::HashSource;
pub use routes::{
    DOMAIN_HEADER, Domain, HeaderMatch, Pattern, REGEX_BYTES_MAX, Route, Router, Target,
    ValueMatch, VirtualHost,
};
pub(crate) use scalar::{Time, duration_of as duration};

pub(crate) use cluster::parse_hosts;
pub use cluster::{CONNECTIONS_PER_HOST_EXCLUSIVE_MAX, CONNECTIONS_PER_HOST_MAX};

/// A configuration that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it came from, for messages.
    pub file: PathBuf,
    /// Limits of every connection.
    pub limits: Limits,
    /// Decides what is drawn at random, except by faults, which have their own: the cluster of a
    /// weighted route, hosts, pauses between tries. Without it every start draws differently.
    pub seed: Option<u64>,
    /// Time that a proxy which is to stop gives the requests in flight. The longest of all servers.
    pub graceful_timeout: Duration,
    /// Where to listen, and by which routes requests go.
    pub listeners: Vec<Listener>,
    /// Groups of hosts.
    pub clusters: Vec<Cluster>,
    /// What the file says that has no effect, or an effect that may surprise: one line each.
    pub warnings: Vec<String>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// For logs; the address when the file names none.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// Where in the document the address stands.
    pub address_path: String,
    /// The protocols that clients may speak. With several, the first bytes of a connection tell;
    /// with none, every connection is plain TCP.
    pub protocols: Vec<Protocol>,
    /// The routes of requests.
    pub router: Router,
    /// In place of [`Limits::client_idle_timeout`].
    pub idle_timeout: Option<Duration>,
    /// Name of the cluster that plain TCP goes to: all connections when there are no protocols,
    /// otherwise those that speak none of them. It may be one that does not exist.
    pub tcp_cluster: Option<String>,
    /// Whether clients that speak Bolt are sent GOAWAY when the proxy stops. Not all know the frame.
    pub bolt_go_away: bool,
    /// What every request passes, in this order.
    pub stream_filters: Vec<Filter>,
    /// What every connection passes, in this order.
    pub network_filters: Vec<Filter>,
    /// Where requests are noted when they have ended.
    pub access_logs: Vec<AccessLog>,
}

/// A group of hosts that serve the same requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name in routes.
    pub name: String,
    /// The hosts that the configuration lists; none when they come from elsewhere.
    pub hosts: Vec<Host>,
    /// Where the hosts come from.
    pub membership: Membership,
    /// Which host takes the next request.
    pub policy: Policy,
    /// How the hosts are divided by their labels.
    pub subsets: Option<Rules>,
    /// What one connection carries.
    pub pool: PoolMode,
    /// Requests in flight on one connection to a host; 1 with [`PoolMode::PingPong`].
    pub in_flight_max: usize,
    /// Connections to each host.
    pub connections_per_host: usize,
    /// Longest time a dial may take.
    pub connect_timeout: Duration,
    /// How much of it may be in use at once, on each worker.
    pub breakers: Thresholds,
    /// Active health checks.
    pub check: Option<CheckRules>,
    /// Ejection of hosts whose requests fail.
    pub outliers: Option<OutlierRules>,
}

/// One host of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its address.
    pub address: SocketAddr,
    /// How much it takes compared to the others, from 1 on.
    pub weight: u32,
    /// Its labels, for subsets.
    pub labels: Labels,
}

/// A host with weight 1 and without labels.
impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Self {
        Host { address, weight: 1, labels: Labels::default() }
    }
}

/// Where a cluster's hosts come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// The configuration.
    Static,
    /// A file of their own, looked at in this interval: a JSON list as `hosts` is.
    File {
        /// The file.
        path: PathBuf,
        /// How often it is looked at.
        interval: Duration,
    },
    /// Names with ports, resolved in this interval.
    Dns {
        /// Name and port, and what each address of it is; the address in there means nothing.
        hosts: Vec<(String, Host)>,
        /// How often they are resolved.
        interval: Duration,
    },
}

/// What one upstream connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// The requests of all clients.
    Multiplex,
    /// One request at a time.
    PingPong,
    /// The requests of one client; when either connection ends the other one does too.
    Binding,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is not JSON, or does not describe a proxy.
    pub fn read(file: &Path) -> Result<Config, ConfigError> {
        Config::read_with(file, &Filters::new())
    }

    /// Reads a file that may name filters of these types.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn read_with(file: &Path, filters: &Filters) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
            file: file.to_owned(),
            position: None,
            path: String::new(),
            message: format!("cannot read the file: {error}"),
        })?;
        Config::parse_with(file, &text, filters)
    }

    /// Reads a text; `file` is only named in messages.
    ///
    /// # Errors
    /// As [`Config::read`].
    ///
    /// ```
    /// let error = proxy::Config::parse("p.json".as_ref(), r#"{"servers": 3}"#).unwrap_err();
    /// assert!(error.to_string().starts_with("p.json:1:13: servers: "));
    /// ```
    pub fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
        Config::parse_with(file, text, &Filters::new())
    }

    /// Reads a text that may name filters of these types.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse_with(file: &Path, text: &str, filters: &Filters) -> Result<Config, ConfigError> {
        let document: Document = document::parse(text).map_err(|e| e.in_file(file))?;
        build(file, document, filters).map_err(|fault| fault.in_text(file, text))
    }

    /// What the configuration does, for people: one line per fact.
    pub fn explain(&self) -> String {
        explain::explain(self)
    }
}

/// What there is to say about a configuration that can be run.
struct Notes {
    /// The paths of keys that have no effect.
    ignored: Vec<String>,
    warnings: Vec<String>,
}

impl Notes {
    /// One line for each key that has no effect, however often it is there; then the warnings.
    fn lines(self) -> Vec<String> {
        let mut keys: Vec<(String, &str, usize)> = Vec::new();
        for path in &self.ignored {
            let key = path.split(|c: char| c.is_ascii_digit()).collect::<String>();
            match keys.iter_mut().find(|(other, ..)| *other == key) {
                Some((.., more)) => *more += 1,
                None => keys.push((key, path, 0)),
            }
        }
        let line = |(_, path, more): (String, &str, usize)| match more {
            0 => format!("{path} has no effect in this version"),
            more => format!("{path} and {more} more like it have no effect in this version"),
        };
        keys.into_iter().map(line).chain(self.warnings).collect()
    }
}

fn build(file: &Path, document: Document, types: &Filters) -> Result<Config, Fault> {
    let mut notes = Notes { ignored: document.ignored(), warnings: Vec::new() };
    let limits = document.limits;
    if let Err((key, message)) = limits.check() {
        return fault(format!("limits.{key}"), message);
    }
    let clusters = cluster::clusters(file, &document.cluster_manager.clusters, &mut notes)?;
    let mut listeners = Vec::new();
    for (number, server) in document.servers.iter().enumerate() {
        let path = format!("servers[{number}]");
        add_listeners(server, types, &path, &mut listeners, &mut notes)?;
    }
    if listeners.is_empty() {
        return fault("servers", "expected at least one listener, found none");
    }
    warn_of_missing_clusters(&listeners, &clusters, &mut notes.warnings);
    warn_of_hashes(&listeners, &clusters, &mut notes.warnings);
    Ok(Config {
        file: file.to_owned(),
        limits,
        seed: document.seed,
        graceful_timeout: graceful_timeout(&document.servers),
        listeners,
        clusters,
        warnings: notes.lines(),
    })
}

fn graceful_timeout(servers: &[ServerNode]) -> Duration {
    let times = servers.iter().filter_map(|server| server.graceful_timeout.as_ref());
    times.map(|time| time.0).max().unwrap_or(GRACEFUL_TIMEOUT)
}

fn add_listeners(
    server: &ServerNode,
    types: &Filters,
    path: &str,
    listeners: &mut Vec<Listener>,
    notes: &mut Notes,
) -> Result<(), Fault> {
    notes.ignored.extend(server.ignored(path));
    let routers = routers(server, path)?;
    for (number, node) in server.listeners.iter().enumerate() {
        let path = format!("{path}.listeners[{number}]");
        let listener = listener(node, &routers, types, &path, notes)?;
        let same =
            |other: &&Listener| other.address == listener.address && listener.address.port() != 0;
        if let Some(other) = listeners.iter().find(same) {
            let message = format!("{} is taken by {}", listener.address, other.address_path);
            return fault(listener.address_path, message);
        }
        listeners.push(listener);
    }
    Ok(())
}

fn routers(server: &ServerNode, path: &str) -> Result<Vec<Router>, Fault> {
    let mut routers: Vec<Router> = Vec::new();
    for (number, node) in server.routers.iter().enumerate() {
        let path = format!("{path}.routers[{number}]");
        let name = &node.router_config_name;
        if routers.iter().any(|other| other.name == *name) {
            let message = format!("there are two routers `{name}`");
            return fault(format!("{path}.router_config_name"), message);
        }
        let header = node.domain_header.as_deref();
        routers.push(routes::router(name.clone(), header, &node.virtual_hosts, &path)?);
    }
    Ok(routers)
}

fn listener(
    node: &ListenerNode,
    routers: &[Router],
    types: &Filters,
    path: &str,
    notes: &mut Notes,
) -> Result<Listener, Fault> {
    notes.ignored.extend(node.ignored(path));
    let filters::Filters { protocols, router, tcp_cluster, bolt_go_away } =
        filters(node, routers, path)?;
    let address = node.address.0;
    Ok(Listener {
        name: node.name.clone().unwrap_or_else(|| address.to_string()),
        address,
        address_path: format!("{path}.address"),
        protocols,
        idle_timeout: node.connection_idle_timeout.map(|timeout| timeout.0),
        router,
        tcp_cluster,
        bolt_go_away,
        stream_filters: extras::stream_filters(&node.stream_filters, types, path)?,
        network_filters: extras::network_filters(&node.network_filters, types, path)?,
        access_logs: extras::access_logs(&node.access_logs, path)?,
    })
}

fn warn_of_missing_clusters(
    listeners: &[Listener],
    clusters: &[Cluster],
    warnings: &mut Vec<String>,
) {
    let is_missing = |name: &str| !clusters.iter().any(|cluster| cluster.name == name);
    for listener in listeners {
        let router = &listener.router;
        let targets = router.routes().flat_map(|route| &route.targets);
        for target in targets.filter(|target| is_missing(&target.cluster)) {
            warnings.push(format!(
                "router `{}` names cluster `{}`, which does not exist: its requests are answered \
                 with \"no route\"",
                router.name, target.cluster
            ));
        }
        if router.routes().next().is_none() && !listener.protocols.is_empty() {
            warnings.push(format!(
                "router `{}` has no routes: its requests are answered with \"no route\"",
                router.name
            ));
        }
        if let Some(name) = listener.tcp_cluster.as_deref().filter(|name| is_missing(name)) {
            warnings.push(format!(
                "listener `{}` names cluster `{name}`, which does not exist: its TCP connections \
                 are closed",
                listener.name
            ));
        }
    }
}

/// A key for clusters that do not look at one.
fn warn_of_hashes(listeners: &[Listener], clusters: &[Cluster], warnings: &mut Vec<String>) {
    for router in listeners.iter().map(|listener| &listener.router) {
        let hashed = router.routes().filter(|route| !route.hash_policy.is_empty());
        for target in hashed.flat_map(|route| &route.targets) {
            let cluster = clusters.iter().find(|cluster| cluster.name == target.cluster);
            if cluster.is_some_and(|cluster| cluster.policy != Policy::Maglev) {
                warnings.push(format!(
                    "router `{}` has a `hash_policy` for cluster `{}`, whose `lb_type` is not \
                     \"LB_MAGLEV\": it has no effect there",
                    router.name, target.cluster
                ));
            }
        }
    }
}

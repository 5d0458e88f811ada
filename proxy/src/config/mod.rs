//! The configuration: a JSON file in MOSN's shape, read strictly.
//!
//! [`Config::read`] gives either a configuration that can be run or a [`ConfigError`] that names the
//! file, the line and column, the path in the document and what was expected there. Keys of MOSN
//! that have no meaning here yet are accepted and listed in [`Config::warnings`]; every other
//! unknown key is an error.

mod cluster;
mod document;
mod explain;
mod extras;
mod filters;
mod locate;
mod scalar;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::balance::{Labels, Policy, Rules};
use crate::breakers::Thresholds;
use crate::codec::Protocol;
use crate::filter::Filters;
use crate::health::{CheckRules, OutlierRules};
use crate::limits::Limits;

use document::{Document, ListenerNode, RouterNode, ServerNode};
use filters::filters;

pub use extras::{AccessLog, Filter, RetryPolicy};
pub(crate) use scalar::Time;

pub(crate) use cluster::parse_hosts;
pub use cluster::{CONNECTIONS_PER_HOST_EXCLUSIVE_MAX, CONNECTIONS_PER_HOST_MAX};

/// A configuration that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it came from, for messages.
    pub file: PathBuf,
    /// Limits of every connection.
    pub limits: Limits,
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
    /// The routes of requests, tried in order.
    pub routes: Vec<Route>,
    /// Name of the routes, for messages.
    pub router: String,
    /// Name of the cluster that plain TCP goes to: all connections when there are no protocols,
    /// otherwise those that speak none of them. It may be one that does not exist.
    pub tcp_cluster: Option<String>,
    /// What every request passes, in this order.
    pub stream_filters: Vec<Filter>,
    /// What every connection passes, in this order.
    pub network_filters: Vec<Filter>,
    /// Where requests are noted when they have ended.
    pub access_logs: Vec<AccessLog>,
}

/// Which requests go to which cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Conditions on the header map; all must hold. Empty: every request matches.
    pub headers: Vec<HeaderMatch>,
    /// Name of the cluster; may be one that does not exist.
    pub cluster: String,
    /// Time-out of requests that carry none; at most
    /// [`TIMEOUT_MAX`](crate::limits::TIMEOUT_MAX) counts.
    pub timeout: Option<Duration>,
    /// Labels that the host must have, where the cluster is divided by them.
    pub labels: Labels,
    /// Whether requests are tried again, and how much time a try has.
    pub retry_policy: Option<RetryPolicy>,
}

/// A condition on one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Name of the header.
    pub name: String,
    /// Its value; `None`: any, but it must be there.
    pub value: Option<String>,
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

/// Why a configuration was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; `None` when the file could not be read at all.
    pub position: Option<(usize, usize)>,
    /// Path in the document, such as `servers[0].listeners[0].address`; empty at its root.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

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

/// Something that is well-formed and still wrong.
struct Fault {
    path: String,
    message: String,
}

impl Fault {
    fn in_text(self, file: &Path, text: &str) -> ConfigError {
        let Fault { path, message } = self;
        let position = locate::position(text, &path);
        ConfigError { file: file.to_owned(), position, path, message }
    }
}

fn fault<T>(path: impl Into<String>, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { path: path.into(), message: message.into() })
}

fn build(file: &Path, document: Document, types: &Filters) -> Result<Config, Fault> {
    let mut warnings = document.ignored();
    let limits = document.limits;
    if let Err((key, message)) = limits.check() {
        return fault(format!("limits.{key}"), message);
    }
    let clusters = cluster::clusters(file, &document.cluster_manager.clusters, &mut warnings)?;
    let mut listeners = Vec::new();
    for (number, server) in document.servers.iter().enumerate() {
        let path = format!("servers[{number}]");
        add_listeners(server, types, &path, &mut listeners, &mut warnings)?;
    }
    if listeners.is_empty() {
        return fault("servers", "expected at least one listener, found none");
    }
    warn_of_missing_clusters(&listeners, &clusters, &mut warnings);
    Ok(Config { file: file.to_owned(), limits, listeners, clusters, warnings })
}

fn add_listeners(
    server: &ServerNode,
    types: &Filters,
    path: &str,
    listeners: &mut Vec<Listener>,
    warnings: &mut Vec<String>,
) -> Result<(), Fault> {
    warnings.extend(server.ignored(path));
    for (number, router) in server.routers.iter().enumerate() {
        let path = format!("{path}.routers[{number}].router_config_name");
        let name = &router.router_config_name;
        if server.routers[..number].iter().any(|other| other.router_config_name == *name) {
            return fault(path, format!("there are two routers `{name}`"));
        }
    }
    for (number, node) in server.listeners.iter().enumerate() {
        let path = format!("{path}.listeners[{number}]");
        let listener = listener(node, server, types, &path, warnings)?;
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

fn listener(
    node: &ListenerNode,
    server: &ServerNode,
    types: &Filters,
    path: &str,
    warnings: &mut Vec<String>,
) -> Result<Listener, Fault> {
    warnings.extend(node.ignored(path));
    let filters::Filters { protocols, router, routes, tcp_cluster } = filters(node, server, path)?;
    let address = node.address.0;
    Ok(Listener {
        name: node.name.clone().unwrap_or_else(|| address.to_string()),
        address,
        address_path: format!("{path}.address"),
        protocols,
        routes,
        router,
        tcp_cluster,
        stream_filters: extras::stream_filters(&node.stream_filters, types, path)?,
        network_filters: extras::network_filters(&node.network_filters, types, path)?,
        access_logs: extras::access_logs(&node.access_logs, path)?,
    })
}

fn routes(router: &RouterNode, path: &str) -> Result<Vec<Route>, Fault> {
    let mut routes = Vec::new();
    for (number, host) in router.virtual_hosts.iter().enumerate() {
        let path = format!("{path}.virtual_hosts[{number}]");
        for (number, node) in host.routers.iter().enumerate() {
            let path = format!("{path}.routers[{number}].route.retry_policy");
            let retry_policy = node.route.retry_policy.as_ref();
            routes.push(Route {
                headers: node.matching.headers.iter().map(|header| header.as_match()).collect(),
                cluster: node.route.cluster_name.clone(),
                timeout: node.route.timeout.map(|timeout| timeout.0).filter(|t| !t.is_zero()),
                labels: node.route.metadata_match.labels(),
                retry_policy: match retry_policy {
                    Some(node) => Some(extras::retry_policy(node, &path)?),
                    None => None,
                },
            });
        }
    }
    Ok(routes)
}

fn warn_of_missing_clusters(
    listeners: &[Listener],
    clusters: &[Cluster],
    warnings: &mut Vec<String>,
) {
    let is_missing = |name: &str| !clusters.iter().any(|cluster| cluster.name == name);
    for listener in listeners {
        for route in listener.routes.iter().filter(|route| is_missing(&route.cluster)) {
            warnings.push(format!(
                "router `{}` names cluster `{}`, which does not exist: its requests are answered \
                 with \"no route\"",
                listener.router, route.cluster
            ));
        }
        if listener.routes.is_empty() && !listener.protocols.is_empty() {
            warnings.push(format!(
                "router `{}` has no routes: its requests are answered with \"no route\"",
                listener.router
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

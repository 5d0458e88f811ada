//! A cluster as it stands in the file, and what it means.

mod health;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::scalar::{Address, HostName, Time};
use super::{Cluster, ConfigError, Fault, Host, Membership, Notes, PoolMode, document, fault};
use crate::balance::{Fallback, Labels, Policy, Rules};
use crate::breakers::Thresholds;
use crate::ids;
use crate::limits::{
    CONNECT_TIMEOUT, HOSTS_MAX, MEMBERSHIP_INTERVAL, MEMBERSHIP_INTERVAL_MIN, SUBSET_SELECTORS_MAX,
    WEIGHT_MAX,
};

use health::{CheckNode, OutlierNode};

/// Most connections per host that a cluster of the pool "multiplex" may ask for.
pub const CONNECTIONS_PER_HOST_MAX: usize = 64;
/// The same of the other pools, whose connections carry one request or one client each; it is also
/// what they have when the file names none.
pub const CONNECTIONS_PER_HOST_EXCLUSIVE_MAX: usize = 4096;

type Ignored = Option<IgnoredAny>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManagerNode {
    pub(super) clusters: Vec<ClusterNode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterNode {
    // Go reads keys without regard to case, and some of MOSN's own files rely on it here.
    #[serde(alias = "Name")]
    name: String,
    #[serde(rename = "type", default)]
    cluster_type: ClusterType,
    #[serde(default)]
    lb_type: Balancer,
    max_request_per_conn: Option<usize>,
    connections_per_host: Option<usize>,
    #[serde(default)]
    pool: PoolNode,
    connect_timeout: Option<Time>,
    #[serde(default)]
    hosts: Vec<HostNode>,
    hosts_file: Option<PathBuf>,
    hosts_file_interval: Option<Time>,
    dns_refresh_rate: Option<Time>,
    #[serde(default)]
    circuit_breakers: Vec<BreakersNode>,
    health_check: Option<CheckNode>,
    outlier_detection: Option<OutlierNode>,
    lb_subset_config: Option<SubsetNode>,
    conn_buffer_limit_bytes: Ignored,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum ClusterType {
    #[default]
    #[serde(rename = "SIMPLE")]
    Simple,
    #[serde(rename = "STRICT_DNS")]
    StrictDns,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Balancer {
    #[default]
    #[serde(rename = "LB_ROUNDROBIN")]
    RoundRobin,
    #[serde(rename = "LB_WEIGHTED_ROUNDROBIN")]
    Weighted,
    #[serde(rename = "LB_RANDOM")]
    Random,
    #[serde(rename = "LB_LEAST_REQUEST")]
    LeastRequest,
    #[serde(rename = "LB_MAGLEV")]
    Maglev,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PoolNode {
    #[default]
    Multiplex,
    PingPong,
    Binding,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostNode {
    address: HostName,
    weight: Option<u32>,
    #[serde(default)]
    metadata: MetadataNode,
}

/// MOSN's labels: `{"filter_metadata": {"mosn.lb": {"zone": "a"}}}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetadataNode {
    #[serde(default)]
    filter_metadata: FilterMetadataNode,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterMetadataNode {
    #[serde(rename = "mosn.lb", default)]
    labels: BTreeMap<String, String>,
}

impl MetadataNode {
    pub(super) fn labels(&self) -> Labels {
        Labels::new(self.filter_metadata.labels.clone())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakersNode {
    #[serde(rename = "priority")]
    _priority: Ignored,
    #[serde(default)]
    max_connections: usize,
    #[serde(default)]
    max_pending_requests: usize,
    #[serde(default)]
    max_requests: usize,
    #[serde(default)]
    max_retries: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubsetNode {
    #[serde(default)]
    fall_back_policy: u8,
    #[serde(default)]
    default_subset: BTreeMap<String, String>,
    #[serde(default)]
    subset_selectors: Vec<Vec<String>>,
}

/// All clusters, with what of them has no effect added to `notes`.
pub(super) fn clusters(
    file: &Path,
    nodes: &[ClusterNode],
    notes: &mut Notes,
) -> Result<Vec<Cluster>, Fault> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let path = format!("cluster_manager.clusters[{number}]");
        if clusters.iter().any(|other| other.name == node.name) {
            return fault(
                format!("{path}.name"),
                format!("there are two clusters `{}`", node.name),
            );
        }
        let keys = [("conn_buffer_limit_bytes", &node.conn_buffer_limit_bytes)];
        notes.ignored.extend(document::no_effect(&path, &keys));
        if let Some(check) = &node.health_check {
            let keys = [("service_name", &check.service_name)];
            notes.ignored.extend(document::no_effect(&format!("{path}.health_check"), &keys));
        }
        let cluster = node.read(file, &path)?;
        if cluster.hosts.is_empty() && cluster.membership == Membership::Static {
            notes.warnings.push(format!(
                "{path}.hosts is empty: its requests are answered with \"no upstream\""
            ));
        }
        clusters.push(cluster);
    }
    Ok(clusters)
}

impl ClusterNode {
    fn read(&self, file: &Path, path: &str) -> Result<Cluster, Fault> {
        let at = |key: &str| format!("{path}.{key}");
        let in_flight_max = self.max_request_per_conn.unwrap_or(ids::IN_FLIGHT_MAX);
        within(at("max_request_per_conn"), in_flight_max, 1, ids::IN_FLIGHT_MAX)?;
        let pool = match self.pool {
            PoolNode::Multiplex => PoolMode::Multiplex,
            PoolNode::PingPong => PoolMode::PingPong,
            PoolNode::Binding => PoolMode::Binding,
        };
        let (default, max) = match pool {
            PoolMode::Multiplex => (1, CONNECTIONS_PER_HOST_MAX),
            _ => (CONNECTIONS_PER_HOST_EXCLUSIVE_MAX, CONNECTIONS_PER_HOST_EXCLUSIVE_MAX),
        };
        let connections_per_host = self.connections_per_host.unwrap_or(default);
        within(at("connections_per_host"), connections_per_host, 1, max)?;
        let (hosts, membership) = self.members(file, path)?;
        Ok(Cluster {
            name: self.name.clone(),
            hosts,
            membership,
            policy: self.lb_type.policy(),
            subsets: self.subsets(path)?,
            pool,
            in_flight_max: if pool == PoolMode::PingPong { 1 } else { in_flight_max },
            connections_per_host,
            connect_timeout: time(at("connect_timeout"), self.connect_timeout, CONNECT_TIMEOUT)?,
            breakers: self.breakers(path)?,
            check: self.health_check.as_ref().map(|c| c.read(&at("health_check"))).transpose()?,
            outliers: self
                .outlier_detection
                .as_ref()
                .map(|outlier| outlier.read(&at("outlier_detection")))
                .transpose()?,
        })
    }

    fn members(&self, file: &Path, path: &str) -> Result<(Vec<Host>, Membership), Fault> {
        let at = |key: &str| format!("{path}.{key}");
        let is_dns = self.cluster_type == ClusterType::StrictDns;
        if self.dns_refresh_rate.is_some() && !is_dns {
            return fault(at("dns_refresh_rate"), "expected \"type\": \"STRICT_DNS\" beside it");
        }
        let Some(list) = &self.hosts_file else {
            if self.hosts_file_interval.is_some() {
                return fault(at("hosts_file_interval"), "expected `hosts_file` beside it");
            }
            if is_dns {
                let interval =
                    period(at("dns_refresh_rate"), self.dns_refresh_rate, MEMBERSHIP_INTERVAL)?;
                let numbered = self.hosts.iter().enumerate();
                let named: Result<Vec<(String, Host)>, Fault> = numbered
                    .map(|(number, host)| host.named(&at(&format!("hosts[{number}]"))))
                    .collect();
                return Ok((Vec::new(), Membership::Dns { hosts: named?, interval }));
            }
            return Ok((read_hosts(&self.hosts, &at("hosts"))?, Membership::Static));
        };
        if is_dns || !self.hosts.is_empty() {
            return fault(at("hosts_file"), "expected neither `hosts` nor STRICT_DNS beside it");
        }
        let interval =
            period(at("hosts_file_interval"), self.hosts_file_interval, MEMBERSHIP_INTERVAL)?;
        let list = file.parent().unwrap_or(Path::new("")).join(list);
        Ok((Vec::new(), Membership::File { path: list, interval }))
    }

    fn breakers(&self, path: &str) -> Result<Thresholds, Fault> {
        if self.circuit_breakers.len() > 1 {
            return fault(
                format!("{path}.circuit_breakers[1]"),
                "expected one set of limits: requests have no priorities",
            );
        }
        let Some(node) = self.circuit_breakers.first() else { return Ok(Thresholds::default()) };
        // 0 is MOSN's way to write "no limit".
        let limit = |max: usize| if max == 0 { usize::MAX } else { max };
        Ok(Thresholds {
            connections_max: limit(node.max_connections),
            pending_max: limit(node.max_pending_requests),
            requests_max: limit(node.max_requests),
            retries_max: limit(node.max_retries),
        })
    }

    fn subsets(&self, path: &str) -> Result<Option<Rules>, Fault> {
        let Some(node) = &self.lb_subset_config else { return Ok(None) };
        let path = format!("{path}.lb_subset_config");
        let fallback = match node.fall_back_policy {
            0 => Fallback::None,
            1 => Fallback::Any,
            2 => Fallback::Default(Labels::new(node.default_subset.clone())),
            found => {
                let message = format!(
                    "expected 0 (no host), 1 (any host) or 2 (the default subset), found {found}"
                );
                return fault(format!("{path}.fall_back_policy"), message);
            }
        };
        if let Some(empty) = node.subset_selectors.iter().position(Vec::is_empty) {
            let message = "expected at least one key, found none";
            return fault(format!("{path}.subset_selectors[{empty}]"), message);
        }
        let selectors = node.subset_selectors.len();
        within(format!("{path}.subset_selectors"), selectors, 0, SUBSET_SELECTORS_MAX)?;
        Ok(Some(Rules { selectors: node.subset_selectors.clone(), fallback }))
    }
}

impl Balancer {
    fn policy(self) -> Policy {
        match self {
            Balancer::RoundRobin => Policy::RoundRobin,
            Balancer::Weighted => Policy::Weighted,
            Balancer::Random => Policy::Random,
            Balancer::LeastRequest => Policy::LeastRequest,
            Balancer::Maglev => Policy::Maglev,
        }
    }
}

impl HostNode {
    fn read(&self, address: SocketAddr, path: &str) -> Result<Host, Fault> {
        let weight = self.weight.unwrap_or(1);
        within(format!("{path}.weight"), weight as usize, 1, WEIGHT_MAX as usize)?;
        Ok(Host { address, weight, labels: self.metadata.labels() })
    }

    /// A host that is to be resolved: its address in the result is none.
    fn named(&self, path: &str) -> Result<(String, Host), Fault> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Ok((self.address.0.clone(), self.read(nowhere, path)?))
    }
}

fn read_hosts(nodes: &[HostNode], path: &str) -> Result<Vec<Host>, Fault> {
    let mut hosts: Vec<Host> = Vec::new();
    if nodes.len() > HOSTS_MAX {
        return fault(path, format!("expected at most {HOSTS_MAX} hosts, found {}", nodes.len()));
    }
    let mut seen = std::collections::HashSet::new();
    for (number, node) in nodes.iter().enumerate() {
        let path = format!("{path}[{number}]");
        let Some(Address(address)) = node.address.address() else {
            let expected = "expected an IP address and a port, such as \"127.0.0.1:2045\"";
            return fault(format!("{path}.address"), format!("{expected} (names need STRICT_DNS)"));
        };
        // Port 0 stands for one that is filled in later.
        if address.port() != 0 && !seen.insert(address) {
            return fault(format!("{path}.address"), format!("{address} is there twice"));
        }
        hosts.push(node.read(address, &path)?);
    }
    Ok(hosts)
}

/// A list of hosts in a file of its own.
///
/// # Errors
/// As [`super::Config::parse`].
pub(crate) fn parse_hosts(file: &Path, text: &str) -> Result<Vec<Host>, ConfigError> {
    let nodes: Vec<HostNode> = document::parse(text).map_err(|error| error.in_file(file))?;
    read_hosts(&nodes, "").map_err(|fault| fault.in_text(file, text))
}

fn within(path: String, value: usize, min: usize, max: usize) -> Result<(), Fault> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    fault(path, format!("expected {min} to {max}, found {value}"))
}

/// A duration above 0.
fn time(path: String, found: Option<Time>, default: Duration) -> Result<Duration, Fault> {
    match found {
        Some(Time(Duration::ZERO)) => fault(path, "expected more than 0, found 0"),
        Some(Time(time)) => Ok(time),
        None => Ok(default),
    }
}

/// How often something outside is looked at.
fn period(path: String, found: Option<Time>, default: Duration) -> Result<Duration, Fault> {
    match found {
        Some(Time(time)) if time < MEMBERSHIP_INTERVAL_MIN => {
            fault(path, format!("expected at least {MEMBERSHIP_INTERVAL_MIN:?}, found {time:?}"))
        }
        other => Ok(other.map_or(default, |time| time.0)),
    }
}

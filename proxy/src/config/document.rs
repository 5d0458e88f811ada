//! The JSON document as serde reads it: MOSN's keys, and nothing else.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::ConfigError;
use super::cluster::{ManagerNode, MetadataNode};
use super::hash_policy::HashNode;
use super::scalar::{Address, Time};
use crate::limits::Limits;

/// A key that is accepted and has no effect.
type Ignored = Option<IgnoredAny>;

/// The whole document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) servers: Vec<ServerNode>,
    pub(super) cluster_manager: ManagerNode,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) seed: Option<u64>,
    close_graceful: Ignored,
    admin: Ignored,
    metrics: Ignored,
    disable_upgrade: Ignored,
    tracing: Ignored,
    pprof: Ignored,
    pid: Ignored,
    plugin: Ignored,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerNode {
    #[serde(default)]
    pub(super) routers: Vec<RouterNode>,
    pub(super) listeners: Vec<ListenerNode>,
    mosn_server_name: Ignored,
    default_log_path: Ignored,
    default_log_level: Ignored,
    global_log_roller: Ignored,
    pub(super) graceful_timeout: Option<Time>,
    processor: Ignored,
    use_netpoll_mode: Ignored,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouterNode {
    pub(super) router_config_name: String,
    pub(super) domain_header: Option<String>,
    pub(super) virtual_hosts: Vec<VirtualHostNode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VirtualHostNode {
    #[serde(rename = "name")]
    _name: Ignored,
    pub(super) domains: Vec<String>,
    pub(super) routers: Vec<RouteNode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteNode {
    #[serde(rename = "match", default)]
    pub(super) matching: MatchNode,
    pub(super) route: TargetNode,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchNode {
    #[serde(default)]
    pub(super) headers: Vec<HeaderNode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderNode {
    pub(super) name: String,
    pub(super) value: Option<String>,
    pub(super) prefix: Option<String>,
    #[serde(default)]
    pub(super) regex: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetNode {
    pub(super) cluster_name: Option<String>,
    pub(super) weighted_clusters: Option<Vec<WeightedNode>>,
    pub(super) timeout: Option<Time>,
    #[serde(default)]
    pub(super) metadata_match: MetadataNode,
    pub(super) retry_policy: Option<RetryNode>,
    #[serde(default)]
    pub(super) hash_policy: Vec<HashNode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryNode {
    #[serde(default)]
    pub(super) retry_on: bool,
    pub(super) retry_timeout: Option<Time>,
    pub(super) num_retries: Option<u32>,
    #[serde(default)]
    pub(super) status_codes: Vec<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightedNode {
    pub(super) cluster: WeightNode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightNode {
    pub(super) name: String,
    pub(super) weight: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerNode {
    pub(super) name: Option<String>,
    pub(super) address: Address,
    pub(super) filter_chains: Vec<ChainNode>,
    pub(super) connection_idle_timeout: Option<Time>,
    #[serde(rename = "bind_port")]
    _bind_port: Option<MustBind>,
    #[serde(rename = "use_original_dst")]
    _use_original_dst: Option<MustNotRedirect>,
    #[serde(default)]
    pub(super) stream_filters: Vec<ExtraFilterNode>,
    #[serde(default)]
    pub(super) network_filters: Vec<ExtraFilterNode>,
    #[serde(default)]
    pub(super) access_logs: Vec<AccessLogNode>,
    log_path: Ignored,
    log_level: Ignored,
    #[serde(rename = "type")]
    direction: Ignored,
    inspector: Ignored,
}

/// `false`: the address that the kernel redirected from is not asked for.
#[derive(Debug, Deserialize)]
#[serde(try_from = "bool")]
struct MustNotRedirect;

impl TryFrom<bool> for MustNotRedirect {
    type Error = &'static str;

    fn try_from(redirect: bool) -> Result<Self, Self::Error> {
        if redirect { Err("expected false: routes decide where to") } else { Ok(MustNotRedirect) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExtraFilterNode {
    #[serde(rename = "type")]
    pub(super) filter_type: String,
    pub(super) config: Option<serde_json::Value>,
}

impl ExtraFilterNode {
    /// MOSN's samples have the filter that answers health checks of the frame's own kind; heartbeats
    /// are always answered here.
    pub(super) fn has_no_effect(&self) -> bool {
        self.filter_type == "healthcheck"
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessLogNode {
    pub(super) log_path: PathBuf,
    pub(super) log_format: Option<String>,
}

/// `true`: a listener that is not bound exists in MOSN for traffic redirected by the kernel.
#[derive(Debug, Deserialize)]
#[serde(try_from = "bool")]
struct MustBind;

impl TryFrom<bool> for MustBind {
    type Error = &'static str;

    fn try_from(bind: bool) -> Result<Self, Self::Error> {
        if bind { Ok(MustBind) } else { Err("expected true: every listener binds its address") }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainNode {
    pub(super) filters: Vec<FilterNode>,
    #[serde(rename = "tls_context")]
    _tls_context: Option<TlsNode>,
    #[serde(rename = "tls_context_set")]
    _tls_context_set: Option<Vec<TlsNode>>,
}

/// TLS that is off. Its other keys say nothing then.
#[derive(Debug, Deserialize)]
struct TlsNode {
    #[serde(rename = "status", default)]
    _status: MustBeOff,
}

/// `false`. What is to be encrypted must not go out in the clear because a key was passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "bool")]
struct MustBeOff;

impl TryFrom<bool> for MustBeOff {
    type Error = &'static str;

    fn try_from(on: bool) -> Result<Self, Self::Error> {
        if on { Err("expected false: there is no TLS in this version") } else { Ok(MustBeOff) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterNode {
    #[serde(rename = "type")]
    pub(super) filter_type: FilterType,
    pub(super) config: ProxyNode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum FilterType {
    #[serde(rename = "proxy")]
    Proxy,
    #[serde(rename = "tcp_proxy")]
    TcpProxy,
    /// Where older files keep the router of the `proxy` before it.
    #[serde(rename = "connection_manager")]
    ConnectionManager,
}

/// The keys of all filters together: an enum would be read into memory first, and its errors would
/// name no place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProxyNode {
    pub(super) downstream_protocol: Option<ProtocolName>,
    pub(super) upstream_protocol: Option<ProtocolName>,
    pub(super) router_config_name: Option<String>,
    pub(super) extend_config: Option<ExtendNode>,
    pub(super) fallback_for_unknown_protocol: Option<bool>,
    pub(super) cluster: Option<String>,
    pub(super) routes: Option<Vec<TcpRouteNode>>,
    pub(super) virtual_hosts: Option<Vec<VirtualHostNode>>,
    name: Ignored,
    validate_clusters: Ignored,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExtendNode {
    pub(super) sub_protocol: Option<String>,
    #[serde(default)]
    pub(super) enable_bolt_goaway: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TcpRouteNode {
    pub(super) cluster: String,
}

/// The names that MOSN has had for them over time, and `thrift`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum ProtocolName {
    #[serde(rename = "bolt")]
    Bolt,
    #[serde(rename = "boltv2")]
    BoltV2,
    SofaRpc,
    #[serde(rename = "dubbo")]
    Dubbo,
    #[serde(rename = "thrift")]
    Thrift,
    X,
    Auto,
}

/// What serde found wrong.
pub(super) struct ParseError {
    path: String,
    error: serde_json::Error,
}

/// Reads a document: the configuration, or a list of hosts.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ParseError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        ParseError { path, error: error.into_inner() }
    })?;
    deserializer.end().map_err(|error| ParseError { path: ".".to_owned(), error })?;
    Ok(document)
}

impl ParseError {
    pub(super) fn in_file(self, file: &Path) -> ConfigError {
        let (line, column) = (self.error.line(), self.error.column());
        let message = self.error.to_string();
        // The position is named in front, in the form that editors jump to.
        let suffix = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&suffix).unwrap_or(&message).to_owned();
        // A path of "." is the document itself; "?" stands for what has no name yet.
        let path = self.path.trim_matches(['.', '?']).to_owned();
        ConfigError { file: file.to_owned(), position: Some((line, column)), path, message }
    }
}

/// The paths of those of these keys that are there in vain.
pub(super) fn no_effect(path: &str, keys: &[(&str, &Ignored)]) -> Vec<String> {
    let dot = if path.is_empty() { "" } else { "." };
    keys.iter()
        .filter(|(_, value)| value.is_some())
        .map(|(key, _)| format!("{path}{dot}{key}"))
        .collect()
}

impl Document {
    pub(super) fn ignored(&self) -> Vec<String> {
        let keys = [
            ("close_graceful", &self.close_graceful),
            ("admin", &self.admin),
            ("metrics", &self.metrics),
            ("disable_upgrade", &self.disable_upgrade),
            ("tracing", &self.tracing),
            ("pprof", &self.pprof),
            ("pid", &self.pid),
            ("plugin", &self.plugin),
        ];
        no_effect("", &keys)
    }
}

impl ServerNode {
    pub(super) fn ignored(&self, path: &str) -> Vec<String> {
        let keys = [
            ("mosn_server_name", &self.mosn_server_name),
            ("default_log_path", &self.default_log_path),
            ("default_log_level", &self.default_log_level),
            ("global_log_roller", &self.global_log_roller),
            ("processor", &self.processor),
            ("use_netpoll_mode", &self.use_netpoll_mode),
        ];
        no_effect(path, &keys)
    }
}

impl ListenerNode {
    pub(super) fn ignored(&self, path: &str) -> Vec<String> {
        let keys = [
            ("log_path", &self.log_path),
            ("log_level", &self.log_level),
            ("type", &self.direction),
            ("inspector", &self.inspector),
        ];
        let mut keys = no_effect(path, &keys);
        let filters = self.stream_filters.iter().enumerate();
        for (number, _) in filters.filter(|(_, filter)| filter.has_no_effect()) {
            keys.push(format!("{path}.stream_filters[{number}]"));
        }
        for (chain, node) in self.filter_chains.iter().enumerate() {
            for (filter, FilterNode { config, .. }) in node.filters.iter().enumerate() {
                let path = format!("{path}.filter_chains[{chain}].filters[{filter}].config");
                let ignored =
                    [("name", &config.name), ("validate_clusters", &config.validate_clusters)];
                keys.extend(no_effect(&path, &ignored));
            }
        }
        keys
    }
}

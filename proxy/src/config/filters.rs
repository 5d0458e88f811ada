//! What a listener does with its connections: its filter chain and the names of protocols.

use std::slice;

use super::document::{FilterNode, FilterType, ListenerNode, ProtocolName, ProxyNode};
use super::routes::{Router, router};
use super::{Fault, fault};
use crate::codec::Protocol;

/// What the filters of a listener say together.
#[derive(Debug, Default)]
pub(super) struct Filters {
    pub(super) protocols: Vec<Protocol>,
    pub(super) router: Router,
    pub(super) tcp_cluster: Option<String>,
    pub(super) bolt_go_away: bool,
}

/// Reads the one filter chain: a `proxy`, a `tcp_proxy`, or a `tcp_proxy` behind a `proxy` that
/// falls back to it.
pub(super) fn filters(
    node: &ListenerNode,
    routers: &[Router],
    path: &str,
) -> Result<Filters, Fault> {
    let [chain] = &node.filter_chains[..] else {
        let message = format!("expected one filter chain, found {}", node.filter_chains.len());
        return fault(format!("{path}.filter_chains"), message);
    };
    let path = format!("{path}.filter_chains[0].filters");
    let (first, second) = (format!("{path}[0]"), format!("{path}[1]"));
    let (filters, own) = without_router(&chain.filters, &path)?;
    let routers = own.as_ref().map_or(routers, slice::from_ref);
    let types: Vec<FilterType> = filters.iter().map(|filter| filter.filter_type).collect();
    match (&types[..], filters) {
        ([FilterType::Proxy], [proxy]) => {
            if proxy.config.fallback_for_unknown_protocol == Some(true) {
                let path = format!("{first}.config.fallback_for_unknown_protocol");
                return fault(path, "expected a filter `tcp_proxy` behind this one");
            }
            requests(proxy, routers, &first)
        }
        ([FilterType::TcpProxy], [tcp]) => {
            let tcp_cluster = Some(tcp_cluster(&tcp.config, &first)?);
            Ok(Filters { tcp_cluster, ..Filters::default() })
        }
        ([FilterType::Proxy, FilterType::TcpProxy], [proxy, tcp]) => {
            if proxy.config.fallback_for_unknown_protocol != Some(true) {
                let message = "expected `fallback_for_unknown_protocol` in the filter before it";
                return fault(second, message);
            }
            let requests = requests(proxy, routers, &first)?;
            Ok(Filters { tcp_cluster: Some(tcp_cluster(&tcp.config, &second)?), ..requests })
        }
        _ => {
            let message = format!(
                "expected one filter, or a `proxy` with a `tcp_proxy` behind it, found {}",
                types.len()
            );
            fault(path, message)
        }
    }
}

/// The filters, and the router that the last of them is, in older files.
fn without_router<'a>(
    filters: &'a [FilterNode],
    path: &str,
) -> Result<(&'a [FilterNode], Option<Router>), Fault> {
    let Some((last, before)) = filters.split_last() else { return Ok((filters, None)) };
    if last.filter_type != FilterType::ConnectionManager {
        return Ok((filters, None));
    }
    let path = format!("{path}[{}].config", before.len());
    let Some(virtual_hosts) = &last.config.virtual_hosts else {
        return fault(path, "missing field `virtual_hosts`");
    };
    let name = last.config.router_config_name.clone().unwrap_or_default();
    Ok((before, Some(router(name, None, virtual_hosts, &path)?)))
}

/// A filter `proxy`.
fn requests(filter: &FilterNode, routers: &[Router], path: &str) -> Result<Filters, Fault> {
    let (config, path) = (&filter.config, format!("{path}.config"));
    for (key, is_there) in [
        ("cluster", config.cluster.is_some()),
        ("routes", config.routes.is_some()),
        ("virtual_hosts", config.virtual_hosts.is_some()),
    ] {
        refuse(is_there, &path, key, "proxy")?;
    }
    let Some(name) = &config.router_config_name else {
        return fault(path, "missing field `router_config_name`");
    };
    let Some(router) = routers.iter().find(|router| router.name == *name) else {
        let known: Vec<String> =
            routers.iter().map(|router| format!("`{}`", router.name)).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("no router `{name}` in this server; there is {known}");
        return fault(format!("{path}.router_config_name"), message);
    };
    Ok(Filters {
        protocols: protocols(config, &path)?,
        router: router.clone(),
        tcp_cluster: None,
        bolt_go_away: config.extend_config.as_ref().is_some_and(|extend| extend.enable_bolt_goaway),
    })
}

/// A filter `tcp_proxy`.
fn tcp_cluster(config: &ProxyNode, path: &str) -> Result<String, Fault> {
    let path = format!("{path}.config");
    for (key, is_there) in [
        ("downstream_protocol", config.downstream_protocol.is_some()),
        ("upstream_protocol", config.upstream_protocol.is_some()),
        ("router_config_name", config.router_config_name.is_some()),
        ("extend_config", config.extend_config.is_some()),
        ("virtual_hosts", config.virtual_hosts.is_some()),
        ("fallback_for_unknown_protocol", config.fallback_for_unknown_protocol.is_some()),
    ] {
        refuse(is_there, &path, key, "tcp_proxy")?;
    }
    let routes = config.routes.as_deref().unwrap_or_default();
    let mut names = config.cluster.iter().chain(routes.iter().map(|route| &route.cluster));
    let Some(name) = names.next() else { return fault(path, "missing field `cluster`") };
    match names.find(|&other| other != name) {
        Some(other) => {
            let message = format!("expected one cluster, found `{name}` and `{other}`");
            fault(format!("{path}.routes"), message)
        }
        None => Ok(name.clone()),
    }
}

fn refuse(is_there: bool, path: &str, key: &str, filter: &str) -> Result<(), Fault> {
    if is_there {
        return fault(format!("{path}.{key}"), format!("a filter `{filter}` has no `{key}`"));
    }
    Ok(())
}

/// The protocols that clients may speak, and hosts therefore must: none is translated.
fn protocols(config: &ProxyNode, path: &str) -> Result<Vec<Protocol>, Fault> {
    let Some(downstream) = config.downstream_protocol else {
        return fault(path, "missing field `downstream_protocol`");
    };
    let subs = config.extend_config.as_ref().and_then(|extend| extend.sub_protocol.as_deref());
    let subs = subs.map(|names| sub_protocols(names, path)).transpose()?;
    let protocols = match (downstream, subs) {
        (ProtocolName::X | ProtocolName::Auto, Some(subs)) => subs,
        (ProtocolName::Auto, None) => Protocol::ALL.to_vec(),
        (ProtocolName::X, None) => {
            return fault(path, "missing field `extend_config.sub_protocol`, which \"X\" needs");
        }
        (_, Some(_)) => {
            let message =
                "expected none beside a `downstream_protocol` other than \"X\" or \"Auto\"";
            return fault(format!("{path}.extend_config.sub_protocol"), message);
        }
        (name, None) => name.protocol().into_iter().collect(),
    };
    match config.upstream_protocol.and_then(ProtocolName::protocol) {
        Some(upstream) if protocols != [upstream] => {
            let message = "expected the same as `downstream_protocol`, or \"Auto\": a protocol is \
                           not translated into another";
            fault(format!("{path}.upstream_protocol"), message)
        }
        _ => Ok(protocols),
    }
}

/// `bolt,dubbo`: each of them once.
fn sub_protocols(names: &str, path: &str) -> Result<Vec<Protocol>, Fault> {
    let mut protocols = Vec::new();
    for name in names.split(',').map(str::trim) {
        let Some(protocol) = ProtocolName::of_sub_protocol(name) else {
            let message = format!(
                "unknown protocol `{name}`, expected `bolt`, `boltv2`, `dubbo`, `thrift`, or \
                 several with commas between them"
            );
            return fault(format!("{path}.extend_config.sub_protocol"), message);
        };
        if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    Ok(protocols)
}

impl ProtocolName {
    /// `None` for the names that stand for several.
    fn protocol(self) -> Option<Protocol> {
        match self {
            ProtocolName::Bolt | ProtocolName::BoltV2 | ProtocolName::SofaRpc => {
                Some(Protocol::Bolt)
            }
            ProtocolName::Dubbo => Some(Protocol::Dubbo),
            ProtocolName::Thrift => Some(Protocol::Thrift),
            ProtocolName::X | ProtocolName::Auto => None,
        }
    }

    fn of_sub_protocol(name: &str) -> Option<Protocol> {
        match name {
            "bolt" | "boltv2" => Some(Protocol::Bolt),
            "dubbo" => Some(Protocol::Dubbo),
            "thrift" => Some(Protocol::Thrift),
            _ => None,
        }
    }
}

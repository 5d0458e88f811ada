//! What a consistent hash goes by: `hash_policy` of a route.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Fault, fault};

/// A part of a request that can be a consistent hash's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashSource {
    /// The value of the header of this name, in requests that have it.
    Header(String),
    /// The client's address, without its port.
    SourceIp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HashNode {
    header: Option<HashHeaderNode>,
    source_ip: Option<SourceIpNode>,
    cookie: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HashHeaderNode {
    key: String,
}

/// MOSN's way to name it is an object without keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceIpNode {}

pub(super) fn hash_policy(nodes: &[HashNode], path: &str) -> Result<Vec<HashSource>, Fault> {
    let source = |(number, node)| source(node, &format!("{path}[{number}]"));
    nodes.iter().enumerate().map(source).collect()
}

fn source(node: &HashNode, path: &str) -> Result<HashSource, Fault> {
    if node.cookie.is_some() {
        return fault(
            format!("{path}.cookie"),
            "expected `header` or `source_ip`: no frame has cookies",
        );
    }
    match (&node.header, &node.source_ip) {
        (Some(header), None) if header.key.is_empty() => {
            fault(format!("{path}.header.key"), "expected the name of a header, found \"\"")
        }
        (Some(header), None) => Ok(HashSource::Header(header.key.clone())),
        (None, Some(_)) => Ok(HashSource::SourceIp),
        (Some(_), Some(_)) => fault(format!("{path}.source_ip"), "expected none beside `header`"),
        (None, None) => fault(path, "missing field `header` or `source_ip`"),
    }
}

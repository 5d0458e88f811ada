//! What a listener does with requests besides forwarding them, and a route's retries.

use std::path::PathBuf;
use std::time::Duration;

use super::document::{AccessLogNode, ExtraFilterNode as FilterNode, RetryNode};
use super::{Fault, fault};
use crate::access_log::Format;
use crate::filter::{BuildError, FilterError, Filters};
use crate::limits::RETRIES_MAX;

/// A filter that every request, or every connection, of a listener passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Its type; one of those of [`Filters`].
    pub filter_type: String,
    /// Its own configuration.
    pub config: serde_json::Value,
    /// Where in the document it stands.
    pub path: String,
}

/// Where, and how, the requests of a listener are noted.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// The file, which is appended to.
    pub path: PathBuf,
    pub(crate) format: Format,
}

/// Whether requests of a route are tried again when a try fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first; 0 for none.
    pub retries_max: u32,
    /// Time-out of each try; within that of the request, which goes on.
    pub try_timeout: Option<Duration>,
    /// The statuses, in the protocol's own numbers, that make an answer a failed try.
    pub statuses: Vec<u16>,
}

/// Each filter is built once, to see that it can be.
pub(super) fn stream_filters(
    nodes: &[FilterNode],
    types: &Filters,
    path: &str,
) -> Result<Vec<Filter>, Fault> {
    filters(nodes, &format!("{path}.stream_filters"), |name, config| {
        types.build(name, config).map(drop)
    })
}

pub(super) fn network_filters(
    nodes: &[FilterNode],
    types: &Filters,
    path: &str,
) -> Result<Vec<Filter>, Fault> {
    filters(nodes, &format!("{path}.network_filters"), |name, config| {
        types.build_network(name, config).map(drop)
    })
}

fn filters(
    nodes: &[FilterNode],
    path: &str,
    build: impl Fn(&str, &serde_json::Value) -> Result<(), BuildError>,
) -> Result<Vec<Filter>, Fault> {
    let mut filters = Vec::new();
    for (number, node) in nodes.iter().enumerate().filter(|(_, node)| !node.has_no_effect()) {
        let path = format!("{path}[{number}]");
        let config = node.config.clone().unwrap_or(serde_json::Value::Object(Default::default()));
        match build(&node.filter_type, &config) {
            Ok(()) => {}
            Err(BuildError::Config(FilterError { path: within, message })) => {
                let dot = if within.is_empty() || within.starts_with('[') { "" } else { "." };
                return fault(format!("{path}.config{dot}{within}"), message);
            }
            Err(BuildError::Type(message)) => return fault(format!("{path}.type"), message),
        }
        filters.push(Filter { filter_type: node.filter_type.clone(), config, path });
    }
    Ok(filters)
}

pub(super) fn access_logs(nodes: &[AccessLogNode], path: &str) -> Result<Vec<AccessLog>, Fault> {
    let mut logs = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let path = format!("{path}.access_logs[{number}]");
        let format = match Format::parse(node.log_format.as_deref()) {
            Ok(format) => format,
            Err(message) => return fault(format!("{path}.log_format"), message),
        };
        if node.log_path.as_os_str().is_empty() {
            return fault(format!("{path}.log_path"), "expected the name of a file, found \"\"");
        }
        logs.push(AccessLog { path: node.log_path.clone(), format });
    }
    Ok(logs)
}

pub(super) fn retry_policy(node: &RetryNode, path: &str) -> Result<RetryPolicy, Fault> {
    let retries_max = node.num_retries.unwrap_or(1);
    if retries_max > RETRIES_MAX {
        let message = format!("expected 0 to {RETRIES_MAX}, found {retries_max}");
        return fault(format!("{path}.num_retries"), message);
    }
    Ok(RetryPolicy {
        retries_max: if node.retry_on { retries_max } else { 0 },
        try_timeout: node.retry_timeout.map(|time| time.0).filter(|time| !time.is_zero()),
        statuses: node.status_codes.clone(),
    })
}

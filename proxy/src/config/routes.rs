//! Routers: virtual hosts, their routes, and the conditions of these.

use std::fmt;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};

use super::document::{HeaderNode, RouteNode, TargetNode, VirtualHostNode};
use super::extras::{RetryPolicy, retry_policy};
use super::hash_policy::{HashSource, hash_policy};
use super::{Fault, fault};
use crate::balance::Labels;

/// Largest program that a regular expression may become, and largest cache that a thread keeps to run
/// it, in bytes.
pub const REGEX_BYTES_MAX: usize = 1 << 20;
/// The header whose value is compared with the domains of virtual hosts.
pub const DOMAIN_HEADER: &str = "host";

/// The routes of a listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Router {
    /// Its name, for messages.
    pub name: String,
    /// The header whose value is compared with the domains.
    pub domain_header: String,
    /// Groups of routes; a request's domain decides which one is asked.
    pub virtual_hosts: Vec<VirtualHost>,
}

impl Router {
    /// All routes, of all virtual hosts.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.virtual_hosts.iter().flat_map(|host| &host.routes)
    }
}

/// Routes for some domains.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualHost {
    /// Its domains, none of which another virtual host of the router has.
    pub domains: Vec<Domain>,
    /// The routes, tried in order.
    pub routes: Vec<Route>,
}

/// What a domain has to be. The most precise one wins: a name, then the longest suffix, then any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// `*`: any, and requests without one.
    Any,
    /// `*.example.com`: whatever ends so, with something in front.
    Suffix(String),
    /// This one.
    Name(String),
}

impl Domain {
    /// Reads `*`, `*END` or a name; in lower case, since letters are compared without regard to it.
    pub fn parse(text: &str) -> Option<Domain> {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some("") => Some(Domain::Any),
            Some(end) if !end.contains('*') => Some(Domain::Suffix(end.to_owned())),
            None if !text.is_empty() && !text.contains('*') => Some(Domain::Name(text)),
            _ => None,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Any => f.write_str("*"),
            Domain::Suffix(end) => write!(f, "*{end}"),
            Domain::Name(name) => f.write_str(name),
        }
    }
}

/// Which requests go where.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Conditions on headers; all must hold. Empty: every request matches.
    pub headers: Vec<HeaderMatch>,
    /// Where to: one cluster, or several by weight. Never empty.
    pub targets: Vec<Target>,
    /// Time-out of requests that carry none; at most
    /// [`TIMEOUT_MAX`](crate::limits::TIMEOUT_MAX) counts.
    pub timeout: Option<Duration>,
    /// Labels that the host must have, where the cluster is divided by them.
    pub labels: Labels,
    /// Whether requests are tried again, and how much time a try has.
    pub retry_policy: Option<RetryPolicy>,
    /// What a consistent hash goes by: the first of these that a request has, otherwise the client's
    /// address. Of no meaning for clusters that choose otherwise.
    pub hash_policy: Vec<HashSource>,
}

/// A cluster that a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name; there may be no cluster of this name.
    pub cluster: String,
    /// Its share of the requests, of the sum of the weights.
    pub weight: u32,
}

/// A condition on one header.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    /// Name of the header.
    pub name: String,
    /// What its value has to be.
    pub value: ValueMatch,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueMatch {
    /// It is there.
    Any,
    /// It is this.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// It contains what this describes.
    Regex(Pattern),
}

/// A regular expression of at most [`REGEX_BYTES_MAX`].
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn new(text: &str) -> Result<Pattern, regex::Error> {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build().map(Pattern)
    }

    /// The same expression with a cache of its own: threads that share one wait for each other.
    pub(crate) fn compiled_anew(&self) -> Regex {
        Pattern::new(self.0.as_str()).expect("it was compiled before, with the same limits").0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

pub(super) fn router(
    name: String,
    domain_header: Option<&str>,
    nodes: &[VirtualHostNode],
    path: &str,
) -> Result<Router, Fault> {
    let mut virtual_hosts: Vec<VirtualHost> = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let path = format!("{path}.virtual_hosts[{number}]");
        let domains = domains(node, &virtual_hosts, &format!("{path}.domains"))?;
        let routes = node.routers.iter().enumerate();
        let routes = routes.map(|(number, node)| route(node, &format!("{path}.routers[{number}]")));
        virtual_hosts.push(VirtualHost { domains, routes: routes.collect::<Result<_, _>>()? });
    }
    let domain_header = domain_header.unwrap_or(DOMAIN_HEADER).to_owned();
    Ok(Router { name, domain_header, virtual_hosts })
}

fn domains(
    node: &VirtualHostNode,
    others: &[VirtualHost],
    path: &str,
) -> Result<Vec<Domain>, Fault> {
    let mut domains: Vec<Domain> = Vec::new();
    for (number, text) in node.domains.iter().enumerate() {
        let path = format!("{path}[{number}]");
        let Some(domain) = Domain::parse(text) else {
            let message = format!(
                "expected \"*\", a name, or \"*\" and what the name ends with, found {text:?}"
            );
            return fault(path, message);
        };
        let mut taken = others.iter().flat_map(|host| &host.domains).chain(&domains);
        if taken.any(|other| *other == domain) {
            return fault(path, format!("the domain \"{domain}\" is there twice in this router"));
        }
        domains.push(domain);
    }
    if domains.is_empty() {
        return fault(path, "expected at least one domain, found none");
    }
    Ok(domains)
}

fn route(node: &RouteNode, path: &str) -> Result<Route, Fault> {
    let headers = node.matching.headers.iter().enumerate();
    let headers =
        headers.map(|(number, node)| header(node, &format!("{path}.match.headers[{number}]")));
    Ok(Route {
        headers: headers.collect::<Result<_, _>>()?,
        targets: targets(&node.route, &format!("{path}.route"))?,
        labels: node.route.metadata_match.labels(),
        timeout: node.route.timeout.map(|timeout| timeout.0).filter(|t| !t.is_zero()),
        retry_policy: match &node.route.retry_policy {
            Some(node) => Some(retry_policy(node, &format!("{path}.route.retry_policy"))?),
            None => None,
        },
        hash_policy: hash_policy(&node.route.hash_policy, &format!("{path}.route.hash_policy"))?,
    })
}

fn header(node: &HeaderNode, path: &str) -> Result<HeaderMatch, Fault> {
    let value = match (&node.value, &node.prefix, node.regex) {
        (Some(_), Some(_), _) => {
            return fault(format!("{path}.prefix"), "expected none beside `value`");
        }
        (None, _, true) => return fault(path, "missing field `value`, which `regex` needs"),
        (Some(text), None, true) => match Pattern::new(text) {
            Ok(pattern) => ValueMatch::Regex(pattern),
            Err(error) => return fault(format!("{path}.value"), regex_fault(&error)),
        },
        // MOSN's way to write "any value".
        (None, None, false) => ValueMatch::Any,
        (Some(text), None, false) if text == ".*" => ValueMatch::Any,
        (Some(text), None, false) => ValueMatch::Exact(text.clone()),
        (None, Some(start), false) => ValueMatch::Prefix(start.clone()),
    };
    Ok(HeaderMatch { name: node.name.clone(), value })
}

/// In one line: the library draws a picture.
fn regex_fault(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            format!("the regular expression needs more than {REGEX_BYTES_MAX} bytes")
        }
        error => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("not a regular expression: {reason}")
        }
    }
}

fn targets(node: &TargetNode, path: &str) -> Result<Vec<Target>, Fault> {
    match (&node.cluster_name, &node.weighted_clusters) {
        (Some(cluster), None) => Ok(vec![Target { cluster: cluster.clone(), weight: 1 }]),
        (None, Some(nodes)) => {
            let targets: Vec<Target> = nodes
                .iter()
                .map(|node| &node.cluster)
                .map(|node| Target { cluster: node.name.clone(), weight: node.weight })
                .collect();
            let sum: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
            if (1..=u64::from(u32::MAX)).contains(&sum) {
                return Ok(targets);
            }
            let message = format!("expected weights with a sum of 1 to {}, found {sum}", u32::MAX);
            fault(format!("{path}.weighted_clusters"), message)
        }
        (Some(_), Some(_)) => {
            fault(format!("{path}.weighted_clusters"), "expected none beside `cluster_name`")
        }
        (None, None) => fault(path, "missing field `cluster_name` or `weighted_clusters`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_its_star_in_front_or_nowhere() {
        assert_eq!(Domain::parse("*"), Some(Domain::Any));
        assert_eq!(Domain::parse("*.A.example"), Some(Domain::Suffix(".a.example".to_owned())));
        assert_eq!(Domain::parse("A.example"), Some(Domain::Name("a.example".to_owned())));
        for text in ["", "a.*", "**", "*.*.example"] {
            assert_eq!(Domain::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_regular_expression_that_would_grow_is_refused() {
        let error = Pattern::new("(a{1000}){1000}").unwrap_err();
        assert_eq!(regex_fault(&error), "the regular expression needs more than 1048576 bytes");
        let error = Pattern::new("a(b").unwrap_err();
        assert_eq!(regex_fault(&error), "not a regular expression: unclosed group");
    }
}

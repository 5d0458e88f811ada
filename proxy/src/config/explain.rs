//! A configuration in words.

use std::fmt::Write;
use std::time::Duration;

use super::{
    Cluster, Config, Domain, HeaderMatch, Listener, RetryPolicy, Route, Target, ValueMatch,
    VirtualHost,
};
use crate::codec::Codec;
use crate::limits::REQUEST_TIMEOUT;

pub(super) fn explain(config: &Config) -> String {
    let mut out = String::new();
    for listener in &config.listeners {
        explain_listener(listener, &mut out);
    }
    for cluster in &config.clusters {
        explain_cluster(cluster, &mut out);
    }
    let limits = &config.limits;
    line(&mut out, "limits:");
    line(
        &mut out,
        &format!(
            "  a frame has at most {} bytes, its class name and its header map {} each",
            limits.frame_bytes_max, limits.header_bytes_max
        ),
    );
    line(
        &mut out,
        &format!(
            "  a client has at most {} requests in flight; {} clients per listener",
            limits.in_flight_max, limits.connections_max
        ),
    );
    line(
        &mut out,
        &format!(
            "  reading stops above {} bytes of waiting output and goes on below {}; a client that \
             lets {} bytes wait is closed",
            limits.output_high_bytes, limits.output_low_bytes, limits.output_bytes_max
        ),
    );
    line(
        &mut out,
        &format!(
            "  a client is closed after {} of silence, or when a frame takes {:?}",
            idle_text(limits.client_idle_timeout),
            limits.frame_timeout
        ),
    );
    for warning in &config.warnings {
        line(&mut out, &format!("note: {warning}"));
    }
    out
}

fn explain_listener(listener: &Listener, out: &mut String) {
    let names: Vec<&str> = listener.protocols.iter().map(Codec::name).collect();
    let spoken = if names.is_empty() { "plain TCP".to_owned() } else { names.join(", ") };
    line(out, &format!("listens for {spoken} on {} (`{}`):", listener.address, listener.name));
    explain_extras(listener, out);
    if let Some(timeout) = listener.idle_timeout {
        line(out, &format!("  a client is closed after {} of silence", idle_text(timeout)));
    }
    if !listener.protocols.is_empty() {
        explain_routes(listener, out);
    }
    match &listener.tcp_cluster {
        Some(cluster) if names.is_empty() => {
            line(out, &format!("  every connection to cluster `{cluster}`"));
        }
        Some(cluster) => {
            line(out, &format!("  connections of other protocols to cluster `{cluster}`"));
        }
        None => {}
    }
}

fn explain_extras(listener: &Listener, out: &mut String) {
    let passed = [("connection", &listener.network_filters), ("request", &listener.stream_filters)];
    for (what, filters) in passed {
        let names: Vec<String> =
            filters.iter().map(|filter| format!("`{}`", filter.filter_type)).collect();
        if !names.is_empty() {
            line(out, &format!("  every {what} passes {}", names.join(", ")));
        }
    }
    for log in &listener.access_logs {
        line(out, &format!("  every request leaves a line in {}", log.path.display()));
    }
}

fn explain_routes(listener: &Listener, out: &mut String) {
    let router = &listener.router;
    line(out, &format!("  routes by `{}`:", router.name));
    for host in &router.virtual_hosts {
        let for_all = host.domains.contains(&Domain::Any);
        if !for_all || router.virtual_hosts.len() > 1 {
            line(out, &format!("  {}:", domains_text(host, &router.domain_header)));
        }
        for route in &host.routes {
            line(out, &format!("  {}", route_text(route)));
        }
        if !host.routes.iter().any(|route| route.headers.is_empty()) {
            line(out, "  anything else is answered with \"no route\"");
        }
    }
    if !router.virtual_hosts.iter().any(|host| host.domains.contains(&Domain::Any)) {
        line(out, "  requests of any other domain are answered with \"no route\"");
    }
}

fn domains_text(host: &VirtualHost, header: &str) -> String {
    let domains: Vec<String> = host.domains.iter().map(|domain| format!("`{domain}`")).collect();
    format!("where `{header}` is {}", domains.join(" or "))
}

fn route_text(route: &Route) -> String {
    let condition = if route.headers.is_empty() {
        "every request".to_owned()
    } else {
        let parts: Vec<String> = route.headers.iter().map(condition).collect();
        format!("requests with {}", parts.join(" and "))
    };
    let timeout = route.timeout.unwrap_or(REQUEST_TIMEOUT);
    let tries = route.retry_policy.as_ref().map(retry_text).unwrap_or_default();
    format!(
        "{condition} to {}, answered with \"time-out\" after {timeout:?} unless the frame \
         says otherwise{tries}",
        targets_text(&route.targets)
    )
}

fn retry_text(policy: &RetryPolicy) -> String {
    let mut text = match policy.retries_max {
        0 => String::new(),
        retries => format!("; tried again up to {retries} times"),
    };
    if !policy.statuses.is_empty() && policy.retries_max > 0 {
        let statuses: Vec<String> = policy.statuses.iter().map(u16::to_string).collect();
        text.push_str(&format!(", also on status {}", statuses.join(", ")));
    }
    if let Some(time) = policy.try_timeout {
        text.push_str(&format!("; each try has {time:?}"));
    }
    text
}

fn idle_text(timeout: Duration) -> String {
    if timeout.is_zero() { "no time".to_owned() } else { format!("{timeout:?}") }
}

fn condition(header: &HeaderMatch) -> String {
    let name = &header.name;
    match &header.value {
        ValueMatch::Any => format!("a header `{name}`"),
        ValueMatch::Exact(value) => format!("header `{name}` equal to `{value}`"),
        ValueMatch::Prefix(start) => format!("header `{name}` beginning with `{start}`"),
        ValueMatch::Regex(pattern) => format!("header `{name}` matching `{pattern}`"),
    }
}

fn targets_text(targets: &[Target]) -> String {
    if let [target] = targets {
        return format!("cluster `{}`", target.cluster);
    }
    let sum: u32 = targets.iter().map(|target| target.weight).sum();
    let share = |target: &Target| format!("`{}` ({} of {sum})", target.cluster, target.weight);
    let shares: Vec<String> = targets.iter().map(share).collect();
    format!("clusters {}", shares.join(", "))
}

fn explain_cluster(cluster: &Cluster, out: &mut String) {
    let hosts: Vec<String> = cluster.hosts.iter().map(ToString::to_string).collect();
    let hosts = if hosts.is_empty() { "no hosts".to_owned() } else { hosts.join(", ") };
    line(out, &format!("cluster `{}`, in turn: {hosts}", cluster.name));
    line(
        out,
        &format!(
            "  {} connection(s) to each, at most {} requests in flight on one, dialed within {:?}",
            cluster.connections_per_host, cluster.in_flight_max, cluster.connect_timeout
        ),
    );
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

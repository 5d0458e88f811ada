//! A configuration in words.

use std::fmt::Write;
use std::time::Duration;

use super::{
    Cluster, Config, Domain, HashSource, HeaderMatch, Host, Listener, Membership, PoolMode,
    RetryPolicy, Route, Target, ValueMatch, VirtualHost,
};
use crate::balance::{Fallback, Policy};
use crate::codec::Codec;
use crate::health::Probe;
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
            "  {}, {} when a frame takes {:?}",
            silence_text(limits.client_idle_timeout),
            if limits.client_idle_timeout.is_zero() { "and is closed" } else { "or" },
            limits.frame_timeout
        ),
    );
    line(&mut out, &format!("  a stop gives the requests in flight {:?}", config.graceful_timeout));
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
        line(out, &format!("  {}", silence_text(timeout)));
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
    let hash = hash_text(&route.hash_policy);
    format!(
        "{condition} to {}, answered with \"time-out\" after {timeout:?} unless the frame \
         says otherwise{tries}{hash}",
        targets_text(&route.targets)
    )
}

fn hash_text(policy: &[HashSource]) -> String {
    let source = |source: &HashSource| match source {
        HashSource::Header(name) => format!("header `{name}`"),
        HashSource::SourceIp => "the client's address".to_owned(),
    };
    let sources: Vec<String> = policy.iter().map(source).collect();
    if sources.is_empty() { String::new() } else { format!("; hashed by {}", sources.join(" or ")) }
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

fn silence_text(timeout: Duration) -> String {
    if timeout.is_zero() {
        "a client may be silent for ever".to_owned()
    } else {
        format!("a client is closed after {timeout:?} of silence")
    }
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
    let how = match cluster.policy {
        Policy::RoundRobin => "in turn",
        Policy::Weighted => "in turn by weight",
        Policy::Random => "at random by weight",
        Policy::LeastRequest => "the less busy of two at random",
        Policy::Maglev => "by consistent hash",
    };
    line(out, &format!("cluster `{}`, {how}: {}", cluster.name, hosts_text(cluster)));
    let carries = match cluster.pool {
        PoolMode::Multiplex => {
            format!("at most {} requests in flight on one", cluster.in_flight_max)
        }
        PoolMode::PingPong => "one request at a time on each".to_owned(),
        PoolMode::Binding => "each bound to one client".to_owned(),
    };
    line(
        out,
        &format!(
            "  {} connection(s) to each, {carries}, dialed within {:?}",
            cluster.connections_per_host, cluster.connect_timeout
        ),
    );
    explain_limits(cluster, out);
    explain_health(cluster, out);
}

fn hosts_text(cluster: &Cluster) -> String {
    match &cluster.membership {
        Membership::Static if cluster.hosts.is_empty() => "no hosts".to_owned(),
        Membership::Static => {
            let hosts: Vec<String> = cluster.hosts.iter().map(host_text).collect();
            hosts.join(", ")
        }
        Membership::File { path, interval } => {
            format!("the hosts in {}, looked at every {interval:?}", path.display())
        }
        Membership::Dns { hosts, interval } => {
            let names: Vec<&str> = hosts.iter().map(|(name, _)| name.as_str()).collect();
            format!("{}, resolved every {interval:?}", names.join(", "))
        }
    }
}

fn host_text(host: &Host) -> String {
    match host.weight {
        1 => host.address.to_string(),
        weight => format!("{} (weight {weight})", host.address),
    }
}

fn explain_limits(cluster: &Cluster, out: &mut String) {
    let limits = &cluster.breakers;
    let all = [
        (limits.connections_max, "connections"),
        (limits.pending_max, "requests waiting for a connection"),
        (limits.requests_max, "requests in flight"),
        (limits.retries_max, "retries"),
    ];
    let set = all.into_iter().filter(|(max, _)| *max != usize::MAX);
    let texts: Vec<String> = set.map(|(max, what)| format!("{max} {what}")).collect();
    if !texts.is_empty() {
        line(out, &format!("  at most {} in all, on each worker", texts.join(", ")));
    }
}

fn explain_health(cluster: &Cluster, out: &mut String) {
    if let Some(check) = &cluster.check {
        let probe = match check.probe {
            Probe::Connect => "connecting".to_owned(),
            Probe::Heartbeat(protocol) => format!("a heartbeat of {}", protocol.name()),
        };
        line(
            out,
            &format!(
                "  checked by {probe} every {:?}: out after {} failures, back after {} successes",
                check.interval, check.unhealthy_threshold, check.healthy_threshold
            ),
        );
    }
    if let Some(outliers) = &cluster.outliers {
        line(
            out,
            &format!(
                "  a host that fails {} times in a row is left out for {:?}, at most {} % of them",
                outliers.failures, outliers.time_min, outliers.percent_max
            ),
        );
    }
    if let Some(rules) = &cluster.subsets {
        let keys: Vec<String> = rules.selectors.iter().map(|keys| keys.join("+")).collect();
        let otherwise = match &rules.fallback {
            Fallback::None => "no host",
            Fallback::Any => "any host",
            Fallback::Default(_) => "the default subset",
        };
        line(out, &format!("  divided by {}; otherwise {otherwise}", keys.join(", ")));
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

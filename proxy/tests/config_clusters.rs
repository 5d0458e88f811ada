//! What a cluster may say in a configuration file, and what it gets for saying it wrong.

use std::path::Path;

use proxy::Config;
use proxy::limits::SUBSET_SELECTORS_MAX;

/// A good file with one cluster.
const GOOD: &str = r#"{
  "servers": [{"listeners": [{
    "address": "127.0.0.1:2045",
    "filter_chains": [{"filters": [{"type": "tcp_proxy", "config": {"cluster": "c"}}]}]
  }]}],
  "cluster_manager": {"clusters": [{
    "name": "c",
    "lb_type": "LB_ROUNDROBIN",
    "hosts": [
      {"address": "10.0.0.1:12200"},
      {"address": "10.0.0.2:12200"}
    ]
  }]}
}"#;

fn error(text: &str) -> String {
    match Config::parse(Path::new("p.json"), text) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// Keys put in front of `lb_type`, and how the error goes on behind the cluster's path.
const CLUSTERS: [(&str, &str); 22] = [
    (r#""pool": "pingpong""#, "pool: unknown variant `pingpong`, expected one of `multiplex`"),
    (r#""type": "DNS""#, "type: unknown variant `DNS`, expected `SIMPLE` or `STRICT_DNS`"),
    (r#""dns_refresh_rate": "1s""#, "dns_refresh_rate: expected \"type\": \"STRICT_DNS\" beside"),
    (
        r#""type": "STRICT_DNS", "dns_refresh_rate": "1ms""#,
        "dns_refresh_rate: expected at least 10ms, found 1ms",
    ),
    (r#""hosts_file": "h.json""#, "hosts_file: expected neither `hosts` nor STRICT_DNS beside it"),
    (r#""hosts_file_interval": "1s""#, "hosts_file_interval: expected `hosts_file` beside it"),
    (r#""circuit_breakers": [{}, {}]"#, "circuit_breakers[1]: expected one set of limits"),
    (
        r#""circuit_breakers": [{"max_request": 1}]"#,
        "circuit_breakers[0].max_request: unknown field `max_request`, expected one of",
    ),
    (
        r#""circuit_breakers": [{"max_requests": -1}]"#,
        "circuit_breakers[0].max_requests: invalid value: integer `-1`",
    ),
    (
        r#""health_check": {"protocol": "thrift"}"#,
        "health_check.protocol: unknown variant `thrift`, expected one of `TCP`, `tcp`, `SofaRpc`, `bolt`",
    ),
    (
        r#""health_check": {"interval": "0s"}"#,
        "health_check.interval: expected more than 0, found 0",
    ),
    (r#""health_check": {"timeout": "0s"}"#, "health_check.timeout: expected more than 0, found 0"),
    (
        r#""health_check": {"healthy_threshold": 0}"#,
        "health_check.healthy_threshold: expected 1 to 4294967295, found 0",
    ),
    (
        r#""health_check": {"unhealthy_threshold": 0}"#,
        "health_check.unhealthy_threshold: expected 1 to 4294967295, found 0",
    ),
    (
        r#""health_check": {"path": "/"}"#,
        "health_check.path: unknown field `path`, expected one of",
    ),
    (
        r#""outlier_detection": {"consecutive_failures": 0}"#,
        "outlier_detection.consecutive_failures: expected 1 to 4294967295, found 0",
    ),
    (
        r#""outlier_detection": {"max_ejection_percent": 101}"#,
        "outlier_detection.max_ejection_percent: expected 0 to 100, found 101",
    ),
    (
        r#""lb_subset_config": {"fall_back_policy": 3}"#,
        "lb_subset_config.fall_back_policy: expected 0 (no host), 1 (any host) or 2",
    ),
    (
        r#""lb_subset_config": {"subset_selectors": [["a"], []]}"#,
        "lb_subset_config.subset_selectors[1]: expected at least one key, found none",
    ),
    (
        r#""pool": "ping_pong", "connections_per_host": 4097"#,
        "connections_per_host: expected 1 to 4096, found 4097",
    ),
    (
        r#""pool": "multiplex", "connections_per_host": 65"#,
        "connections_per_host: expected 1 to 64, found 65",
    ),
    (
        r#""lbtype": "LB_RANDOM""#,
        "lbtype: unknown field `lbtype`, expected one of `Name`, `name`, `type`",
    ),
];

#[test]
fn each_fault_of_a_cluster_is_named_with_its_path() {
    for (keys, expected) in CLUSTERS {
        let message = error(&GOOD.replacen(r#""lb_type""#, &format!(r#"{keys}, "lb_type""#), 1));
        let expected = format!("cluster_manager.clusters[0].{expected}");
        assert!(message.contains(&expected), "{keys} gave {message}");
    }
}

/// What stands in place of the second host, and how the error goes on behind the list's path.
const HOSTS: [(&str, &str); 6] = [
    (r#""localhost:1""#, "[1].address: expected an IP address and a port"),
    (
        r#""localhost""#,
        "[1].address: invalid value: string \"localhost\", expected a host and a port",
    ),
    (r#""10.0.0.1:12200""#, "[1].address: 10.0.0.1:12200 is there twice"),
    (r#""10.0.0.2:1", "weight": 0"#, "[1].weight: expected 1 to 65536, found 0"),
    (r#""10.0.0.2:1", "weight": "heavy""#, "[1].weight: invalid type: string \"heavy\""),
    (
        r#""10.0.0.2:1", "metadata": {"filter_metadata": {"envoy.lb": {}}}"#,
        "[1].metadata.filter_metadata.envoy.lb: unknown field `envoy.lb`, expected `mosn.lb`",
    ),
];

#[test]
fn each_fault_of_a_host_is_named_with_its_path() {
    for (host, expected) in HOSTS {
        let message = error(&GOOD.replacen(r#""10.0.0.2:12200""#, host, 1));
        let expected = format!("cluster_manager.clusters[0].hosts{expected}");
        assert!(message.contains(&expected), "{host} gave {message}");
    }
}

#[test]
fn the_explanation_says_how_a_cluster_is_balanced_and_watched() {
    let keys = r#""pool": "ping_pong", "connections_per_host": 8,
        "circuit_breakers": [{"max_requests": 5, "max_retries": 2}],
        "health_check": {"protocol": "bolt", "interval": "2s", "unhealthy_threshold": 3},
        "outlier_detection": {"consecutive_failures": 4, "base_ejection_time": "7s"},
        "lb_subset_config": {"fall_back_policy": 1, "subset_selectors": [["zone", "tier"]]},
        "lb_type": "LB_MAGLEV""#;
    let text = GOOD
        .replace(r#""lb_type": "LB_ROUNDROBIN""#, keys)
        .replace(r#"2:12200""#, r#"2:12200", "weight": 3"#);
    let text = Config::parse(Path::new("p.json"), &text).unwrap().explain();
    for part in [
        "cluster `c`, by consistent hash: 10.0.0.1:12200, 10.0.0.2:12200 (weight 3)",
        "8 connection(s) to each, one request at a time on each",
        "at most 5 requests in flight, 2 retries in all, on each worker",
        "checked by a heartbeat of bolt every 2s: out after 3 failures, back after 1 successes",
        "a host that fails 4 times in a row is left out for 7s, at most 10 % of them",
        "divided by zone+tier; otherwise any host",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_fault_of_a_named_host_has_the_hosts_number() {
    let text = GOOD.replacen(r#""lb_type""#, r#""type": "STRICT_DNS", "lb_type""#, 1).replacen(
        r#""10.0.0.2:12200""#,
        r#""b.example:1", "weight": 0"#,
        1,
    );
    let message = error(&text);
    let expected = "cluster_manager.clusters[0].hosts[1].weight: expected 1 to 65536, found 0";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_cluster_has_only_so_many_subset_selectors() {
    let selectors = vec![r#"["a"]"#; SUBSET_SELECTORS_MAX + 1].join(",");
    let keys = format!(r#""lb_subset_config": {{"subset_selectors": [{selectors}]}}, "lb_type""#);
    let message = error(&GOOD.replacen(r#""lb_type""#, &keys, 1));
    let expected = "lb_subset_config.subset_selectors: expected 0 to 64, found 65";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn the_explanation_says_that_a_client_may_be_silent_for_ever() {
    let silent = |timeout: &str| {
        let limits = format!(r#""limits": {{"client_idle_timeout": "{timeout}"}}, "servers""#);
        let text = GOOD.replacen(r#""servers""#, &limits, 1);
        Config::parse(Path::new("p.json"), &text).unwrap().explain()
    };
    let for_ever = "a client may be silent for ever, and is closed when a frame takes 30s";
    assert!(silent("0s").contains(for_ever), "{}", silent("0s"));
    let for_a_while = "a client is closed after 7s of silence, or when a frame takes 30s";
    assert!(silent("7s").contains(for_a_while), "{}", silent("7s"));
}

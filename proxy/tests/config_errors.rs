//! What a bad configuration file gets: file, line, path and what was expected.

use std::path::Path;

use proxy::Config;

/// The smallest good file, one key a line.
const GOOD: &str = r#"{
  "servers": [{
    "routers": [{
      "router_config_name": "r",
      "virtual_hosts": [{
        "domains": ["*"],
        "routers": [{
          "match": {"headers": [{"name": "service", "value": ".*"}]},
          "route": {"cluster_name": "c", "timeout": "3s"}
        }]
      }]
    }],
    "listeners": [{
      "name": "in",
      "address": "127.0.0.1:2045",
      "filter_chains": [{"filters": [{
        "type": "proxy",
        "config": {
          "downstream_protocol": "bolt",
          "upstream_protocol": "bolt",
          "router_config_name": "r"
        }
      }]}]
    }]
  }],
  "cluster_manager": {"clusters": [{
    "name": "c",
    "lb_type": "LB_ROUNDROBIN",
    "max_request_per_conn": 100,
    "hosts": [
      {"address": "10.0.0.1:12200"},
      {"address": "10.0.0.2:12200"}
    ]
  }]},
  "limits": {"frame_bytes_max": 4096}
}"#;

fn error(text: &str) -> String {
    match Config::parse(Path::new("p.json"), text) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_good_file_is_good() {
    let config = Config::parse(Path::new("p.json"), GOOD).unwrap();
    assert_eq!(config.limits.frame_bytes_max, 4096);
    assert_eq!(config.listeners[0].name, "in");
    assert_eq!(
        config.listeners[0].router.virtual_hosts[0].routes[0].timeout,
        Some(std::time::Duration::from_secs(3))
    );
    assert_eq!(config.clusters[0].hosts.len(), 2);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn the_demos_file_is_good() {
    let config = Config::parse(Path::new("demo.json"), proxy::DEMO_CONFIG).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
}

/// What is replaced in the good file, by what, and how the error begins and what it contains.
const TABLE: [(&str, &str, &str, &str); 36] = [
    (
        r#""127.0.0.1:2045""#,
        r#""localhost:2045""#,
        "p.json:15:33: servers[0].listeners[0].address: ",
        r#"an IP address and a port, such as "127.0.0.1:2045""#,
    ),
    (
        r#""127.0.0.1:2045""#,
        "2045",
        "p.json:15:21: servers[0].listeners[0].address: ",
        "invalid type: integer `2045`, expected an IP address",
    ),
    (
        r#""address": "10.0.0.2:12200""#,
        r#""adress": "10.0.0.2:12200""#,
        "p.json:32:15: cluster_manager.clusters[0].hosts[1].adress: ",
        "unknown field `adress`, expected one of `address`, `weight`, `metadata`",
    ),
    (
        r#""timeout": "3s""#,
        r#""timeout": "3 seconds""#,
        "p.json:9:63: servers[0].routers[0].virtual_hosts[0].routers[0].route.timeout: ",
        r#"expected a duration of at most 24h, such as "3s""#,
    ),
    (
        r#""timeout": "3s""#,
        r#""timeout": "24h1ns""#,
        "p.json:9:60: servers[0].routers[0].virtual_hosts[0].routers[0].route.timeout: ",
        "expected a duration of at most 24h",
    ),
    (
        r#""max_request_per_conn": 100"#,
        r#""connect_timeout": "0s""#,
        "p.json:29:27: cluster_manager.clusters[0].connect_timeout: ",
        "expected more than 0, found 0",
    ),
    (
        r#""timeout": "3s""#,
        r#""retries": 3"#,
        "p.json:9:50: servers[0].routers[0].virtual_hosts[0].routers[0].route.retries: ",
        "unknown field `retries`, expected one of `cluster_name`",
    ),
    (
        r#""lb_type": "LB_ROUNDROBIN""#,
        r#""lb_type": "LB_RANDUM""#,
        "p.json:28:26: cluster_manager.clusters[0].lb_type: ",
        "expected one of `LB_ROUNDROBIN`, `LB_WEIGHTED_ROUNDROBIN`, `LB_RANDOM`, `LB_LEAST_REQUEST`",
    ),
    (
        r#""downstream_protocol": "bolt""#,
        r#""downstream_protocol": "http1""#,
        "p.json:19:40: servers[0].listeners[0].filter_chains[0].filters[0].config.downstream_protocol: ",
        "unknown variant `http1`, expected one of `bolt`, `boltv2`, `SofaRpc`, `dubbo`, `thrift`, `X`, `Auto`",
    ),
    (
        r#""type": "proxy""#,
        r#""type": "http_proxy""#,
        "p.json:17:28: servers[0].listeners[0].filter_chains[0].filters[0].type: ",
        "expected one of `proxy`, `tcp_proxy`",
    ),
    (
        r#""domains": ["*"]"#,
        r#""domains": ["a.*"]"#,
        "p.json:6:25: servers[0].routers[0].virtual_hosts[0].domains[0]: ",
        r#"expected "*", a name, or "*" and what the name ends with, found "a.*""#,
    ),
    (
        r#""domains": ["*"]"#,
        r#""domains": ["A.example", "a.Example"]"#,
        "p.json:6:44: servers[0].routers[0].virtual_hosts[0].domains[1]: ",
        "the domain \"a.example\" is there twice in this router",
    ),
    (
        r#""domains": ["*"]"#,
        r#""domains": []"#,
        "p.json:6:19: servers[0].routers[0].virtual_hosts[0].domains: ",
        "expected at least one domain, found none",
    ),
    (
        r#""value": ".*""#,
        r#""value": "a(b", "regex": true"#,
        "p.json:8:66: servers[0].routers[0].virtual_hosts[0].routers[0].match.headers[0].value: ",
        "not a regular expression: unclosed group",
    ),
    (
        r#""value": ".*""#,
        r#""regex": true"#,
        "p.json:8:32: servers[0].routers[0].virtual_hosts[0].routers[0].match.headers[0]: ",
        "missing field `value`, which `regex` needs",
    ),
    (
        r#""value": ".*""#,
        r#""value": "a", "prefix": "b""#,
        "p.json:8:79: servers[0].routers[0].virtual_hosts[0].routers[0].match.headers[0].prefix: ",
        "expected none beside `value`",
    ),
    (
        r#""cluster_name": "c", "#,
        "",
        "p.json:9:19: servers[0].routers[0].virtual_hosts[0].routers[0].route: ",
        "missing field `cluster_name` or `weighted_clusters`",
    ),
    (
        r#""cluster_name": "c""#,
        r#""weighted_clusters": [{"cluster": {"name": "c", "weight": 0}}]"#,
        "p.json:9:41: servers[0].routers[0].virtual_hosts[0].routers[0].route.weighted_clusters: ",
        "expected weights with a sum of 1 to 4294967295, found 0",
    ),
    (
        r#"          "router_config_name": "r""#,
        r#"          "router_config_name": "q""#,
        "p.json:21:35: servers[0].listeners[0].filter_chains[0].filters[0].config.router_config_name: ",
        "no router `q` in this server; there is `r`",
    ),
    (
        r#""max_request_per_conn": 100"#,
        r#""max_request_per_conn": 0"#,
        "p.json:29:29: cluster_manager.clusters[0].max_request_per_conn: ",
        "expected 1 to 16384, found 0",
    ),
    (
        r#""max_request_per_conn": 100"#,
        r#""max_request_per_conn": "many""#,
        "p.json:29:34: cluster_manager.clusters[0].max_request_per_conn: ",
        "expected usize",
    ),
    (
        r#""max_request_per_conn": 100"#,
        r#""connections_per_host": 65"#,
        "p.json:29:30: cluster_manager.clusters[0].connections_per_host: ",
        "expected 1 to 64, found 65",
    ),
    (
        r#""frame_bytes_max": 4096"#,
        r#""frame_bytes_max": 10"#,
        "p.json:35:34: limits.frame_bytes_max: ",
        "expected 1024 to 1073741824, found 10",
    ),
    (
        r#""frame_bytes_max": 4096"#,
        r#""output_high_bytes": 2048"#,
        "p.json:35:12: limits.output_low_bytes: ",
        "expected 1 to 2048, found 262144",
    ),
    (
        r#""frame_bytes_max": 4096"#,
        r#""frames": 4096"#,
        "p.json:35:21: limits.frames: ",
        "unknown field `frames`, expected one of `frame_bytes_max`",
    ),
    (
        r#""name": "in","#,
        r#""use_original_dst": true,"#,
        "p.json:14:30: servers[0].listeners[0].use_original_dst: ",
        "expected false",
    ),
    (
        r#""filter_chains": [{"#,
        r#""filter_chains": [{"tls_context": {"status": true}, "#,
        "p.json:16:56: servers[0].listeners[0].filter_chains[0].tls_context.status: ",
        "expected false: there is no TLS in this version",
    ),
    (
        r#""limits": {"frame_bytes_max": 4096}"#,
        r#""limits": {"frame_timeout": "0s"}"#,
        "p.json:35:34: limits.frame_timeout: ",
        "expected more than 0",
    ),
    (
        r#""name": "in","#,
        r#""bind_port": false,"#,
        "p.json:14:24: servers[0].listeners[0].bind_port: ",
        "expected true",
    ),
    (
        r#""name": "in","#,
        r#""name": "in", "name": "out","#,
        "p.json:14:26: servers[0].listeners[0]: ",
        "duplicate field `name`",
    ),
    (r#""name": "c","#, "", "p.json:34:3: cluster_manager.clusters[0]: ", "missing field `name`"),
    (r#""limits""#, r#""limit""#, "p.json:35:9: limit: ", "unknown field `limit`, expected one of"),
    (
        r#""limits": {"frame_bytes_max": 4096}"#,
        r#""limits": {}, }"#,
        "p.json:35:17: ",
        "trailing comma",
    ),
    ("4096}\n}", "4096}\n} x", "p.json:36:3: ", "trailing characters"),
    ("4096}\n}", "4096}", "p.json:35:", "EOF while parsing an object"),
    (
        r#""type": "proxy","#,
        "",
        "p.json:23:7: servers[0].listeners[0].filter_chains[0].filters[0]: ",
        "missing field `type`",
    ),
];

#[test]
fn each_fault_is_named_with_file_line_path_and_expectation() {
    let mut faults = Vec::new();
    for (from, to, start, part) in TABLE {
        assert!(GOOD.contains(from), "{from}");
        let message = error(&GOOD.replacen(from, to, 1));
        if !message.starts_with(start) || !message.contains(part) {
            faults.push(format!("{from} -> {to}\n gave {message}\n not  {start} ... {part}\n"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.concat());
}

/// The keys of the filter's `config` in place of the good ones, further filters, and the error.
const FILTERS: [(&str, &str, &str); 13] = [
    (
        r#""downstream_protocol": "bolt", "upstream_protocol": "dubbo""#,
        "",
        "[0].config.upstream_protocol: expected the same as `downstream_protocol`, or \"Auto\"",
    ),
    (
        r#""downstream_protocol": "Auto", "upstream_protocol": "bolt""#,
        "",
        "[0].config.upstream_protocol: expected the same",
    ),
    (r#""upstream_protocol": "bolt""#, "", "[0].config: missing field `downstream_protocol`"),
    (
        r#""downstream_protocol": "X""#,
        "",
        "[0].config: missing field `extend_config.sub_protocol`, which \"X\" needs",
    ),
    (
        r#""downstream_protocol": "X", "extend_config": {"sub_protocol": "bolt,http"}"#,
        "",
        "[0].config.extend_config.sub_protocol: unknown protocol `http`, expected `bolt`, `boltv2`",
    ),
    (
        r#""downstream_protocol": "bolt", "extend_config": {"sub_protocol": "bolt"}"#,
        "",
        "[0].config.extend_config.sub_protocol: expected none beside a `downstream_protocol` other than",
    ),
    (
        r#""downstream_protocol": "bolt", "extend_config": {"sub": "bolt"}"#,
        "",
        "[0].config.extend_config.sub: unknown field `sub`, expected `sub_protocol`",
    ),
    (
        r#""downstream_protocol": "bolt", "cluster": "c""#,
        "",
        "[0].config.cluster: a filter `proxy` has no `cluster`",
    ),
    (
        r#""downstream_protocol": "Auto", "fallback_for_unknown_protocol": true"#,
        "",
        "[0].config.fallback_for_unknown_protocol: expected a filter `tcp_proxy` behind this one",
    ),
    (
        r#""downstream_protocol": "Auto""#,
        r#"{"type": "tcp_proxy", "config": {"cluster": "c"}}"#,
        "[1]: expected `fallback_for_unknown_protocol` in the filter before it",
    ),
    (
        r#""downstream_protocol": "Auto", "fallback_for_unknown_protocol": true"#,
        r#"{"type": "tcp_proxy", "config": {"routes": []}}"#,
        "[1].config: missing field `cluster`",
    ),
    (
        r#""downstream_protocol": "Auto", "fallback_for_unknown_protocol": true"#,
        r#"{"type": "tcp_proxy", "config": {"cluster": "c", "routes": [{"cluster": "d"}]}}"#,
        "[1].config.routes: expected one cluster, found `c` and `d`",
    ),
    (
        r#""downstream_protocol": "bolt""#,
        r#"{"type": "proxy", "config": {"downstream_protocol": "bolt", "router_config_name": "r"}}"#,
        ": expected one filter, or a `proxy` with a `tcp_proxy` behind it, found 2",
    ),
];

#[test]
fn filters_that_do_not_fit_are_named_with_their_place() {
    let good = r#""downstream_protocol": "bolt",
          "upstream_protocol": "bolt""#;
    let path = "servers[0].listeners[0].filter_chains[0].filters";
    for (keys, more, expected) in FILTERS {
        let more = if more.is_empty() { "}]}]".to_owned() } else { format!("}}, {more}]}}]") };
        let message = error(&GOOD.replacen(good, keys, 1).replacen("}]}]", &more, 2));
        assert!(message.contains(&format!("{path}{expected}")), "{keys} gave {message}");
    }
}

#[test]
fn a_tcp_proxy_to_a_missing_cluster_is_a_warning() {
    let text = r#"{"servers": [{"listeners": [{"address": "127.0.0.1:1", "filter_chains": [
        {"filters": [{"type": "tcp_proxy", "config": {"cluster": "nowhere"}}]}]}]}],
        "cluster_manager": {"clusters": []}}"#;
    let config = Config::parse(Path::new("p.json"), text).unwrap();
    let expected = "names cluster `nowhere`, which does not exist: its TCP connections are closed";
    assert!(config.warnings.len() == 1 && config.warnings[0].contains(expected), "{config:?}");
    assert!(config.explain().starts_with("listens for plain TCP on 127.0.0.1:1"));
}

#[test]
fn names_and_addresses_are_unique() {
    let doubled =
        GOOD.replace(r#"{"clusters": [{"#, r#"{"clusters": [{"name": "c", "hosts": []}, {"#);
    let message = error(&doubled);
    assert!(
        message.contains("cluster_manager.clusters[1].name: there are two clusters `c`"),
        "{message}"
    );

    let second = r#""listeners": [{
      "address": "127.0.0.1:2045",
      "filter_chains": [{"filters": [{"type": "proxy", "config": {"downstream_protocol": "bolt",
      "upstream_protocol": "bolt", "router_config_name": "r"}}]}]}, {"#;
    let message = error(&GOOD.replace(r#""listeners": [{"#, second));
    let expected =
        "servers[0].listeners[1].address: 127.0.0.1:2045 is taken by servers[0].listeners[0]";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn keys_of_mosn_without_effect_are_accepted_and_named() {
    let text = GOOD
        .replace(
            r#""lb_type""#,
            r#""health_check": {"service_name": "x"}, "conn_buffer_limit_bytes": 1, "lb_type""#,
        )
        .replace(r#""limits""#, r#""admin": {"address": {}}, "metrics": {}, "limits""#)
        .replace(r#""name": "in","#, r#""bind_port": true, "log_path": "x","#)
        .replace(
            r#""routers": [{
      "router"#,
            r#""default_log_level": "INFO", "routers": [{
      "router"#,
        );
    let config = Config::parse(Path::new("p.json"), &text).unwrap();
    let mut warned: Vec<&str> =
        config.warnings.iter().map(|line| line.rsplit_once(" ha").unwrap().0).collect();
    warned.sort_unstable();
    assert_eq!(
        warned,
        [
            "admin",
            "cluster_manager.clusters[0].conn_buffer_limit_bytes",
            "cluster_manager.clusters[0].health_check.service_name",
            "metrics",
            "servers[0].default_log_level",
            "servers[0].listeners[0].log_path",
        ]
    );
}

#[test]
fn what_leads_nowhere_is_a_warning() {
    let config = Config::parse(
        Path::new("p.json"),
        &GOOD.replace(r#""cluster_name": "c""#, r#""cluster_name": "d""#),
    )
    .unwrap();
    assert!(config.warnings[0].contains("cluster `d`, which does not exist"), "{config:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let message = Config::read(Path::new("/nonexistent/p.json")).unwrap_err().to_string();
    assert!(message.starts_with("/nonexistent/p.json: cannot read the file: "), "{message}");
}

#[test]
fn the_explanation_says_where_requests_go() {
    let text = Config::parse(Path::new("p.json"), GOOD).unwrap().explain();
    for part in [
        "listens for bolt on 127.0.0.1:2045 (`in`)",
        "requests with a header `service` to cluster `c`, answered with \"time-out\" after 3s",
        "cluster `c`, in turn: 10.0.0.1:12200, 10.0.0.2:12200",
        "at most 100 requests in flight",
        "a frame has at most 4096 bytes",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

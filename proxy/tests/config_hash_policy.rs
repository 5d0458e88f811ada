//! What a route may say about consistent hashes, and what it gets for saying it wrong.

use std::path::Path;

use proxy::{Config, ConfigError};

/// A proxy of one route with this list, to a cluster that is balanced so.
fn parse(policy: &str, lb_type: &str) -> Result<Config, ConfigError> {
    let text = format!(
        r#"{{"servers": [{{
             "routers": [{{"router_config_name": "r", "virtual_hosts": [{{"domains": ["*"],
               "routers": [{{"route": {{"cluster_name": "c", "hash_policy": [{policy}]}}}}]}}]}}],
             "listeners": [{{"address": "127.0.0.1:2045", "filter_chains": [{{"filters": [{{
               "type": "proxy",
               "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
           "cluster_manager": {{"clusters": [{{"name": "c", "lb_type": "{lb_type}",
             "hosts": [{{"address": "127.0.0.1:12200"}}]}}]}}}}"#
    );
    Config::parse(Path::new("p.json"), &text)
}

#[test]
fn each_fault_of_a_hash_policy_is_named_with_its_path() {
    let route = "servers[0].routers[0].virtual_hosts[0].routers[0].route.hash_policy";
    for (policy, expected) in [
        (r#"{}"#, "[0]: missing field `header` or `source_ip`"),
        (r#"{"source_ip": {}}, {"header": {}}"#, "[1].header: missing field `key`"),
        (r#"{"header": {"key": ""}}"#, "[0].header.key: expected the name of a header, found"),
        (
            r#"{"header": {"key": "a"}, "source_ip": {}}"#,
            "[0].source_ip: expected none beside `header`",
        ),
        (r#"{"cookie": {"name": "a"}}"#, "[0].cookie: expected `header` or `source_ip`: no frame"),
        (r#"{"source_ip": {"a": 1}}"#, "[0].source_ip.a: unknown field `a`, there are no fields"),
        (r#"{"http_cookie": {}}"#, "[0].http_cookie: unknown field `http_cookie`, expected one of"),
    ] {
        let message = parse(policy, "LB_MAGLEV").unwrap_err().to_string();
        assert!(message.contains(&format!("{route}{expected}")), "{policy} gave {message}");
    }
}

#[test]
fn a_hash_policy_is_explained_and_one_that_nobody_looks_at_is_noted() {
    let policy = r#"{"header": {"key": "user"}}, {"source_ip": {}}"#;
    let config = parse(policy, "LB_RANDOM").unwrap();
    assert!(config.explain().contains("; hashed by header `user` or the client's address\n"));
    let note = "router `r` has a `hash_policy` for cluster `c`, whose `lb_type` is not";
    assert!(config.warnings.iter().any(|line| line.starts_with(note)), "{:?}", config.warnings);
    for (policy, lb_type) in [(policy, "LB_MAGLEV"), ("", "LB_RANDOM")] {
        let config = parse(policy, lb_type).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}

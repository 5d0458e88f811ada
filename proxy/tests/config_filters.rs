//! What a bad filter, access log or retry policy gets: line, path and what was expected.

use std::path::Path;
use std::time::Duration;

use proxy::Config;

/// A configuration with this route and these keys of the listener, each on a line of its own.
fn parse(route: &str, listener: &str) -> Result<Config, proxy::ConfigError> {
    let text = format!(
        r#"{{"servers": [{{
  "routers": [{{"router_config_name": "r", "virtual_hosts": [{{"domains": ["*"], "routers": [
    {{"route": {{"cluster_name": "c", {route}}}}}]}}]}}],
  "listeners": [{{"address": "127.0.0.1:2045", "filter_chains": [{{"filters": [{{
    "type": "proxy", "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}],
    {listener}
  }}]}}],
  "cluster_manager": {{"clusters": [{{"name": "c", "hosts": []}}]}}}}"#
    );
    Config::parse(Path::new("p.json"), &text)
}

#[test]
fn filters_logs_and_retries_are_read_with_the_keys_of_mosn() {
    let route = r#""retry_policy": {"retry_on": true, "retry_timeout": "1s", "num_retries": 3,
        "status_codes": [4, 16]}"#;
    let listener = r#""stream_filters": [
        {"type": "fault", "config": {"delay": {"fixed_delay": "1s", "percentage": 10},
          "abort": {"status": 503, "percentage": 5}, "upstream_cluster": "c",
          "headers": [{"name": "user", "value": "test"}]}},
        {"type": "rate_limit", "config": {"requests_per_second": 10}},
        {"type": "headers"}],
      "access_logs": [{"log_path": "/tmp/a.log", "log_format": "%duration%"}]"#;
    let config = parse(route, listener).unwrap();
    let policy =
        config.listeners[0].router.virtual_hosts[0].routes[0].retry_policy.clone().unwrap();
    assert_eq!((policy.retries_max, &policy.statuses[..]), (3, &[4, 16][..]));
    assert_eq!(policy.try_timeout, Some(Duration::from_secs(1)));
    assert_eq!(config.listeners[0].stream_filters.len(), 3);
    assert_eq!(config.listeners[0].access_logs[0].path, Path::new("/tmp/a.log"));
}

#[test]
fn the_explanation_says_what_requests_pass_and_how_often_they_are_tried() {
    let route = r#""retry_policy": {"retry_on": true, "retry_timeout": "1s", "num_retries": 3,
        "status_codes": [4, 16]}"#;
    let listener = r#""stream_filters": [{"type": "headers"}], "access_logs": [{"log_path": "a"}]"#;
    let text = parse(route, listener).unwrap().explain();
    for part in [
        "every request passes `headers`\n",
        "every request leaves a line in a\n",
        "tried again up to 3 times, also on status 4, 16; each try has 1s\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_policy_that_is_off_keeps_its_time_out_and_one_without_a_number_tries_once_more() {
    let policy = |route| {
        parse(route, r#""name": "n""#).unwrap().listeners[0].router.virtual_hosts[0].routes[0]
            .clone()
    };
    let off = policy(r#""retry_policy": {"num_retries": 3, "retry_timeout": "1s"}"#);
    let off = off.retry_policy.unwrap();
    assert_eq!((off.retries_max, off.try_timeout), (0, Some(Duration::from_secs(1))));
    let on = policy(r#""retry_policy": {"retry_on": true, "retry_timeout": "0"}"#);
    let on = on.retry_policy.unwrap();
    assert_eq!((on.retries_max, on.try_timeout), (1, None));
}

/// Keys of the listener, how the error begins, and what it contains.
const LISTENERS: [(&str, &str, &str); 11] = [
    (
        r#""stream_filters": [{"type": "nope"}]"#,
        "p.json:6:",
        "stream_filters[0].type: unknown filter `nope`, there is `fault`, `headers`, `rate_limit`",
    ),
    (r#""stream_filters": [{"config": {}}]"#, "p.json:6:", "missing field `type`"),
    (
        r#""stream_filters": [{"type": "fault", "config": {"delay": {"percentage": 1}}}]"#,
        "p.json:6:",
        "stream_filters[0].config.delay: missing field `fixed_delay`",
    ),
    (
        r#""stream_filters": [{"type": "fault", "config": {"abort": {"status": 503, "percentage": 101}}}]"#,
        "p.json:6:",
        "stream_filters[0].config.abort.percentage: expected 0 to 100, found 101",
    ),
    (
        r#""stream_filters": [{"type": "fault", "config": {"abort": {"status": 418, "percentage": 1}}}]"#,
        "p.json:6:",
        "stream_filters[0].config.abort.status: expected 403, 404, 500, 502, 503 or 504, found 418",
    ),
    (
        r#""stream_filters": [{"type": "fault", "config": {"delay": {"fixed_delay": "1", "percentage": 1}}}]"#,
        "p.json:6:",
        "stream_filters[0].config.delay.fixed_delay: invalid value",
    ),
    (
        r#""stream_filters": [{"type": "rate_limit", "config": {"requests_per_second": 1, "bursts": 1}}]"#,
        "p.json:6:",
        "stream_filters[0].config.bursts: unknown field `bursts`",
    ),
    (
        r#""stream_filters": [{"type": "rate_limit", "config": {"requests_per_second": 1, "burst": 0}}]"#,
        "p.json:6:",
        "stream_filters[0].config.burst: expected more than 0",
    ),
    (r#""access_logs": [{}]"#, "p.json:6:", "access_logs[0]: missing field `log_path`"),
    (
        r#""access_logs": [{"log_path": "a", "log_format": "%nope%"}]"#,
        "p.json:6:",
        "access_logs[0].log_format: unknown field `%nope%`, expected one of start_time",
    ),
    (
        r#""access_logs": [{"log_path": ""}]"#,
        "p.json:6:",
        "access_logs[0].log_path: expected the name of a file",
    ),
];

#[test]
fn a_fault_in_a_filter_or_a_log_is_named_with_line_path_and_expectation() {
    for (listener, start, part) in LISTENERS {
        let message = parse(r#""timeout": "1s""#, listener).unwrap_err().to_string();
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains(part), "{message}\n{part}");
    }
}

#[test]
fn a_fault_in_a_retry_policy_is_named_with_line_path_and_expectation() {
    for (policy, part) in [
        (r#"{"num_retries": 11}"#, "retry_policy.num_retries: expected 0 to 10, found 11"),
        (r#"{"retry_timeout": 3}"#, "retry_policy.retry_timeout: invalid type"),
        (r#"{"status_codes": [70000]}"#, "retry_policy.status_codes[0]: invalid value"),
        (r#"{"retries": 1}"#, "retry_policy.retries: unknown field `retries`"),
    ] {
        let route = format!(r#""retry_policy": {policy}"#);
        let message = parse(&route, r#""name": "n""#).unwrap_err().to_string();
        assert!(message.starts_with("p.json:3:") && message.contains(part), "{message}");
    }
}

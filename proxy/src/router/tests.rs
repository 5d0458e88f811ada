use super::*;
use crate::codec::bolt::{self, Bolt};
use crate::codec::{Decoded, FrameLimits};
use crate::config::{Config, Listener};
use crate::limits::Limits;
use crate::worker::Worker;

/// The router of a listener whose router has these virtual hosts, and the clusters `a` to `d`.
fn router(virtual_hosts: &str) -> Router {
    let text = format!(
        r#"{{"servers": [{{
          "routers": [{{"router_config_name": "r", "virtual_hosts": [{virtual_hosts}]}}],
          "listeners": [{{"address": "127.0.0.1:1", "filter_chains": [{{"filters": [{{
            "type": "proxy",
            "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
        "cluster_manager": {{"clusters": [
          {{"name": "a", "hosts": []}}, {{"name": "b", "hosts": []}},
          {{"name": "c", "hosts": []}}, {{"name": "d", "hosts": []}}]}}}}"#
    );
    let config = Config::parse("test.json".as_ref(), &text).unwrap();
    let worker = Rc::new(Worker::new(Limits::default()));
    let clusters: Vec<Rc<Cluster>> =
        config.clusters.iter().map(|node| Cluster::new(node, &worker)).collect();
    let Listener { router, .. } = &config.listeners[0];
    Router::new(router, &clusters, Some(1))
}

/// One virtual host for everything, with these routes: conditions and cluster.
fn routes(routes: &[(&str, &str)]) -> Router {
    let routes: Vec<String> = routes
        .iter()
        .map(|(headers, cluster)| {
            let route = format!(r#"{{"cluster_name": "{cluster}"}}"#);
            format!(r#"{{"match": {{"headers": [{headers}]}}, "route": {route}}}"#)
        })
        .collect();
    router(&format!(r#"{{"domains": ["*"], "routers": [{}]}}"#, routes.join(",")))
}

/// The cluster that a request with this header map goes to, and "" for none.
fn cluster_of(router: &Router, header: &[u8]) -> Result<String, CodecError> {
    let mut bytes = Vec::new();
    bolt::Request { header, ..bolt::Request::default() }.encode(&mut bytes).unwrap();
    let Decoded::Frame(frame) = Bolt.decode(&bytes, &FrameLimits::NONE).unwrap() else { panic!() };
    let route = router.find(&Bolt, &frame, &bytes)?;
    let cluster = route.and_then(|route| router.pick(route));
    Ok(cluster.map_or_else(String::new, |cluster| cluster.name().to_owned()))
}

fn map(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in entries {
        bolt::push_header(key.as_bytes(), value.as_bytes(), &mut out);
    }
    out
}

/// Checks the cluster of requests with one header `service`.
fn expect(router: &Router, table: &[(&str, &str)]) {
    for (service, cluster) in table {
        let found = cluster_of(router, &map(&[("service", service)])).unwrap();
        assert_eq!(found, *cluster, "service {service}");
    }
}

#[test]
fn the_first_route_whose_conditions_all_hold_is_taken() {
    let router = routes(&[
        (r#"{"name": "service", "value": "x"}, {"name": "zone"}"#, "a"),
        (r#"{"name": "service", "value": "x"}"#, "b"),
        (r#"{"name": "service", "value": ".*"}"#, "c"),
    ]);
    for (header, cluster) in [
        (&[("service", "x"), ("zone", "z")][..], "a"),
        (&[("service", "x")], "b"),
        (&[("zone", "z"), ("service", "y")], "c"),
        (&[("zone", "z")], ""),
    ] {
        assert_eq!(cluster_of(&router, &map(header)).unwrap(), cluster);
    }
}

#[test]
fn a_route_without_conditions_is_the_default_and_does_not_look_at_the_header_map() {
    let malformed = [0, 0, 0, 9, b'x'];
    assert_eq!(cluster_of(&routes(&[("", "a")]), &malformed).unwrap(), "a");
    let asking = routes(&[(r#"{"name": "service"}"#, "b"), ("", "a")]);
    assert!(cluster_of(&asking, &malformed).is_err());
    assert_eq!(cluster_of(&asking, &map(&[("zone", "z")])).unwrap(), "a");
}

#[test]
fn a_single_service_condition_obeys_regex() {
    // MOSN takes the expression for the value when `service` is the only header.
    let router = routes(&[
        (r#"{"name": "service", "value": "^com\\.(pay|cash)\\.", "regex": true}"#, "a"),
        (r#"{"name": "service", "value": "com.(pay)"}"#, "b"),
        (r#"{"name": "service", "value": ".*", "regex": true}"#, "c"),
    ]);
    expect(
        &router,
        &[("com.pay.Api", "a"), ("com.cash.Api", "a"), ("com.(pay)", "b"), ("xcom.pay.Api", "c")],
    );
    assert_eq!(cluster_of(&router, &map(&[])).unwrap(), "");
}

#[test]
fn values_match_exactly_by_prefix_or_by_expression() {
    let router = routes(&[
        (r#"{"name": "service", "value": "com.a"}"#, "a"),
        (r#"{"name": "service", "prefix": "com."}"#, "b"),
        (r#"{"name": "service", "value": "v[0-9]+$", "regex": true}"#, "c"),
    ]);
    expect(
        &router,
        &[("com.a", "a"), ("com.ab", "b"), ("com.", "b"), ("org.v12", "c"), ("com", ""), ("", "")],
    );
}

#[test]
fn the_order_of_routes_counts_whether_they_are_found_by_value_or_asked() {
    let x = r#"{"name": "service", "value": "x"}"#;
    let all = r#"{"name": "service"}"#;
    expect(&routes(&[(x, "a"), (all, "b"), (x, "c")]), &[("x", "a"), ("y", "b")]);
    expect(&routes(&[(all, "b"), (x, "a")]), &[("x", "b")]);
    let both = r#"{"name": "service", "value": "x"}, {"name": "service", "value": "y"}"#;
    expect(&routes(&[(both, "a"), (all, "b")]), &[("x", "b"), ("y", "b")]);
}

#[test]
fn every_one_of_many_services_finds_its_own_route() {
    let services: Vec<String> =
        (0..1000).map(|n| format!(r#"{{"name": "service", "value": "s{n}"}}"#)).collect();
    let clusters = ["a", "b", "c", "d"];
    let table: Vec<(&str, &str)> =
        services.iter().zip(clusters.into_iter().cycle()).map(|(s, c)| (s.as_str(), c)).collect();
    let router = routes(&table);
    expect(&router, &[("s0", "a"), ("s1", "b"), ("s998", "c"), ("s999", "d"), ("s1000", "")]);
}

#[test]
fn the_domain_decides_the_virtual_host_and_nothing_falls_through_to_another() {
    let host = |domains: &str, headers: &str, cluster: &str| {
        format!(
            r#"{{"domains": [{domains}], "routers": [
              {{"match": {{"headers": [{headers}]}}, "route": {{"cluster_name": "{cluster}"}}}}]}}"#
        )
    };
    let router = router(
        &[
            host(r#""*""#, "", "a"),
            host(r#""*.example""#, r#"{"name": "service", "value": "x"}"#, "b"),
            host(r#""Pay.example", "pay""#, "", "c"),
        ]
        .join(","),
    );
    for (header, cluster) in [
        (&[][..], "a"),
        (&[("host", "other")], "a"),
        (&[("host", "pay")], "c"),
        (&[("host", "PAY.EXAMPLE")], "c"),
        (&[("host", "cash.example"), ("service", "x")], "b"),
        (&[("host", "cash.example"), ("service", "y")], ""),
    ] {
        assert_eq!(cluster_of(&router, &map(header)).unwrap(), cluster, "{header:?}");
    }
}

#[test]
fn requests_are_spread_by_weight_and_the_seed_decides_how() {
    let weighted = r#"{"domains": ["*"], "routers": [{"route": {"weighted_clusters": [
        {"cluster": {"name": "a", "weight": 90}}, {"cluster": {"name": "b", "weight": 0}},
        {"cluster": {"name": "c", "weight": 9}}, {"cluster": {"name": "nowhere", "weight": 1}}]}}]}"#;
    let draw = || {
        let router = router(weighted);
        (0..10_000).map(|_| cluster_of(&router, b"").unwrap()).collect::<Vec<_>>()
    };
    let drawn = draw();
    let count = |name: &str| drawn.iter().filter(|cluster| *cluster == name).count();
    assert_eq!(count("b"), 0);
    assert!((8_800..9_200).contains(&count("a")), "{}", count("a"));
    assert!((800..1_000).contains(&count("c")), "{}", count("c"));
    assert!((50..150).contains(&count("")), "{}", count(""));
    assert_eq!(drawn, draw(), "the same seed");
}

#[test]
fn a_request_always_has_a_time_out() {
    let router = router(
        r#"{"domains": ["*"], "routers": [{"route": {"cluster_name": "a", "timeout": "9s"}}]}"#,
    );
    let mut bytes = Vec::new();
    bolt::Request::default().encode(&mut bytes).unwrap();
    let Decoded::Frame(frame) = Bolt.decode(&bytes, &FrameLimits::NONE).unwrap() else { panic!() };
    let route = router.find(&Bolt, &frame, &bytes).unwrap().unwrap();
    let timeout = |timeout_ms| route.timeout(&Frame { timeout_ms, ..frame });
    assert_eq!(timeout(1500), Duration::from_millis(1500));
    for none in [0, -1, i32::MIN] {
        assert_eq!(timeout(none), Duration::from_secs(9));
    }
}

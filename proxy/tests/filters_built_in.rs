//! The filters that come with the proxy, put into a listener by its configuration.

mod common;

use std::time::Duration;

use common::wire::bolt_request;
use common::*;
use proxy::codec::Codec;
use proxy::codec::bolt::{Bolt, Version, status};
use reactor::time;

fn fault(config: &str) -> String {
    format!(r#", "stream_filters": [{{"type": "fault", "config": {config}}}]"#)
}

#[test]
fn a_fault_delays_and_then_aborts() {
    run_paused(async {
        let listener = fault(
            r#"{"delay": {"fixed_delay": "3s", "percentage": 100},
                "abort": {"status": 503, "percentage": 100}}"#,
        );
        let bed = Bed::new(Setup { listener: &listener, ..Setup::default() });
        let mut client = bed.client().await;
        let start = time::now();
        client.send(&request(1, b"x")).await;
        assert_eq!(client.frame().await.frame.status, status::SERVER_THREADPOOL_BUSY);
        assert_eq!((time::now() - start).as_secs(), 3);
        assert_eq!(bed.server.stats().sent, 0);
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_fault_hits_its_percentage_of_requests_and_a_seed_the_same_ones() {
    let aborted = |seed: u64| {
        let mut ids = Vec::new();
        run(async {
            let listener = fault(&format!(
                r#"{{"abort": {{"status": 403, "percentage": 20}}, "seed": {seed}}}"#
            ));
            let bed = Bed::new(Setup { listener: &listener, ..Setup::default() });
            let mut client = bed.client().await;
            let frames: Vec<u8> = (0..1000).flat_map(|id| request(id, b"")).collect();
            client.send(&frames).await;
            let mut host = bed.host.accept().await;
            reactor::spawn(async move { host.echo().await }).detach();
            for _ in 0..1000 {
                let back = client.frame().await;
                if back.frame.status == status::SERVER_EXCEPTION {
                    ids.push(back.id());
                }
            }
            drop(client);
            all_empty(&bed.server).await;
        });
        ids
    };
    let first = aborted(1);
    assert!((150..250).contains(&first.len()), "{} of 1000", first.len());
    assert_eq!(first, aborted(1));
    assert_ne!(first, aborted(2));
}

#[test]
fn a_fault_of_zero_percent_or_of_other_requests_hits_nobody() {
    for config in [
        r#"{"abort": {"status": 403, "percentage": 0}}"#,
        r#"{"abort": {"status": 403, "percentage": 100}, "upstream_cluster": "other"}"#,
        r#"{"abort": {"status": 403, "percentage": 100},
            "headers": [{"name": "service", "value": "other"}]}"#,
    ] {
        run(async {
            let listener = fault(config);
            let bed = Bed::new(Setup { listener: &listener, ..Setup::default() });
            let mut client = bed.client().await;
            client.send(&bolt_request(Version::V1, 1, false, b"x")).await;
            let mut host = bed.host.accept().await;
            let got = host.frame().await;
            host.answer(&got).await;
            assert_eq!(client.frame().await.frame.status, status::SUCCESS, "{config}");
        });
    }
}

#[test]
fn a_rate_limit_lets_its_burst_through_and_more_with_time() {
    run_paused(async {
        let listener = r#", "stream_filters": [{"type": "rate_limit",
            "config": {"requests_per_second": 2, "burst": 3}}]"#;
        let bed = Bed::new(Setup { listener, ..Setup::default() });
        let mut client = bed.client().await;
        let frames: Vec<u8> = (0..10).flat_map(|id| request(id, b"")).collect();
        client.send(&frames).await;
        let mut host = bed.host.accept().await;
        reactor::spawn(async move { host.echo().await }).detach();
        let mut passed = 0;
        for _ in 0..10 {
            passed += u32::from(client.frame().await.frame.status == status::SUCCESS);
        }
        assert_eq!((passed, bed.server.stats().overflow), (3, 7));
        time::sleep(Duration::from_millis(500)).await;
        client.send(&[request(1, b""), request(2, b"")].concat()).await;
        let mut statuses = [client.frame().await, client.frame().await].map(|f| f.frame.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [status::SUCCESS, status::SERVER_THREADPOOL_BUSY]);
    });
}

#[test]
fn headers_are_added_and_removed_and_the_checksum_is_that_of_the_new_frame() {
    run(async {
        let listener = r#", "stream_filters": [{"type": "headers", "config": {
            "request_headers_to_add": [{"header": {"key": "zone", "value": "z"}}],
            "request_headers_to_remove": ["service"],
            "response_headers_to_add": [{"header": {"key": "via", "value": "proxy"}}]}}]"#;
        let bed = Bed::new(Setup { listener, ..Setup::default() });
        let mut client = bed.client().await;
        let mut host = None;
        for version in [Version::V1, Version::V2, Version::V2Checksum] {
            client.send(&bolt_request(version, 9, false, b"content")).await;
            if host.is_none() {
                host = Some(bed.host.accept().await);
            }
            let host = host.as_mut().unwrap();
            // Decoding it checks its checksum.
            let got = host.frame().await;
            let header = |name: &[u8]| Bolt.header(&got.frame, &got.bytes, name).unwrap();
            assert_eq!((header(b"zone"), header(b"service")), (Some(&b"z"[..]), None));
            assert_eq!(got.content(), b"content");
            host.answer(&got).await;
            let back = client.frame().await;
            let via = Bolt.header(&back.frame, &back.bytes, b"via").unwrap();
            assert_eq!((back.id(), via, back.content()), (9, Some(&b"proxy"[..]), &b"content"[..]));
        }
    });
}

#[test]
fn headers_that_cannot_be_changed_leave_the_frame_as_it_is() {
    run(async {
        let listener = r#", "stream_filters": [{"type": "headers", "config": {
            "request_headers_to_add": [{"header": {"key": "zone", "value": "z"}}]}}]"#;
        let bed = Bed::new(Setup { listener, ..Setup::default() });
        let mut client = bed.client().await;
        let malformed = request_with(1, 0, &[0, 0, 0, 9, b'x'], b"x");
        client.send(&malformed).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        assert_eq!(got.under(1), malformed);
        host.answer(&got).await;
        assert_eq!(client.frame().await.id(), 1);
    });
}

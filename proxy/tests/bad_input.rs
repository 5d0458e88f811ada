//! What peers send that they should not: the connection at fault ends with one line in the log,
//! everybody else goes on, and all tables are empty afterwards.

mod common;

use std::rc::Rc;

use common::*;
use proxy::codec::Kind;
use proxy::codec::bolt::status;

/// Sends `bytes`, expects the proxy to close the connection and to say why once, and another client
/// to be served as if nothing had happened.
async fn closes_only_its_connection(bed: &Bed, bytes: &[u8], reason: &str) {
    let mut good = bed.client().await;
    good.send(&request(1, b"before")).await;
    let mut host = bed.host.accept().await;
    let before = host.frame().await;

    let mut bad = bed.client().await;
    let peer = bad.stream.local_addr().unwrap();
    bad.send(bytes).await;
    bad.closed().await;

    host.answer(&before).await;
    assert_eq!(good.frame().await.content(), b"before");
    good.send(&request(2, b"after")).await;
    let after = host.frame().await;
    host.answer(&after).await;
    assert_eq!(good.frame().await.content(), b"after");

    let lines = warnings();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(&peer.to_string()) && lines[0].contains(reason), "{lines:?}");
    assert_eq!(bed.server.stats().downstream_faulty, 1);
    drop((good, bad));
    all_empty(&bed.server).await;
}

#[test]
fn bytes_that_are_not_bolt_close_their_connection() {
    run(async {
        let bed = Bed::new(Setup::default());
        let reason = "protocol code 0x47, expected 0x01";
        closes_only_its_connection(&bed, b"GET / HTTP/1.1\r\n\r\n", reason).await;
    });
}

#[test]
fn an_announcement_of_4_gib_is_refused_from_the_fixed_header() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut bytes = request(1, b"");
        bytes.truncate(22);
        bytes[18..22].copy_from_slice(&u32::MAX.to_be_bytes());
        let reason = "frame of 4294967336 bytes announced, the limit is 8388608";
        closes_only_its_connection(&bed, &bytes, reason).await;
    });
}

#[test]
fn a_class_name_above_the_limit_is_refused() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut bytes = request(1, b"");
        bytes[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        closes_only_its_connection(&bed, &bytes, "class name of 65535 bytes, the limit is").await;
    });
}

#[test]
fn what_came_before_the_garbage_is_still_answered_as_far_as_it_can_be() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&[heartbeat(5), b"garbage".to_vec()].concat()).await;
        assert_eq!(client.frame().await.id(), 5);
        client.closed().await;
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_truncated_frame_is_named_as_such() {
    run(async {
        let bed = Bed::new(Setup::default());
        let client = bed.client().await;
        let whole = request(1, &[7; 100]);
        client.send(&whole[..50]).await;
        until(|| bed.server.stats().downstream_connections == 1).await;
        drop(client);
        until(|| bed.server.stats().downstream_faulty == 1).await;
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let expected = format!("after 50 of at least {} bytes", whole.len());
        assert!(lines[0].contains(&expected), "{lines:?}");
        all_empty(&bed.server).await;
    });
}

#[test]
fn the_configured_frame_limit_holds_to_the_byte() {
    run(async {
        let limits = r#""frame_bytes_max": 2000"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let fixed = request(1, b"").len();
        let mut fits = bed.client().await;
        fits.send(&request(1, &vec![1; 2000 - fixed])).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        assert_eq!(got.bytes.len(), 2000);
        host.answer(&got).await;
        // The answer's class name is longer than the request's by one, its fixed header shorter by
        // two: it is within the limit as well.
        assert_eq!(fits.frame().await.content().len(), 2000 - fixed);
        let mut too_long = bed.client().await;
        too_long.send(&request(1, &vec![1; 2001 - fixed])).await;
        too_long.closed().await;
        drop((fits, too_long));
        all_empty(&bed.server).await;
    });
}

#[test]
fn an_id_answered_twice_is_delivered_once() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(1, b"once")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        host.answer(&got).await;
        host.send(&response(0x00C0_FFEE, b"nobody asked")).await;
        host.send(&response(0x00C0_FFEE, b"nobody asked")).await;
        assert_eq!(client.frame().await.content(), b"once");
        client.send(&request(2, b"next")).await;
        let got = host.frame().await;
        host.answer(&got).await;
        let back = client.frame().await;
        assert_eq!((back.id(), back.content()), (2, &b"next"[..]), "and nothing in between");
        let stats = bed.server.stats();
        assert_eq!((stats.duplicate_answers, stats.unknown_answers), (1, 2), "{stats}");
        let lines = warnings();
        assert_eq!(lines.len(), 2, "one of each kind: {lines:?}");
        let address = bed.host.address().to_string();
        assert!(lines.iter().all(|line| line.contains(&address)), "{lines:?}");
        assert!(lines[0].contains("has had its answer"), "{lines:?}");
        assert!(lines[1].contains("no request is known under id 0xc0ffee"), "{lines:?}");
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn an_upstream_that_sends_garbage_is_closed_and_its_requests_are_answered() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(3, b"")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        host.send(b"\x01\x09").await;
        client.expect(3, status::CONNECTION_CLOSED).await;
        host.closed().await;
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let address = bed.host.address().to_string();
        assert!(lines[0].contains(&address) && lines[0].contains("frame type 9"), "{lines:?}");
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_request_from_the_upstream_side_is_refused_and_nothing_breaks() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(1, b"mine")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.send(&request(77, b"yours")).await;
        let refusal = host.frame().await;
        assert_eq!((refusal.id(), refusal.frame.status), (77, status::NO_PROCESSOR));
        host.send(&[oneway(78, b"told"), heartbeat(79)].concat()).await;
        assert_eq!(host.frame().await.frame.kind, Kind::HeartbeatAck, "a oneway is not answered");
        host.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"mine");
        assert_eq!(bed.server.stats().unexpected_frames, 2);
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let address = bed.host.address().to_string();
        assert!(lines[0].contains(&address) && lines[0].contains("of kind Request"), "{lines:?}");
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_host_that_asks_and_does_not_read_gets_no_answers_until_it_does() {
    run(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 1024"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let client = Rc::new(bed.client().await);
        let flooding = flood(&client, 600, 16 << 10);
        let mut host = bed.host.accept().await;
        until(|| bed.server.stats().stalls > 0).await;
        host.send(&[request(77, b""), oneway(78, b""), heartbeat(79)].concat()).await;
        until(|| bed.server.stats().unexpected_frames == 3).await;
        for _ in 0..600 {
            assert_eq!(host.frame().await.frame.kind, Kind::Request);
        }
        flooding.await.unwrap();
        host.send(&request(80, b"")).await;
        let refusal = host.frame().await;
        assert_eq!((refusal.id(), refusal.frame.status), (80, status::NO_PROCESSOR));
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_client_that_sends_answers_is_ignored() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        let peer = client.stream.local_addr().unwrap().to_string();
        client.send(&[response(1, b"?"), response(2, b"?"), heartbeat(3)].concat()).await;
        assert_eq!(client.frame().await.id(), 3);
        assert_eq!(bed.server.stats().unexpected_frames, 2);
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(&peer) && lines[0].contains("of kind Response"), "{lines:?}");
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn an_upstream_that_closes_within_an_answer_is_named_and_its_requests_are_answered() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(3, b"")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        let whole = response(got.id(), &[7; 100]);
        host.send(&whole[..60]).await;
        drop(host);
        client.expect(3, status::CONNECTION_CLOSED).await;
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let address = bed.host.address().to_string();
        assert!(lines[0].contains(&address) && lines[0].contains("truncated frame"), "{lines:?}");
        drop(client);
        all_empty(&bed.server).await;
    });
}

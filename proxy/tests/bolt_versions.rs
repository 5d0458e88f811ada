//! Both versions of Bolt through the proxy: mixed on a connection, with checksums, each answered in
//! its own.

mod common;

use common::scene::Scene;
use common::wire;
use common::*;
use proxy::codec::bolt::Version;
use proxy::codec::{Kind, Protocol};

#[test]
fn both_versions_of_bolt_share_one_connection_and_each_is_answered_in_its_own() {
    run(async {
        let mut scene = Scene::plain(Protocol::Bolt).await;
        let versions = [Version::V1, Version::V2, Version::V2Checksum];
        for (id, version) in versions.into_iter().enumerate() {
            scene.client.send(&wire::bolt_request(version, id as u32, false, b"question")).await;
        }
        let mut host = scene.host().await;
        for version in versions {
            let got = host.frame().await;
            // Reading it has checked its checksum, which is over its new id.
            assert_eq!(got.bytes, wire::bolt_request(version, got.id(), false, b"question"));
            host.send(&wire::bolt_response(version, got.id(), b"answer")).await;
        }
        for (id, version) in versions.into_iter().enumerate() {
            let back = scene.client.frame().await;
            assert_eq!(back.bytes, wire::bolt_response(version, id as u32, b"answer"));
        }
        assert_eq!(scene.bed.server.stats().upstream_connected, 1);
        scene.end().await;
    });
}

#[test]
fn heartbeats_and_refusals_of_bolt_are_in_the_version_of_their_frame() {
    run(async {
        let matching = r#"{"headers": [{"name": "service", "value": "another"}]}"#;
        let mut scene = Scene::new(Protocol::Bolt, Setup { matching, ..Setup::default() }).await;
        for version in [Version::V2Checksum, Version::V1, Version::V2] {
            let mut heartbeat = Vec::new();
            proxy::codec::bolt::push_heartbeat(version, 3, &mut heartbeat);
            let request = wire::bolt_request(version, 4, false, b"");
            let question = wire::decode(Protocol::Bolt, &request).origin;
            scene.client.send(&[heartbeat, request].concat()).await;
            for (kind, id, status) in [(Kind::HeartbeatAck, 3, 0), (Kind::Response, 4, 6)] {
                let got = scene.client.frame().await;
                assert_eq!((got.frame.kind, got.frame.status), (kind, status));
                let expected = proxy::codec::Origin { id, ..question };
                assert_eq!(got.frame.origin, expected, "{version:?}");
            }
        }
        scene.end().await;
    });
}

#[test]
fn a_bad_checksum_closes_the_connection_it_came_on() {
    run(async {
        let mut scene = Scene::plain(Protocol::Bolt).await;
        let mut bad = wire::bolt_request(Version::V2Checksum, 1, false, b"question");
        *bad.last_mut().unwrap() ^= 1;
        let mut other = scene.bed.client().await;
        other.send(&bad).await;
        other.closed().await;
        let lines = warnings();
        assert!(lines.len() == 1 && lines[0].contains("checksum 0x"), "{lines:?}");

        scene.client.send(&wire::bolt_request(Version::V2Checksum, 2, false, b"good")).await;
        let mut host = scene.host().await;
        let got = host.frame().await;
        let mut bad = wire::bolt_response(Version::V2Checksum, got.id(), b"answer");
        bad[22] ^= 1;
        host.send(&bad).await;
        host.closed().await;
        assert_eq!(scene.status().await, (2, 0x10));
        drop(other);
        scene.end().await;
    });
}

//! Bolt v2 as bytes: the layout, the checksum, and answers in the version of their questions.

mod common;

use common::wire::{self, bolt_request, bolt_response};
use proxy::codec::bolt::{Bolt, Version, push_heartbeat};
use proxy::codec::{Codec, CodecError, Decoded, FrameLimits, Kind, LocalReply, Origin, Problem};
use proxy::codec::{Frame, Protocol};

/// A request without a checksum, written out by hand.
const REQUEST: [u8; 24 + 1 + 10 + 3] = [
    2, 1, 1, 0, 1, 1, // protocol, revision, request, command request, version
    0x11, 0x22, 0x33, 0x44, // id
    1, 0, // hessian2, no switches
    0, 0, 0x0B, 0xB8, // 3,000 ms
    0, 1, 0, 10, 0, 0, 0, 3, // lengths
    b'C', 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v', 7, 8, 9,
];

/// A response with a checksum, written out by hand; its CRC32 was computed by zlib.
const RESPONSE: [u8; 22 + 2 + 4] = [
    2, 2, 0, 0, 2, 1, // protocol, revision, response, command response, version
    0, 0, 0, 5, // id
    11, 1, // protobuf, checksum
    0, 7, // status
    0, 0, 0, 0, 0, 0, 0, 2, // lengths
    5, 6, // content
    CRC[0], CRC[1], CRC[2], CRC[3],
];
const CRC: [u8; 4] = [0x95, 0xC2, 0xEF, 0x6C];

fn whole(bytes: &[u8]) -> Frame {
    wire::decode(Protocol::Bolt, bytes)
}

#[test]
fn a_request_written_by_hand_is_read_field_by_field() {
    let frame = whole(&REQUEST);
    assert_eq!(frame.kind, Kind::Request);
    let origin = Origin { id: 0x1122_3344, version: 2, revision: 1, switches: 0, serialization: 1 };
    assert_eq!((frame.origin, frame.timeout_ms), (origin, 3000));
    assert_eq!(&REQUEST[frame.class.range()], b"C");
    assert_eq!(Bolt.header(&frame, &REQUEST, b"k"), Ok(Some(&b"v"[..])));
    assert_eq!(&REQUEST[frame.content.range()], [7, 8, 9]);
    assert_eq!(frame.total_bytes, REQUEST.len());
}

#[test]
fn a_response_written_by_hand_is_read_field_by_field() {
    let frame = whole(&RESPONSE);
    assert_eq!((frame.kind, frame.status), (Kind::Response, 7));
    let origin = Origin { id: 5, version: 2, revision: 2, switches: 1, serialization: 11 };
    assert_eq!(frame.origin, origin);
    assert_eq!(&RESPONSE[frame.content.range()], [5, 6]);
    assert_eq!(frame.total_bytes, RESPONSE.len(), "the checksum is part of the frame");
}

#[test]
fn a_frame_is_whole_with_the_last_byte_of_its_checksum() {
    for cut in 0..RESPONSE.len() {
        match Bolt.decode(&RESPONSE[..cut], &FrameLimits::NONE) {
            Ok(Decoded::Incomplete { need_bytes }) => {
                assert!(need_bytes > cut && need_bytes <= RESPONSE.len());
                assert!(cut < 22 || need_bytes == RESPONSE.len());
            }
            other => panic!("{other:?} at {cut}"),
        }
    }
}

#[test]
fn the_checksum_counts_against_the_frame_limit() {
    let limits = |bytes| FrameLimits { frame_bytes_max: bytes, header_bytes_max: 100 };
    assert!(Bolt.decode(&RESPONSE, &limits(RESPONSE.len())).is_ok());
    let error = Bolt.decode(&RESPONSE[..22], &limits(RESPONSE.len() - 1)).unwrap_err();
    let problem = Problem::FrameTooLong { bytes: 28, bytes_max: 27 };
    assert_eq!(error, CodecError { at_byte: 18, problem });
}

#[test]
fn any_changed_bit_under_a_checksum_is_noticed() {
    for at in 0..RESPONSE.len() {
        for bit in 0..8 {
            let mut bytes = RESPONSE;
            bytes[at] ^= 1 << bit;
            let decoded = Bolt.decode(&bytes, &FrameLimits::NONE);
            // Without its switch or revision the frame has no checksum: it ends before it.
            let switched_off = at < 2 || (at == 11 && bit == 0);
            if let (Ok(Decoded::Frame(frame)), false) = (decoded, switched_off) {
                panic!("{frame:?} with bit {bit} of byte {at} changed");
            }
        }
    }
    let mut bytes = RESPONSE;
    bytes[27] ^= 1;
    let error = Bolt.decode(&bytes, &FrameLimits::NONE).unwrap_err();
    assert_eq!(error.at_byte, 24);
    assert!(error.to_string().contains("checksum 0x"), "{error}");
}

#[test]
fn a_checksum_needs_both_the_revision_and_the_switch() {
    for (revision, switches, checksum_bytes) in
        [(1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 2, 0), (2, 1, 4), (2, 3, 4)]
    {
        let mut bytes = REQUEST.to_vec();
        (bytes[1], bytes[11]) = (revision, switches);
        let need_bytes = match Bolt.decode(&bytes[..24], &FrameLimits::NONE) {
            Ok(Decoded::Incomplete { need_bytes }) => need_bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(need_bytes, REQUEST.len() + checksum_bytes, "{revision} {switches}");
    }
}

#[test]
fn a_new_id_brings_a_new_checksum_and_changes_nothing_else() {
    let mut bytes = RESPONSE;
    Bolt.set_id(&mut bytes, 0x7FFF_FFFF);
    assert_eq!(whole(&bytes).origin.id, 0x7FFF_FFFF);
    assert_eq!((&bytes[..6], &bytes[10..24]), (&RESPONSE[..6], &RESPONSE[10..24]));
    assert_ne!(bytes[24..], CRC);
    Bolt.set_id(&mut bytes, 5);
    assert_eq!(bytes, RESPONSE);
}

#[test]
fn answers_of_the_proxy_are_in_the_version_of_the_question() {
    for version in [Version::V1, Version::V2, Version::V2Checksum] {
        let question = whole(&bolt_request(version, 9, false, b"?")).origin;
        let mut out = Vec::new();
        Bolt.local_reply(question, b"", LocalReply::Timeout, &mut out);
        let answer = whole(&out);
        assert_eq!((answer.kind, answer.status, answer.origin), (Kind::Response, 7, question));
        assert_eq!(answer.total_bytes, out.len());

        let (mut heartbeat, mut ack) = (Vec::new(), Vec::new());
        push_heartbeat(version, 9, &mut heartbeat);
        Bolt.heartbeat_ack(whole(&heartbeat).origin, &mut ack);
        let answer = whole(&ack);
        assert_eq!((answer.kind, answer.status, answer.origin), (Kind::HeartbeatAck, 0, question));
    }
}

#[test]
fn an_empty_answer_without_a_checksum_has_22_bytes() {
    let mut out = Vec::new();
    let question = whole(&REQUEST).origin;
    Bolt.local_reply(question, b"", LocalReply::NoRoute, &mut out);
    assert_eq!(out, [2, 1, 0, 0, 2, 1, 0x11, 0x22, 0x33, 0x44, 1, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn what_is_encoded_is_read_again_in_every_version() {
    for version in [Version::V1, Version::V2, Version::V2Checksum] {
        let frame = bolt_request(version, 7, true, b"content");
        assert_eq!(whole(&frame).kind, Kind::Oneway);
        let frame = bolt_response(version, 7, b"content");
        let found = whole(&frame);
        assert_eq!((found.kind, &frame[found.content.range()]), (Kind::Response, &b"content"[..]));
    }
}

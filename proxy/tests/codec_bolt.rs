//! Bolt v1 as bytes: the layout, every way to cut it, and what hostile bytes do.

use proptest::prelude::*;
use proxy::codec::bolt::{self, Bolt, Request, Response, Version, push_header, status};
use proxy::codec::{
    Codec, CodecError, Decoded, Frame, FrameLimits, Kind, LocalReply, Origin, Problem,
};

const LIMITS: FrameLimits = FrameLimits { frame_bytes_max: 1 << 20, header_bytes_max: 32767 };

fn whole(bytes: &[u8]) -> Frame {
    match Bolt.decode(bytes, &LIMITS) {
        Ok(Decoded::Frame(frame)) => frame,
        other => panic!("{other:?} of {bytes:?}"),
    }
}

fn refused(bytes: &[u8]) -> CodecError {
    Bolt.decode(bytes, &LIMITS).expect_err("bytes that are no frame")
}

/// A request written out by hand, field by field.
const REQUEST: [u8; 22 + 1 + 10 + 3] = [
    1, 1, 0, 1, 1, // protocol, request, command request, version
    0x11, 0x22, 0x33, 0x44, // id
    1,    // hessian2
    0, 0, 0x0B, 0xB8, // 3,000 ms
    0, 1, 0, 10, 0, 0, 0, 3, // lengths
    b'C', 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v', 7, 8, 9,
];

/// A response likewise.
const RESPONSE: [u8; 20 + 2] =
    [1, 0, 0, 2, 1, 0xFF, 0xFF, 0xFF, 0xFE, 11, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 5, 6];

#[test]
fn a_request_written_by_hand_is_read_field_by_field() {
    let frame = whole(&REQUEST);
    assert_eq!(frame.kind, Kind::Request);
    assert_eq!(
        frame.origin,
        Origin { id: 0x1122_3344, version: 1, serialization: 1, ..Origin::default() }
    );
    assert_eq!((frame.timeout_ms, frame.status), (3000, 0));
    assert_eq!(&REQUEST[frame.class.range()], b"C");
    assert_eq!(Bolt.header(&frame, &REQUEST, b"k"), Ok(Some(&b"v"[..])));
    assert_eq!(Bolt.header(&frame, &REQUEST, b"x"), Ok(None));
    assert_eq!(&REQUEST[frame.content.range()], [7, 8, 9]);
    assert_eq!(frame.total_bytes, REQUEST.len());
}

#[test]
fn a_response_written_by_hand_is_read_field_by_field() {
    let frame = whole(&RESPONSE);
    assert_eq!(frame.kind, Kind::Response);
    assert_eq!(
        frame.origin,
        Origin { id: 0xFFFF_FFFE, version: 1, serialization: 11, ..Origin::default() }
    );
    assert_eq!((frame.timeout_ms, frame.status), (0, 7));
    assert_eq!(&RESPONSE[frame.content.range()], [5, 6]);
}

#[test]
fn encoding_gives_the_bytes_written_by_hand() {
    let mut header = Vec::new();
    push_header(b"k", b"v", &mut header);
    let mut out = Vec::new();
    Request {
        id: 0x1122_3344,
        oneway: false,
        timeout_ms: 3000,
        class: b"C",
        header: &header,
        content: &[7, 8, 9],
    }
    .encode(&mut out)
    .unwrap();
    assert_eq!(out, REQUEST);
}

#[test]
fn type_and_command_together_say_the_kind() {
    let kinds = [
        ((1, 1), Kind::Request),
        ((2, 1), Kind::Oneway),
        ((1, 0), Kind::Heartbeat),
        ((1, 100), Kind::GoAway),
        ((2, 100), Kind::GoAway),
    ];
    for ((frame_type, command), kind) in kinds {
        let mut bytes = REQUEST;
        (bytes[1], bytes[3]) = (frame_type, command);
        assert_eq!(whole(&bytes).kind, kind, "type {frame_type} command {command}");
    }
    let mut ack = RESPONSE;
    ack[3] = 0;
    assert_eq!(whole(&ack).kind, Kind::HeartbeatAck);
}

#[test]
fn every_other_pair_of_type_and_command_is_refused() {
    for (frame_type, command) in [(0, 1), (0, 100), (1, 2), (1, 3), (2, 0), (2, 2), (1, 101)] {
        let mut bytes = REQUEST;
        (bytes[1], bytes[3]) = (frame_type, command);
        let problem = Problem::Command { found: command.into(), frame_type };
        assert_eq!(refused(&bytes), CodecError { at_byte: 2, problem });
    }
}

#[test]
fn what_is_wrong_in_the_first_bytes_is_refused_there() {
    assert_eq!(
        refused(b"G").to_string(),
        "byte 0 of the frame: protocol code 0x47, expected 0x01 or 0x02"
    );
    assert!(matches!(refused(&[1, 3]).problem, Problem::FrameType { found: 3, .. }));
    assert_eq!(refused(&[1, 1, 0, 9]).at_byte, 2);
}

#[test]
fn lengths_above_the_limits_are_refused_from_the_fixed_header_alone() {
    let fixed = |class: u16, header: u16, content: u32| {
        let mut bytes = REQUEST[..22].to_vec();
        bytes[14..16].copy_from_slice(&class.to_be_bytes());
        bytes[16..18].copy_from_slice(&header.to_be_bytes());
        bytes[18..22].copy_from_slice(&content.to_be_bytes());
        bytes
    };
    assert_eq!(
        (refused(&fixed(32768, 0, 0)).at_byte, refused(&fixed(0, 32768, 0)).at_byte),
        (14, 16)
    );
    let most = (1 << 20) - 22;
    assert_eq!(
        Bolt.decode(&fixed(0, 0, most), &LIMITS),
        Ok(Decoded::Incomplete { need_bytes: 1 << 20 })
    );
    for content in [most + 1, u32::MAX] {
        let problem = Problem::FrameTooLong { bytes: u64::from(content) + 22, bytes_max: 1 << 20 };
        assert_eq!(refused(&fixed(0, 0, content)), CodecError { at_byte: 18, problem });
    }
    // The sum of all three does not overflow.
    let widest = FrameLimits { frame_bytes_max: usize::MAX, header_bytes_max: 65535 };
    assert!(Bolt.decode(&fixed(65535, 65535, u32::MAX), &widest).is_ok());
}

#[test]
fn the_id_is_rewritten_in_place_and_nothing_else() {
    for (mut bytes, id) in [(REQUEST.to_vec(), 0u64), (RESPONSE.to_vec(), u32::MAX.into())] {
        let before = bytes.clone();
        Bolt.set_id(&mut bytes, id);
        assert_eq!(whole(&bytes).origin.id, id);
        assert_eq!((&bytes[..5], &bytes[9..]), (&before[..5], &before[9..]));
    }
}

#[test]
fn a_heartbeat_is_acknowledged_under_its_id() {
    let mut heartbeat = Vec::new();
    bolt::push_heartbeat(Version::V1, 42, &mut heartbeat);
    assert_eq!(heartbeat.len(), 22);
    let mut ack = Vec::new();
    Bolt.heartbeat_ack(whole(&heartbeat).origin, &mut ack);
    assert_eq!(ack, [1, 0, 0, 0, 1, 0, 0, 0, 42, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_proxys_own_answers_have_the_status_of_the_table() {
    let table = [
        (LocalReply::NoRoute, status::NO_PROCESSOR, 6),
        (LocalReply::NoProcessor, status::NO_PROCESSOR, 6),
        (LocalReply::NoUpstream, status::CONNECTION_CLOSED, 0x10),
        (LocalReply::UpstreamLost, status::CONNECTION_CLOSED, 0x10),
        (LocalReply::Timeout, status::TIMEOUT, 7),
        (LocalReply::Overflow, status::SERVER_THREADPOOL_BUSY, 4),
        (LocalReply::BadHeader, status::CODEC_EXCEPTION, 9),
        (LocalReply::Denied, status::SERVER_EXCEPTION, 2),
    ];
    for (reply, name, code) in table {
        assert_eq!(name, code);
        let mut out = Vec::new();
        Bolt.local_reply(whole(&REQUEST).origin, b"", reply, &mut out);
        let frame = whole(&out);
        assert_eq!((frame.kind, frame.status), (Kind::Response, code), "{reply:?}");
        assert_eq!(frame.origin, whole(&REQUEST).origin);
        assert_eq!(out.len(), 20);
    }
}

#[test]
fn a_header_map_knows_null_and_the_first_of_two() {
    let mut header = Vec::new();
    push_header(b"a", b"1", &mut header);
    push_header(b"a", b"2", &mut header);
    header.extend_from_slice(b"\0\0\0\x01n\xFF\xFF\xFF\xFF");
    header.extend_from_slice(b"\xFF\xFF\xFF\xFF\0\0\0\x01x");
    push_header(b"", b"", &mut header);
    let bytes = with_header(&header);
    let frame = whole(&bytes);
    assert_eq!(Bolt.header(&frame, &bytes, b"a"), Ok(Some(&b"1"[..])));
    assert_eq!(Bolt.header(&frame, &bytes, b"n"), Ok(None));
    assert_eq!(Bolt.header(&frame, &bytes, b""), Ok(Some(&b""[..])));
}

#[test]
fn a_malformed_header_map_is_an_error_whatever_is_asked() {
    for (map, at) in [
        (&b"\0\0\0\x09x"[..], 0),
        (b"\0\0\0\x01k", 5),
        (b"\0\0\0\x01k\0\0\0\x02v", 5),
        (b"\0\0\0\x01k\0\0\0\x01v\0", 10),
        (b"\x7F\xFF\xFF\xFF", 0),
    ] {
        let bytes = with_header(map);
        let frame = whole(&bytes);
        let error = Bolt.header(&frame, &bytes, b"k").unwrap_err();
        assert_eq!(error.at_byte, 22 + at, "{map:?}: {error}");
    }
}

#[test]
fn sections_that_do_not_fit_are_refused_when_encoding() {
    let long = vec![0; 32768];
    let request = |class, header| Request {
        id: 1,
        oneway: false,
        timeout_ms: 0,
        class,
        header,
        content: b"",
    };
    let mut out = Vec::new();
    assert_eq!(request(&long, b"").encode(&mut out).unwrap_err().section, "class name");
    assert_eq!(request(b"", &long).encode(&mut out).unwrap_err().section, "header map");
    assert!(out.is_empty());
}

fn with_header(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let request =
        Request { id: 1, oneway: false, timeout_ms: 0, class: b"", header, content: b"end" };
    request.encode(&mut out).unwrap();
    out
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

proptest! {
    #[test]
    fn requests_survive_the_round_trip(
        id: u32, oneway: bool, timeout_ms: i32, class in bytes(50), content in bytes(3000),
        map in prop::collection::btree_map(bytes(20), bytes(20), 0..10),
    ) {
        let mut header = Vec::new();
        for (key, value) in &map {
            push_header(key, value, &mut header);
        }
        let mut out = Vec::new();
        Request { id, oneway, timeout_ms, class: &class, header: &header, content: &content }
            .encode(&mut out)
            .unwrap();
        let frame = whole(&out);
        prop_assert_eq!(frame.kind, if oneway { Kind::Oneway } else { Kind::Request });
        prop_assert_eq!((frame.origin.id, frame.timeout_ms), (id.into(), timeout_ms));
        prop_assert_eq!(&out[frame.class.range()], class);
        prop_assert_eq!(&out[frame.content.range()], content);
        for (key, value) in &map {
            prop_assert_eq!(Bolt.header(&frame, &out, key), Ok(Some(&value[..])));
        }
    }

    #[test]
    fn responses_survive_the_round_trip(
        id: u32, status: u16, class in bytes(50), header in bytes(50), content in bytes(3000),
    ) {
        let mut out = Vec::new();
        Response { id, status, class: &class, header: &header, content: &content }
            .encode(&mut out)
            .unwrap();
        let frame = whole(&out);
        prop_assert_eq!((frame.kind, frame.status), (Kind::Response, status));
        prop_assert_eq!(&out[frame.content.range()], content);
    }

    #[test]
    fn every_beginning_of_a_frame_asks_for_more_and_never_too_much(
        content in bytes(300), behind in bytes(50), response: bool,
    ) {
        let mut frame = if response { RESPONSE[..16].to_vec() } else { REQUEST[..18].to_vec() };
        let lengths = frame.len() - 4;
        frame[lengths..].fill(0);
        frame.extend_from_slice(&(content.len() as u32).to_be_bytes());
        frame.extend_from_slice(&content);
        for cut in 0..frame.len() {
            match Bolt.decode(&frame[..cut], &LIMITS) {
                Ok(Decoded::Incomplete { need_bytes }) => {
                    prop_assert!(need_bytes > cut && need_bytes <= frame.len());
                }
                other => prop_assert!(false, "{:?} at {}", other, cut),
            }
        }
        let total = frame.len();
        frame.extend_from_slice(&behind);
        prop_assert_eq!(whole(&frame).total_bytes, total);
    }

    #[test]
    fn mutated_frames_never_panic_and_never_reach_beyond_themselves(
        content in bytes(200), at in any::<prop::sample::Index>(), value: u8, more in bytes(8),
    ) {
        let mut frame = with_header(b"\0\0\0\x01k\0\0\0\x01v");
        frame.extend_from_slice(&content);
        let at = at.index(frame.len());
        frame[at] = value;
        for (n, byte) in more.into_iter().enumerate() {
            let place = (at + 3 * n) % frame.len();
            frame[place] = byte;
        }
        if let Ok(Decoded::Frame(found)) = Bolt.decode(&frame, &LIMITS) {
            prop_assert!(found.total_bytes <= frame.len());
            prop_assert_eq!(found.content.range().end, found.total_bytes);
            let _ = Bolt.header(&found, &frame, b"k");
        }
    }

    #[test]
    fn random_bytes_never_panic(mut noise in bytes(200), valid_start: bool) {
        if valid_start && noise.len() > 4 {
            noise[..4].copy_from_slice(&REQUEST[..4]);
        }
        if let Ok(Decoded::Incomplete { need_bytes }) = Bolt.decode(&noise, &LIMITS) {
            prop_assert!(need_bytes > noise.len() && need_bytes <= LIMITS.frame_bytes_max);
        }
    }
}

//! Dubbo as bytes: the layout, events, and the names that a call begins with.

mod common;

use common::wire;
use proxy::codec::dubbo::{Dubbo, push_call, push_heartbeat, push_string, status_of};
use proxy::codec::{Codec, CodecError, Decoded, Frame, FrameLimits, Kind, LocalReply, Problem};
use proxy::codec::{Origin, Protocol};

/// A call written out by hand.
const REQUEST: [u8; 16 + 16] = [
    0xDA, 0xBB, 0xC2, 0, // magic, two-way request in hessian2
    1, 2, 3, 4, 5, 6, 7, 8, // id
    0, 0, 0, 16, // length of the body
    5, b'2', b'.', b'0', b'.', b'2', 2, b'a', b'B', 1, b'1', 3, b'g', b'e', b't', b'N',
];

/// An answer written out by hand.
const RESPONSE: [u8; 16 + 2] =
    [0xDA, 0xBB, 0x02, 20, 0xFF, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x94, 0x91];

fn whole(bytes: &[u8]) -> Frame {
    wire::decode(Protocol::Dubbo, bytes)
}

fn with(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut out = REQUEST[..16].to_vec();
    (out[2], out[15]) = (flags, body.len() as u8);
    out.extend_from_slice(body);
    out
}

fn name(bytes: &[u8], name: &str) -> Result<Option<String>, CodecError> {
    let found = Dubbo.header(&whole(bytes), bytes, name.as_bytes())?;
    Ok(found.map(|text| String::from_utf8(text.to_vec()).unwrap()))
}

#[test]
fn a_call_written_by_hand_is_read_field_by_field() {
    let frame = whole(&REQUEST);
    assert_eq!((frame.kind, frame.status, frame.timeout_ms), (Kind::Request, 0, 0));
    let origin = Origin { id: 0x0102_0304_0506_0708, serialization: 2, ..Origin::default() };
    assert_eq!(frame.origin, origin);
    assert_eq!((frame.content.start, frame.content.bytes), (16, 16));
    for (key, value) in [("dubbo", "2.0.2"), ("service", "aB"), ("version", "1"), ("method", "get")]
    {
        assert_eq!(name(&REQUEST, key), Ok(Some(value.to_owned())));
    }
    assert_eq!(name(&REQUEST, "group"), Ok(None));
}

#[test]
fn an_answer_written_by_hand_is_read_field_by_field() {
    let frame = whole(&RESPONSE);
    assert_eq!((frame.kind, frame.status), (Kind::Response, 20));
    assert_eq!(frame.origin.id, 0xFF00_0000_0000_0001);
    assert_eq!(&RESPONSE[frame.content.range()], [0x94, 0x91]);
}

#[test]
fn flags_and_body_say_the_kind() {
    for (flags, body, kind) in [
        (0xC2, &b"x"[..], Kind::Request),
        (0x82, b"x", Kind::Oneway),
        (0xE2, b"N", Kind::Heartbeat),
        (0xE6, b"null", Kind::Heartbeat),
        (0xA2, b"\x01R", Kind::GoAway),
        (0xE2, b"\x01R", Kind::GoAway),
        (0xA2, b"N", Kind::Notice),
        (0xA2, b"\x01W", Kind::Notice),
        (0x02, b"x", Kind::Response),
        (0x22, b"N", Kind::HeartbeatAck),
        (0x62, b"N", Kind::HeartbeatAck),
    ] {
        assert_eq!(whole(&with(flags, body)).kind, kind, "{flags:#04x} {body:?}");
    }
}

#[test]
fn what_is_wrong_in_the_first_bytes_is_refused_there() {
    for (bytes, at_byte) in [(&b"G"[..], 0), (&[0xDA, 0xBA], 1)] {
        let error = Dubbo.decode(bytes, &FrameLimits::NONE).unwrap_err();
        assert_eq!(error.at_byte, at_byte, "{error}");
    }
}

#[test]
fn a_length_above_the_limit_is_refused_from_the_fixed_header_alone() {
    let limits = FrameLimits { frame_bytes_max: 1000, header_bytes_max: 100 };
    let announcing = |body: u32| {
        let mut bytes = REQUEST[..16].to_vec();
        bytes[12..].copy_from_slice(&body.to_be_bytes());
        Dubbo.decode(&bytes, &limits)
    };
    assert_eq!(announcing(984), Ok(Decoded::Incomplete { need_bytes: 1000 }));
    for body in [985, u32::MAX] {
        let problem = Problem::FrameTooLong { bytes: u64::from(body) + 16, bytes_max: 1000 };
        assert_eq!(announcing(body), Err(CodecError { at_byte: 12, problem }));
    }
}

#[test]
fn the_id_is_rewritten_in_place_and_nothing_else() {
    let mut bytes = REQUEST;
    Dubbo.set_id(&mut bytes, u64::MAX - 1);
    assert_eq!(whole(&bytes).origin.id, u64::MAX - 1);
    assert_eq!((&bytes[..4], &bytes[12..]), (&REQUEST[..4], &REQUEST[12..]));
}

#[test]
fn a_call_whose_names_cannot_be_read_is_an_error_whatever_is_asked() {
    for (body, at_byte, part) in [
        (&b""[..], 16, "version of Dubbo: the frame ends before it"),
        (b"\x0512", 16, "version of Dubbo: no whole string begins with 0x05"),
        (b"\x011\x91", 18, "service: no whole string begins with 0x91"),
        (b"\x011\x01s\x011", 22, "method: the frame ends before it"),
        (b"\x011\x01s\x011R\0\x01m", 22, "method: no whole string begins with 0x52"),
    ] {
        let bytes = with(0xC2, body);
        let error = name(&bytes, "dubbo").unwrap_err();
        assert_eq!(error.at_byte, at_byte, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn another_serialization_is_not_looked_into() {
    let bytes = with(0xC6, b"\"2.0.2\"\n\"aB\"\n");
    let error = name(&bytes, "service").unwrap_err();
    assert!(error.to_string().contains("serialization 6, only 2 (hessian2)"), "{error}");
}

#[test]
fn a_null_version_is_none() {
    assert_eq!(name(&with(0xC2, b"\x011\x01sN\x01m"), "version"), Ok(None));
}

#[test]
fn names_of_any_length_are_read_as_they_were_written() {
    for length in [0, 31, 32, 1023, 1024, 5000] {
        let (service, mut body) = ("s".repeat(length), Vec::new());
        push_call(&service, "1.0", "m", &mut body);
        let mut bytes = Vec::new();
        proxy::codec::dubbo::Request { id: 1, oneway: false, body: &body }.encode(&mut bytes);
        assert_eq!(name(&bytes, "service"), Ok(Some(service)));
        assert_eq!(name(&bytes, "method"), Ok(Some("m".to_owned())));
    }
}

#[test]
fn a_heartbeat_is_acknowledged_under_its_id() {
    let mut heartbeat = Vec::new();
    push_heartbeat(42, &mut heartbeat);
    assert_eq!(heartbeat, [0xDA, 0xBB, 0xE2, 0, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 1, b'N']);
    let mut ack = Vec::new();
    Dubbo.heartbeat_ack(whole(&heartbeat).origin, &mut ack);
    assert_eq!(ack, [0xDA, 0xBB, 0x22, 20, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 1, b'N']);
}

#[test]
fn the_proxys_own_answers_have_the_status_of_the_table_and_say_why() {
    for (reply, code) in [
        (LocalReply::NoRoute, 60),
        (LocalReply::NoProcessor, 60),
        (LocalReply::NoUpstream, 60),
        (LocalReply::Timeout, 30),
        (LocalReply::Overflow, 40),
        (LocalReply::BadHeader, 40),
        (LocalReply::UpstreamLost, 70),
        (LocalReply::Denied, 80),
    ] {
        assert_eq!(status_of(reply), code, "{reply:?}");
        let (mut out, mut text) = (Vec::new(), Vec::new());
        Dubbo.local_reply(whole(&REQUEST).origin, b"", reply, &mut out);
        let frame = whole(&out);
        assert_eq!((frame.kind, frame.status), (Kind::Response, code.into()), "{reply:?}");
        assert_eq!(frame.origin, whole(&REQUEST).origin);
        push_string(reply.text(), &mut text);
        // A length below 32 may be written in one byte or in two.
        assert!(out.ends_with(&text[1..]) && out.len() <= 16 + 2 + reply.text().len(), "{out:?}");
    }
}

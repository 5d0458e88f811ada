//! Thrift as bytes: the layout, names, and exceptions.

mod common;

use common::wire;
use proxy::codec::thrift::{METHOD_BYTES_MAX, Message, MessageType, Thrift, exception_of};
use proxy::codec::{Codec, CodecError, Decoded, Frame, FrameLimits, Kind, LocalReply, Problem};
use proxy::codec::{Origin, Protocol};

/// A call written out by hand: `add(1: i32 7)` of the service `S`.
const CALL: [u8; 4 + 8 + 5 + 4 + 8] = [
    0, 0, 0, 25, // length
    0x80, 1, 0, 1, // version, call
    0, 0, 0, 5, b'S', b':', b'a', b'd', b'd', // name
    0xFF, 0xFF, 0xFF, 0xFE, // id -2
    8, 0, 1, 0, 0, 0, 7, 0,
];

fn whole(bytes: &[u8]) -> Frame {
    wire::decode(Protocol::Thrift, bytes)
}

fn refused(bytes: &[u8]) -> CodecError {
    let limits = FrameLimits { frame_bytes_max: 100_000, header_bytes_max: 32_767 };
    Thrift.decode(bytes, &limits).expect_err("bytes that are no frame")
}

fn named(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Message { name, id: 1, body: &[0], ..Message::default() }.encode(&mut out);
    out
}

#[test]
fn a_call_written_by_hand_is_read_field_by_field() {
    let frame = whole(&CALL);
    assert_eq!((frame.kind, frame.status, frame.timeout_ms), (Kind::Request, 0, 0));
    assert_eq!(frame.origin, Origin { id: 0xFFFF_FFFE, ..Origin::default() });
    assert_eq!(&CALL[frame.content.range()], [8, 0, 1, 0, 0, 0, 7, 0]);
    assert_eq!(Thrift.header(&frame, &CALL, b"method"), Ok(Some(&b"add"[..])));
    assert_eq!(Thrift.header(&frame, &CALL, b"service"), Ok(Some(&b"S"[..])));
    assert_eq!(Thrift.header(&frame, &CALL, b"version"), Ok(None));
    assert_eq!(&CALL[Thrift.repeated(&frame).range()], b"add");
}

#[test]
fn encoding_gives_the_bytes_written_by_hand() {
    let mut out = Vec::new();
    let body = [8, 0, 1, 0, 0, 0, 7, 0];
    Message { message_type: MessageType::Call, id: -2, name: b"S:add", body: &body }
        .encode(&mut out);
    assert_eq!(out, CALL);
}

#[test]
fn the_type_says_the_kind() {
    for (message_type, kind, status) in [
        (1, Kind::Request, 0),
        (2, Kind::Response, 2),
        (3, Kind::Response, 3),
        (4, Kind::Oneway, 0),
    ] {
        let mut bytes = CALL;
        bytes[7] = message_type;
        assert_eq!((whole(&bytes).kind, whole(&bytes).status), (kind, status));
    }
}

#[test]
fn a_name_without_a_service_is_the_method() {
    for (name, service, method) in [
        (&b"add"[..], None, &b"add"[..]),
        (b":add", None, b"add"),
        (b"S:", Some(&b"S"[..]), b""),
        (b"S:a:b", Some(b"S"), b"a:b"),
        (b"", None, b""),
    ] {
        let bytes = named(name);
        let frame = whole(&bytes);
        assert_eq!(Thrift.header(&frame, &bytes, b"service"), Ok(service), "{name:?}");
        assert_eq!(Thrift.header(&frame, &bytes, b"method"), Ok(Some(method)), "{name:?}");
    }
}

#[test]
fn other_protocols_of_thrift_are_refused_by_their_first_bytes() {
    // Compact, THeader, and a binary message without its version.
    for (bytes, at_byte) in [
        (&b"\0\0\0\x19\x82\x21"[..], 4),
        (b"\0\0\0\x19\x0F\xFF", 4),
        (b"\0\0\0\x19\0\0\0\x03", 4),
        (b"\0\0\0\x19\x80\x02", 5),
        (b"\0\0\0\x19\x80\x01\0\x05", 7),
        (b"\0\0\0\x19\x80\x01\0\0", 7),
    ] {
        assert_eq!(refused(bytes).at_byte, at_byte, "{bytes:?}");
    }
    let error = refused(b"\0\0\0\x19\x82");
    assert!(error.to_string().contains("0x82, expected 0x80 (strict binary"), "{error}");
}

#[test]
fn lengths_that_cannot_be_are_refused_as_soon_as_they_are_there() {
    let mut bytes = CALL[..8].to_vec();
    bytes[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    let problem = Problem::FrameTooLong { bytes: 4 + u64::from(u32::MAX), bytes_max: 100_000 };
    assert_eq!(refused(&bytes), CodecError { at_byte: 0, problem });
    bytes[..4].copy_from_slice(&11u32.to_be_bytes());
    let problem = Problem::FrameTooShort { bytes: 15, need_bytes: 16 };
    assert_eq!(refused(&bytes), CodecError { at_byte: 0, problem });

    let mut bytes = CALL[..12].to_vec();
    for name_bytes in [14u32, u32::MAX] {
        bytes[8..].copy_from_slice(&name_bytes.to_be_bytes());
        let problem = Problem::FrameTooShort { bytes: 29, need_bytes: 16 + u64::from(name_bytes) };
        assert_eq!(refused(&bytes), CodecError { at_byte: 8, problem });
    }
    bytes[8..].copy_from_slice(&13u32.to_be_bytes());
    assert!(Thrift.decode(&bytes, &FrameLimits::NONE).is_ok(), "the frame ends with its id");
}

#[test]
fn a_long_frame_with_a_bad_name_is_refused_before_it_is_buffered() {
    let mut bytes = CALL[..12].to_vec();
    bytes[..4].copy_from_slice(&90_000u32.to_be_bytes());
    bytes[8..].copy_from_slice(&2_000u32.to_be_bytes());
    // Whoever reads piece by piece is told to ask again where the name's length is.
    let limits = FrameLimits { frame_bytes_max: 100_000, header_bytes_max: 32_767 };
    assert_eq!(Thrift.decode(&bytes[..8], &limits), Ok(Decoded::Incomplete { need_bytes: 12 }));
    assert_eq!(refused(&bytes).at_byte, 8);
}

#[test]
fn a_name_above_the_limit_is_refused() {
    assert!(Thrift.decode(&named(&[b'm'; METHOD_BYTES_MAX]), &FrameLimits::NONE).is_ok());
    let error = refused(&named(&[b'm'; METHOD_BYTES_MAX + 1]));
    assert!(error.to_string().contains("method name of 1025 bytes, the limit is 1024"), "{error}");
}

#[test]
fn the_id_is_rewritten_behind_the_name_and_nothing_else() {
    let mut bytes = CALL;
    Thrift.set_id(&mut bytes, 0x7FFF_FFFF);
    assert_eq!(whole(&bytes).origin.id, 0x7FFF_FFFF);
    assert_eq!((&bytes[..17], &bytes[21..]), (&CALL[..17], &CALL[21..]));
}

#[test]
fn the_proxys_own_answers_are_exceptions_under_the_methods_name() {
    for (reply, number) in [
        (LocalReply::NoRoute, 1),
        (LocalReply::NoProcessor, 1),
        (LocalReply::NoUpstream, 0),
        (LocalReply::Overflow, 0),
        (LocalReply::UpstreamLost, 6),
        (LocalReply::Timeout, 6),
        (LocalReply::Denied, 6),
        (LocalReply::BadHeader, 7),
    ] {
        assert_eq!(exception_of(reply), number);
        let (mut out, mut body) = (Vec::new(), Vec::new());
        Thrift.local_reply(whole(&CALL).origin, b"add", reply, &mut out);
        let text = reply.text();
        body.extend_from_slice(&[0x0B, 0, 1, 0, 0, 0, text.len() as u8]);
        body.extend_from_slice(text.as_bytes());
        body.extend_from_slice(&[8, 0, 2, 0, 0, 0, number as u8, 0]);
        let mut expected = Vec::new();
        let message_type = MessageType::Exception;
        Message { message_type, id: -2, name: b"add", body: &body }.encode(&mut expected);
        assert_eq!(out, expected, "{reply:?}");
        assert_eq!(Thrift.decode(&out, &FrameLimits::NONE), Ok(Decoded::Frame(whole(&out))));
    }
}

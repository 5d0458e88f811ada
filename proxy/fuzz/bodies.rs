//! What the fuzz targets check. `tests/codec_fuzz.rs` runs the same functions over random bytes and
//! mutated frames, so that they are compiled and run by `cargo test` too.
#![allow(unreachable_pub)]

use proxy::buffers::Scratch;
use proxy::codec::{Codec, Decoded, Frame, FrameLimits, Kind, LocalReply, Protocol, detect};
use proxy::inbox::{Inbox, Verdict};

const LIMITS: FrameLimits = FrameLimits { frame_bytes_max: 100_000, header_bytes_max: 32_767 };

/// Names that routes ask for, in any protocol.
const NAMES: [&[u8]; 6] = [b"service", b"method", b"version", b"dubbo", b"k", b""];

const REPLIES: [LocalReply; 8] = [
    LocalReply::NoRoute,
    LocalReply::NoUpstream,
    LocalReply::UpstreamLost,
    LocalReply::Timeout,
    LocalReply::Overflow,
    LocalReply::BadHeader,
    LocalReply::NoProcessor,
    LocalReply::Denied,
];

/// Everything that a codec promises, over any bytes.
pub fn codec(protocol: Protocol, data: &[u8]) {
    match protocol.decode(data, &LIMITS) {
        Ok(Decoded::Incomplete { need_bytes }) => {
            assert!(need_bytes > data.len() && need_bytes <= LIMITS.frame_bytes_max);
        }
        Ok(Decoded::Frame(frame)) => whole_frame(protocol, &frame, &data[..frame.total_bytes]),
        Err(error) => assert!(error.at_byte <= data.len(), "{error}"),
    }
}

fn whole_frame(protocol: Protocol, frame: &Frame, bytes: &[u8]) {
    for part in [frame.class, frame.header, frame.content, protocol.repeated(frame)] {
        assert!(part.range().end <= bytes.len(), "{part:?}");
    }
    for name in NAMES {
        let first = protocol.header(frame, bytes, name);
        assert_eq!(first, protocol.header(frame, bytes, name));
    }
    for cut in 0..bytes.len().min(64) {
        let decoded = protocol.decode(&bytes[..cut], &LIMITS);
        assert!(matches!(decoded, Ok(Decoded::Incomplete { need_bytes }) if need_bytes > cut));
    }
    new_id(protocol, frame, bytes);
    answers(protocol, frame, bytes);
}

/// Another id changes the id, a checksum, and nothing else; the old one brings the old bytes back.
fn new_id(protocol: Protocol, frame: &Frame, bytes: &[u8]) {
    let mut changed = bytes.to_vec();
    let id = frame.origin.id ^ 0x5A5A_5A5A;
    protocol.set_id(&mut changed, id);
    let mut expected = *frame;
    expected.origin.id = id;
    assert_eq!(protocol.decode(&changed, &LIMITS), Ok(Decoded::Frame(expected)));
    for part in [frame.class, frame.header, frame.content] {
        assert_eq!(bytes[part.range()], changed[part.range()]);
    }
    protocol.set_id(&mut changed, frame.origin.id);
    assert_eq!(changed, bytes);
}

/// What the proxy answers itself is a frame with the id and the version of the question.
fn answers(protocol: Protocol, frame: &Frame, bytes: &[u8]) {
    let repeated = &bytes[protocol.repeated(frame).range()];
    let mut out = vec![0xEE];
    if frame.kind == Kind::Heartbeat {
        protocol.heartbeat_ack(frame.origin, &mut out);
        let ack = alone(protocol, &out[1..]);
        assert_eq!((ack.kind, ack.origin.id), (Kind::HeartbeatAck, frame.origin.id));
        assert_eq!(ack.origin.version, frame.origin.version);
    }
    if matches!(frame.kind, Kind::Request | Kind::Oneway) {
        for reply in REPLIES {
            out.truncate(1);
            protocol.local_reply(frame.origin, repeated, reply, &mut out);
            let answer = alone(protocol, &out[1..]);
            assert_eq!((answer.kind, answer.origin.id), (Kind::Response, frame.origin.id));
            assert_eq!(answer.origin.version, frame.origin.version);
            let mut parts = out.windows(repeated.len().max(1));
            assert!(repeated.is_empty() || parts.any(|part| part == repeated));
        }
    }
}

fn alone(protocol: Protocol, bytes: &[u8]) -> Frame {
    match protocol.decode(bytes, &LIMITS) {
        Ok(Decoded::Frame(frame)) if frame.total_bytes == bytes.len() => frame,
        other => panic!("{other:?} of {bytes:?}"),
    }
}

/// The frames of a stream do not depend on how it was cut: the first bytes say how to cut it.
pub fn cutting(protocol: Protocol, data: &[u8]) {
    let Some((sizes, stream)) = data.split_at_checked(4) else { return };
    let whole = frames(protocol, stream, &[60_000]);
    let cut: Vec<usize> = sizes.iter().map(|&size| usize::from(size) + 1).collect();
    assert_eq!(frames(protocol, stream, &cut), whole);
    assert_eq!(frames(protocol, stream, &[1]), whole);
}

/// The bytes of every frame before the first error, and whether there was one.
fn frames(protocol: Protocol, mut stream: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, bool) {
    let (mut inbox, mut scratch) = (Inbox::new(), Scratch::default());
    let mut out = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !stream.is_empty() {
        let bytes = (*sizes.next().expect("sizes to cycle through")).min(stream.len());
        let (now, later) = stream.split_at(bytes);
        scratch.read_area()[..bytes].copy_from_slice(now);
        stream = later;
        let received = inbox.receive(&protocol, &LIMITS, &mut scratch, bytes, |_, payload| {
            out.push(payload.bytes().to_vec());
            Verdict::Taken
        });
        if received.is_err() {
            return (out, true);
        }
    }
    (out, false)
}

/// Detection decides once, and what it found is not refused by that protocol's signature.
pub fn detection(data: &[u8]) {
    let mut answer = detect(&[], &Protocol::ALL);
    for cut in 1..=data.len().min(16) {
        let now = detect(&data[..cut], &Protocol::ALL);
        assert!(answer == proxy::codec::Detected::TooFew || now == answer);
        answer = now;
    }
}

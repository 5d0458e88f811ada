//! The frames of every protocol, by what they mean.

use proxy::codec::bolt::{self, Version};
use proxy::codec::thrift::{Message, MessageType};
use proxy::codec::{Codec, Decoded, Frame, FrameLimits, Protocol, dubbo};

/// What every call names, as far as its protocol can.
pub const SERVICE: &str = "com.example.Service";
pub const METHOD: &str = "call";

/// One whole frame.
pub fn decode(protocol: Protocol, bytes: &[u8]) -> Frame {
    match protocol.decode(bytes, &FrameLimits::NONE) {
        Ok(Decoded::Frame(frame)) => frame,
        other => panic!("{other:?} of {bytes:?}"),
    }
}

/// A two-way call.
pub fn request(protocol: Protocol, id: u64, content: &[u8]) -> Vec<u8> {
    call(protocol, id, false, content)
}

/// A call that wants no answer.
pub fn oneway(protocol: Protocol, id: u64, content: &[u8]) -> Vec<u8> {
    call(protocol, id, true, content)
}

fn call(protocol: Protocol, id: u64, oneway: bool, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match protocol {
        Protocol::Bolt => return bolt_request(Version::V1, id as u32, oneway, content),
        Protocol::Dubbo => {
            let mut body = Vec::new();
            dubbo::push_call(SERVICE, "1.0", METHOD, &mut body);
            body.extend_from_slice(content);
            dubbo::Request { id, oneway, body: &body }.encode(&mut out);
        }
        Protocol::Thrift => {
            let message_type = if oneway { MessageType::Oneway } else { MessageType::Call };
            let name = [SERVICE, METHOD].join(":");
            let (name, id) = (name.as_bytes(), id as i32);
            Message { message_type, id, name, body: content }.encode(&mut out);
        }
    }
    out
}

/// A Bolt call in this version, routed by its header `service`.
pub fn bolt_request(version: Version, id: u32, oneway: bool, content: &[u8]) -> Vec<u8> {
    let (mut out, mut header) = (Vec::new(), Vec::new());
    bolt::push_header(b"service", SERVICE.as_bytes(), &mut header);
    bolt::Request { id, oneway, timeout_ms: 0, class: b"C", header: &header, content }
        .encode_as(version, &mut out)
        .unwrap();
    out
}

/// An answer that says success.
pub fn response(protocol: Protocol, id: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match protocol {
        Protocol::Bolt => return bolt_response(Version::V1, id as u32, content),
        Protocol::Dubbo => {
            dubbo::Response { id, status: dubbo::status::OK, body: content }.encode(&mut out);
        }
        Protocol::Thrift => {
            let message_type = MessageType::Reply;
            let (name, id) = (METHOD.as_bytes(), id as i32);
            Message { message_type, id, name, body: content }.encode(&mut out);
        }
    }
    out
}

/// A Bolt answer in this version.
pub fn bolt_response(version: Version, id: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bolt::Response { id, status: 0, class: b"R", header: b"", content }
        .encode_as(version, &mut out)
        .unwrap();
    out
}

/// `None` where there are no heartbeats.
pub fn heartbeat(protocol: Protocol, id: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match protocol {
        Protocol::Bolt => bolt::push_heartbeat(Version::V1, id as u32, &mut out),
        Protocol::Dubbo => dubbo::push_heartbeat(id, &mut out),
        Protocol::Thrift => return None,
    }
    Some(out)
}

/// The frame that asks for no further calls; `None` where there is none.
pub fn go_away(protocol: Protocol) -> Option<Vec<u8>> {
    let mut frame = heartbeat(protocol, 0)?;
    match protocol {
        Protocol::Bolt => frame[3] = 100,
        // An event that wants no answer, with the string "R" for a body.
        Protocol::Dubbo => {
            frame.truncate(16);
            frame[2] &= !0x40;
            frame[15] = 2;
            frame.extend_from_slice(&[1, b'R']);
        }
        Protocol::Thrift => return None,
    }
    Some(frame)
}

/// The content of a call or an answer, without what [`request`] puts in front of it.
pub fn content(protocol: Protocol, frame: &Frame, bytes: &[u8]) -> Vec<u8> {
    let content = &bytes[frame.content.range()];
    let prefix = match protocol {
        Protocol::Dubbo if bytes[2] & 0x80 != 0 => {
            let mut call = Vec::new();
            dubbo::push_call(SERVICE, "1.0", METHOD, &mut call);
            call.len()
        }
        _ => 0,
    };
    content[prefix..].to_vec()
}

/// The status of an answer: Thrift's is the type of its exception, 0 when it is none.
pub fn status(protocol: Protocol, frame: &Frame, bytes: &[u8]) -> i32 {
    match protocol {
        Protocol::Bolt | Protocol::Dubbo => frame.status.into(),
        Protocol::Thrift if frame.status == 3 => {
            let tail = &bytes[bytes.len() - 8..];
            assert_eq!(
                (&tail[..3], tail[7]),
                (&[8, 0, 2][..], 0),
                "field 2 and the end: {bytes:?}"
            );
            i32::from_be_bytes([tail[3], tail[4], tail[5], tail[6]])
        }
        Protocol::Thrift => 0,
    }
}

/// One frame of every kind and version.
pub fn every_kind(protocol: Protocol, content: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = vec![
        request(protocol, 1, content),
        oneway(protocol, 2, content),
        response(protocol, 3, content),
    ];
    frames.extend(heartbeat(protocol, 4));
    frames.extend(go_away(protocol));
    if protocol == Protocol::Bolt {
        for version in [Version::V2, Version::V2Checksum] {
            frames.push(bolt_request(version, 5, false, content));
            frames.push(bolt_request(version, 6, true, content));
            frames.push(bolt_response(version, 7, content));
            let mut heartbeat = Vec::new();
            bolt::push_heartbeat(version, 8, &mut heartbeat);
            frames.push(heartbeat);
        }
    }
    frames
}

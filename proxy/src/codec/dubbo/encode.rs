//! Writing Dubbo frames: for clients, servers and tests.

use super::{FLAG_EVENT, FLAG_REQUEST, FLAG_TWO_WAY, HESSIAN2, MAGIC, NULL, READ_ONLY};

/// A call to encode, in hessian2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The id; the answer carries it back.
    pub id: u64,
    /// Whether no answer is wanted.
    pub oneway: bool,
    /// The body, see [`push_call`].
    pub body: &'a [u8],
}

/// A response to encode, in hessian2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// The id of the request.
    pub id: u64,
    /// One of [`status`](super::status).
    pub status: u8,
    /// The body.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Appends the frame.
    ///
    /// # Panics
    /// When the body is longer than 4 GiB.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let two_way = if self.oneway { 0 } else { FLAG_TWO_WAY };
        push(FLAG_REQUEST | two_way | HESSIAN2, 0, self.id, self.body, out);
    }
}

impl Response<'_> {
    /// Appends the frame.
    ///
    /// # Panics
    /// When the body is longer than 4 GiB.
    pub fn encode(&self, out: &mut Vec<u8>) {
        push(HESSIAN2, self.status, self.id, self.body, out);
    }
}

/// Appends the heartbeat `id`.
pub fn push_heartbeat(id: u64, out: &mut Vec<u8>) {
    push(FLAG_REQUEST | FLAG_TWO_WAY | FLAG_EVENT | HESSIAN2, 0, id, &[NULL], out);
}

/// Appends the event `id` that asks for no further calls on this connection.
pub fn push_go_away(id: u64, out: &mut Vec<u8>) {
    push(FLAG_REQUEST | FLAG_EVENT | HESSIAN2, 0, id, &READ_ONLY, out);
}

/// Appends what the body of a call begins with: the version of Dubbo, then these. The types of the
/// arguments, the arguments and the attachments are to follow.
///
/// # Panics
/// When a string is longer than 65,535 characters.
pub fn push_call(service: &str, version: &str, method: &str, out: &mut Vec<u8>) {
    for string in ["2.0.2", service, version, method] {
        push_string(string, out);
    }
}

/// Appends a string of hessian2.
///
/// # Panics
/// When it is longer than 65,535 characters.
pub fn push_string(text: &str, out: &mut Vec<u8>) {
    let units = text.encode_utf16().count();
    match units {
        0..=0x1F => out.push(units as u8),
        0x20..=0x3FF => out.extend_from_slice(&[0x30 | (units >> 8) as u8, units as u8]),
        0x400..=0xFFFF => {
            out.push(b'S');
            out.extend_from_slice(&(units as u16).to_be_bytes());
        }
        _ => panic!("a string of {units} characters"),
    }
    out.extend_from_slice(text.as_bytes());
}

/// An ASCII text of at most 62 characters as a string of hessian2, without allocating.
pub(super) fn short_string<'a>(text: &str, into: &'a mut [u8; 64]) -> &'a [u8] {
    debug_assert!(text.is_ascii() && text.len() <= 62);
    into[0] = 0x30;
    into[1] = text.len() as u8;
    into[2..2 + text.len()].copy_from_slice(text.as_bytes());
    &into[..2 + text.len()]
}

pub(super) fn push(flags: u8, status: u8, id: u64, body: &[u8], out: &mut Vec<u8>) {
    let body_bytes = u32::try_from(body.len()).expect("a body of 4 GiB");
    out.extend_from_slice(&[MAGIC[0], MAGIC[1], flags, status]);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&body_bytes.to_be_bytes());
    out.extend_from_slice(body);
}

//! Writing Bolt frames: for clients, servers and tests. The proxy itself forwards frames as they
//! came and says nothing but what [`Codec`](crate::codec::Codec) offers.

use super::{
    COMMAND_REQUEST, COMMAND_RESPONSE, HESSIAN2, PROTOCOL, REQUEST_HEADER_BYTES,
    RESPONSE_HEADER_BYTES, SECTION_BYTES_MAX, TYPE_ONEWAY, TYPE_REQUEST, TYPE_RESPONSE,
};

/// A request to encode. `header` is the encoded map, see [`push_header`].
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The id; the answer carries it back.
    pub id: u32,
    /// Whether no answer is wanted.
    pub oneway: bool,
    /// Time-out in milliseconds; 0 or less names none.
    pub timeout_ms: i32,
    /// Class name.
    pub class: &'a [u8],
    /// Encoded header map.
    pub header: &'a [u8],
    /// Content.
    pub content: &'a [u8],
}

/// A response to encode.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The id of the request.
    pub id: u32,
    /// One of [`status`](super::status).
    pub status: u16,
    /// Class name.
    pub class: &'a [u8],
    /// Encoded header map.
    pub header: &'a [u8],
    /// Content.
    pub content: &'a [u8],
}

/// A section that does not fit into its length field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Which section.
    pub section: &'static str,
    /// Its length.
    pub bytes: usize,
    /// The longest that fits.
    pub bytes_max: usize,
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes, at most {} fit", self.section, self.bytes, self.bytes_max)
    }
}

impl std::error::Error for TooLong {}

impl Request<'_> {
    /// Appends the frame.
    ///
    /// # Errors
    /// Class or header is longer than [`SECTION_BYTES_MAX`], or the content than 4 GiB; `out` is
    /// left as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let lengths = lengths(self.class, self.header, self.content)?;
        let frame_type = if self.oneway { TYPE_ONEWAY } else { TYPE_REQUEST };
        out.reserve(
            REQUEST_HEADER_BYTES + self.class.len() + self.header.len() + self.content.len(),
        );
        out.extend_from_slice(&[PROTOCOL, frame_type, 0, COMMAND_REQUEST as u8, 1]);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.push(HESSIAN2);
        out.extend_from_slice(&self.timeout_ms.to_be_bytes());
        sections(&lengths, [self.class, self.header, self.content], out);
        Ok(())
    }
}

impl Response<'_> {
    /// Appends the frame.
    ///
    /// # Errors
    /// As [`Request::encode`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let lengths = lengths(self.class, self.header, self.content)?;
        out.reserve(
            RESPONSE_HEADER_BYTES + self.class.len() + self.header.len() + self.content.len(),
        );
        out.extend_from_slice(&[PROTOCOL, TYPE_RESPONSE, 0, COMMAND_RESPONSE as u8, 1]);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.push(HESSIAN2);
        out.extend_from_slice(&self.status.to_be_bytes());
        sections(&lengths, [self.class, self.header, self.content], out);
        Ok(())
    }
}

/// Appends the heartbeat `id`.
pub fn push_heartbeat(id: u32, out: &mut Vec<u8>) {
    let mut fixed = [0; REQUEST_HEADER_BYTES];
    fixed[0] = PROTOCOL;
    fixed[1] = TYPE_REQUEST;
    fixed[4] = 1;
    fixed[5..9].copy_from_slice(&id.to_be_bytes());
    fixed[9] = HESSIAN2;
    out.extend_from_slice(&fixed);
}

/// Appends one entry to an encoded header map.
///
/// # Panics
/// When key or value is longer than 4 GiB.
pub fn push_header(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for string in [key, value] {
        let length = u32::try_from(string.len()).expect("a header string of 4 GiB");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(string);
    }
}

fn lengths(class: &[u8], header: &[u8], content: &[u8]) -> Result<[u8; 8], TooLong> {
    for (section, bytes) in [("class name", class.len()), ("header map", header.len())] {
        if bytes > SECTION_BYTES_MAX {
            return Err(TooLong { section, bytes, bytes_max: SECTION_BYTES_MAX });
        }
    }
    let content_bytes = u32::try_from(content.len()).map_err(|_| TooLong {
        section: "content",
        bytes: content.len(),
        bytes_max: u32::MAX as usize,
    })?;
    let mut lengths = [0; 8];
    lengths[..2].copy_from_slice(&(class.len() as u16).to_be_bytes());
    lengths[2..4].copy_from_slice(&(header.len() as u16).to_be_bytes());
    lengths[4..].copy_from_slice(&content_bytes.to_be_bytes());
    Ok(lengths)
}

fn sections(lengths: &[u8; 8], sections: [&[u8]; 3], out: &mut Vec<u8>) {
    out.extend_from_slice(lengths);
    for section in sections {
        out.extend_from_slice(section);
    }
}

//! Writing Bolt frames: for clients, servers and tests. The proxy itself forwards frames as they
//! came and says nothing but what [`Codec`](crate::codec::Codec) offers.

use super::{
    CHECKSUM_BYTES, COMMAND_GO_AWAY, COMMAND_HEARTBEAT, COMMAND_REQUEST, COMMAND_RESPONSE,
    HESSIAN2, Layout, REVISION_AT, REVISION_CHECKSUM, SECTION_BYTES_MAX, SWITCH_CHECKSUM,
    SWITCHES_AT, TYPE_ONEWAY, TYPE_REQUEST, TYPE_RESPONSE, V1, V2, checksum_bytes, write_sum,
};
use crate::codec::Origin;

/// The longest fixed header: a request's in version 2.
const HEADER_BYTES_MAX: usize = Layout::<1>::fixed_bytes(false);

/// In which version to write a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Version 1.
    #[default]
    V1,
    /// Version 2 without a checksum.
    V2,
    /// Version 2 with the CRC32 of the frame behind it.
    V2Checksum,
}

impl Version {
    fn origin(self, id: u32) -> Origin {
        let (version, revision, switches) = match self {
            Version::V1 => (V1, 0, 0),
            Version::V2 => (V2, 1, 0),
            Version::V2Checksum => (V2, REVISION_CHECKSUM, SWITCH_CHECKSUM),
        };
        Origin { id: id.into(), version, revision, switches, serialization: HESSIAN2 }
    }
}

/// A request to encode. `header` is the encoded map, see [`push_header`].
#[derive(Clone, Copy, Debug, Default)]
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
#[derive(Clone, Copy, Debug, Default)]
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
    /// Appends the frame in version 1.
    ///
    /// # Errors
    /// Class or header is longer than [`SECTION_BYTES_MAX`], or the content than 4 GiB; `out` is
    /// left as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        self.encode_as(Version::V1, out)
    }

    /// Appends the frame in this version.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_as(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let fixed = Fixed {
            origin: version.origin(self.id),
            frame_type: if self.oneway { TYPE_ONEWAY } else { TYPE_REQUEST },
            command: COMMAND_REQUEST,
            word: self.timeout_ms as u32,
        };
        fixed.encode([self.class, self.header, self.content], out)
    }
}

impl Response<'_> {
    /// Appends the frame in version 1.
    ///
    /// # Errors
    /// As [`Request::encode`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        self.encode_as(Version::V1, out)
    }

    /// Appends the frame in this version.
    ///
    /// # Errors
    /// As [`Request::encode`].
    pub fn encode_as(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let fixed = Fixed {
            origin: version.origin(self.id),
            frame_type: TYPE_RESPONSE,
            command: COMMAND_RESPONSE,
            word: self.status.into(),
        };
        fixed.encode([self.class, self.header, self.content], out)
    }
}

/// Appends the heartbeat `id`.
pub fn push_heartbeat(version: Version, id: u32, out: &mut Vec<u8>) {
    let (origin, frame_type) = (version.origin(id), TYPE_REQUEST);
    Fixed { origin, frame_type, command: COMMAND_HEARTBEAT, word: 0 }.push_empty(out);
}

/// Appends the frame `id` that asks for no further calls on this connection, as MOSN writes it.
pub fn push_go_away(id: u32, out: &mut Vec<u8>) {
    let (origin, frame_type) = (Version::V1.origin(id), TYPE_REQUEST);
    Fixed { origin, frame_type, command: COMMAND_GO_AWAY, word: 0 }.push_empty(out);
}

/// Appends a response without sections, in the version of what it answers.
pub(super) fn empty_response(command: u16, origin: Origin, status: u16, out: &mut Vec<u8>) {
    Fixed { origin, frame_type: TYPE_RESPONSE, command, word: status.into() }.push_empty(out);
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

/// What stands in front of the sections.
struct Fixed {
    origin: Origin,
    frame_type: u8,
    command: u16,
    /// The time-out of a request, or the status of a response.
    word: u32,
}

impl Fixed {
    fn encode(&self, sections: [&[u8]; 3], out: &mut Vec<u8>) -> Result<(), TooLong> {
        let lengths = lengths(sections)?;
        let start = out.len();
        let sections_bytes: usize = sections.iter().map(|section| section.len()).sum();
        out.reserve(HEADER_BYTES_MAX + sections_bytes + CHECKSUM_BYTES);
        self.push(lengths, out);
        for section in sections {
            out.extend_from_slice(section);
        }
        finish(start, out);
        Ok(())
    }

    fn push_empty(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.push([0; 8], out);
        finish(start, out);
    }

    fn push(&self, lengths: [u8; 8], out: &mut Vec<u8>) {
        let mut fixed = [0; HEADER_BYTES_MAX];
        let fixed_bytes = if self.origin.version == V2 {
            fixed[REVISION_AT] = self.origin.revision;
            fixed[SWITCHES_AT] = self.origin.switches;
            self.fill::<1>(lengths, &mut fixed)
        } else {
            self.fill::<0>(lengths, &mut fixed)
        };
        out.extend_from_slice(&fixed[..fixed_bytes]);
    }

    /// Writes the fields that both versions have; the length of the fixed header.
    fn fill<const V: usize>(&self, lengths: [u8; 8], fixed: &mut [u8; HEADER_BYTES_MAX]) -> usize {
        let is_response = self.frame_type == TYPE_RESPONSE;
        let lengths_at = Layout::<V>::lengths_at(is_response);
        fixed[0] = self.origin.version;
        fixed[Layout::<V>::TYPE_AT] = self.frame_type;
        fixed[Layout::<V>::COMMAND_AT..][..2].copy_from_slice(&self.command.to_be_bytes());
        fixed[Layout::<V>::COMMAND_AT + 2] = 1;
        fixed[Layout::<V>::ID_AT..][..4].copy_from_slice(&(self.origin.id as u32).to_be_bytes());
        fixed[Layout::<V>::SERIALIZATION_AT] = self.origin.serialization;
        // A status is the lower half of the word.
        let word = self.word.to_be_bytes();
        let word = if is_response { &word[2..] } else { &word[..] };
        fixed[Layout::<V>::WORD_AT..lengths_at].copy_from_slice(word);
        fixed[lengths_at..lengths_at + 8].copy_from_slice(&lengths);
        lengths_at + 8
    }
}

/// Adds the checksum to the frame that begins at `start`, if it is to have one.
fn finish(start: usize, out: &mut Vec<u8>) {
    if out[start] == V2 {
        out.resize(out.len() + checksum_bytes(&out[start..]), 0);
        write_sum(&mut out[start..]);
    }
}

fn lengths([class, header, content]: [&[u8]; 3]) -> Result<[u8; 8], TooLong> {
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

//! Bolt's header map: `u32 key length, key, u32 value length, value` until its last byte.

use crate::codec::bytes::u32_at;
use crate::codec::{CodecError, Problem};

/// Length that stands for "null".
const NULL: u32 = u32::MAX;

/// A key and its value; `None` is the protocol's null.
type Entry<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The value of the first entry of this name. `offset` is where the map begins in its frame.
pub(super) fn find<'a>(
    map: &'a [u8],
    offset: usize,
    name: &[u8],
) -> Result<Option<&'a [u8]>, CodecError> {
    let mut found = None;
    let mut map = HeaderMap { bytes: map, at: 0 };
    while let Some((key, value)) = map.next().map_err(|error| shifted(error, offset))? {
        if found.is_none() && key == Some(name) {
            found = Some(value);
        }
    }
    Ok(found.flatten())
}

/// The map with `(name, value)` behind the entries of other names. Those stay byte for byte.
pub(super) fn with(
    map: &[u8],
    offset: usize,
    (name, value): (&[u8], Option<&[u8]>),
) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(map.len() + name.len() + value.map_or(0, <[u8]>::len) + 8);
    let mut entries = HeaderMap { bytes: map, at: 0 };
    let mut start = 0;
    while let Some((key, _)) = entries.next().map_err(|error| shifted(error, offset))? {
        if key != Some(name) {
            out.extend_from_slice(&map[start..entries.at]);
        }
        start = entries.at;
    }
    if let Some(value) = value {
        super::push_header(name, value, &mut out);
    }
    Ok(out)
}

struct HeaderMap<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HeaderMap<'a> {
    fn next(&mut self) -> Result<Option<Entry<'a>>, CodecError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let key = self.string("key")?;
        let value = self.string("value")?;
        Ok(Some((key, value)))
    }

    fn string(&mut self, part: &'static str) -> Result<Option<&'a [u8]>, CodecError> {
        let rest = &self.bytes[self.at..];
        let too_long = |bytes, left_bytes| {
            let problem = Problem::HeaderMap { part, bytes, left_bytes };
            Err(CodecError { at_byte: self.at, problem })
        };
        let Some((length, rest)) = rest.split_at_checked(4) else {
            return too_long(4, rest.len());
        };
        let length = u32_at(length, 0);
        if length == NULL {
            self.at += 4;
            return Ok(None);
        }
        let Some((string, _)) = rest.split_at_checked(length as usize) else {
            return too_long(length, rest.len());
        };
        self.at += 4 + string.len();
        Ok(Some(string))
    }
}

fn shifted(error: CodecError, by: usize) -> CodecError {
    CodecError { at_byte: error.at_byte + by, ..error }
}

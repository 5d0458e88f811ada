//! Strings of hessian2: the part of that serialization that a call's names are in.
//!
//! | first byte | length in characters |
//! |---|---|
//! | `00`-`1f` | the byte itself |
//! | `30`-`33` | its low two bits and the next byte |
//! | `53` (`S`) | the next two bytes |
//! | `4e` (`N`) | null |
//!
//! A character is a unit of UTF-16, written in UTF-8. A string in several chunks (`52`, `R`) is
//! longer than any name; it is refused.

use crate::codec::{CodecError, Problem};

/// Strings one behind the other.
pub(super) struct Strings<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Strings<'a> {
    /// The next string as it stands there; `None` is null. `part` names it in errors.
    pub(super) fn next(&mut self, part: &'static str) -> Result<Option<&'a [u8]>, CodecError> {
        let rest = &self.bytes[self.at..];
        let found = rest.first().copied();
        if found == Some(b'N') {
            self.at += 1;
            return Ok(None);
        }
        let Some((start, text_bytes)) = measure(rest) else {
            return Err(CodecError { at_byte: self.at, problem: Problem::Text { part, found } });
        };
        let end = start + text_bytes;
        self.at += end;
        Ok(Some(&rest[start..end]))
    }
}

/// Where the text of the string at the start of `bytes` begins, and its length in bytes.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let byte = |at: usize| bytes.get(at).map(|&byte| usize::from(byte));
    let (start, units) = match byte(0)? {
        short @ 0..=0x1F => (1, short),
        middle @ 0x30..=0x33 => (2, (middle - 0x30) << 8 | byte(1)?),
        0x53 => (3, byte(1)? << 8 | byte(2)?),
        _ => return None,
    };
    Some((start, text_bytes(&bytes[start..], units)?))
}

/// How many bytes `units` units of UTF-16 take.
fn text_bytes(bytes: &[u8], mut units: usize) -> Option<usize> {
    let mut at = 0;
    while units > 0 {
        let (char_bytes, char_units) = match bytes.get(at)? {
            0..=0x7F => (1, 1),
            0xC0..=0xDF => (2, 1),
            0xE0..=0xEF => (3, 1),
            // Above U+FFFF: two units. Java writes them apart, three bytes each; others do not.
            0xF0..=0xF7 => (4, 2),
            _ => return None,
        };
        at += char_bytes;
        units = units.checked_sub(char_units)?;
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> Result<Option<&[u8]>, CodecError> {
        Strings { bytes, at: 0 }.next("name")
    }

    #[test]
    fn all_three_ways_to_write_a_length_are_read() {
        assert_eq!(first(b"\x02ab.."), Ok(Some(&b"ab"[..])));
        assert_eq!(first(b"\x00"), Ok(Some(&b""[..])));
        for (head, len) in [(&b"\x31\x04"[..], 260), (b"S\x01\x04", 260), (b"S\xFF\xFF", 65535)] {
            let bytes = [head, &vec![b'x'; len]].concat();
            assert_eq!(first(&bytes).unwrap().unwrap().len(), len);
        }
        assert_eq!(first(b"N"), Ok(None));
    }

    #[test]
    fn lengths_count_units_of_utf_16() {
        for text in ["gr\u{FC}\u{DF}e", "\u{4F60}\u{597D}", "a\u{1F980}b"] {
            let mut bytes = vec![text.encode_utf16().count() as u8];
            bytes.extend_from_slice(text.as_bytes());
            assert_eq!(first(&bytes), Ok(Some(text.as_bytes())));
        }
    }

    #[test]
    fn what_is_no_whole_string_is_refused_by_name() {
        for bytes in [
            &b""[..],
            b"\x02a",
            b"\x30",
            b"S\0",
            b"R\0\x01a",
            b"\x91",
            b"\x01\xE4",
            b"\x01\xF0\x9F\xA6\x80",
            b"\x01\x80",
        ] {
            let error = first(bytes).unwrap_err();
            let problem = Problem::Text { part: "name", found: bytes.first().copied() };
            assert_eq!(error, CodecError { at_byte: 0, problem }, "{bytes:?}");
        }
    }
}

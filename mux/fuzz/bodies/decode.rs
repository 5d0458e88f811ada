//! Any bytes as frame headers.

use mux::{HEADER_BYTES, Header, Rule};

/// Decodes every twelve bytes: what decodes encodes to the same bytes, and what does not breaks the
/// rule that is named.
pub fn decode(input: &[u8]) {
    for bytes in input.as_chunks::<HEADER_BYTES>().0 {
        match Header::decode(bytes) {
            Ok(header) => {
                assert_eq!(header.encode(), *bytes);
                assert!(!header.to_string().is_empty());
            }
            Err(Rule::Version) => assert_ne!(bytes[0], 0),
            Err(rule) => assert_eq!((rule, bytes[0], bytes[1] > 3), (Rule::Type, 0, true)),
        }
    }
}

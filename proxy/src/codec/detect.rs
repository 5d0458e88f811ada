//! Which protocol a connection speaks, by its first bytes.

use super::{Codec, FrameLimits, Protocol};

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// They are this protocol's.
    Protocol(Protocol),
    /// They are the beginning of more than nothing, and too few to tell.
    TooFew,
    /// They are none of those asked for.
    Unknown,
}

/// Tells which of `protocols` begins with `bytes`. At most the longest
/// [`signature_bytes`](Codec::signature_bytes) are looked at, and the answer never changes when
/// more follow, except from [`Detected::TooFew`].
///
/// ```
/// use proxy::codec::{Detected, Protocol, detect};
///
/// assert_eq!(detect(&[0xDA], &Protocol::ALL), Detected::TooFew);
/// assert_eq!(detect(&[0xDA, 0xBB], &Protocol::ALL), Detected::Protocol(Protocol::Dubbo));
/// assert_eq!(detect(b"GET /", &Protocol::ALL), Detected::Unknown);
/// ```
pub fn detect(bytes: &[u8], protocols: &[Protocol]) -> Detected {
    let mut possible = false;
    for &protocol in protocols {
        match begins(bytes, protocol) {
            Some(true) => return Detected::Protocol(protocol),
            Some(false) => {}
            None => possible = true,
        }
    }
    if possible { Detected::TooFew } else { Detected::Unknown }
}

/// `None` while it cannot be told.
fn begins(bytes: &[u8], protocol: Protocol) -> Option<bool> {
    let signature_bytes = protocol.signature_bytes();
    let beginning = &bytes[..bytes.len().min(signature_bytes)];
    // Limits are not looked at: a frame that is too long is this protocol's all the same.
    match protocol.decode(beginning, &FrameLimits::NONE) {
        Err(_) => Some(false),
        Ok(_) if beginning.len() == signature_bytes => Some(true),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_protocol_is_told_by_its_first_bytes_and_not_sooner() {
        let beginnings: [(&[u8], Protocol); 4] = [
            (&[1, 1, 0, 1, 1], Protocol::Bolt),
            (&[2, 2, 1, 0, 1], Protocol::Bolt),
            (&[0xDA, 0xBB], Protocol::Dubbo),
            (&[0, 0, 0, 20, 0x80, 1, 0, 1], Protocol::Thrift),
        ];
        for (bytes, protocol) in beginnings {
            for cut in 0..bytes.len() {
                assert_eq!(detect(&bytes[..cut], &Protocol::ALL), Detected::TooFew, "{bytes:?}");
            }
            assert_eq!(detect(bytes, &Protocol::ALL), Detected::Protocol(protocol));
            let others: Vec<Protocol> =
                Protocol::ALL.into_iter().filter(|&p| p != protocol).collect();
            let answer = detect(bytes, &others);
            assert!(!matches!(answer, Detected::Protocol(_)), "{bytes:?} is {answer:?}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_known_at_the_first_byte_that_differs() {
        let both = [Protocol::Bolt, Protocol::Dubbo];
        for bytes in [&b"G"[..], &[0x16], &[1, 3], &[2, 1, 3], &[1, 1, 0, 9], &[0xDA, 0xBA]] {
            assert_eq!(detect(bytes, &both), Detected::Unknown, "{bytes:?}");
            assert_eq!(detect(&bytes[..bytes.len() - 1], &both), Detected::TooFew, "{bytes:?}");
        }
        // Thrift begins with a length, which may be anything.
        assert_eq!(detect(b"GET ", &Protocol::ALL), Detected::TooFew);
        assert_eq!(detect(b"GET /", &Protocol::ALL), Detected::Unknown);
    }

    #[test]
    fn a_frame_above_the_limits_is_still_recognized() {
        let bytes = [0xFF, 0xFF, 0xFF, 0xFF, 0x80, 1, 0, 1];
        assert_eq!(detect(&bytes, &Protocol::ALL), Detected::Protocol(Protocol::Thrift));
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut answer = Detected::TooFew;
            for cut in 0..=bytes.len() {
                let now = detect(&bytes[..cut], &Protocol::ALL);
                prop_assert!(answer == Detected::TooFew || now == answer);
                answer = now;
            }
        }
    }
}

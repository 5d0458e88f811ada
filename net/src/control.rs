//! Control messages (cmsg(3)): what travels beside the bytes of a message.
//!
//! Each is a header of length, level and type, 16 bytes on 64-bit Linux, and data; each begins at a
//! multiple of 8 bytes. Written and read as bytes, as addresses are, without a cast.

const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();
const ALIGN_BYTES: usize = align_of::<libc::cmsghdr>();

/// How much one message of so much data takes, with what aligns the next: `CMSG_SPACE`.
pub(crate) const fn space(data_bytes: usize) -> usize {
    HEADER_BYTES + data_bytes.next_multiple_of(ALIGN_BYTES)
}

/// How much one message of so much data takes, if none follows: `CMSG_LEN`.
pub(crate) const fn length(data_bytes: usize) -> usize {
    HEADER_BYTES + data_bytes
}

/// Room for `N` bytes of control messages, of which some are filled.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
pub(crate) struct Control<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Control<N> {
    #[inline]
    pub(crate) const fn empty() -> Self {
        Self { bytes: [0; N], filled: 0 }
    }

    /// Adds a message.
    ///
    /// # Panics
    /// When there is no room: the room is for all that is ever added.
    pub(crate) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let at = self.filled;
        self.put(at, &length(data.len()).to_ne_bytes());
        self.put(at + 8, &level.to_ne_bytes());
        self.put(at + 12, &kind.to_ne_bytes());
        self.put(at + HEADER_BYTES, data);
        self.filled = at + space(data.len());
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// All the room, for the kernel to fill.
    #[inline]
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Says how much of the room the kernel filled.
    #[inline]
    pub(crate) fn set_filled(&mut self, bytes: usize) {
        self.filled = bytes.min(N);
    }

    pub(crate) fn messages(&self) -> Messages<'_> {
        Messages { rest: self.as_bytes() }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// The messages in some bytes: level, type and data of each.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = (i32, i32, &'a [u8]);

    /// Ends at the first header that is not whole, or has a length that cannot be.
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest;
        let length = usize::from_ne_bytes(array(rest, 0)?);
        let (level, kind) =
            (i32::from_ne_bytes(array(rest, 8)?), i32::from_ne_bytes(array(rest, 12)?));
        let data = rest.get(HEADER_BYTES..length)?;
        self.rest = rest.get(length.next_multiple_of(ALIGN_BYTES)..).unwrap_or_default();
        Some((level, kind, data))
    }
}

/// The `M` bytes at an offset.
pub(crate) fn array<const M: usize>(bytes: &[u8], at: usize) -> Option<[u8; M]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_pushed_is_read_again(
            messages in proptest::collection::vec(
                (any::<i32>(), any::<i32>(), proptest::collection::vec(any::<u8>(), 0..24)), 0..6),
        ) {
            let mut control = Control::<240>::empty();
            for (level, kind, data) in &messages {
                control.push(*level, *kind, data);
            }
            let read: Vec<_> = control.messages().map(|(l, k, data)| (l, k, data.to_vec())).collect();
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic_and_to_an_end(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            length in 0..64_usize,
        ) {
            for first in [bytes.clone(), [&length.to_ne_bytes()[..], &bytes[..]].concat()] {
                let messages = Messages { rest: &first };
                prop_assert!(messages.count() <= first.len() / HEADER_BYTES);
            }
        }
    }

    #[test]
    fn the_layout_is_the_one_of_the_manual() {
        let mut control = Control::<48>::empty();
        control.push(1, 2, &[7, 8, 9, 10]);
        assert_eq!(control.as_bytes().len(), 24);
        assert_eq!(control.as_bytes()[..8], 20_usize.to_ne_bytes());
        assert_eq!(control.as_bytes()[8..16], [1_i32.to_ne_bytes(), 2_i32.to_ne_bytes()].concat());
        assert_eq!(control.as_bytes()[16..], [7, 8, 9, 10, 0, 0, 0, 0]);
        assert_eq!((space(4), length(4)), (24, 20));
    }
}

//! The bytes that all programs send, so that the receiver can check them: a linear congruential
//! generator, over and over.

use std::sync::LazyLock;

/// Prime, so that no buffer is in step with it.
const PERIOD: usize = 65_521;

/// Most bytes of one [`chunk`].
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u32;
    let period = (0..PERIOD).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let mut bytes: Vec<u8> = period.collect();
    bytes.extend_from_within(..);
    bytes.extend_from_within(..CHUNK_BYTES);
    bytes
});

/// `length` bytes from `position` on.
pub(crate) fn chunk(position: u64, length: usize) -> &'static [u8] {
    let start = (position % PERIOD as u64) as usize;
    &BYTES[start..start + length.min(CHUNK_BYTES)]
}

/// Whether `bytes` are those from `position` on.
pub(crate) fn matches(position: u64, bytes: &[u8]) -> bool {
    let mut at = position;
    bytes.chunks(CHUNK_BYTES).all(|part| {
        let same = part == chunk(at, part.len());
        at += part.len() as u64;
        same
    })
}

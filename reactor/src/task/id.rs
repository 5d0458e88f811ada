//! The name of a task: which runtime, which slot, which generation.

use std::num::NonZeroUsize;

/// Runtimes alive at once in one process, at most.
pub(crate) const RUNTIMES_MAX: usize = 1 << RUNTIME_BITS;
/// The highest index a task may have.
pub(crate) const INDEX_MAX: usize = (1 << INDEX_BITS) - 1;

const RUNTIME_BITS: u32 = 12;
const INDEX_BITS: u32 = 28;
const GENERATION_BITS: u32 = 24;
/// Generations count from 1, so that no name is zero, and start anew after this one.
const GENERATION_LAST: u32 = (1 << GENERATION_BITS) - 1;
const _: () = assert!(RUNTIME_BITS + INDEX_BITS + GENERATION_BITS == usize::BITS);

/// Names a task for life, in one machine word: `runtime:12 | generation:24 | index:28`.
///
/// After 2^24 - 1 more tasks a name may come back. Whoever kept the old one for so long wakes the
/// wrong task, which polls once for nothing: a spurious wake-up, which futures allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(NonZeroUsize);

/// What tells the next task of a slot from this one. The first comes after 0.
#[inline]
pub(crate) fn next_generation(generation: u32) -> u32 {
    if generation >= GENERATION_LAST { 1 } else { generation + 1 }
}

impl TaskId {
    /// The name of no task: generations are not zero.
    pub(crate) const NOBODY: Self = Self(NonZeroUsize::MIN);

    /// The generation is one of [`next_generation`].
    #[inline]
    pub(crate) fn new(runtime: u16, index: usize, generation: u32) -> Self {
        debug_assert!(index <= INDEX_MAX && (runtime as usize) < RUNTIMES_MAX);
        debug_assert!((1..=GENERATION_LAST).contains(&generation));
        let bits = (runtime as usize) << (usize::BITS - RUNTIME_BITS)
            | (generation as usize) << INDEX_BITS
            | index;
        Self(NonZeroUsize::new(bits).expect("the generation is not zero"))
    }

    /// Of the bits of a name.
    pub(crate) fn from_bits(bits: usize) -> Option<Self> {
        NonZeroUsize::new(bits).map(Self)
    }

    pub(crate) fn bits(self) -> usize {
        self.0.get()
    }

    pub(crate) fn runtime(self) -> u16 {
        (self.0.get() >> (usize::BITS - RUNTIME_BITS)) as u16
    }

    pub(crate) fn index(self) -> usize {
        self.0.get() & INDEX_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_back_its_parts() {
        let id = TaskId::new(4095, INDEX_MAX, 9);
        assert_eq!((id.runtime(), id.index()), (4095, INDEX_MAX));
        assert_ne!(id, TaskId::new(4095, INDEX_MAX, 8));
        assert_eq!(TaskId::new(3, 5, GENERATION_LAST).runtime(), 3);
        assert_eq!(TaskId::from_bits(id.bits()), Some(id));
    }

    #[test]
    fn generations_start_anew_and_are_never_zero() {
        assert_eq!([0, 1, 7].map(next_generation), [1, 2, 8]);
        assert_eq!(next_generation(GENERATION_LAST - 1), GENERATION_LAST);
        assert_eq!(next_generation(GENERATION_LAST), 1);
    }
}

//! Memory of tasks that are over, kept for those to come.
//!
//! The counterpart of the `gFree` lists in Go's `runtime/proc.go`. A server makes and ends a task for each
//! connection, or for each request, of few sizes; a list for each size serves them in a few instructions,
//! where malloc has to look in several places as soon as more than a handful come and go together.
//!
//! The lists belong to the thread, as tasks do. Each keeps at most [`KEPT_BYTES_MAX`], and nothing while the
//! thread has no runtime. (A runtime that is forgotten instead of dropped leaves them behind with it.)

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;

/// The most that is kept of one size: the tasks of some thousand connections. There are 64 sizes, of which
/// a program's tasks have but a few.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// Sizes differ by this, which is malloc's alignment too.
const UNIT: usize = 16;
/// The size of the first list: glibc's blocks are so much larger than multiples of the unit, as a word
/// of each is its own.
const SIZE_MIN: usize = 8;
/// Larger tasks are malloc's: what it costs is small beside what they do.
const SIZE_MAX: usize = 1016;
const LISTS: usize = (SIZE_MAX - SIZE_MIN) / UNIT + 1;

/// A checker of memory would see no use of what was freed if it were used again at once.
const KEEPS: bool = !cfg!(any(miri, debug_assertions));

thread_local! {
    /// Without a destructor, which would cost a look at every use: the last runtime empties it.
    static MEMORY: Memory = const { Memory::new() };
}

/// Says that there is a runtime on this thread.
pub(crate) struct InUse {
    _of_this_thread: std::marker::PhantomData<*const ()>,
}

struct Memory {
    runtimes: Cell<usize>,
    lists: [List; LISTS],
}

/// The free blocks of one size.
struct List {
    first: Cell<Option<NonNull<Block>>>,
    kept_bytes: Cell<usize>,
}

/// A free block.
struct Block {
    next: Option<NonNull<Block>>,
}

impl InUse {
    pub(crate) fn begin() -> Self {
        MEMORY.with(|memory| memory.runtimes.set(memory.runtimes.get() + 1));
        Self { _of_this_thread: std::marker::PhantomData }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        MEMORY.with(|memory| {
            memory.runtimes.set(memory.runtimes.get() - 1);
            if memory.runtimes.get() == 0 {
                memory.give_back();
            }
        });
    }
}

/// Memory for a `T`, to be given to [`free`].
#[inline]
pub(super) fn allocate<T>() -> NonNull<T> {
    match list_for(Layout::new::<T>()) {
        Some(list) if KEEPS => MEMORY.with(|memory| memory.take(list)).cast(),
        _ => malloc(Layout::new::<T>()).cast(),
    }
}

/// # Safety
/// The memory came from [`allocate`] for the same type, on this thread, and is not used any more.
#[inline]
pub(super) unsafe fn free<T>(memory: NonNull<T>) {
    match list_for(Layout::new::<T>()) {
        // SAFETY: as the caller promises, it is a block of this list.
        Some(list) if KEEPS => MEMORY.with(|kept| unsafe { kept.put(list, memory.cast()) }),
        // SAFETY: `allocate` took the same way, so it came from `malloc` with this layout.
        _ => unsafe { dealloc(memory.as_ptr().cast(), Layout::new::<T>()) },
    }
}

/// The list whose blocks are large enough for a layout, and not larger than need be.
#[inline]
const fn list_for(layout: Layout) -> Option<usize> {
    let fits = 0 < layout.size() && layout.size() <= SIZE_MAX && layout.align() <= UNIT;
    if fits { Some(layout.size().saturating_sub(SIZE_MIN).div_ceil(UNIT)) } else { None }
}

fn malloc(layout: Layout) -> NonNull<u8> {
    // SAFETY: a task has a header, so its size is not zero.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Memory {
    const fn new() -> Self {
        Self {
            runtimes: Cell::new(0),
            lists: [const { List { first: Cell::new(None), kept_bytes: Cell::new(0) } }; LISTS],
        }
    }

    /// What all blocks of a list were allocated as.
    #[inline]
    fn layout(list: usize) -> Layout {
        debug_assert!(list < LISTS);
        // SAFETY: the alignment is a power of two, and the size far below the greatest.
        unsafe { Layout::from_size_align_unchecked(Self::size(list), UNIT) }
    }

    #[inline]
    fn size(list: usize) -> usize {
        SIZE_MIN + list * UNIT
    }

    #[inline]
    fn take(&self, list: usize) -> NonNull<u8> {
        let List { first, kept_bytes } = &self.lists[list];
        let Some(block) = first.get() else { return malloc(Self::layout(list)) };
        // SAFETY: a block in a list is free memory that `put` has written a `Block` into.
        first.set(unsafe { block.read() }.next);
        kept_bytes.set(kept_bytes.get() - Self::size(list));
        block.cast()
    }

    /// # Safety
    /// The memory came from `take` of the same list of this thread, and is not used any more.
    #[inline]
    unsafe fn put(&self, list: usize, memory: NonNull<u8>) {
        let List { first, kept_bytes } = &self.lists[list];
        let bytes = kept_bytes.get() + Self::size(list);
        if bytes > KEPT_BYTES_MAX || self.runtimes.get() == 0 {
            // SAFETY: all blocks of a list come from `malloc` with its layout.
            return unsafe { dealloc(memory.as_ptr(), Self::layout(list)) };
        }
        kept_bytes.set(bytes);
        let block = memory.cast::<Block>();
        // SAFETY: the memory is nobody's, and aligned and large enough for a `Block` in every list.
        unsafe { block.write(Block { next: first.get() }) };
        first.set(Some(block));
    }

    #[cold]
    fn give_back(&self) {
        for list in 0..LISTS {
            while self.lists[list].first.get().is_some() {
                let block = self.take(list);
                // SAFETY: as in `put`.
                unsafe { dealloc(block.as_ptr(), Self::layout(list)) };
            }
        }
    }
}

const _: () = assert!(size_of::<Block>() <= SIZE_MIN && align_of::<Block>() <= UNIT);

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a thread that has one runtime.
    fn memory() -> Memory {
        let memory = Memory::new();
        memory.runtimes.set(1);
        memory
    }

    fn kept_bytes(memory: &Memory) -> usize {
        memory.lists.iter().map(|list| list.kept_bytes.get()).sum()
    }

    fn put(memory: &Memory, list: usize, block: NonNull<u8>) {
        // SAFETY: each caller took it from this list, and does not use it.
        unsafe { memory.put(list, block) };
    }

    #[test]
    fn a_block_that_was_given_back_is_the_next_of_its_size() {
        let memory = memory();
        let (small, large) = (memory.take(4), memory.take(5));
        put(&memory, 4, small);
        put(&memory, 5, large);
        assert_eq!(kept_bytes(&memory), 72 + 88);
        assert_eq!((memory.take(4), memory.take(5)), (small, large));
        assert_eq!(kept_bytes(&memory), 0);
        put(&memory, 4, small);
        put(&memory, 5, large);
        memory.give_back();
        assert_eq!(kept_bytes(&memory), 0);
        assert!(memory.lists.iter().all(|list| list.first.get().is_none()));
    }

    #[test]
    fn no_more_of_a_size_than_the_limit_is_kept() {
        let memory = memory();
        let blocks: Vec<_> =
            (0..2 * KEPT_BYTES_MAX / SIZE_MAX).map(|_| memory.take(LISTS - 1)).collect();
        for block in blocks {
            put(&memory, LISTS - 1, block);
            assert!(kept_bytes(&memory) <= KEPT_BYTES_MAX);
        }
        assert!(kept_bytes(&memory) > KEPT_BYTES_MAX - SIZE_MAX);
        memory.give_back();
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_runtime() {
        let memory = Memory::new();
        let block = memory.take(7);
        put(&memory, 7, block);
        assert_eq!(kept_bytes(&memory), 0);
    }

    #[test]
    fn blocks_have_room_for_what_they_are_taken_for() {
        for size in 1..=SIZE_MAX {
            let layout = Layout::from_size_align(size, 8).unwrap();
            let block = Memory::layout(list_for(layout).unwrap());
            assert!(block.size() >= size && block.size() < size + UNIT && block.align() >= 8);
        }
        assert_eq!(list_for(Layout::new::<[u8; SIZE_MAX + 1]>()), None);
        #[repr(align(32))]
        struct Aligned(#[expect(dead_code, reason = "its size counts")] u8);
        assert_eq!(list_for(Layout::new::<Aligned>()), None);
    }
}

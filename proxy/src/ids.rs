//! The ids under which requests wait on one upstream connection.
//!
//! An id on the wire is a key into a table and a proof of identity at once:
//!
//! ```text
//!  63       46 45            31 30              14 13             0
//! +-----------+----------------+------------------+----------------+
//! |     0     |           generation              |     index      |
//! +-----------+----------------+------------------+----------------+
//!                              |  31 bits in protocols of 32-bit ids |
//! ```
//!
//! *Index* (14 bits) is the slot where the request waits, so an answer finds it without hashing.
//! *Generation* (17 bits, 1 to 131,071, in protocols whose ids have 32 bits; 32 bits in those whose
//! ids have 64; never 0) is counted up whenever the slot is given back, so an answer that comes too
//! late finds another generation and is known for what it is. The top bit stays 0 for peers that
//! read the id as signed, all others from bit 46 for peers that read it as a double, and no id is 0
//! for peers that take 0 as "none".
//!
//! Free slots are handed out first in, first out, and none is used a second time before there are
//! [`SLOTS_MIN`]: a slot rests as long as possible. A late answer could be mistaken for a fresh one
//! only if its slot had been used exactly 131,071 times in between, which takes at least 33 million
//! requests on that one connection; 10^12 of them where ids have 64 bits.
//!
//! Rejected: a counter and a hash map, as MOSN has it. It costs a hash per answer, and at the wrap
//! it must look for ids that are still in use; here a slot in use cannot be handed out at all.

/// Bits of an id that hold the slot's index.
pub const INDEX_BITS: u32 = 14;
/// Most requests that one connection can have in flight: the number of indices.
pub const IN_FLIGHT_MAX: usize = 1 << INDEX_BITS;

/// Slots that exist before the first one is used again (fewer when the table's limit is lower).
pub const SLOTS_MIN: usize = 256;

const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
/// End of the list of free slots.
const NONE: u32 = u32::MAX;

/// How many bits of an id come back from a peer as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdWidth {
    /// 32, the top one of which some read as a sign.
    Bits31,
    /// 64, of which some keep no more than a double does.
    Bits46,
}

impl IdWidth {
    /// The highest generation; the one after it is 1.
    pub const fn generation_max(self) -> u32 {
        match self {
            IdWidth::Bits31 => (1 << (31 - INDEX_BITS)) - 1,
            IdWidth::Bits46 => u32::MAX,
        }
    }
}

/// The index part of an id: below [`IN_FLIGHT_MAX`], and no two entries in a table share it.
pub fn index(id: u64) -> usize {
    (id & INDEX_MASK) as usize
}

/// How an entry left the table. Kept in its slot until the next use, to tell a duplicate answer
/// from a late one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its answer came.
    Answered,
    /// It was given up before its answer came: time-out, or nobody waits any more.
    GivenUp,
}

/// What is known about an id that no request waits under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The request of this id was given up before.
    Late,
    /// The request of this id has had its answer.
    Duplicate,
    /// No request had this id, as far as the table remembers.
    Unknown,
}

/// Requests waiting for their answers, each under its own id.
///
/// It grows with the number of requests in flight at once, up to its limit, and allocates nothing
/// after that.
#[derive(Debug)]
pub struct IdTable<T> {
    slots: Vec<Slot<T>>,
    free_first: u32,
    free_last: u32,
    len: usize,
    in_flight_max: usize,
    generation_max: u32,
}

#[derive(Debug)]
struct Slot<T> {
    /// Of the entry when there is one, otherwise of the next entry.
    generation: u32,
    /// How the entry before ended; says nothing in a slot of generation 1.
    ended: Ended,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Taken(T),
    Free { next: u32 },
}

impl<T> IdTable<T> {
    /// An empty table for at most `in_flight_max` entries, whose ids have this width.
    ///
    /// # Panics
    /// When `in_flight_max` is 0 or above [`IN_FLIGHT_MAX`].
    pub fn new(in_flight_max: usize, width: IdWidth) -> Self {
        assert!(
            (1..=IN_FLIGHT_MAX).contains(&in_flight_max),
            "in_flight_max {in_flight_max} is not within 1..={IN_FLIGHT_MAX}"
        );
        IdTable {
            slots: Vec::new(),
            free_first: NONE,
            free_last: NONE,
            len: 0,
            in_flight_max,
            generation_max: width.generation_max(),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether [`insert`](Self::insert) would refuse.
    pub fn is_full(&self) -> bool {
        self.len == self.in_flight_max
    }

    /// Puts `entry` under an id that no other entry has.
    ///
    /// # Errors
    /// The table is full; the entry comes back.
    pub fn insert(&mut self, entry: T) -> Result<u64, T> {
        if self.is_full() {
            return Err(entry);
        }
        let index = self.take_free();
        let slot = &mut self.slots[index as usize];
        slot.state = State::Taken(entry);
        self.len += 1;
        Ok(id_of(slot.generation, index))
    }

    /// An id that no entry has, none had lately, and none will have soon: for a frame that must not
    /// be answered. An answer to it is [`Stale::Late`].
    pub fn unused_id(&mut self) -> u64 {
        if self.is_full() {
            // Generation 0: belongs to nobody, ever.
            return 0;
        }
        let index = self.take_free();
        let slot = &mut self.slots[index as usize];
        let id = id_of(slot.generation, index);
        slot.generation = next_generation(slot.generation, self.generation_max);
        slot.ended = Ended::GivenUp;
        self.append_free(index);
        id
    }

    /// The entry under `id`.
    pub fn get(&self, id: u64) -> Option<&T> {
        match self.slot(id).map(|slot| &slot.state) {
            Some(State::Taken(entry)) => Some(entry),
            _ => None,
        }
    }

    /// The entry under `id`, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(index(id))?;
        match &mut slot.state {
            State::Taken(entry) if u64::from(slot.generation) == id >> INDEX_BITS => Some(entry),
            _ => None,
        }
    }

    /// Every entry, in the order of the slots, to change it.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match &mut slot.state {
            State::Taken(entry) => Some(entry),
            State::Free { .. } => None,
        })
    }

    /// Takes the entry under `id` out and gives its slot free under the next generation.
    ///
    /// # Errors
    /// Nothing waits under `id`; the error says what is known about it.
    pub fn remove(&mut self, id: u64, ended: Ended) -> Result<T, Stale> {
        if self.get(id).is_none() {
            return Err(self.stale(id));
        }
        Ok(self.release(index(id) as u32, ended).expect("an entry was found under this id"))
    }

    /// Takes every entry out, in the order of the slots; each with the id it had.
    pub fn drain(&mut self, mut each: impl FnMut(u64, T)) {
        for index in 0..self.slots.len() as u32 {
            let id = id_of(self.slots[index as usize].generation, index);
            if let Some(entry) = self.release(index, Ended::GivenUp) {
                each(id, entry);
            }
        }
    }

    fn slot(&self, id: u64) -> Option<&Slot<T>> {
        let slot = self.slots.get(index(id))?;
        (u64::from(slot.generation) == id >> INDEX_BITS).then_some(slot)
    }

    fn stale(&self, id: u64) -> Stale {
        let generation = u32::try_from(id >> INDEX_BITS).unwrap_or(0);
        let Some(slot) = self.slots.get(index(id)) else { return Stale::Unknown };
        if generation == 0 || generation > self.generation_max {
            return Stale::Unknown;
        }
        let next = next_generation(generation, self.generation_max);
        match (next == slot.generation, slot.ended) {
            (true, Ended::Answered) => Stale::Duplicate,
            (true, Ended::GivenUp) => Stale::Late,
            // The slot has been used again since: an old answer, or one that was made up.
            (false, _) => Stale::Unknown,
        }
    }

    fn take_free(&mut self) -> u32 {
        let slots_min = SLOTS_MIN.min(self.in_flight_max);
        if self.free_first == NONE || self.slots.len() < slots_min {
            self.slots.push(Slot {
                generation: 1,
                ended: Ended::GivenUp,
                state: State::Free { next: NONE },
            });
            return self.slots.len() as u32 - 1;
        }
        let index = self.free_first;
        if let State::Free { next } = self.slots[index as usize].state {
            self.free_first = next;
        }
        if self.free_first == NONE {
            self.free_last = NONE;
        }
        index
    }

    fn release(&mut self, index: u32, ended: Ended) -> Option<T> {
        let slot = &mut self.slots[index as usize];
        if matches!(slot.state, State::Free { .. }) {
            return None;
        }
        let state = std::mem::replace(&mut slot.state, State::Free { next: NONE });
        slot.generation = next_generation(slot.generation, self.generation_max);
        slot.ended = ended;
        self.len -= 1;
        self.append_free(index);
        match state {
            State::Taken(entry) => Some(entry),
            State::Free { .. } => None,
        }
    }

    fn append_free(&mut self, index: u32) {
        // Nobody comes after it, though it may have been free, with others behind it, a moment ago.
        self.slots[index as usize].state = State::Free { next: NONE };
        if self.free_last == NONE {
            self.free_first = index;
        } else {
            self.slots[self.free_last as usize].state = State::Free { next: index };
        }
        self.free_last = index;
    }
}

/// Counts up from 1 and goes back to 1 behind the last, skipping 0.
fn next_generation(generation: u32, generation_max: u32) -> u32 {
    if generation == generation_max { 1 } else { generation + 1 }
}

fn id_of(generation: u32, index: u32) -> u64 {
    u64::from(generation) << INDEX_BITS | u64::from(index)
}

#[cfg(test)]
mod tests;

//! The timer structure: a hierarchical timing wheel with exact deadlines.
//!
//! It is pure: it reads no clock and wakes nobody. `now` is an argument, times are nanoseconds
//! since an epoch of the caller's choosing, and what is due is handed back.
//!
//! There are [`LEVELS`] wheels of [`SLOTS`] slots. A slot of level 0 covers one tick of 2^16 ns
//! (65.5 us), a slot of level `n` covers all of level `n - 1`. A timer is filed by the highest
//! bits in which its tick differs from the wheel's present one; when time reaches a slot of a
//! higher level, its timers are filed anew, lower. Arming and cancelling are O(1); each timer
//! moves at most `LEVELS - 1` times in its life. The ticks only sort: every timer keeps its
//! deadline in nanoseconds, and none is handed back before it.
//!
//! Rejected: a 4-ary heap (Go) or a B-tree (smol). Most timers of a server are time-outs that are
//! cancelled, and O(log n) with cache misses for each is what users of those notice. Rejected too:
//! ticks of a millisecond (tokio, monoio), which make a 2 ms sleep last 3.

use std::num::NonZero;

/// Wheels.
const LEVELS: usize = 6;
/// Slots of one wheel.
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// A tick is `2^TICK_BITS` nanoseconds.
const TICK_BITS: u32 = 16;
/// Ticks that the wheels span: 2^36, or 52 days. Later timers wait at the far end and are filed
/// anew each time the span is used up.
const SPAN_TICKS: u64 = 1 << (SLOT_BITS * LEVELS as u32);
const NIL: u32 = u32::MAX;

/// Names an armed timer. The generation tells it from a later timer in the same place, so a key
/// that is kept too long finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    generation: NonZero<u32>,
}

/// A timer, or a place for one. Places are filled field by field: a `Slab` would move whole entries.
struct Entry<T> {
    deadline_ns: u64,
    generation: NonZero<u32>,
    /// Neighbours in the slot's circular list. `next` of a free place is the next free place.
    prev: u32,
    next: u32,
    /// `level * SLOTS + slot`.
    place: u16,
    /// `None` in a free place.
    value: Option<T>,
}

/// The wheels and the timers in them.
pub(crate) struct Timers<T> {
    entries: Vec<Entry<T>>,
    /// The free place that was left last, or `NIL`.
    first_free: u32,
    armed: usize,
    /// First entry of each slot's list, or `NIL`.
    heads: Box<[u32; LEVELS * SLOTS]>,
    /// One bit for each slot that has a list.
    occupied: [u64; LEVELS],
    /// The tick the wheels stand at. No timer's slot lies before it.
    tick: u64,
    last_generation: NonZero<u32>,
    next: Next,
}

/// What is known of the earliest deadline.
#[derive(Clone, Copy)]
enum Next {
    Known(Option<u64>),
    Unknown,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            first_free: NIL,
            armed: 0,
            heads: Box::new([NIL; LEVELS * SLOTS]),
            occupied: [0; LEVELS],
            tick: 0,
            last_generation: NonZero::<u32>::MIN,
            next: Next::Known(None),
        }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Arms a timer. A deadline in the past is due at the next [`expire`](Self::expire).
    ///
    /// # Panics
    /// With 2^32 - 1 timers armed at once.
    pub(crate) fn arm(&mut self, deadline_ns: u64, value: T) -> TimerKey {
        let generation = self.last_generation.checked_add(1).unwrap_or(NonZero::<u32>::MIN);
        self.last_generation = generation;
        let index = self.take_place();
        let entry = &mut self.entries[index as usize];
        (entry.deadline_ns, entry.generation) = (deadline_ns, generation);
        entry.value = Some(value);
        self.armed += 1;
        self.file(index);
        if let Next::Known(next) = self.next {
            self.next = Next::Known(Some(next.map_or(deadline_ns, |next| next.min(deadline_ns))));
        }
        TimerKey { index, generation }
    }

    /// Disarms a timer and returns its value; `None` when it has already fired.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        let deadline_ns = entry.deadline_ns;
        self.unlink(key.index);
        self.leave_place(key.index);
        if self.is_empty() {
            self.next = Next::Known(None);
        } else if matches!(self.next, Next::Known(Some(next)) if next >= deadline_ns) {
            self.next = Next::Unknown;
        }
        Some(value)
    }

    /// The value of an armed timer.
    pub(crate) fn value_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// Moves every timer that is due at `now_ns` to `due`, those of earlier ticks first, and in
    /// one tick in the order in which they were filed.
    pub(crate) fn expire(&mut self, now_ns: u64, due: &mut Vec<T>) {
        if let Next::Known(next) = self.next
            && next.is_none_or(|next| next > now_ns)
        {
            return;
        }
        self.next = Next::Unknown;
        let now_tick = now_ns >> TICK_BITS;
        while let Some((level, slot, start)) = self.first_slot() {
            if start > now_tick {
                break;
            }
            self.tick = self.tick.max(start);
            self.empty_slot(level, slot, now_ns, due);
            if start == now_tick && level == 0 {
                return;
            }
        }
        self.tick = self.tick.max(now_tick);
    }

    /// When to call [`expire`](Self::expire) next: never later than the earliest deadline. It may
    /// be earlier, when timers have to be moved to a lower wheel first, or were cancelled.
    pub(crate) fn next_deadline_ns(&mut self) -> Option<u64> {
        if let Next::Known(next) = self.next {
            return next;
        }
        let next = self.first_slot().map(|(level, slot, start)| {
            if level > 0 { start << TICK_BITS } else { self.earliest_in(slot) }
        });
        self.next = Next::Known(next);
        next
    }

    /// A place for a timer, which is the caller's to fill and to file.
    #[inline]
    fn take_place(&mut self) -> u32 {
        let index = self.first_free;
        if index == NIL {
            return self.new_place();
        }
        self.first_free = self.entries[index as usize].next;
        index
    }

    #[cold]
    fn new_place(&mut self) -> u32 {
        let index = u32::try_from(self.entries.len()).unwrap_or(NIL);
        assert!(index != NIL, "more than {NIL} timers");
        let (deadline_ns, generation, place) = (0, self.last_generation, 0);
        self.entries.push(Entry {
            deadline_ns,
            generation,
            prev: NIL,
            next: NIL,
            place,
            value: None,
        });
        index
    }

    /// Gives up a place that stands in no list and whose value was taken.
    fn leave_place(&mut self, index: u32) {
        self.entries[index as usize].next = self.first_free;
        self.first_free = index;
        self.armed -= 1;
    }

    /// The slot whose time comes first, and the tick at which it starts. Slots of a lower level
    /// are always earlier than those of a higher one, and in a level none lies behind `tick`.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|bits| *bits != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = SLOT_BITS * level as u32;
        let block = self.tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        Some((level, slot, block | (slot as u64) << shift))
    }

    /// Takes a slot's list apart: what is due goes to `due`, the rest is filed anew.
    fn empty_slot(&mut self, level: usize, slot: usize, now_ns: u64, due: &mut Vec<T>) {
        let place = level * SLOTS + slot;
        let head = std::mem::replace(&mut self.heads[place], NIL);
        self.occupied[level] &= !(1 << slot);
        let mut at = head;
        if self.tick % SPAN_TICKS == SPAN_TICKS - 1 && self.tick < now_ns >> TICK_BITS {
            // The last tick of the span has passed, and no other slot holds a timer: what waited
            // at the far end is filed in the next span.
            self.tick += 1;
        }
        loop {
            let entry = &mut self.entries[at as usize];
            let next = entry.next;
            if level == 0 && entry.deadline_ns <= now_ns {
                due.extend(entry.value.take());
                self.leave_place(at);
            } else {
                self.file(at);
            }
            at = next;
            if at == head {
                break;
            }
        }
    }

    fn earliest_in(&self, slot: usize) -> u64 {
        let head = self.heads[slot];
        let (mut at, mut earliest) = (head, u64::MAX);
        loop {
            let entry = &self.entries[at as usize];
            earliest = earliest.min(entry.deadline_ns);
            at = entry.next;
            if at == head {
                return earliest;
            }
        }
    }

    /// Puts an entry at the end of the list of the slot that its deadline belongs to.
    #[inline]
    fn file(&mut self, index: u32) {
        let place = self.place_of(self.entries[index as usize].deadline_ns);
        let head = self.heads[place];
        let (prev, next) = if head == NIL {
            self.heads[place] = index;
            self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
            (index, index)
        } else {
            let tail = std::mem::replace(&mut self.entries[head as usize].prev, index);
            self.entries[tail as usize].next = index;
            (tail, head)
        };
        let entry = &mut self.entries[index as usize];
        (entry.prev, entry.next, entry.place) = (prev, next, place as u16);
    }

    fn place_of(&self, deadline_ns: u64) -> usize {
        let end_of_span = self.tick | (SPAN_TICKS - 1);
        let tick = (deadline_ns >> TICK_BITS).clamp(self.tick, end_of_span);
        let differing = (self.tick ^ tick) | (SLOTS as u64 - 1);
        let level = (differing.ilog2() / SLOT_BITS) as usize;
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        level * SLOTS + slot
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, place, .. } = self.entries[index as usize];
        let place = place as usize;
        if next == index {
            self.heads[place] = NIL;
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
            return;
        }
        self.entries[prev as usize].next = next;
        self.entries[next as usize].prev = prev;
        if self.heads[place] == index {
            self.heads[place] = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expire(timers: &mut Timers<u32>, now_ns: u64) -> Vec<u32> {
        let mut due = Vec::new();
        timers.expire(now_ns, &mut due);
        due
    }

    #[test]
    fn a_timer_is_due_at_its_nanosecond_and_not_before() {
        let mut timers = Timers::new();
        timers.arm(2_000_001, 1);
        assert_eq!(timers.next_deadline_ns(), Some(2_000_001));
        assert!(expire(&mut timers, 2_000_000).is_empty());
        assert_eq!(timers.next_deadline_ns(), Some(2_000_001));
        assert_eq!(expire(&mut timers, 2_000_001), [1]);
        assert_eq!(timers.next_deadline_ns(), None);
    }

    #[test]
    fn timers_of_one_deadline_fire_in_the_order_they_were_armed() {
        let mut timers = Timers::new();
        for i in 0..100 {
            timers.arm(5_000_000_000, i);
        }
        assert_eq!(expire(&mut timers, 5_000_000_000), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_cancelled_timer_never_fires_and_its_key_finds_no_successor() {
        let mut timers = Timers::new();
        let key = timers.arm(10, 1);
        assert_eq!(timers.cancel(key), Some(1));
        let other = timers.arm(10, 2);
        assert_eq!(other.index, key.index, "the place is used again");
        assert_eq!(timers.cancel(key), None);
        assert!(timers.value_mut(key).is_none());
        assert_eq!(expire(&mut timers, 10), [2]);
    }

    #[test]
    fn the_farthest_deadlines_wait_beyond_the_span() {
        let mut timers = Timers::new();
        let span_ns = SPAN_TICKS << TICK_BITS;
        timers.arm(u64::MAX, 1);
        timers.arm(3 * span_ns + 5, 2);
        let mut fired = Vec::new();
        while let Some(next) = timers.next_deadline_ns() {
            fired.extend(expire(&mut timers, next).into_iter().map(|id| (id, next)));
        }
        assert_eq!(fired, [(2, 3 * span_ns + 5), (1, u64::MAX)]);
    }

    #[test]
    fn an_hour_of_waiting_costs_at_most_one_wake_up_a_level() {
        let mut timers = Timers::new();
        timers.arm(3_600_000_000_000, 1);
        let mut wakes = 0;
        loop {
            let next = timers.next_deadline_ns().unwrap();
            wakes += 1;
            if !expire(&mut timers, next).is_empty() {
                break;
            }
        }
        assert!(wakes <= LEVELS, "{wakes} wake-ups");
    }

    /// Under Miri, which is slow and knows no files, few cases.
    fn config() -> ProptestConfig {
        if cfg!(miri) {
            return ProptestConfig { cases: 8, failure_persistence: None, ..Default::default() };
        }
        ProptestConfig::default()
    }

    #[derive(Clone, Debug)]
    enum Op {
        Arm(u64),
        Cancel(usize),
        Advance(u64),
        ToNext,
    }

    fn op() -> impl Strategy<Value = Op> {
        let ns = (0u32..60, 0u64..1000).prop_map(|(bits, low)| (1u64 << bits) + low);
        prop_oneof![
            3 => ns.clone().prop_map(Op::Arm),
            1 => any::<usize>().prop_map(Op::Cancel),
            1 => ns.prop_map(|ns| Op::Advance(ns >> 4)),
            2 => Just(Op::ToNext),
        ]
    }

    proptest! {
        #![proptest_config(config())]

        /// Against a model that keeps a plain list.
        #[test]
        fn wheels_agree_with_a_list(ops in proptest::collection::vec(op(), 1..200)) {
            let (mut timers, mut model) = (Timers::new(), Vec::<(u64, u32, TimerKey)>::new());
            let (mut now_ns, mut serial) = (0u64, 0u32);
            for op in ops {
                match op {
                    Op::Arm(after) => {
                        let deadline = now_ns.saturating_add(after);
                        serial += 1;
                        let key = timers.arm(deadline, serial);
                        model.push((deadline, serial, key));
                    }
                    Op::Cancel(which) if !model.is_empty() => {
                        let (_, id, key) = model.swap_remove(which % model.len());
                        prop_assert_eq!(timers.cancel(key), Some(id));
                    }
                    Op::Cancel(_) => {}
                    Op::Advance(by) => now_ns = now_ns.saturating_add(by),
                    Op::ToNext => {
                        if let Some(next) = timers.next_deadline_ns() {
                            now_ns = now_ns.max(next);
                        }
                    }
                }
                let mut due = expire(&mut timers, now_ns);
                due.sort_unstable();
                let (mut expected, rest): (Vec<_>, Vec<_>) =
                    model.into_iter().partition(|(deadline, ..)| *deadline <= now_ns);
                expected.sort_unstable_by_key(|(_, id, _)| *id);
                model = rest;
                prop_assert_eq!(due, expected.iter().map(|(_, id, _)| *id).collect::<Vec<_>>());
                prop_assert_eq!(timers.len(), model.len());
                let earliest = model.iter().map(|(deadline, ..)| *deadline).min();
                prop_assert_eq!(timers.next_deadline_ns().is_some(), earliest.is_some());
                prop_assert!(timers.next_deadline_ns() <= earliest);
                prop_assert!(timers.next_deadline_ns().is_none_or(|next| next > now_ns));
            }
        }
    }
}

//! What the proxy's own answers must say again: the method's name in Thrift, nothing elsewhere.
//!
//! One buffer per slot of the connection's [id table](crate::ids), used again by the next request in
//! that slot: so keeping a name allocates nothing once a slot has been used, and protocols that
//! repeat nothing pay nothing.

use crate::ids;

/// A longer part leaves its buffer with the request that needed it.
const KEPT_BYTES_MAX: usize = 128;

/// See the module's page. At most [`ids::IN_FLIGHT_MAX`] parts.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    slots: Vec<Vec<u8>>,
}

impl Repeats {
    /// Keeps `part` for the request of this id, in place of what its slot held before.
    pub(crate) fn keep(&mut self, id: u64, part: &[u8]) {
        let index = ids::index(id);
        if index >= self.slots.len() {
            if part.is_empty() {
                return;
            }
            self.slots.resize_with(index + 1, Vec::new);
        }
        let slot = &mut self.slots[index];
        if slot.capacity() > KEPT_BYTES_MAX {
            *slot = Vec::new();
        }
        slot.clear();
        slot.extend_from_slice(part);
    }

    /// What was kept for the request that had this id last.
    pub(crate) fn of(&self, id: u64) -> &[u8] {
        self.slots.get(ids::index(id)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_repeats_the_part_of_its_last_request() {
        let mut repeats = Repeats::default();
        let later = |id: u64| id + (1 << ids::INDEX_BITS);
        assert_eq!(repeats.of(7), b"");
        repeats.keep(7, b"add");
        repeats.keep(3, b"subtract");
        assert_eq!((repeats.of(7), repeats.of(3)), (&b"add"[..], &b"subtract"[..]));
        repeats.keep(later(7), b"");
        assert_eq!(repeats.of(later(7)), b"");
    }

    #[test]
    fn nothing_to_repeat_costs_no_memory_and_a_long_part_does_not_stay() {
        let mut repeats = Repeats::default();
        repeats.keep(16_000, b"");
        assert_eq!(repeats.slots.capacity(), 0);
        repeats.keep(0, &[b'x'; 1024]);
        repeats.keep(0, b"short");
        assert!(repeats.slots[0].capacity() <= KEPT_BYTES_MAX);
    }
}

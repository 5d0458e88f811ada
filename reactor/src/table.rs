//! A table whose indices are used again: tasks and descriptors by number.
//!
//! `slab` does the same in 16 bytes an entry and a few more instructions each time. Here an entry is one
//! pointer, and the free places stand in a list beside them: a look-up is on the way of every event and
//! every wake-up.

/// Values by index. `T` is a pointer of some kind, which `Option` takes no more room for.
pub(crate) struct Table<T> {
    entries: Vec<Option<T>>,
    /// Indices of the entries that hold nothing.
    free: Vec<u32>,
}

/// What [`Table::entries`] returns: it spares each look-up the way through the table.
pub(crate) struct Entries<'a, T>(&'a [Option<T>]);

impl<'a, T> Entries<'a, T> {
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&'a T> {
        self.0.get(index)?.as_ref()
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        const { assert!(size_of::<Option<T>>() == size_of::<T>()) };
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    /// The index that the next insertion uses.
    #[inline]
    pub(crate) fn vacant_index(&self) -> usize {
        self.free.last().map_or(self.entries.len(), |index| *index as usize)
    }

    /// Inserts at [`vacant_index`](Self::vacant_index). The caller has seen that it fits 32 bits.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) {
        match self.free.pop() {
            Some(index) => self.entries[index as usize] = Some(value),
            None => self.entries.push(Some(value)),
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.entries().get(index)
    }

    /// For many look-ups.
    #[inline]
    pub(crate) fn entries(&self) -> Entries<'_, T> {
        Entries(&self.entries)
    }

    #[inline]
    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        let removed = self.entries.get_mut(index)?.take();
        if removed.is_some() {
            self.free.push(index as u32);
        }
        removed
    }

    /// The first entry at or behind an index.
    pub(crate) fn first_from(&self, index: usize) -> Option<(usize, &T)> {
        (index..self.entries.len()).find_map(|index| Some((index, self.get(index)?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_place_that_was_left_last_is_used_first() {
        let mut table = Table::default();
        for value in 0..3 {
            assert_eq!(table.vacant_index(), value);
            table.insert(Box::new(value));
        }
        assert_eq!(table.remove(0).as_deref(), Some(&0));
        assert_eq!(table.remove(2).as_deref(), Some(&2));
        assert_eq!(table.vacant_index(), 2);
        assert!(table.remove(2).is_none() && table.remove(9).is_none());
        assert_eq!(table.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            cases: if cfg!(miri) { 8 } else { 256 },
            ..ProptestConfig::default()
        })]

        /// Against a map. A number that is even inserts, an odd one removes.
        #[test]
        fn a_table_does_what_a_map_does(ops in proptest::collection::vec(0usize..40, 0..200)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for op in ops {
                if op % 2 == 0 {
                    let index = table.vacant_index();
                    table.insert(Box::new(op));
                    prop_assert!(model.insert(index, op).is_none());
                } else {
                    prop_assert_eq!(table.remove(op / 2).map(|value| *value), model.remove(&(op / 2)));
                }
                prop_assert_eq!(table.len(), model.len());
                let mut seen = BTreeMap::new();
                let mut from = 0;
                while let Some((index, value)) = table.first_from(from) {
                    seen.insert(index, **value);
                    from = index + 1;
                }
                prop_assert_eq!(&seen, &model);
            }
        }
    }
}

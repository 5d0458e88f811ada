//! The id table: generations, wrap-around, late and duplicate answers.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

#[test]
fn an_entry_is_found_under_its_id_until_it_is_removed() {
    let mut table = IdTable::new(4, IdWidth::Bits31);
    let id = table.insert('a').unwrap();
    assert_eq!(table.get(id), Some(&'a'));
    assert_eq!(table.remove(id, Ended::Answered), Ok('a'));
    assert_eq!(table.get(id), None);
    assert!(table.is_empty());
}

#[test]
fn the_same_slot_gets_another_id_the_next_time() {
    let mut table = IdTable::new(1, IdWidth::Bits31);
    let first = table.insert(1).unwrap();
    table.remove(first, Ended::Answered).unwrap();
    let second = table.insert(2).unwrap();
    assert_eq!(first & INDEX_MASK, second & INDEX_MASK);
    assert_ne!(first, second);
    assert_eq!(table.get(first), None, "the old id must not reach the new entry");
}

#[test]
fn a_second_answer_is_told_from_a_late_one() {
    let mut table = IdTable::new(4, IdWidth::Bits31);
    let answered = table.insert(()).unwrap();
    let given_up = table.insert(()).unwrap();
    table.remove(answered, Ended::Answered).unwrap();
    table.remove(given_up, Ended::GivenUp).unwrap();
    assert_eq!(table.remove(answered, Ended::Answered), Err(Stale::Duplicate));
    assert_eq!(table.remove(given_up, Ended::Answered), Err(Stale::Late));
}

#[test]
fn ids_that_were_never_given_out_are_unknown() {
    let mut table = IdTable::new(4, IdWidth::Bits31);
    let id = table.insert(()).unwrap();
    for unknown in [
        0,
        id + 1,
        id + (2 << INDEX_BITS),
        id | 1 << 31,
        u64::from(u32::MAX),
        id | 1 << 46,
        u64::MAX,
    ] {
        assert_eq!(table.remove(unknown, Ended::Answered), Err(Stale::Unknown), "{unknown:#x}");
    }
    assert_eq!(table.len(), 1);
}

#[test]
fn a_full_table_gives_the_entry_back() {
    let mut table = IdTable::new(2, IdWidth::Bits31);
    table.insert(1).unwrap();
    table.insert(2).unwrap();
    assert!(table.is_full());
    assert_eq!(table.insert(3), Err(3));
}

#[test]
fn every_index_can_be_in_flight_at_once() {
    let mut table = IdTable::new(IN_FLIGHT_MAX, IdWidth::Bits31);
    let mut ids: Vec<u64> = (0..IN_FLIGHT_MAX).map(|n| table.insert(n).unwrap()).collect();
    assert!(table.insert(0).is_err());
    assert!(ids.iter().enumerate().all(|(n, &id)| table.get(id) == Some(&n)));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), IN_FLIGHT_MAX);
}

#[test]
fn the_generation_wraps_without_zero_sign_or_a_busy_id() {
    let mut table = IdTable::new(2, IdWidth::Bits31);
    let busy = table.insert(0).unwrap();
    let mut before = None;
    for turn in 1..=2 * IdWidth::Bits31.generation_max() {
        let id = table.insert(turn).unwrap();
        assert!(id != 0 && id >> 31 == 0, "id {id:#x} at turn {turn}");
        assert_ne!(id, busy);
        assert_ne!(Some(id), before);
        assert_eq!(table.remove(id, Ended::Answered), Ok(turn));
        assert_eq!(table.remove(id, Ended::Answered), Err(Stale::Duplicate), "at turn {turn}");
        before = Some(id);
    }
    assert_eq!(table.get(busy), Some(&0));
}

#[test]
fn the_generation_of_wide_ids_wraps_behind_bit_45() {
    let mut table = IdTable::new(1, IdWidth::Bits46);
    let first = table.insert(0).unwrap();
    table.remove(first, Ended::Answered).unwrap();
    table.slots[0].generation = u32::MAX - 1;
    let mut ids = Vec::new();
    for turn in 1..=3 {
        let id = table.insert(turn).unwrap();
        assert!(id != 0 && id < 1 << 46, "id {id:#x}");
        assert_eq!(table.remove(id, Ended::Answered), Ok(turn));
        assert_eq!(table.remove(id, Ended::Answered), Err(Stale::Duplicate), "id {id:#x}");
        ids.push(id >> INDEX_BITS);
    }
    assert_eq!(ids, [u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1]);
}

#[test]
fn an_id_that_agrees_in_its_low_bits_only_is_unknown() {
    let mut table = IdTable::new(4, IdWidth::Bits46);
    let id = table.insert('a').unwrap();
    assert_eq!(table.remove(id | 1 << 46, Ended::Answered), Err(Stale::Unknown));
    assert_eq!(table.remove(id | 1 << 32, Ended::Answered), Err(Stale::Unknown));
    assert_eq!(table.remove(id, Ended::Answered), Ok('a'));
    assert_eq!(table.remove(id | 1 << 46, Ended::Answered), Err(Stale::Unknown));
    assert_eq!(table.remove(id, Ended::Answered), Err(Stale::Duplicate));
}

#[test]
fn a_freed_slot_rests_while_others_are_free() {
    let mut table = IdTable::new(8, IdWidth::Bits31);
    let ids: Vec<u64> = (0..3).map(|n| table.insert(n).unwrap()).collect();
    for &id in &ids {
        table.remove(id, Ended::Answered).unwrap();
    }
    let again: Vec<u64> = (0..8).map(|n| table.insert(n).unwrap() & INDEX_MASK).collect();
    assert_eq!(again, [3, 4, 5, 6, 7, 0, 1, 2]);
}

#[test]
fn with_one_request_at_a_time_an_id_comes_back_only_after_33_million() {
    let mut table = IdTable::new(IN_FLIGHT_MAX, IdWidth::Bits31);
    let mut indices = std::collections::HashSet::new();
    for n in 0..3 * SLOTS_MIN {
        let id = table.insert(n).unwrap();
        table.remove(id, Ended::Answered).unwrap();
        indices.insert(id & INDEX_MASK);
    }
    assert_eq!(indices.len(), SLOTS_MIN);
    assert_eq!(SLOTS_MIN as u32 * IdWidth::Bits31.generation_max(), 33_554_176);
}

#[test]
fn an_unused_id_hits_nobody_and_leaves_no_entry() {
    let mut table = IdTable::new(2, IdWidth::Bits31);
    let live = table.insert('a').unwrap();
    let unused = table.unused_id();
    assert_ne!(unused, live);
    assert_eq!(table.len(), 1);
    assert_eq!(table.remove(unused, Ended::Answered), Err(Stale::Late));
    let next = table.insert('b').unwrap();
    assert_ne!(next, unused);
    assert_eq!(table.unused_id(), 0, "a full table has no slot to spare");
    assert_eq!(table.len(), 2);
}

#[test]
fn ids_stay_apart_when_more_are_needed_than_ever_after_some_that_were_not_to_be_answered() {
    let mut table = IdTable::new(1000, IdWidth::Bits31);
    for _ in 0..SLOTS_MIN + 10 {
        table.unused_id();
    }
    let ids: HashSet<u64> = (0..1000).map(|number| table.insert(number).unwrap()).collect();
    assert_eq!((ids.len(), table.len()), (1000, 1000));
}

#[test]
fn draining_hands_out_each_entry_once_and_leaves_an_empty_table() {
    let mut table = IdTable::new(8, IdWidth::Bits31);
    let ids: Vec<u64> = (0..5).map(|n| table.insert(n).unwrap()).collect();
    table.remove(ids[2], Ended::Answered).unwrap();
    let mut seen = Vec::new();
    table.drain(|_, entry| seen.push(entry));
    assert_eq!(seen, [0, 1, 3, 4]);
    assert!(table.is_empty());
    assert_eq!(table.remove(ids[0], Ended::Answered), Err(Stale::Late));
    assert!(table.insert(9).is_ok());
}

proptest! {
    /// More slots than there are before the first is used again, so that the list of free ones is
    /// used up as well.
    #[test]
    fn it_agrees_with_a_map(steps in prop::collection::vec((0..8u8, any::<u16>()), 1..1500)) {
        let max = SLOTS_MIN + 64;
        let mut table = IdTable::new(max, IdWidth::Bits31);
        let mut map = HashMap::new();
        let mut given = Vec::new();
        for (number, (step, pick)) in steps.into_iter().enumerate() {
            match step {
                0..4 => match table.insert(number) {
                    Ok(id) => {
                        prop_assert!(map.insert(id, number).is_none());
                        given.push(id);
                    }
                    Err(_) => prop_assert_eq!(map.len(), max),
                },
                4..7 => {
                    let unused = table.unused_id();
                    prop_assert!(!map.contains_key(&unused));
                    prop_assert!(table.get(unused).is_none());
                }
                _ if given.is_empty() => {}
                _ => {
                    let id = given[usize::from(pick) % given.len()];
                    prop_assert_eq!(table.remove(id, Ended::Answered).ok(), map.remove(&id));
                }
            }
            prop_assert_eq!(table.len(), map.len());
        }
        for (id, number) in map {
            prop_assert_eq!(table.get(id), Some(&number));
        }
    }
}

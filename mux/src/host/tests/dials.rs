//! Dials that are shared, limited and queued.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::rng::Rng;
use crate::host::HostConfig;
use crate::host::dials::{DialId, Dials, QueueFull};
use crate::host::trash::Trash;

fn dials(dials_max: usize, per_peer_max: usize, queued_max: usize) -> Dials<u32, u32> {
    Dials::new(&HostConfig {
        dials_max,
        dials_per_peer_max: per_peer_max,
        dials_queued_max: queued_max,
        ..HostConfig::default()
    })
}

/// Its id, and whether it runs.
fn begin(dials: &mut Dials<u32, u32>, peer: u32) -> Result<(DialId, bool), QueueFull> {
    dials.begin(&Rc::new(peer), peer)
}

fn runs(dials: &mut Dials<u32, u32>, peer: u32) -> DialId {
    let (id, has_slot) = begin(dials, peer).unwrap();
    assert!(has_slot);
    id
}

fn waits(dials: &mut Dials<u32, u32>, peer: u32) -> DialId {
    let (id, has_slot) = begin(dials, peer).unwrap();
    assert!(!has_slot);
    id
}

fn leave(dials: &mut Dials<u32, u32>, peer: u32, id: DialId) -> Option<u32> {
    dials.leave(&peer, id, &mut Trash::new())
}

fn release(dials: &mut Dials<u32, u32>, peer: u32) {
    dials.release(&peer, &mut Trash::new());
}

fn grant(dials: &mut Dials<u32, u32>) -> Option<u32> {
    dials.grant(&mut Trash::new())
}

#[test]
fn callers_share_a_dial_which_the_last_of_them_cancels() {
    let mut dials = dials(9, 9, 9);
    let id = runs(&mut dials, 1);
    assert_eq!(dials.join(&1), Some((id, 1)));
    assert_eq!(dials.join(&2), None);
    assert_eq!(leave(&mut dials, 1, id), None);
    assert_eq!(leave(&mut dials, 1, id), Some(1));
    assert_eq!(dials.counts(), (0, 0, 1), "its task still holds the slot");
    assert_eq!(dials.finish(&1, id, &mut Trash::new()), None, "it was cancelled");
    release(&mut dials, 1);
    assert_eq!(dials.counts(), (0, 0, 0));
}

#[test]
fn a_dial_that_is_over_is_not_taken_for_the_next() {
    let mut dials = dials(9, 9, 9);
    let first = runs(&mut dials, 1);
    assert_eq!(dials.finish(&1, first, &mut Trash::new()), Some(1));
    let second = runs(&mut dials, 1);
    dials.keep(&1, first);
    assert_eq!(leave(&mut dials, 1, first), None);
    assert_eq!(dials.finish(&1, first, &mut Trash::new()), None);
    assert_eq!(leave(&mut dials, 1, second), Some(1), "it was not kept, and has one caller");
}

#[test]
fn a_dial_that_is_kept_goes_on_without_callers_if_it_runs() {
    let mut dials = dials(1, 9, 9);
    let id = runs(&mut dials, 1);
    let queued = waits(&mut dials, 2);
    dials.keep(&1, id);
    assert_eq!(leave(&mut dials, 1, id), None);
    assert_eq!(dials.finish(&1, id, &mut Trash::new()), Some(1));
    dials.keep(&2, queued);
    assert_eq!(leave(&mut dials, 2, queued), Some(2), "it has reached nobody");
}

#[test]
fn beyond_the_limit_dials_wait_in_order_and_beyond_the_queue_they_fail() {
    let mut dials = dials(2, 9, 2);
    let first = runs(&mut dials, 1);
    let second = runs(&mut dials, 2);
    waits(&mut dials, 3);
    waits(&mut dials, 4);
    assert_eq!(begin(&mut dials, 5), Err(QueueFull));
    assert_eq!(dials.counts(), (4, 2, 2));
    assert_eq!(grant(&mut dials), None);
    assert_eq!(dials.finish(&1, first, &mut Trash::new()), Some(1));
    assert_eq!(grant(&mut dials), None, "the slot is not free yet");
    release(&mut dials, 1);
    assert_eq!(grant(&mut dials), Some(3));
    assert_eq!(grant(&mut dials), None);
    assert_eq!(leave(&mut dials, 2, second), Some(2));
    release(&mut dials, 2);
    assert_eq!(grant(&mut dials), Some(4));
    // One that waits leaves the queue.
    let waiting = waits(&mut dials, 5);
    assert_eq!(leave(&mut dials, 5, waiting), Some(5));
    assert_eq!(dials.counts(), (2, 0, 2));
}

#[test]
fn further_attempts_count_for_their_peer_and_for_all() {
    let mut dials = dials(5, 3, 9);
    let one = Rc::new(1);
    runs(&mut dials, 1);
    assert!(dials.try_another(&one) && dials.try_another(&one));
    assert!(!dials.try_another(&one), "three to one peer");
    let two = Rc::new(2);
    runs(&mut dials, 2);
    assert!(dials.try_another(&two));
    assert!(!dials.try_another(&two), "five in all");
    release(&mut dials, 1);
    assert!(dials.try_another(&two));
}

#[test]
fn a_dial_waits_behind_attempts_of_an_earlier_one_to_its_peer() {
    let mut dials = dials(5, 1, 9);
    let first = runs(&mut dials, 1);
    assert_eq!(leave(&mut dials, 1, first), Some(1));
    waits(&mut dials, 1);
    assert_eq!(grant(&mut dials), None, "the slot of the first is not free yet");
    release(&mut dials, 1);
    assert_eq!(grant(&mut dials), Some(1));
}

#[test]
fn clearing_gives_up_all_and_leaves_only_the_slots_of_those_that_run() {
    let mut dials = dials(2, 9, 9);
    runs(&mut dials, 1);
    runs(&mut dials, 2);
    waits(&mut dials, 3);
    let mut given_up = dials.clear(&mut Trash::new());
    given_up.sort_unstable();
    assert_eq!(given_up, [1, 2, 3]);
    assert_eq!(dials.counts(), (0, 0, 2));
}

/// A dial as the application sees it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: DialId,
    callers: usize,
    runs: bool,
}

/// Whatever happens in whatever order: one dial for each peer, the limits, the order of the queue, and
/// in the end nothing is left.
#[test]
fn any_order_of_events_keeps_the_limits_and_leaves_nothing() {
    for seed in 0..1000 {
        let mut rng = Rng::new(seed);
        let (dials_max, per_peer_max) = (rng.between(1, 4), rng.between(1, 3));
        let queued_max = rng.below(4);
        let mut dials = dials(dials_max, per_peer_max, queued_max);
        let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
        let mut slots: HashMap<u32, usize> = HashMap::new();
        for _ in 0..300 {
            let peer = rng.below(6) as u32;
            act(&mut dials, &mut seen, &mut slots, peer, rng.below(6));
            while let Some(granted) = grant(&mut dials) {
                seen.get_mut(&granted).unwrap().runs = true;
                *slots.entry(granted).or_default() += 1;
            }
            let (in_flight, queued, attempts) = dials.counts();
            assert_eq!(in_flight, seen.len(), "seed {seed}");
            assert!(attempts <= dials_max && queued <= queued_max, "seed {seed}");
            assert!(slots.values().all(|count| *count <= per_peer_max), "seed {seed}");
            let waits = queued > 0 && attempts < dials_max;
            assert!(!waits || slots.values().any(|n| *n >= per_peer_max), "seed {seed}: idle");
        }
        for peer in 0..6 {
            while seen.contains_key(&peer) {
                act(&mut dials, &mut seen, &mut slots, peer, 2);
            }
            (0..slots.remove(&peer).unwrap_or(0)).for_each(|_| release(&mut dials, peer));
        }
        assert_eq!(dials.counts(), (0, 0, 0), "seed {seed}");
    }
}

fn act(
    dials: &mut Dials<u32, u32>,
    seen: &mut BTreeMap<u32, Seen>,
    slots: &mut HashMap<u32, usize>,
    peer: u32,
    what: usize,
) {
    let Some(dial) = seen.get_mut(&peer) else {
        if let Ok((id, runs)) = begin(dials, peer) {
            seen.insert(peer, Seen { id, callers: 1, runs });
            *slots.entry(peer).or_default() += usize::from(runs);
        }
        return;
    };
    match what {
        0 => {
            dial.callers += usize::from(dials.join(&peer).is_some());
        }
        1 | 2 => {
            dial.callers -= 1;
            let cancelled = leave(dials, peer, dial.id).is_some();
            assert_eq!(cancelled, dial.callers == 0);
            if cancelled {
                seen.remove(&peer);
            }
        }
        3 if dial.runs => {
            assert!(dials.finish(&peer, dial.id, &mut Trash::new()).is_some());
            seen.remove(&peer);
        }
        4 if dial.runs && dials.try_another(&Rc::new(peer)) => {
            *slots.entry(peer).or_default() += 1;
        }
        5 if slots.get(&peer).is_some_and(|count| *count > 0) => {
            *slots.entry(peer).or_default() -= 1;
            release(dials, peer);
        }
        _ => {}
    }
}

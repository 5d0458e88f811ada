//! Which session of a peer gets a new stream.

use crate::host::sessions::{Candidate, best};

/// Whether it takes streams, whether it is full, and how many it has.
type Row = (bool, bool, usize);

fn chosen(candidates: &[Row]) -> Option<usize> {
    let rows = candidates.iter();
    best(rows.map(|&(takes_streams, is_full, streams)| Candidate {
        takes_streams,
        is_full,
        streams,
    }))
}

fn open(streams: usize) -> Row {
    (true, false, streams)
}

fn full(streams: usize) -> Row {
    (true, true, streams)
}

fn closed(streams: usize) -> Row {
    (false, false, streams)
}

#[test]
fn the_session_with_most_streams_is_best_and_among_equals_the_newest() {
    assert_eq!(chosen(&[]), None);
    assert_eq!(chosen(&[open(0)]), Some(0));
    assert_eq!(chosen(&[open(0), open(0)]), Some(1));
    assert_eq!(chosen(&[open(2), open(1)]), Some(0));
    assert_eq!(chosen(&[open(1), open(2), open(2), open(0)]), Some(2));
}

#[test]
fn a_session_that_takes_no_streams_is_never_chosen() {
    assert_eq!(chosen(&[closed(9)]), None);
    assert_eq!(chosen(&[open(0), closed(9)]), Some(0));
    assert_eq!(chosen(&[closed(9), open(1), closed(9)]), Some(1));
}

#[test]
fn a_full_session_is_chosen_only_among_full_ones() {
    assert_eq!(chosen(&[full(9), open(0)]), Some(1));
    assert_eq!(chosen(&[open(1), full(9), open(0)]), Some(0));
    assert_eq!(chosen(&[full(2), full(9), full(1), closed(99)]), Some(1));
}

//! Which session of a peer gets a new stream.

use crate::host::sessions::{Candidate, best};

fn chosen(candidates: &[(bool, usize)]) -> Option<usize> {
    let candidates = candidates.iter();
    best(candidates.map(|&(takes_streams, streams)| Candidate { takes_streams, streams }))
}

#[test]
fn the_session_with_most_streams_is_best_and_among_equals_the_newest() {
    assert_eq!(chosen(&[]), None);
    assert_eq!(chosen(&[(true, 0)]), Some(0));
    assert_eq!(chosen(&[(true, 0), (true, 0)]), Some(1));
    assert_eq!(chosen(&[(true, 2), (true, 1)]), Some(0));
    assert_eq!(chosen(&[(true, 1), (true, 2), (true, 2), (true, 0)]), Some(2));
}

#[test]
fn a_session_that_takes_no_streams_is_never_chosen() {
    assert_eq!(chosen(&[(false, 9)]), None);
    assert_eq!(chosen(&[(true, 0), (false, 9)]), Some(0));
    assert_eq!(chosen(&[(false, 9), (true, 1), (false, 9)]), Some(1));
}

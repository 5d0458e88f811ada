use super::*;

const SECOND_NS: u64 = 1_000_000_000;

fn in_a_turn() -> (Netpoll, Rc<Entry>) {
    let netpoll = Netpoll::new(Clock::new(true), 0).unwrap();
    netpoll.turns_begin();
    (netpoll, Entry::new())
}

/// Sets a deadline at so many seconds of the clock.
fn is_past(netpoll: &Netpoll, entry: &Rc<Entry>, seconds: u64) -> bool {
    netpoll.set_deadline(entry, Direction::Read, Some(seconds * SECOND_NS))
}

/// Between two turns, and in the first one, what the clock said is of any age.
#[test]
fn a_deadline_that_passed_between_two_runs_is_noticed_when_it_is_set() {
    let (netpoll, entry) = in_a_turn();
    let is_past = |seconds| is_past(&netpoll, &entry, seconds);
    assert!(!is_past(60));
    netpoll.turns_end();
    netpoll.clock.advance_to(120 * SECOND_NS);
    assert!(is_past(90), "outside of turns");
    assert!(!is_past(200));
    netpoll.clock.advance_to(240 * SECOND_NS);
    netpoll.turns_begin();
    assert!(is_past(220), "in the first turn");
}

#[test]
fn a_wait_makes_the_clock_be_asked_again() {
    let (netpoll, entry) = in_a_turn();
    let is_past = |seconds| is_past(&netpoll, &entry, seconds);
    assert!(!is_past(60));
    netpoll.clock.advance_to(120 * SECOND_NS);
    netpoll.wait(Wait::No, &mut Woken::default()).unwrap();
    assert!(is_past(90));
}

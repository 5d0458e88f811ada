//! A short run with one fault, at every byte where it can be.

use std::time::Duration;

use crate::link::{Cut, Faults};
use crate::plan::{Plan, Trouble};
use crate::scenario::{Taken, run};
use crate::wire::{Rng, Side};

fn play(writer: Side, trouble: Trouble, fault: impl FnOnce(&mut Faults)) -> Taken {
    run(Plan::calm(writer, fault, trouble), &Rng::new(0))
}

/// Runs with a fault at every byte of each direction.
fn at_every_byte(trouble: Trouble, fault: impl Fn(&mut Faults, u64)) {
    let whole = play(Side::Client, Trouble::Nothing, |_| {});
    for writer in Side::BOTH {
        let bytes = whole.bytes[writer as usize];
        assert!((100..400).contains(&bytes), "{writer:?} writes {bytes} bytes");
        for at in 0..bytes {
            println!("what the {writer:?} writes, byte {at}");
            play(writer, trouble, |faults| fault(faults, at));
        }
    }
}

#[test]
fn a_pause_at_any_byte_changes_nothing() {
    at_every_byte(Trouble::Nothing, |faults, at| faults.stall = Some((at, Duration::from_secs(1))));
}

#[test]
fn a_connection_may_end_at_any_byte() {
    at_every_byte(Trouble::Cut, |faults, at| faults.cut = Some((at, Cut::End)));
}

#[test]
fn a_connection_may_fail_at_any_byte() {
    at_every_byte(Trouble::Cut, |faults, at| faults.cut = Some((at, Cut::Error)));
}

#[test]
fn a_connection_may_fall_silent_at_any_byte() {
    at_every_byte(Trouble::Cut, |faults, at| faults.cut = Some((at, Cut::Silence)));
}

//! Two sessions over a connection that does its worst, in virtual time: thousands of runs, each made
//! from a seed. A run that fails prints its seed, the command that plays it again, and its plan.
//!
//! ```sh
//! cargo test -p mux --test sim                                # a few thousand seeds
//! SIM_SEEDS=1000000 cargo test --release -p mux --test sim    # a long run, other seeds each time
//! SIM_SEED=4711 cargo test -p mux --test sim                  # one of them again
//! ```
//!
//! `plan` makes a run from its seed, `link` is the connection and `mischief` what is put in on the way,
//! `play` and `calls` are the applications, `scenario` runs all of it, and `limits` and `ending` say what
//! must hold meanwhile and in the end. docs/mux-attacks.md tells more.
#![allow(clippy::print_stdout, reason = "a long run says how long it was")]

mod calls;
mod ending;
mod every_byte;
mod limits;
mod link;
mod mischief;
mod plan;
mod play;
mod scenario;
#[path = "../wire/mod.rs"]
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use plan::Plan;
use scenario::Taken;
use wire::Rng;

/// Seeds of an ordinary test run. They are the same each time, so that it does not fail by chance.
const SEEDS: u64 = 5000;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

fn play(seed: u64) -> Taken {
    let plan = Plan::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| scenario::run(plan.clone(), &Rng::new(seed))));
    outcome.unwrap_or_else(|panic| {
        eprintln!("seed {seed} failed; again with: SIM_SEED={seed} cargo test -p mux --test sim");
        eprintln!("{plan:#?}");
        resume_unwind(panic)
    })
}

#[test]
fn two_sessions_keep_their_promises_whatever_the_connection_does() {
    if let Some(seed) = variable("SIM_SEED") {
        play(seed);
        return;
    }
    let seeds = match variable("SIM_SEEDS") {
        None => 0..SEEDS,
        Some(count) => {
            let first = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
            first..first + count
        }
    };
    let steps: u64 = seeds.clone().map(|seed| play(seed).steps).sum();
    println!("{} seeds, {steps} reads and writes of a connection", seeds.count());
}

#[test]
fn a_seed_replays_step_by_step() {
    for seed in 0..50 {
        assert_eq!(play(seed), play(seed), "seed {seed}");
    }
}

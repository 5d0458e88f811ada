//! How long a peer is left alone.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::rng::Rng;
use crate::host::back_off::BackOff;
use crate::host::trash::Trash;
use crate::host::{DialFailure, HostConfig};

const SECOND: Duration = Duration::from_secs(1);

fn back_off(config: &HostConfig<u32>) -> BackOff<u32> {
    BackOff::new(config)
}

fn fail(back_off: &mut BackOff<u32>, peer: u32, now: Instant) -> Duration {
    let failure = DialFailure::Lost;
    back_off.failed(Rc::new(peer), failure, now, &mut Trash::new()) - now
}

#[test]
fn the_pause_is_five_seconds_and_the_square_of_the_failures_before_up_to_five_minutes() {
    let mut back_off = back_off(&HostConfig::default());
    let mut now = Instant::now();
    for before in 0..1000u64 {
        let pause = fail(&mut back_off, 1, now);
        assert_eq!(pause, (SECOND * 5 + SECOND * (before * before) as u32).min(SECOND * 300));
        let resting = back_off.check(&1, now + pause - Duration::from_nanos(1)).unwrap();
        assert_eq!((resting.retry_at, u64::from(resting.failures)), (now + pause, before + 1));
        now += pause;
        assert!(back_off.check(&1, now).is_none(), "the pause is over");
    }
}

#[test]
fn base_step_and_maximum_are_the_applications() {
    let config = HostConfig {
        back_off_base: SECOND * 2,
        back_off_step: SECOND * 3,
        back_off_max: SECOND * 20,
        ..HostConfig::default()
    };
    let mut back_off = back_off(&config);
    let now = Instant::now();
    let pauses: Vec<_> = (0..5).map(|_| fail(&mut back_off, 1, now).as_secs()).collect();
    assert_eq!(pauses, [2, 5, 14, 20, 20]);
}

#[test]
fn pauses_beyond_what_a_clock_counts_are_a_year() {
    let forever = Duration::MAX;
    let config = HostConfig { back_off_base: forever, back_off_max: forever, ..Default::default() };
    let mut back_off = back_off(&config.in_range());
    assert_eq!(fail(&mut back_off, 1, Instant::now()), SECOND * 365 * 24 * 3600);
}

#[test]
fn a_success_begins_anew() {
    let mut back_off = back_off(&HostConfig::default());
    let now = Instant::now();
    fail(&mut back_off, 1, now);
    fail(&mut back_off, 1, now);
    back_off.succeeded(&1, &mut Trash::new());
    assert!(back_off.check(&1, now).is_none());
    assert_eq!(back_off.len(), 0);
    assert_eq!(fail(&mut back_off, 1, now), SECOND * 5);
}

#[test]
fn a_failure_is_forgotten_one_further_pause_after_its_own() {
    let mut back_off = back_off(&HostConfig::default());
    let now = Instant::now();
    fail(&mut back_off, 1, now);
    let forgotten = now + SECOND * 5 + SECOND * 6;
    back_off.expire(forgotten - Duration::from_nanos(1), &mut Trash::new());
    assert_eq!(back_off.len(), 1);
    back_off.expire(forgotten, &mut Trash::new());
    assert_eq!(back_off.len(), 0);
    fail(&mut back_off, 1, now);
    assert_eq!(fail(&mut back_off, 1, forgotten), SECOND * 5, "too late to be the second in a row");
}

#[test]
fn at_the_limit_the_one_goes_that_would_be_forgotten_first() {
    let config = HostConfig { back_off_peers_max: 3, ..HostConfig::default() };
    let mut back_off = back_off(&config);
    let now = Instant::now();
    fail(&mut back_off, 1, now + SECOND);
    fail(&mut back_off, 2, now);
    fail(&mut back_off, 3, now + SECOND);
    fail(&mut back_off, 4, now + SECOND);
    let known = |peer: u32| back_off.check(&peer, now + SECOND).is_some();
    assert_eq!([1, 2, 3, 4].map(known), [true, false, true, true]);

    let mut none = BackOff::new(&HostConfig { back_off_peers_max: 0, ..HostConfig::default() });
    assert_eq!(fail(&mut none, 1, now), SECOND * 5);
    assert!(none.check(&1, now).is_none() && none.len() == 0);
}

/// Beside a list of what happened, from which each answer is worked out anew.
#[test]
fn any_order_of_failures_and_successes_agrees_with_the_rule() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mut back_off = back_off(&HostConfig::default());
        let mut now = Instant::now();
        // Failures in a row, when the peer may be dialed, when all is forgotten.
        let mut model: HashMap<u32, (u32, Instant, Instant)> = HashMap::new();
        let pause = |before: u32| (SECOND * 5 + SECOND * (before * before)).min(SECOND * 300);
        for step in 0..200 {
            now += Duration::from_millis(rng.below(4000) as u64);
            let peer = rng.below(5) as u32;
            model.retain(|_, (_, _, forgotten)| *forgotten > now);
            match rng.below(10) {
                0 => {
                    back_off.succeeded(&peer, &mut Trash::new());
                    model.remove(&peer);
                }
                1..5 => {
                    fail(&mut back_off, peer, now);
                    let before = model.get(&peer).map_or(0, |known| known.0);
                    let retry_at = now + pause(before);
                    model.insert(peer, (before + 1, retry_at, retry_at + pause(before + 1)));
                }
                _ => back_off.expire(now, &mut Trash::new()),
            }
            let resting = back_off.check(&peer, now).map(|r| (r.failures, r.retry_at));
            let expected =
                model.get(&peer).filter(|known| now < known.1).map(|known| (known.0, known.1));
            assert_eq!(resting, expected, "seed {seed}, step {step}");
            back_off.expire(now, &mut Trash::new());
            assert_eq!(back_off.len(), model.len(), "seed {seed}, step {step}");
        }
    }
}

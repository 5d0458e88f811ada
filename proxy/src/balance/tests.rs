use super::Rng;
use super::*;
use proptest::prelude::*;

const ALL: [Policy; 5] =
    [Policy::RoundRobin, Policy::Weighted, Policy::Random, Policy::LeastRequest, Policy::Maglev];

fn balancer(policy: Policy, weights: &[u32], rng: &mut Rng) -> Balancer {
    let names: Vec<String> = (0..weights.len()).map(|n| format!("10.0.0.{n}:80")).collect();
    let members: Vec<Member<'_>> =
        names.iter().zip(weights).map(|(name, &weight)| Member { name, weight }).collect();
    Balancer::new(policy, &members, rng)
}

/// How often each host is picked in `picks`, each under another key.
fn count(policy: Policy, weights: &[u32], seed: u64, picks: u64) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    let mut balancer = balancer(policy, weights, &mut rng);
    let mut counts = vec![0; weights.len()];
    for key in 0..picks {
        counts[balancer.pick(hash(&key.to_be_bytes()), &mut rng, |_| 0).unwrap()] += 1;
    }
    counts
}

/// Asserts that `count` of `picks` is what chance gives to something of this probability: within six
/// standard deviations, which it misses once in 500 million tries.
fn is_likely(count: u64, picks: u64, probability: f64, what: &str) {
    let (picks, count) = (picks as f64, count as f64);
    let deviation = (picks * probability * (1.0 - probability)).sqrt();
    let off = (count - picks * probability).abs();
    assert!(off <= 6.0 * deviation + 1.0, "{what}: {count} of {picks}, not {probability}");
}

#[test]
fn nobody_is_picked_of_no_hosts_and_the_only_one_of_one() {
    for policy in ALL {
        let mut rng = Rng::new(1);
        assert_eq!(balancer(policy, &[], &mut rng).pick(5, &mut rng, |_| 0), None);
        assert_eq!(balancer(policy, &[0], &mut rng).pick(5, &mut rng, |_| 9), Some(0));
    }
}

#[test]
fn in_turn_everybody_comes_once_before_anybody_comes_twice() {
    let mut rng = Rng::new(3);
    let mut balancer = balancer(Policy::RoundRobin, &[9, 1, 1, 1, 1], &mut rng);
    let turns: Vec<usize> = (0..10).map(|_| balancer.pick(0, &mut rng, |_| 0).unwrap()).collect();
    let mut sorted = turns[..5].to_vec();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3, 4]);
    assert_eq!(turns[..5], turns[5..]);
}

#[test]
fn the_turn_begins_anywhere() {
    let mut first = [0; 4];
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut balancer = balancer(Policy::RoundRobin, &[1; 4], &mut rng);
        first[balancer.pick(0, &mut rng, |_| 0).unwrap()] += 1;
    }
    for count in first {
        is_likely(count, 400, 0.25, "first turns");
    }
}

#[test]
fn chance_and_keys_follow_the_weights() {
    let weights = [1, 2, 3, 10];
    for policy in [Policy::Random, Policy::Maglev] {
        for (host, count) in count(policy, &weights, 11, 40_000).into_iter().enumerate() {
            let probability = f64::from(weights[host]) / 16.0;
            is_likely(count, 40_000, probability, &format!("{policy:?}, host {host}"));
        }
    }
}

#[test]
fn a_busy_host_is_picked_only_when_chance_names_no_other() {
    let mut rng = Rng::new(5);
    let mut balancer = balancer(Policy::LeastRequest, &[1; 4], &mut rng);
    let load = |host| if host == 2 { 10 } else { 0 };
    let busy = (0..40_000).filter(|_| balancer.pick(0, &mut rng, load) == Some(2)).count();
    is_likely(busy as u64, 40_000, 1.0 / 16.0, "both draws the busy host");
}

#[test]
fn load_counts_per_weight() {
    let mut rng = Rng::new(5);
    let mut balancer = balancer(Policy::LeastRequest, &[1, 4], &mut rng);
    // Two requests on the light host weigh more than seven on the heavy one: 3 / 1 and 8 / 4.
    let load = |host| [2, 7][host];
    let light = (0..40_000).filter(|_| balancer.pick(0, &mut rng, load) == Some(0)).count();
    is_likely(light as u64, 40_000, 0.25, "both draws the light host");
}

#[test]
fn of_two_hosts_with_nothing_to_do_the_heavy_one_is_picked() {
    let light = count(Policy::LeastRequest, &[1, 4], 5, 40_000)[0];
    is_likely(light, 40_000, 1.0 / 4.0, "both draws the light host");
}

#[test]
fn requests_in_flight_stay_even_with_two_choices() {
    let mut rng = Rng::new(9);
    let mut balancer = balancer(Policy::LeastRequest, &[1; 100], &mut rng);
    let mut load = [0usize; 100];
    for _ in 0..10_000 {
        load[balancer.pick(0, &mut rng, |host| load[host]).unwrap()] += 1;
    }
    // ln ln n / ln 2 + O(1) above the mean, with high probability (Azar et al., 1999); one choice
    // would be above it by about sqrt(2 * 100 * ln 100) = 30.
    let most = load.into_iter().max().unwrap();
    assert!(most <= 100 + 10, "{most}");
}

proptest! {
    #[test]
    fn every_pick_is_a_host(
        weights in prop::collection::vec(0..1_000u32, 1..30),
        seed in any::<u64>(),
        keys in prop::collection::vec(any::<u64>(), 1..50),
    ) {
        for policy in [Policy::RoundRobin, Policy::Weighted, Policy::Random, Policy::LeastRequest] {
            let mut rng = Rng::new(seed);
            let mut balancer = balancer(policy, &weights, &mut rng);
            for &key in &keys {
                let host = balancer.pick(key, &mut rng, |host| host * 7 % 5).unwrap();
                prop_assert!(host < weights.len());
            }
        }
    }
}

//! The matrix of Go's `TestDialParallel` and its neighbours, in virtual time.

use std::cell::{Cell, RefCell};

use reactor::time::sleep;

use super::*;
use crate::leaks::leaving_nothing_open;

const DELAY: Duration = Duration::from_millis(300);
const MS: Duration = Duration::from_millis(1);

/// What an address does when it is connected to.
#[derive(Clone, Copy)]
enum Host {
    Accepts(Duration),
    Refuses(Duration),
    Silent,
}
use Host::{Accepts, Refuses, Silent};

const NOW: Host = Accepts(Duration::ZERO);
const CLOSED: Host = Refuses(Duration::ZERO);

/// What a race did: who won or the failures, after how long, and who was tried when.
struct Seen {
    outcome: Result<String, Vec<String>>,
    took: Duration,
    tried: Vec<(String, Duration)>,
}

impl Seen {
    fn tried(&self) -> Vec<(&str, u128)> {
        self.tried.iter().map(|(addr, at)| (addr.as_str(), at.as_millis())).collect()
    }
}

/// The address of a test's host: `4a` is an IPv4 one, `6a` an IPv6 one.
fn addr(name: &str) -> SocketAddr {
    let letter = name.as_bytes()[1];
    match &name[..1] {
        "4" => SocketAddr::from(([192, 0, 2, letter], 80)),
        _ => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, letter.into()], 80)),
    }
}

fn name(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V4(v4) => format!("4{}", char::from(v4.ip().octets()[3])),
        SocketAddr::V6(v6) => format!("6{}", char::from(v6.ip().octets()[15])),
    }
}

/// Counts the attempts that are under way.
struct Open<'a>(&'a Cell<usize>);

impl<'a> Open<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn run_virtual<T>(test: impl Future<Output = T>) -> T {
    leaving_nothing_open(|| {
        let mut runtime = reactor::Runtime::builder().paused(true).build().unwrap();
        runtime.block_on(test)
    })
}

/// Races `hosts` under virtual time. Asserts that nothing is left open.
fn race_in(hosts: &[(&str, Host)], limit: Option<Duration>, delay: Option<Duration>) -> Seen {
    run_virtual(async {
        let start = now();
        let (open, tried) = (Cell::new(0), RefCell::new(Vec::new()));
        let connect = async |addr: SocketAddr| {
            let _open = Open::new(&open);
            tried.borrow_mut().push((name(addr), now() - start));
            match hosts.iter().find(|(host, _)| *host == name(addr)).unwrap().1 {
                Accepts(after) => {
                    sleep(after).await;
                    Ok(name(addr))
                }
                Refuses(after) => {
                    sleep(after).await;
                    let refused = io::ErrorKind::ConnectionRefused.into();
                    Err(OpError::tcp("connect", None, Some(addr), refused))
                }
                Silent => std::future::pending().await,
            }
        };
        let addrs: Vec<_> = hosts.iter().map(|(host, _)| addr(host)).collect();
        let deadline = limit.map(|limit| start + limit);
        let outcome =
            race(&addrs, Plan { deadline, fallback_delay: delay, local: None }, connect).await;
        assert_eq!(open.get(), 0, "the losers are closed");
        let of = |err: io::Error| name(OpError::of(&err).unwrap().remote_addr().unwrap());
        let outcome = outcome.map_err(|failures| failures.into_iter().map(of).collect());
        Seen { outcome, took: now() - start, tried: tried.into_inner() }
    })
}

fn race_of(hosts: &[(&str, Host)]) -> Seen {
    race_in(hosts, None, Some(DELAY))
}

#[test]
fn the_happy_eyeballs_matrix() {
    let slow = Refuses(MS * 40);
    for (hosts, winner, took, tried) in [
        // The first try works.
        (vec![("4a", NOW)], "4a", 0, vec![("4a", 0)]),
        (vec![("6a", NOW)], "6a", 0, vec![("6a", 0)]),
        (vec![("6a", NOW), ("4a", NOW)], "6a", 0, vec![("6a", 0)]),
        (vec![("4a", NOW), ("6a", NOW)], "4a", 0, vec![("4a", 0)]),
        // The first family answers within the delay: the other is never tried.
        (vec![("6a", Accepts(MS * 299)), ("4a", NOW)], "6a", 299, vec![("6a", 0)]),
        // The first family is silent: the other is tried after the delay.
        (vec![("4a", Silent), ("6a", NOW)], "6a", 300, vec![("4a", 0), ("6a", 300)]),
        (vec![("6a", Silent), ("4a", NOW)], "4a", 300, vec![("6a", 0), ("4a", 300)]),
        // It is but slow, and still wins the race.
        (
            vec![("6a", Accepts(MS * 350)), ("4a", Accepts(MS * 100))],
            "6a",
            350,
            vec![("6a", 0), ("4a", 300)],
        ),
        // Both come at once: the first family wins.
        (
            vec![("6a", Accepts(MS * 400)), ("4a", Accepts(MS * 100))],
            "6a",
            400,
            vec![("6a", 0), ("4a", 300)],
        ),
        // A refusal in the first family: its next address is tried.
        (vec![("4a", slow), ("4b", NOW)], "4b", 40, vec![("4a", 0), ("4b", 40)]),
        (vec![("6a", CLOSED), ("4a", NOW), ("6b", NOW)], "6b", 0, vec![("6a", 0), ("6b", 0)]),
        // A refusal in the other family.
        (
            vec![("4a", Silent), ("6a", slow), ("4b", Silent), ("6b", NOW)],
            "6b",
            340,
            vec![("4a", 0), ("6a", 300), ("6b", 340)],
        ),
        // The first family has failed: the other does not wait for the delay.
        (vec![("4a", CLOSED), ("6a", NOW)], "6a", 0, vec![("4a", 0), ("6a", 0)]),
        (vec![("6a", slow), ("4a", NOW)], "4a", 40, vec![("6a", 0), ("4a", 40)]),
        // It fails later, while the other is under way.
        (
            vec![("6a", Refuses(MS * 310)), ("4a", Accepts(MS * 50))],
            "4a",
            350,
            vec![("6a", 0), ("4a", 300)],
        ),
        // The other fails, and the first still comes.
        (vec![("6a", Accepts(MS * 900)), ("4a", CLOSED)], "6a", 900, vec![("6a", 0), ("4a", 300)]),
    ] {
        let seen = race_of(&hosts);
        assert_eq!(seen.outcome, Ok(winner.to_owned()), "{tried:?}");
        assert_eq!((seen.took.as_millis(), seen.tried()), (took, tried));
    }
}

#[test]
fn when_all_fail_each_is_named_the_first_family_first() {
    let seen = race_of(&[("6a", CLOSED), ("4a", CLOSED), ("6b", CLOSED)]);
    assert_eq!(seen.outcome.unwrap_err(), ["6a", "6b", "4a"]);
    let seen = race_of(&[("6a", Refuses(MS * 400)), ("4a", Refuses(MS * 10))]);
    assert_eq!(seen.outcome.unwrap_err(), ["6a", "4a"], "also when it failed later");
    assert_eq!(race_of(&[]).outcome.unwrap_err().len(), 0);
}

#[test]
fn without_a_delay_addresses_are_tried_in_the_order_given() {
    let hosts = [("6a", CLOSED), ("4a", Accepts(MS * 900)), ("6b", NOW)];
    let seen = race_in(&hosts, None, None);
    assert_eq!(seen.outcome, Ok("4a".to_owned()));
    assert_eq!(seen.tried(), [("6a", 0), ("4a", 0)]);
}

#[test]
fn a_delay_of_zero_tries_both_families_at_once() {
    let seen = race_in(&[("6a", Silent), ("4a", NOW)], None, Some(Duration::ZERO));
    assert_eq!((seen.outcome, seen.took), (Ok("4a".to_owned()), Duration::ZERO));
}

#[test]
fn each_address_has_its_share_of_the_time() {
    let hosts = [("4a", Silent), ("4b", Silent), ("4c", Silent)];
    let seen = race_in(&hosts, Some(MS * 9000), Some(DELAY));
    assert_eq!(seen.tried(), [("4a", 0), ("4b", 3000), ("4c", 6000)]);
    assert_eq!((seen.outcome.unwrap_err().len(), seen.took), (3, MS * 9000));
}

#[test]
fn a_share_is_at_least_two_seconds_as_long_as_there_are() {
    let hosts = [("4a", Silent), ("4b", Silent), ("4c", Silent), ("4d", Silent)];
    let seen = race_in(&hosts, Some(MS * 5000), Some(DELAY));
    assert_eq!(seen.tried(), [("4a", 0), ("4b", 2000), ("4c", 4000)]);
    let failed = seen.outcome.unwrap_err();
    assert_eq!((failed, seen.took), (["4a", "4b", "4c", "4d"].map(String::from).into(), MS * 5000));
}

#[test]
fn many_refusals_do_not_use_up_the_time() {
    let mut hosts = vec![("4a", CLOSED); 1000];
    hosts.push(("4b", NOW));
    assert_eq!(race_in(&hosts, Some(MS * 100), Some(DELAY)).outcome, Ok("4b".to_owned()));
}

#[test]
fn the_other_family_has_shares_of_its_own() {
    let hosts = [("6a", Silent), ("4a", Silent), ("4b", NOW)];
    let seen = race_in(&hosts, Some(MS * 8300), Some(DELAY));
    assert_eq!(seen.tried(), [("6a", 0), ("4a", 300), ("4b", 4300)]);
    assert_eq!(seen.outcome, Ok("4b".to_owned()));
}

#[test]
fn past_the_deadline_nothing_is_tried() {
    let seen = race_in(&[("4a", NOW), ("6a", NOW)], Some(Duration::ZERO), Some(DELAY));
    assert_eq!(seen.tried(), []);
    assert_eq!(seen.outcome.unwrap_err(), ["4a", "6a"]);
}

#[test]
fn a_dropped_race_drops_its_attempts() {
    run_virtual(async {
        let open = Cell::new(0);
        let connect = async |_addr: SocketAddr| {
            let _open = Open::new(&open);
            std::future::pending::<io::Result<()>>().await
        };
        let plan = Plan { deadline: None, fallback_delay: Some(DELAY), local: None };
        let addrs = [addr("4a"), addr("6a")];
        {
            let mut race = pin!(race(&addrs, plan, connect));
            assert!(timeout(MS * 500, race.as_mut()).await.is_err());
            assert_eq!(open.get(), 2, "both under way");
        }
        assert_eq!(open.get(), 0);
    });
}

#[test]
fn shares_are_gos() {
    let start = now();
    let shares = |left_s: u64, addrs| share(start, start + Duration::from_secs(left_s), addrs);
    let seconds = |s| Some(Duration::from_secs(s));
    // Go's TestDialerPartialDeadline.
    assert_eq!(shares(12, 1), seconds(12));
    assert_eq!(shares(12, 2), seconds(6));
    assert_eq!(shares(12, 3), seconds(4));
    assert_eq!(shares(12, 12), seconds(2), "the minimum");
    assert_eq!(shares(2, 2), seconds(2));
    assert_eq!(shares(1, 3), seconds(1), "no more than there is");
    assert_eq!(shares(0, 1), None);
    assert_eq!(share(start + MS, start, 1), None);
    assert_eq!(shares(12, usize::MAX), seconds(2));
}

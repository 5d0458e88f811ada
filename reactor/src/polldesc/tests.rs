use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::Direction::{Read, Write};
use super::*;
use crate::task::{self, TaskId};
use crate::waiters::Woken;

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn readiness(bits: i32) -> Readiness {
    Readiness::from_bits(bits as u32)
}

fn is_ready(desc: &PollDesc, dir: Direction) -> bool {
    desc.states[dir as usize].get() & READY != 0
}

fn refusal(desc: &PollDesc, dir: Direction) -> Option<Refusal> {
    match desc.look(dir) {
        Found::Refused(refusal) => Some(refusal),
        Found::Ready | Found::Idle => None,
    }
}

fn woken_by(f: impl FnOnce(&mut Woken)) -> usize {
    let mut woken = Woken::default();
    f(&mut woken);
    woken.tasks.len() + woken.wakers.len()
}

#[test]
fn a_new_descriptor_is_tried_first_in_both_directions() {
    let desc = PollDesc::new();
    assert!(is_ready(&desc, Read) && is_ready(&desc, Write));
}

#[test]
fn a_short_read_is_idle_but_not_after_an_end_was_seen() {
    let desc = PollDesc::new();
    desc.drained(Read);
    assert!(is_ready(&desc, Read), "not registered: no edge would come");
    desc.set_registered(true);
    desc.drained(Read);
    assert!(!is_ready(&desc, Read));
    desc.event(readiness(libc::EPOLLIN | libc::EPOLLRDHUP), &mut Woken::default());
    desc.drained(Read);
    assert!(is_ready(&desc, Read), "data and the peer's end came in one edge: the end is unread");
    desc.would_block(Read);
    assert!(!is_ready(&desc, Read), "EAGAIN itself always leads to Idle");
}

#[test]
fn the_peers_half_close_wakes_readers_and_no_writers() {
    let desc = PollDesc::new();
    desc.would_block(Read);
    desc.would_block(Write);
    desc.park(Read, 2, Waker::noop());
    desc.park(Write, 3, Waker::noop());
    assert_eq!(woken_by(|woken| desc.event(readiness(libc::EPOLLRDHUP), woken)), 1);
    assert!(is_ready(&desc, Read) && !is_ready(&desc, Write));
    assert_eq!(woken_by(|woken| desc.event(readiness(libc::EPOLLHUP), woken)), 1);
    assert!(is_ready(&desc, Write));
}

#[test]
fn the_last_poller_of_a_place_replaces_the_one_before() {
    let desc = PollDesc::new();
    desc.would_block(Read);
    let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
    desc.park(Read, POLL_PLACE, &Arc::clone(&old).into());
    desc.park(Read, POLL_PLACE, &Arc::clone(&new).into());
    let mut woken = Woken::default();
    desc.event(readiness(libc::EPOLLIN), &mut woken);
    woken.wake();
    assert_eq!((old.0.load(Ordering::Relaxed), new.0.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(Arc::strong_count(&old), 1, "no waker is left behind");
}

#[test]
fn closing_beats_an_expired_deadline() {
    let desc = PollDesc::new();
    desc.expire(Read, &mut Woken::default());
    assert_eq!(desc.look(Read), Found::Refused(Refusal::Expired));
    assert_eq!(desc.look(Write), Found::Ready);
    assert!(desc.close(&mut Woken::default()));
    assert!(!desc.close(&mut Woken::default()), "a second close does nothing");
    assert_eq!(desc.look(Read), Found::Refused(Refusal::Closed));
    desc.unexpire(Read);
    assert_eq!(
        desc.look(Read),
        Found::Refused(Refusal::Closed),
        "no deadline opens what is closed"
    );
}

#[test]
fn a_place_of_ones_own_is_never_the_poll_place_even_after_wrapping() {
    let desc = PollDesc::new();
    desc.last_place.set(u32::MAX - 1);
    assert_eq!(desc.new_place(), u32::MAX);
    assert_eq!(desc.new_place(), POLL_PLACE + 1);
}

#[derive(Clone, Debug)]
enum Op {
    Event(i32),
    WouldBlock(Direction),
    Drained(Direction),
    Park(Direction, u32),
    Unpark(Direction, u32),
    Expire(Direction),
    Unexpire(Direction),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let bit = |bit| prop_oneof![Just(0), Just(bit)];
    let bits = (
        bit(libc::EPOLLIN),
        bit(libc::EPOLLOUT),
        bit(libc::EPOLLRDHUP),
        bit(libc::EPOLLHUP),
        bit(libc::EPOLLERR),
        bit(libc::EPOLLPRI),
    );
    let dir = prop_oneof![Just(Read), Just(Write)];
    prop_oneof![
        3 => bits.prop_map(|(a, b, c, d, e, f)| Op::Event(a | b | c | d | e | f)),
        4 => dir.clone().prop_map(Op::WouldBlock),
        2 => dir.clone().prop_map(Op::Drained),
        6 => (dir.clone(), 1u32..6).prop_map(|(dir, place)| Op::Park(dir, place)),
        3 => (dir.clone(), 1u32..6).prop_map(|(dir, place)| Op::Unpark(dir, place)),
        1 => dir.clone().prop_map(Op::Expire),
        1 => dir.prop_map(Op::Unexpire),
        1 => Just(Op::Close),
    ]
}

/// The table at the top of `polldesc.rs`, said with sets.
#[derive(Default)]
struct Model {
    idle: [bool; 2],
    parked: [std::collections::BTreeSet<u32>; 2],
    expired: [bool; 2],
    ended: bool,
    closing: bool,
}

impl Model {
    fn refuses(&self, dir: Direction) -> Option<Refusal> {
        if self.closing {
            return Some(Refusal::Closed);
        }
        self.expired[dir as usize].then_some(Refusal::Expired)
    }

    /// Applies an operation and returns how many it wakes.
    fn apply(&mut self, op: &Op) -> usize {
        match *op {
            Op::Event(bits) => {
                let end = libc::EPOLLHUP | libc::EPOLLERR;
                self.ended |= bits & (end | libc::EPOLLRDHUP | libc::EPOLLPRI) != 0;
                let read = bits & (libc::EPOLLIN | libc::EPOLLRDHUP | end) != 0;
                let write = bits & (libc::EPOLLOUT | end) != 0;
                [(0, read), (1, write)].into_iter().map(|(i, on)| self.make_ready(i, on)).sum()
            }
            Op::WouldBlock(dir) => {
                self.idle[dir as usize] = true;
                0
            }
            Op::Drained(dir) => {
                self.idle[dir as usize] |= !self.ended;
                0
            }
            Op::Park(dir, place) => {
                self.parked[dir as usize].insert(place);
                0
            }
            Op::Unpark(dir, place) => {
                self.parked[dir as usize].remove(&place);
                0
            }
            Op::Expire(dir) => {
                self.expired[dir as usize] = true;
                self.take(dir as usize)
            }
            Op::Unexpire(dir) => {
                self.expired[dir as usize] = false;
                0
            }
            Op::Close => {
                self.closing = true;
                self.take(0) + self.take(1)
            }
        }
    }

    fn make_ready(&mut self, i: usize, on: bool) -> usize {
        if !on {
            return 0;
        }
        self.idle[i] = false;
        self.take(i)
    }

    fn take(&mut self, i: usize) -> usize {
        std::mem::take(&mut self.parked[i]).len()
    }
}

/// Parks a task of ours in even places and somebody else's waker in odd ones.
fn waker_for(place: u32, foreign: &Waker) -> Waker {
    if place % 2 == 1 {
        return foreign.clone();
    }
    let id = TaskId::new(1, place as usize, 1);
    (*task::waker(id)).clone()
}

fn apply(desc: &PollDesc, op: &Op, waker: &Waker) -> usize {
    match *op {
        Op::Event(bits) => return woken_by(|woken| desc.event(readiness(bits), woken)),
        Op::WouldBlock(dir) => desc.would_block(dir),
        Op::Drained(dir) => desc.drained(dir),
        Op::Park(dir, place) => desc.park(dir, place, &waker_for(place, waker)),
        Op::Unpark(dir, place) => desc.unpark(dir, place),
        Op::Expire(dir) => return woken_by(|woken| desc.expire(dir, woken)),
        Op::Unexpire(dir) => desc.unexpire(dir),
        Op::Close => {
            return woken_by(|woken| {
                desc.close(woken);
            });
        }
    }
    0
}

/// `PollFd` parks only where it may, and asks for no readiness of what is parked.
fn is_allowed(model: &Model, op: &Op) -> bool {
    match *op {
        Op::Park(dir, _) => model.idle[dir as usize] && model.refuses(dir).is_none(),
        _ => true,
    }
}

/// Under Miri, which is slow and knows no files, few cases.
fn config() -> ProptestConfig {
    if cfg!(miri) {
        return ProptestConfig { cases: 8, failure_persistence: None, ..Default::default() };
    }
    ProptestConfig::default()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn poll_desc_does_what_its_table_says(ops in proptest::collection::vec(op(), 1..120)) {
        let (desc, mut model) = (PollDesc::new(), Model::default());
        desc.set_registered(true);
        let counted = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&counted));
        for op in &ops {
            if !is_allowed(&model, op) {
                continue;
            }
            prop_assert_eq!(apply(&desc, op, &waker), model.apply(op), "woken by {:?}", op);
            for dir in [Read, Write] {
                prop_assert_eq!(is_ready(&desc, dir), !model.idle[dir as usize]);
                prop_assert_eq!(desc.waiters.is_free(dir), model.parked[dir as usize].is_empty());
                prop_assert_eq!(refusal(&desc, dir), model.refuses(dir));
            }
            let parked = model.parked.iter().flatten().filter(|place| *place % 2 == 1).count();
            prop_assert_eq!(Arc::strong_count(&counted), 2 + parked, "foreign wakers held");
        }
    }
}

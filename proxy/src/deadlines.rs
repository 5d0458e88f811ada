//! When the waiting requests of one connection run out of time.
//!
//! One heap serves all requests of a connection, and one timer serves the heap: a request costs a
//! push and nothing else. An answered request is not searched for; its node stays until it comes to
//! the top or until nodes of answered requests make up more than half of the heap, and then one
//! pass throws them all out. So the heap holds at most `2 * waiting + SLACK` nodes, and each request
//! pays for a constant number of steps.
//!
//! An id may come back after many requests while an old node of it still lies here.
//! [`expire`](Deadlines::expire) therefore looks at the deadline of the request that has it now.
//!
//! Rejected: a timer per request (two operations on the runtime's timers for a time-out that almost
//! never comes), and removal from the middle (needs the position of every node).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::ids::{Ended, IdTable};

/// Dead nodes that are tolerated however few requests wait.
const SLACK: usize = 64;

/// The deadlines of ids. Which ids are still alive the caller knows, and says when asked.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Deadlines {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the deadline of `id`. `waiting` is the number of ids that are alive, this one included,
    /// and `is_alive` tells which.
    pub fn add(
        &mut self,
        at: Instant,
        id: u64,
        waiting: usize,
        mut is_alive: impl FnMut(u64) -> bool,
    ) {
        self.heap.push(Reverse((at, id)));
        if self.heap.len() > 2 * waiting + SLACK {
            self.heap.retain(|Reverse((_, id))| is_alive(*id));
        }
    }

    /// The next deadline of an id that is alive.
    pub fn next(&mut self, mut is_alive: impl FnMut(u64) -> bool) -> Option<Instant> {
        loop {
            let Reverse((at, id)) = *self.heap.peek()?;
            if is_alive(id) {
                return Some(at);
            }
            self.heap.pop();
        }
    }

    /// Takes out one id whose deadline is not after `now`, the earliest first, alive or not.
    fn pop_expired(&mut self, now: Instant) -> Option<u64> {
        let Reverse((at, id)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some(id)
    }

    /// Takes one entry out of `table` whose `deadline` is not after `now`, the earliest first, as given up.
    pub fn expire<T>(
        &mut self,
        now: Instant,
        table: &mut IdTable<T>,
        deadline: impl Fn(&T) -> Instant,
    ) -> Option<(u64, T)> {
        while let Some(id) = self.pop_expired(now) {
            if table.get(id).is_some_and(|entry| deadline(entry) <= now) {
                return Some((id, table.remove(id, Ended::GivenUp).ok()?));
            }
        }
        None
    }

    /// Forgets everything, and the memory with it.
    pub fn clear(&mut self) {
        self.heap = BinaryHeap::new();
    }

    /// Number of nodes held, those of ids no longer alive included.
    pub fn nodes(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{IdWidth, Stale};
    use std::time::Duration;

    fn ms(start: Instant, n: u64) -> Instant {
        start + Duration::from_millis(n)
    }

    #[test]
    fn ids_come_out_in_the_order_of_their_deadlines_and_never_early() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        for (waiting, (at, id)) in [(30, 3), (10, 1), (20, 2)].into_iter().enumerate() {
            deadlines.add(ms(start, at), id, waiting + 1, |_| true);
        }
        assert_eq!(deadlines.next(|_| true), Some(ms(start, 10)));
        assert_eq!(deadlines.pop_expired(ms(start, 9)), None);
        assert_eq!(deadlines.pop_expired(ms(start, 20)), Some(1));
        assert_eq!(deadlines.pop_expired(ms(start, 20)), Some(2));
        assert_eq!(deadlines.pop_expired(ms(start, 20)), None);
        assert_eq!(deadlines.next(|_| true), Some(ms(start, 30)));
    }

    #[test]
    fn answered_requests_do_not_pile_up() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        for id in 0..100_000u64 {
            // One request in flight at a time; all before it are answered.
            deadlines.add(ms(start, id), id, 1, |alive| alive == id);
            assert!(deadlines.nodes() <= 2 + SLACK);
        }
        assert_eq!(deadlines.next(|_| false), None);
        assert_eq!(deadlines.nodes(), 0);
    }

    #[test]
    fn an_old_node_of_an_id_does_not_end_the_request_that_has_it_now() {
        let start = Instant::now();
        let (mut deadlines, mut table) = (Deadlines::new(), IdTable::new(1, IdWidth::Bits31));
        let id = table.insert(ms(start, 50)).unwrap();
        deadlines.add(ms(start, 10), id, 1, |_| true);
        deadlines.add(ms(start, 50), id, 1, |_| true);
        assert_eq!(deadlines.expire(ms(start, 49), &mut table, |at| *at), None);
        assert_eq!(
            deadlines.expire(ms(start, 50), &mut table, |at| *at),
            Some((id, ms(start, 50)))
        );
        assert_eq!(table.remove(id, Ended::Answered), Err(Stale::Late));
    }

    #[test]
    fn throwing_out_the_dead_keeps_the_living() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        let is_alive = |id: u64| id < 8 || id == 999;
        for id in 0..1_000u64 {
            deadlines.add(ms(start, 1_000 - id), id, 9, is_alive);
        }
        let mut seen = Vec::new();
        while let Some(id) = deadlines.pop_expired(ms(start, 2_000)) {
            seen.push(id);
        }
        let living: Vec<u64> = seen.into_iter().filter(|&id| is_alive(id)).collect();
        assert_eq!(living, [999, 7, 6, 5, 4, 3, 2, 1, 0]);
    }
}

//! Every interleaving that the memory model allows, of small programs that use the bell.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p reactor --lib --release loom`
//!
//! Threads are switched at most three times where they could go on, which is more than the
//! shortest way to any known mistake here takes; `LOOM_MAX_PREEMPTIONS` says otherwise.
//!
//! An owner that sleeps through its mail is a deadlock, which loom reports.

use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::Bell;

fn model(program: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(program);
}

/// Stands for the eventfd, and for all else that `epoll_wait` waits for.
#[derive(Default)]
struct Event {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// What the lock guards in `remote.rs`, in small.
#[derive(Default)]
struct Inbox {
    event: Option<Arc<Event>>,
    tenancy: u32,
    letters: Vec<u32>,
}

#[derive(Clone, Default)]
struct House(Arc<Bell<Inbox>>);

impl House {
    /// Moves in, awake.
    fn claim(&self) -> Tenant {
        let event = Arc::<Event>::default();
        self.0.hand_over(|inbox| {
            inbox.event = Some(Arc::clone(&event));
            inbox.tenancy += 1;
        });
        Tenant { house: self.clone(), event }
    }

    /// Sends to whoever lives there, or only to the tenant of a number.
    fn send(&self, letter: u32, tenancy: Option<u32>) {
        let event = self.0.send(|inbox| {
            if tenancy.is_some_and(|tenancy| tenancy != inbox.tenancy) {
                return Err(());
            }
            let event = Arc::clone(inbox.event.as_ref().ok_or(())?);
            inbox.letters.push(letter);
            Ok(event)
        });
        if let Ok(Some(event)) = event {
            event.ring();
        }
    }
}

struct Tenant {
    house: House,
    event: Arc<Event>,
}

impl Tenant {
    /// One turn of the loop: takes what has come, and else sleeps once.
    fn turn(&self, letters: &mut Vec<u32>) {
        let bell = &self.house.0;
        if bell.has_mail() {
            bell.take(|inbox| letters.append(&mut inbox.letters));
        } else if bell.fall_asleep() {
            self.event.wait();
            bell.wake_up();
        }
    }

    fn receive(&self, n: usize) -> Vec<u32> {
        let mut letters = Vec::new();
        while letters.len() < n {
            self.turn(&mut letters);
        }
        letters.sort_unstable();
        letters
    }

    fn leave(self) {
        self.house.0.hand_over(|inbox| {
            inbox.event = None;
            inbox.letters.clear();
        });
    }
}

#[test]
fn loom_an_owner_sleeps_through_no_letter() {
    model(|| {
        let house = House::default();
        let tenant = house.claim();
        let sender = thread::spawn(move || {
            house.send(1, None);
            house.send(2, None);
        });
        assert_eq!(tenant.receive(2), [1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn loom_two_senders_of_whom_one_rings_are_both_heard() {
    model(|| {
        let house = House::default();
        let tenant = house.claim();
        let senders = [1, 2].map(|letter| {
            let house = house.clone();
            thread::spawn(move || house.send(letter, None))
        });
        assert_eq!(tenant.receive(2), [1, 2]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn loom_a_sleep_that_ended_for_another_reason_loses_no_letter() {
    model(|| {
        let house = House::default();
        let tenant = house.claim();
        let event = Arc::clone(&tenant.event);
        let timer = thread::spawn(move || event.ring());
        let sender = thread::spawn(move || {
            house.send(1, None);
            house.send(2, None);
        });
        assert_eq!(tenant.receive(2), [1, 2]);
        timer.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn loom_a_waker_of_a_former_tenant_takes_no_letter_from_its_successor() {
    model(|| {
        let house = House::default();
        let former = house.claim();
        let stale = {
            let house = house.clone();
            // As a waker does, which knows the place and not the tenancy.
            thread::spawn(move || house.send(9, None))
        };
        former.leave();
        let tenant = house.claim();
        let sender = thread::spawn(move || house.send(1, Some(2)));
        let mut letters = Vec::new();
        while !letters.contains(&1) {
            tenant.turn(&mut letters);
        }
        stale.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn loom_what_was_sent_to_a_former_tenant_never_reaches_its_successor() {
    model(|| {
        let house = House::default();
        let former = house.claim();
        let late = {
            let house = house.clone();
            thread::spawn(move || house.send(9, Some(1)))
        };
        former.leave();
        let tenant = house.claim();
        let sender = thread::spawn(move || house.send(1, Some(2)));
        assert_eq!(tenant.receive(1), [1]);
        late.join().unwrap();
        sender.join().unwrap();
    });
}

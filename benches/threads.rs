//! How long does a wake-up from another thread take, and how late is a sleep?
//!
//! ```sh
//! cargo bench -p benches --bench threads
//! cargo bench -p benches --bench threads -- --quick    # a slice of each, to see that it works
//! taskset -c 0 cargo bench -p benches --bench threads -- asleep    # rows with this in their names
//! ```
//!
//! A round trip: a task wakes a thread, which wakes the task. "Asleep": the thread blocks, and the
//! runtime has nothing else to do. "Busy": the thread spins, and a second task keeps the runtime
//! awake by yielding, which wants two processors. So does "asleep" in its way: what it takes the kernel to
//! wake a thread on an idle processor is many times the rest, and another every time. On one processor
//! nothing is left but the work.

mod peers;

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use benches::stats::quantile;
use benches::table::Table;
use peers::{Monoio, Ours, Peer, Smol, Tokio, time};

/// Rounds, in each of which every runtime has a slice, in an order of its own.
const ROUNDS: usize = 101;

/// The time of so many operations.
type Slice = fn(u64) -> Duration;

/// The slices of a row, and how many operations are in one.
const ROWS: [(&str, [Option<Slice>; 4], u64); 3] = [
    (
        "round trip to a thread, asleep",
        [
            Some(|n| time::<Ours>(trips_asleep(n))),
            Some(|n| time::<Tokio>(trips_asleep(n))),
            Some(|n| time::<Smol>(trips_asleep(n))),
            Some(|n| time::<Monoio>(trips_asleep(n))),
        ],
        300,
    ),
    (
        "round trip to a thread, busy",
        [
            Some(|n| time::<Ours>(trips_busy::<Ours>(n))),
            Some(|n| time::<Tokio>(trips_busy::<Tokio>(n))),
            Some(|n| time::<Smol>(trips_busy::<Smol>(n))),
            // It takes in no wake-ups from other threads while a task of its own yields.
            None,
        ],
        20_000,
    ),
    (
        "2 ms sleep, too long by",
        [Some(late::<Ours>), Some(late::<Tokio>), Some(late::<Smol>), Some(late::<Monoio>)],
        10,
    ),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds = if words.iter().any(|word| word == "--quick") { 1 } else { ROUNDS };
    let rows: Vec<_> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let title = "Microseconds, medians (quartiles) of slices in turn";
    let names = [Ours::NAME, Tokio::NAME, Smol::NAME, Monoio::NAME];
    let mut table = Table::new(title, names.into_iter());
    for (name, slices, n) in ROWS {
        if rows.is_empty() || rows.iter().any(|row| name.contains(row.as_str())) {
            table.row(name, cells(slices, n, rounds));
        }
    }
    table.print();
}

/// What an operation takes, of each runtime. They take turns, so that a machine which changes its
/// speed changes it for all of them.
fn cells(slices: [Option<Slice>; 4], n: u64, rounds: usize) -> [String; 4] {
    let mut times_us = [const { Vec::new() }; 4];
    for round in 0..rounds {
        for turn in 0..slices.len() {
            let peer = (round + turn) % slices.len();
            if let Some(slice) = slices[peer] {
                times_us[peer].push(slice(n).as_secs_f64() * 1e6 / n as f64);
            }
        }
    }
    times_us.map(|times_us| match times_us[..] {
        [] => "-".into(),
        _ => {
            let [low, median, high] = [0.25, 0.5, 0.75].map(|q| quantile(&times_us, q));
            format!("{median:.2} ({low:.2} to {high:.2})")
        }
    })
}

const NAP: Duration = Duration::from_millis(2);

fn late<P: Peer>(n: u64) -> Duration {
    P::block_on(async move {
        let mut late = Duration::ZERO;
        for _ in 0..n {
            let start = Instant::now();
            P::sleep(NAP).await;
            late += start.elapsed().saturating_sub(NAP);
        }
        late
    })
}

/// What the task and the thread share: how many answers there are, and whom to wake.
#[derive(Default)]
struct Mailbox {
    asked: AtomicU64,
    answered: AtomicU64,
    waiter: Mutex<Option<Waker>>,
}

impl Mailbox {
    fn answer(&self, count: u64) {
        self.answered.store(count, SeqCst);
        let waiter = self.waiter.lock().expect("nobody panics").take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    async fn answered(&self, count: u64) {
        poll_fn(|cx| {
            *self.waiter.lock().expect("nobody panics") = Some(cx.waker().clone());
            if self.answered.load(SeqCst) >= count { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

async fn trips_asleep(n: u64) {
    let mailbox = Arc::new(Mailbox::default());
    let (ask, asked) = mpsc::channel();
    let thread = thread::spawn({
        let mailbox = Arc::clone(&mailbox);
        move || asked.into_iter().for_each(|count| mailbox.answer(count))
    });
    for count in 1..=n {
        ask.send(count).expect("the thread listens");
        mailbox.answered(count).await;
    }
    drop(ask);
    thread.join().expect("the thread does not panic");
}

async fn trips_busy<P: Peer>(n: u64) {
    let mailbox = Arc::new(Mailbox::default());
    let thread = thread::spawn({
        let mailbox = Arc::clone(&mailbox);
        move || {
            for count in 1..=n {
                while mailbox.asked.load(SeqCst) < count {
                    std::hint::spin_loop();
                }
                mailbox.answer(count);
            }
        }
    });
    let noise = P::spawn({
        let mailbox = Arc::clone(&mailbox);
        async move {
            while mailbox.answered.load(SeqCst) < n {
                P::yield_now().await;
            }
        }
    });
    for count in 1..=n {
        mailbox.asked.store(count, SeqCst);
        mailbox.answered(count).await;
    }
    noise.await;
    thread.join().expect("the thread does not panic");
}

//! How long does a wake-up from another thread take, and how late is a sleep?
//!
//! ```sh
//! cargo bench -p benches --bench threads
//! ```
//!
//! A round trip: a task wakes a thread, which wakes the task. "Asleep": the thread blocks, and the
//! runtime has nothing else to do. "Busy": the thread spins, and a second task keeps the runtime
//! awake by yielding. Both want two processors to themselves.

mod peers;

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use peers::{Monoio, Ours, Peer, Smol, Tokio, time};

criterion_group!(threads, asleep, busy, overshoot);
criterion_main!(threads);

fn asleep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("round trip to a thread, asleep");
    put::<Ours>(&mut group, |n| time::<Ours>(trips_asleep(n)));
    put::<Tokio>(&mut group, |n| time::<Tokio>(trips_asleep(n)));
    put::<Smol>(&mut group, |n| time::<Smol>(trips_asleep(n)));
    put::<Monoio>(&mut group, |n| time::<Monoio>(trips_asleep(n)));
}

/// Without monoio, which takes in no wake-ups from other threads while a task of its own yields.
fn busy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("round trip to a thread, busy");
    put::<Ours>(&mut group, |n| time::<Ours>(trips_busy::<Ours>(n)));
    put::<Tokio>(&mut group, |n| time::<Tokio>(trips_busy::<Tokio>(n)));
    put::<Smol>(&mut group, |n| time::<Smol>(trips_busy::<Smol>(n)));
}

/// The figure is how much later than 2 ms the sleep ended.
fn overshoot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("2 ms sleep, overshoot");
    group.sample_size(10);
    put::<Ours>(&mut group, late::<Ours>);
    put::<Tokio>(&mut group, late::<Tokio>);
    put::<Smol>(&mut group, late::<Smol>);
    put::<Monoio>(&mut group, late::<Monoio>);
}

fn put<P: Peer>(group: &mut BenchmarkGroup<'_, WallTime>, run: impl Fn(u64) -> Duration) {
    group.bench_function(P::NAME, |bencher| bencher.iter_custom(&run));
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

//! What do tasks, yields, wake-ups and timers cost, without any I/O?
//!
//! ```sh
//! cargo bench -p benches --bench scheduler
//! ```
//!
//! Each figure is the time of one operation. The loops run inside one `block_on`, so that entering
//! and leaving the runtime is no part of it. Nothing else runs on the thread.

mod peers;

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use peers::{Monoio, Ours, Peer, Smol, Tokio, time};

/// Tasks that exist at the same time in the measurements of many.
const TASKS: u64 = 1_000;

criterion_group!(scheduler, spawn_and_join, batches, yields, crowds, hops, timers, deadlines);
criterion_main!(scheduler);

/// One question, put to every peer.
macro_rules! ask {
    ($criterion:expr, $question:literal, $operations:ident) => {{
        let mut group = $criterion.benchmark_group($question);
        put::<Ours>(&mut group, |n| time::<Ours>($operations::<Ours>(n)));
        put::<Tokio>(&mut group, |n| time::<Tokio>($operations::<Tokio>(n)));
        put::<Smol>(&mut group, |n| time::<Smol>($operations::<Smol>(n)));
        put::<Monoio>(&mut group, |n| time::<Monoio>($operations::<Monoio>(n)));
        group.finish();
    }};
}

fn put<P: Peer>(group: &mut BenchmarkGroup<'_, WallTime>, run: impl Fn(u64) -> Duration) {
    group.bench_function(P::NAME, |bencher| bencher.iter_custom(&run));
}

fn spawn_and_join(criterion: &mut Criterion) {
    ask!(criterion, "spawn and join, one by one", spawned_one_by_one);
}

async fn spawned_one_by_one<P: Peer>(n: u64) {
    for i in 0..n {
        black_box(P::spawn(async move { i }).await);
    }
}

fn batches(criterion: &mut Criterion) {
    ask!(criterion, "spawn and join, batches of 1000", spawned_in_batches);
}

async fn spawned_in_batches<P: Peer>(n: u64) {
    let mut tasks = Vec::with_capacity(TASKS as usize);
    for batch in 0..n.div_ceil(TASKS) {
        let size = (n - batch * TASKS).min(TASKS);
        tasks.extend((0..size).map(|i| P::spawn(async move { i })));
        for task in tasks.drain(..) {
            black_box(task.await);
        }
    }
}

fn yields(criterion: &mut Criterion) {
    ask!(criterion, "yield, 1 task", yielding_alone);
}

async fn yielding_alone<P: Peer>(n: u64) {
    P::spawn(yielding::<P>(n)).await;
}

fn crowds(criterion: &mut Criterion) {
    ask!(criterion, "yield, 1000 tasks", yielding_together);
}

/// Spawning and joining the tasks is in this figure, thinned out by many yields of each.
async fn yielding_together<P: Peer>(n: u64) {
    let yields = |task| n / TASKS + u64::from(task < n % TASKS);
    let tasks: Vec<_> = (0..TASKS).map(|task| P::spawn(yielding::<P>(yields(task)))).collect();
    for task in tasks {
        task.await;
    }
}

async fn yielding<P: Peer>(times: u64) {
    for _ in 0..times {
        P::yield_now().await;
    }
}

fn hops(criterion: &mut Criterion) {
    ask!(criterion, "wake-up from task to task", hopping);
}

/// One operation: a task wakes another, which runs.
async fn hopping<P: Peer>(n: u64) {
    let (ping, pong) = (Rc::new(Signal::default()), Rc::new(Signal::default()));
    let (heard, answer) = (Rc::clone(&ping), Rc::clone(&pong));
    let other = P::spawn(async move {
        for _ in 0..n.div_ceil(2) {
            heard.wait().await;
            answer.send();
        }
    });
    let one = P::spawn(async move {
        for _ in 0..n.div_ceil(2) {
            ping.send();
            pong.wait().await;
        }
    });
    one.await;
    other.await;
}

fn timers(criterion: &mut Criterion) {
    ask!(criterion, "timer armed and cancelled", arming);
}

async fn arming<P: Peer>(n: u64) {
    for i in 0..n {
        let mut sleep = pin!(P::sleep(Duration::from_secs(3_600 + i % 100)));
        let polled = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await;
        assert!(black_box(polled).is_pending());
    }
}

/// Only ours has them: the deadline of a descriptor, pushed on by an hour before each read.
fn deadlines(criterion: &mut Criterion) {
    criterion.bench_function("deadline pushed on/reactor", |bencher| {
        bencher.iter_custom(|n| time::<Ours>(pushing_on(n)));
    });
}

async fn pushing_on(n: u64) {
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let fd = reactor::PollFd::from_socket(socket.into());
    let hour = Instant::now() + Duration::from_secs(3_600);
    for i in 0..n {
        fd.set_read_deadline(black_box(Some(hour + Duration::from_nanos(i))));
    }
}

/// A flag that one task raises and another waits for.
#[derive(Default)]
struct Signal {
    raised: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Signal {
    fn send(&self) {
        self.raised.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            if self.raised.take() {
                return Poll::Ready(());
            }
            self.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

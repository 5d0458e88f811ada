//! Nobody starves. A test of this kind hangs when somebody does, or counts the turns of the others.

use std::future::poll_fn;
use std::io::Write;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use reactor::time::sleep;
use reactor::{JoinHandle, TASKS_PER_TURN, spawn, spawn_blocking, yield_now};

use super::*;

/// Polls of a greedy task before whoever has become ready must have run: the rest of one turn, in
/// which it is noticed, and the next one.
const POLLS_MAX: u32 = 2 * TASKS_PER_TURN;

/// Wakes itself in every poll, and counts them.
async fn wake_oneself_until(stop: Flag) -> u32 {
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        cx.waker().wake_by_ref();
        if stop.get() { Poll::Ready(polls) } else { Poll::Pending }
    })
    .await
}

async fn yield_until(stop: Flag) -> u32 {
    let mut polls = 0;
    while !stop.get() {
        polls += 1;
        yield_now().await;
    }
    polls
}

/// Operations that one poll of a task may complete.
const OPS_PER_POLL: u32 = 128;

/// Uses a socket that is always ready. Counts polls, too: each ends when its budget is used up.
async fn read_until(stop: Flag) -> u32 {
    let (fd, peer) = pair();
    let peer_fd = PollFd::from_socket(OwnedFd::from(peer.try_clone().unwrap()));
    peer.set_nonblocking(true).unwrap();
    let mut ops = 0;
    while !stop.get() {
        peer_fd.write(&[1; 64]).await.unwrap();
        fd.read(&mut [0; 64]).await.unwrap();
        ops += 2;
    }
    ops / OPS_PER_POLL
}

/// Runs `other` beside a task of each greedy kind. Returns how often one of them was polled.
async fn beside_greedy_tasks(other: impl AsyncFn() -> ()) -> u32 {
    let mut most = 0;
    let kinds: [fn(Flag) -> JoinHandle<u32>; 3] = [
        |stop| spawn(wake_oneself_until(stop)),
        |stop| spawn(yield_until(stop)),
        |stop| spawn(read_until(stop)),
    ];
    for kind in kinds {
        let stop = Flag::default();
        let greedy = kind(Rc::clone(&stop));
        yield_now().await;
        other().await;
        stop.set(true);
        most = most.max(greedy.await.unwrap());
    }
    most
}

#[test]
fn greedy_tasks_hold_up_no_timer() {
    block_on(beside_greedy_tasks(async || sleep(Duration::from_millis(1)).await));
}

#[test]
fn greedy_tasks_hold_up_no_wake_up_from_another_thread() {
    block_on(beside_greedy_tasks(async || {
        let mut woken = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake()).join().unwrap();
            Poll::Pending
        })
        .await;
    }));
}

#[test]
fn greedy_tasks_hold_up_no_remote_task_and_no_blocking_work() {
    block_on(beside_greedy_tasks(async || {
        let handle = reactor::handle();
        let remote = spawn_blocking(move || handle.spawn(|| async { 1 }).unwrap());
        assert_eq!(remote.await.unwrap().await.unwrap(), 1);
    }));
}

#[test]
fn greedy_tasks_hold_up_a_descriptor_for_two_turns_at_most() {
    let most = block_on(beside_greedy_tasks(async || {
        let (fd, mut peer) = pair();
        let reading = async {
            assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3);
        };
        let writing = async {
            yield_now().await;
            peer.write_all(b"abc").unwrap();
        };
        futures_util::future::join(reading, writing).await;
    }));
    assert!(most <= 2 * POLLS_MAX, "{most} polls of a greedy task");
}

/// A chunk that takes long leaves room for no second one, whatever the budget of polls says. The clock is
/// looked at after the first round of yields and the second, each of one chunk.
#[test]
fn a_task_that_computes_between_yields_holds_up_a_descriptor_and_a_timer_for_a_few_chunks() {
    const CHUNKS_MAX: u32 = 2;
    async fn chunks_until(stop: &Flag) -> u32 {
        let mut chunks = 0;
        while !stop.get() {
            chunks += 1;
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {}
            yield_now().await;
        }
        chunks
    }
    block_on(async {
        let (fd, mut peer) = pair();
        let stop = Flag::default();
        let reader = spawn({
            let stop = Rc::clone(&stop);
            async move {
                fd.read(&mut [0; 8]).await.unwrap();
                stop.set(true);
            }
        });
        yield_now().await;
        peer.write_all(b"ping").unwrap();
        let chunks = chunks_until(&stop).await;
        assert!(chunks <= CHUNKS_MAX, "a reader waited for {chunks} chunks");
        reader.await.unwrap();

        stop.set(false);
        let timer = spawn({
            let stop = Rc::clone(&stop);
            async move {
                sleep(Duration::from_micros(1)).await;
                stop.set(true);
            }
        });
        let chunks = chunks_until(&stop).await;
        assert!(chunks <= CHUNKS_MAX, "a timer waited for {chunks} chunks");
        timer.await.unwrap();
    });
}

#[test]
fn the_budget_of_a_turn_can_be_set() {
    for tasks_per_turn in [0, 1, 10] {
        let mut runtime = Runtime::builder().tasks_per_turn(tasks_per_turn).build().unwrap();
        runtime.block_on(async {
            let before = reactor::metrics();
            for _ in 0..1000 {
                yield_now().await;
            }
            let turns = reactor::metrics().turns - before.turns;
            assert!(turns >= 1000 / u64::from(tasks_per_turn.max(1)), "{turns} turns");
        });
    }
}

#[test]
fn a_task_that_yields_goes_behind_all_that_are_ready() {
    let log = Log::default();
    block_on(async {
        let write = |i| {
            let log = Rc::clone(&log);
            async move { log.borrow_mut().push(i) }
        };
        let tasks = [spawn(write(1)), spawn(write(2)), spawn(write(3))];
        yield_now().await;
        log.borrow_mut().push(4);
        drop(tasks);
    });
    assert_eq!(*log.borrow(), [1, 2, 3, 4]);
}

#[test]
fn a_wake_up_during_the_poll_is_kept_and_merged() {
    block_on(async {
        let mut polls = 0;
        let task = spawn(poll_fn(move |cx| {
            polls += 1;
            (0..10).for_each(|_| cx.waker().wake_by_ref());
            if polls < 5 { Poll::Pending } else { Poll::Ready(polls) }
        }));
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn tasks_woken_in_an_order_run_in_that_order() {
    let log = Log::default();
    block_on(async {
        let wakers = Rc::new(RefCell::new(Vec::<Waker>::new()));
        let tasks: Vec<_> = (0..10)
            .map(|i| {
                let (wakers, log) = (Rc::clone(&wakers), Rc::clone(&log));
                let mut parked = false;
                spawn(poll_fn(move |cx| {
                    if std::mem::replace(&mut parked, true) {
                        log.borrow_mut().push(i);
                        return Poll::Ready(());
                    }
                    wakers.borrow_mut().push(cx.waker().clone());
                    Poll::Pending
                }))
            })
            .collect();
        yield_now().await;
        wakers.take().into_iter().rev().for_each(Waker::wake);
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*log.borrow(), (0..10).rev().collect::<Vec<_>>());
}

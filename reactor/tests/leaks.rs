//! Nothing is left behind: no descriptor, no thread, no byte.
//!
//! Descriptors, threads and memory belong to the whole process, so this binary has one test, which
//! goes through a list.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reactor::time::{now, sleep, timeout};
use reactor::{
    Direction, JoinHandle, JoinSet, PollFd, Runtime, SignalKind, signal, spawn, spawn_blocking,
    workers, yield_now,
};

struct Counting;

static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every request goes on to `System`; counting is an atomic addition.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: as above; `memory` came from `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
    bytes: isize,
}

impl Held {
    fn now() -> Self {
        let entries = |path| std::fs::read_dir(path).unwrap().count();
        Self {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            bytes: LIVE_BYTES.load(SeqCst),
        }
    }
}

#[test]
fn nothing_is_left_behind() {
    let scenarios: [(&str, fn()); 16] = [
        ("runtimes", runtimes),
        ("parked tasks", parked_tasks),
        ("tasks that hold each other", tasks_that_hold_each_other),
        ("descriptors", descriptors),
        ("a descriptor that outlives its runtime", descriptors_outlive_their_runtime),
        ("deadlines", deadlines),
        ("timers", timers),
        ("wakers of others", wakers_of_others),
        ("join sets", join_sets),
        ("panics", panics),
        ("panics that are ignored", ignored_panics),
        ("wakers on other threads", wakers_on_other_threads),
        ("remote tasks", remote_tasks),
        ("blocking work", blocking_work),
        ("worker threads", worker_threads),
        ("signals", signals),
    ];
    std::panic::set_hook(Box::new(|info| {
        // What is printed is captured, and counts as held.
        if info.payload_as_str() != Some("expected") && !info.payload().is::<Expected>() {
            eprintln!("{info}");
        }
    }));
    let threads = Held::now().threads;
    for (name, scenario) in scenarios {
        // What is made once for the life of the process is made here.
        scenario();
        assert!(settles(|held| held.threads == threads), "threads are left by {name}");
        // The harness has a thread of its own, which may allocate once; a leak shows every time.
        let mut left = Vec::new();
        while !leaves_nothing(scenario, &mut left) {
            assert!(left.len() < 3, "left by {name}, before and after: {left:#?}");
        }
    }
}

fn leaves_nothing(scenario: fn(), left: &mut Vec<(Held, Held)>) -> bool {
    let before = Held::now();
    (0..3).for_each(|_| scenario());
    let nothing = settles(|held| *held == before);
    left.push((before, Held::now()));
    nothing
}

/// Detached threads end in their own time, so this waits for it. A leak never settles.
fn settles(settled: impl Fn(&Held) -> bool) -> bool {
    (0..3_000).any(|_| {
        let now = settled(&Held::now());
        if !now {
            thread::sleep(Duration::from_millis(1));
        }
        now
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

fn pair() -> (Rc<PollFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Rc::new(PollFd::from_socket(OwnedFd::from(ours))), theirs)
}

fn runtimes() {
    let runtimes: Vec<_> = (0..10).map(|_| Runtime::new().unwrap()).collect();
    drop(runtimes);
    block_on(async {});
}

fn parked_tasks() {
    block_on(async {
        for _ in 0..100 {
            let (fd, peer) = pair();
            spawn(async move {
                let _peer = peer;
                fd.read(&mut [0; 8]).await
            })
            .detach();
            spawn(pending::<()>()).detach();
        }
        yield_now().await;
    });
}

fn tasks_that_hold_each_other() {
    block_on(async {
        // A task and the descriptor that holds its waker.
        let (fd, _peer) = pair();
        let shared = Rc::new((fd, RefCell::new(None::<JoinHandle<()>>)));
        let task = spawn({
            let shared = Rc::clone(&shared);
            async move {
                poll_fn(|cx| shared.0.poll_io(cx, Direction::Read, |_| Err::<(), _>(blocked())))
                    .await
                    .unwrap();
            }
        });
        // And a task that holds its own handle.
        *shared.1.borrow_mut() = Some(task);
        yield_now().await;
    });
}

fn blocked() -> std::io::Error {
    std::io::ErrorKind::WouldBlock.into()
}

fn descriptors() {
    block_on(async {
        let (fd, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        fd.read(&mut [0; 8]).await.unwrap();
        assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err());
        let owned = Rc::into_inner(fd).unwrap().into_inner().unwrap();
        let again = PollFd::new(owned).unwrap();
        assert!(timeout(Duration::ZERO, again.read(&mut [0; 8])).await.is_err());
        again.close();
        again.close();
    });
}

fn descriptors_outlive_their_runtime() {
    let (fd, _peer) = block_on(async {
        let (fd, peer) = pair();
        assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err());
        fd.set_deadline(Some(now() + Duration::from_secs(3600)));
        (fd, peer)
    });
    fd.set_deadline(None);
}

fn deadlines() {
    block_on(async {
        for i in 0..100 {
            let (fd, _peer) = pair();
            for _ in 0..3 {
                fd.set_deadline(Some(now() + Duration::from_micros(i)));
                let _ = fd.read(&mut [0; 8]).await;
                fd.set_deadline(Some(now() + Duration::from_secs(3600)));
            }
        }
    });
}

fn timers() {
    block_on(async {
        for i in 0..100 {
            spawn(sleep(Duration::from_secs(i))).detach();
        }
        timeout(Duration::from_micros(10), pending::<()>()).await.unwrap_err();
    });
}

/// Wakers with a count of references, which lie with descriptors, timers and tasks at the end.
fn wakers_of_others() {
    block_on(async {
        let (fd, _peer) = pair();
        let task = spawn(pending::<()>());
        let waiting = FuturesUnordered::new();
        for i in 0..30 {
            let fd = Rc::clone(&fd);
            waiting.push(Box::pin(async move {
                match i % 3 {
                    0 => sleep(Duration::from_secs(3600)).await,
                    1 => drop(fd.read(&mut [0; 8]).await),
                    _ => poll_fn(|cx| fd.poll_ready(cx, Direction::Read)).await.unwrap(),
                }
            }));
        }
        let mut waiting = waiting;
        assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err());
        assert!(timeout(Duration::ZERO, waiting.next()).await.is_err());
        // One set is dropped by a task that ends, the other with the runtime.
        spawn(async move { waiting.next().await }).detach();
        let joins: FuturesUnordered<_> = [task].into_iter().collect();
        spawn(joins.count()).detach();
        yield_now().await;
    });
}

fn join_sets() {
    block_on(async {
        let mut set = JoinSet::new();
        for i in 0..100 {
            set.spawn(async move {
                if i % 2 == 0 {
                    pending::<()>().await;
                }
                vec![0u8; 100]
            });
        }
        for _ in 0..25 {
            set.join_next().await.unwrap().unwrap();
        }
        let mut other = JoinSet::new();
        other.spawn(async move { set.join_next().await.is_some() });
        yield_now().await;
        drop(other);
    });
}

fn panics() {
    block_on(async {
        let bad = spawn(async {
            let _held = Box::new([0u8; 100]);
            yield_now().await;
            std::panic::panic_any("expected")
        });
        assert!(bad.await.unwrap_err().is_panic());
    });
    let mut runtime = Runtime::new().unwrap();
    let root = std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            spawn(pending::<()>()).detach();
            yield_now().await;
            std::panic::panic_any("expected")
        })
    });
    assert!(std::panic::catch_unwind(root).is_err());
}

/// The payload of a panic, which owns memory.
struct Expected(#[expect(dead_code, reason = "held, to be missed if it leaks")] Vec<u8>);

/// Of results that nobody takes: the loop drops them, and lives on.
fn ignored_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Expected(vec![0; 100]));
        }
    }
    block_on(async {
        spawn(async { Bomb }).detach();
        yield_now().await;
    });
}

fn wakers_on_other_threads() {
    let mut kept = Vec::new();
    block_on(async {
        let mut woken = 0;
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            kept.push(waker.clone());
            thread::spawn(move || waker.wake()).join().unwrap();
            woken += 1;
            if woken < 10 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    });
    thread::spawn(move || kept.into_iter().for_each(|waker| waker.wake())).join().unwrap();
}

fn remote_tasks() {
    let mut runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let joins: Vec<_> = (0..10).map(|i| handle.spawn(move || async move { i }).unwrap()).collect();
    runtime.block_on(async {
        for join in joins {
            join.await.unwrap();
        }
    });
    // Never taken in, and taken in but never awaited.
    let held = vec![0u8; 100];
    drop(
        handle
            .spawn(move || async move {
                pending::<()>().await;
                drop(held)
            })
            .unwrap(),
    );
    runtime.block_on(yield_now());
    drop(handle.spawn(pending::<()>).unwrap());
    drop(runtime);
    assert!(handle.spawn(|| async {}).is_err());
}

fn blocking_work() {
    let mut runtime = Runtime::builder().blocking_threads_max(4).build().unwrap();
    runtime.block_on(async {
        let jobs: Vec<_> = (0..20).map(|i| spawn_blocking(move || vec![i; 100])).collect();
        for job in jobs {
            job.await.unwrap();
        }
        assert!(spawn_blocking(|| std::panic::panic_any("expected")).await.is_err());
        for _ in 0..20 {
            drop(spawn_blocking(|| vec![0u8; 100]));
        }
    });
}

fn worker_threads() {
    let done = workers(3, |index| async move {
        spawn(pending::<()>()).detach();
        sleep(Duration::from_micros(1)).await;
        if index == 1 { Err("one fails") } else { Ok(vec![index; 100]) }
    });
    assert!(done.is_err());
    workers(2, |_| async { Ok::<_, ()>(()) }).unwrap();
}

/// The eventfds of signals stay with the process, and are used again.
fn signals() {
    block_on(async {
        let mut listeners: Vec<_> =
            (0..5).map(|_| signal(SignalKind::WINDOW_CHANGE).unwrap()).collect();
        for listener in &mut listeners {
            assert!(timeout(Duration::ZERO, listener.recv()).await.is_err());
        }
        drop(signal(SignalKind::WINDOW_CHANGE).unwrap());
    });
}

//! Other threads: remote spawning, blocking work, workers, signals.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::{FutureExt, join_all};
use futures_util::stream::{self, StreamExt};
use reactor::time::{now, sleep};
use reactor::{
    Runtime, SignalKind, SpawnError, Workers, WorkersError, signal, spawn, spawn_blocking, workers,
    yield_now,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

#[test]
fn tasks_spawned_from_many_threads_run_on_the_runtimes_own() {
    let mut runtime = Runtime::new().unwrap();
    let home = thread::current().id();
    let handle = runtime.handle();
    let threads = (0..8).map(|i| {
        let handle = handle.clone();
        thread::spawn(move || {
            let tasks = (0..100).map(|j| {
                let task = handle.spawn(move || async move {
                    let shared = Rc::new(Cell::new(i));
                    yield_now().await;
                    assert_eq!(thread::current().id(), home);
                    shared.get() * 100 + j
                });
                task.unwrap()
            });
            tasks.collect::<Vec<_>>()
        })
    });
    let threads: Vec<_> = threads.collect();
    let tasks: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let mut results: Vec<_> =
        runtime.block_on(join_all(tasks)).into_iter().map(Result::unwrap).collect();
    results.sort_unstable();
    assert_eq!(results, (0..800).collect::<Vec<_>>());
}

#[test]
fn a_remote_handle_gives_the_panic_of_its_task_to_another_runtime() {
    let (sender, receiver) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        block_on(async {
            sender.send(reactor::handle()).unwrap();
            spawn_blocking(move || ended.recv()).await.unwrap().unwrap_err();
        });
    });
    let task = receiver.recv().unwrap().spawn(|| async { panic!("far away") }).unwrap();
    let err = block_on(task).unwrap_err();
    assert!(err.is_panic(), "{err}");
    drop(end);
    server.join().unwrap();
}

#[test]
fn a_handle_of_a_runtime_that_is_gone_says_so_and_reaches_no_successor() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let waiting = handle.spawn(|| async {}).unwrap();
    drop(runtime);
    let mut successor = Runtime::new().unwrap();
    assert_eq!(handle.spawn(|| async {}).unwrap_err(), SpawnError::Gone);
    assert!(successor.block_on(waiting).unwrap_err().is_cancelled());
}

#[test]
fn the_inbox_for_remote_tasks_has_a_limit() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    for _ in 0..reactor::REMOTE_SPAWNS_MAX {
        drop(handle.spawn(|| async {}).unwrap());
    }
    assert_eq!(handle.spawn(|| async {}).unwrap_err(), SpawnError::Full);
}

#[test]
fn a_remote_handle_aborts_its_task_from_another_thread() {
    let mut runtime = Runtime::new().unwrap();
    let handle = runtime.handle();
    let (started, starting) = mpsc::channel();
    let aborted = thread::spawn(move || {
        let endless = handle.spawn(move || async move {
            started.send(()).unwrap();
            pending::<()>().await;
        });
        let endless = endless.unwrap();
        starting.recv().unwrap();
        endless.abort();
        endless
    });
    runtime.block_on(async {
        let endless = spawn_blocking(|| aborted.join().unwrap()).await.unwrap();
        assert!(endless.await.unwrap_err().is_cancelled());
    });
    assert_eq!(runtime.tasks(), 0);
}

#[test]
fn a_remote_task_that_is_aborted_before_it_is_taken_in_is_not_even_made() {
    let mut runtime = Runtime::new().unwrap();
    let never = || -> std::future::Ready<()> { panic!("it was aborted") };
    let task = runtime.handle().spawn(never).unwrap();
    task.abort();
    assert!(runtime.block_on(task).unwrap_err().is_cancelled());
}

#[test]
fn an_abort_ends_blocking_work_that_waits_for_a_thread_and_none_that_runs() {
    let (release, released) = mpsc::channel::<()>();
    let mut runtime = Runtime::builder().blocking_threads_max(1).build().unwrap();
    runtime.block_on(async {
        let (started, starting) = mpsc::channel();
        let runs = spawn_blocking(move || {
            started.send(()).unwrap();
            released.recv()
        });
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let waits = spawn_blocking(move || panic!("{holds:?} was aborted"));
        starting.recv().unwrap();
        runs.abort();
        waits.abort();
        drop(release);
        assert!(runs.await.unwrap().is_err());
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(Arc::strong_count(&held), 1, "what it held is dropped by then");
    });
}

#[test]
fn blocking_work_gives_its_result_or_its_panic() {
    block_on(async {
        assert_eq!(spawn_blocking(|| 6 * 7).await.unwrap(), 42);
        let err = spawn_blocking(|| panic!("blocked")).await.unwrap_err();
        assert_eq!(err.to_string(), "task panicked: blocked");
    });
}

#[test]
fn blocking_work_runs_on_no_more_threads_than_allowed() {
    let mut runtime = Runtime::builder().blocking_threads_max(3).build().unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // Three at a time must be able to meet; the test would hang with fewer threads.
    let barrier = Arc::new(Barrier::new(3));
    runtime.block_on(async {
        let jobs = (0..30).map(|_| {
            let (running, most, barrier) =
                (Arc::clone(&running), Arc::clone(&most), Arc::clone(&barrier));
            spawn_blocking(move || {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                barrier.wait();
                running.fetch_sub(1, SeqCst);
            })
        });
        let jobs: Vec<_> = jobs.collect();
        join_all(jobs).await.into_iter().for_each(Result::unwrap);
    });
    assert_eq!(most.load(SeqCst), 3);
}

#[test]
fn dropping_the_runtime_waits_for_no_blocking_work() {
    let (release, released) = mpsc::channel::<()>();
    let mut runtime = Runtime::builder().blocking_threads_max(1).build().unwrap();
    let (started, starting) = mpsc::channel();
    let waiting = runtime.block_on(async {
        drop(spawn_blocking(move || {
            started.send(()).unwrap();
            released.recv()
        }));
        Some(spawn_blocking(|| ()))
    });
    starting.recv().unwrap();
    drop(runtime);
    assert!(block_on(waiting.unwrap()).unwrap_err().is_cancelled());
    drop(release);
}

#[test]
fn virtual_time_waits_for_blocking_work() {
    Runtime::builder().paused(true).build().unwrap().block_on(async {
        let start = now();
        let (release, released) = mpsc::channel::<()>();
        let slow = spawn(async move {
            spawn_blocking(move || released.recv()).await.unwrap().unwrap_err();
            now()
        });
        let timer = spawn(async {
            sleep(Duration::from_secs(1)).await;
        });
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!timer.is_finished());
        drop(release);
        assert_eq!(slow.await.unwrap(), start, "no time has passed");
        timer.await.unwrap();
    });
}

#[test]
fn each_worker_has_a_runtime_of_its_own_and_results_come_in_order() {
    let results = workers(4, |index| async move {
        let local = Rc::new(index);
        let task = spawn({
            let local = Rc::clone(&local);
            async move { *local * 2 }
        });
        Ok::<_, io::Error>(task.await.unwrap())
    });
    assert_eq!(results.unwrap(), [0, 2, 4, 6]);
}

#[test]
fn the_error_of_one_worker_ends_the_others_and_reaches_the_caller() {
    let result = workers(3, |index| async move {
        if index == 1 {
            return Err("broken");
        }
        pending::<Result<(), &str>>().await
    });
    let Err(WorkersError::Failed { index: 1, error: "broken" }) = result else {
        panic!("{result:?}")
    };
}

#[test]
fn the_panic_of_one_worker_ends_the_others_and_reaches_the_caller() {
    let ended = Arc::new(AtomicBool::new(false));
    struct Ended(Arc<AtomicBool>);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let result = std::panic::catch_unwind(|| {
        workers(2, |index| {
            let ended = Ended(Arc::clone(&ended));
            async move {
                if index == 1 {
                    panic!("worker panic");
                }
                let _ended = ended;
                pending::<io::Result<()>>().await
            }
        })
    });
    assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "worker panic");
    assert!(ended.load(SeqCst));
}

#[test]
fn workers_can_be_pinned() {
    let allowed = |_| async {
        let status = std::fs::read_to_string("/proc/thread-self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Ok::<_, io::Error>(line.unwrap().trim().to_owned())
    };
    let lists = Workers::new(3).pin(true).run(allowed).unwrap();
    assert!(lists.iter().all(|list| list.parse::<u32>().is_ok()), "{lists:?}");
}

#[test]
fn a_signal_is_heard_by_every_listener_and_by_no_later_one() {
    // SIGURG is ignored by default, so that a failure here ends no test run.
    const URGENT: SignalKind = SignalKind::from_raw(23);
    block_on(async {
        let (mut one, mut two) = (signal(URGENT).unwrap(), signal(URGENT).unwrap());
        for _ in 0..3 {
            raise(URGENT);
            one.recv().await.unwrap();
            two.recv().await.unwrap();
        }
        drop((one, two));
        let mut later = signal(URGENT).unwrap();
        let fresh = spawn(async move { later.recv().await });
        yield_now().await;
        assert!(!fresh.is_finished(), "what came before is not heard");
        raise(URGENT);
        fresh.await.unwrap().unwrap();
    });
}

#[test]
fn the_arrivals_of_a_signal_are_a_stream() {
    // SIGWINCH is ignored by default too, and no other test here raises it.
    const RESIZED: SignalKind = SignalKind::from_raw(28);
    block_on(async {
        let mut resized = signal(RESIZED).unwrap();
        let arrivals = stream::poll_fn(|cx| resized.poll_recv(cx).map(Some));
        let mut arrivals = pin!(arrivals);
        for _ in 0..3 {
            assert!(arrivals.next().now_or_never().is_none());
            raise(RESIZED);
            arrivals.next().await.unwrap().unwrap();
        }
    });
}

#[test]
fn the_last_listener_gives_a_signal_back_what_it_did_before() {
    // SIGIO: nobody raises it.
    const IO_POSSIBLE: SignalKind = SignalKind::from_raw(29);
    fn is_caught() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        caught >> (IO_POSSIBLE.as_raw() - 1) & 1 == 1
    }
    block_on(async {
        assert!(!is_caught());
        for _ in 0..2 {
            let (one, two) = (signal(IO_POSSIBLE).unwrap(), signal(IO_POSSIBLE).unwrap());
            drop(one);
            assert!(is_caught());
            drop(two);
            assert!(!is_caught());
        }
    });
}

#[test]
fn signals_that_cannot_be_caught_are_refused() {
    block_on(async {
        for number in [0, -1, 65, 9, 19, 11] {
            let err = signal(SignalKind::from_raw(number)).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        }
    });
}

fn raise(kind: SignalKind) {
    let kill = format!("kill -{} {}", kind.as_raw(), std::process::id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

//! What the crate does when system calls fail.
#![deny(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::fault::{PASS, script};
use super::{Wait, millis_rounded_up};
use crate::clock::Clock;
use crate::netpoll::{Alarm, Netpoll};
use crate::task::RUNTIMES_MAX;
use crate::waiters::Woken;
use crate::{
    Direction, PollFd, Runtime, SignalKind, TASKS_PER_TURN, metrics, signal, spawn, time, yield_now,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

fn pair() -> (Rc<PollFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Rc::new(PollFd::from_socket(OwnedFd::from(ours))), theirs)
}

async fn parked_read(fd: &Rc<PollFd>) -> crate::JoinHandle<io::Result<usize>> {
    let fd = Rc::clone(fd);
    let task = spawn(async move { fd.read(&mut [0; 8]).await });
    yield_now().await;
    assert!(!task.is_finished());
    task
}

#[test]
fn milliseconds_round_up_and_saturate() {
    assert_eq!(millis_rounded_up(Duration::from_nanos(1)), 1);
    assert_eq!(millis_rounded_up(Duration::from_millis(7)), 7);
    assert_eq!(millis_rounded_up(Duration::from_nanos(7_000_001)), 8);
    assert_eq!(millis_rounded_up(Duration::MAX), libc::c_int::MAX);
}

#[test]
fn a_failed_registration_reaches_the_caller_leaves_no_slot_and_can_be_tried_again() {
    block_on(async {
        let (fd, mut peer) = pair();
        for errno in [libc::ENOMEM, libc::ENOSPC] {
            let failing = script("epoll_ctl_add", &[errno; 1000]);
            for _ in 0..500 {
                let err = fd.read(&mut [0; 8]).await.unwrap_err();
                assert_eq!(err.raw_os_error(), Some(errno));
                let err = fd.try_io(Direction::Read, |_| Err::<(), _>(would_block())).unwrap_err();
                assert_eq!(err.raw_os_error(), Some(errno));
            }
            assert_eq!(failing.left(), 0);
            assert_eq!(metrics().descriptors, 0);
        }
        let task = parked_read(&fd).await;
        assert_eq!(metrics().descriptors, 1);
        peer.write_all(b"abc").unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 3);
    });
}

fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

#[test]
fn a_failed_registration_of_one_reader_does_not_hang_the_other() {
    block_on(async {
        let (fd, mut peer) = pair();
        let failing = script("epoll_ctl_add", &[libc::ENOMEM]);
        let lost = spawn({
            let fd = Rc::clone(&fd);
            async move { fd.read(&mut [0; 8]).await }
        });
        let kept = parked_read(&fd).await;
        assert_eq!(failing.left(), 0);
        assert_eq!(lost.await.unwrap().unwrap_err().raw_os_error(), Some(libc::ENOMEM));
        peer.write_all(b"abc").unwrap();
        assert_eq!(kept.await.unwrap().unwrap(), 3);
    });
}

#[test]
fn a_descriptor_that_epoll_does_not_take_is_not_pollable() {
    block_on(async {
        let (fd, _peer) = pair();
        let _eperm = script("epoll_ctl_add", &[libc::EPERM]);
        let err = fd.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::Unsupported);
        assert!(err.to_string().starts_with("not pollable"), "{err}");
        assert_eq!(metrics().descriptors, 0);
    });
}

#[test]
fn a_descriptor_that_cannot_be_looked_at_is_refused() {
    block_on(async {
        let _ebadf = script("fstat", &[libc::EBADF]);
        let err = PollFd::new(OwnedFd::from(io::pipe().unwrap().0)).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn a_failed_deletion_reaches_the_caller_and_leaves_no_slot() {
    block_on(async {
        let (fd, mut peer) = pair();
        drop(parked_read(&fd).await);
        peer.write_all(b"abc").unwrap();
        yield_until(|| Rc::strong_count(&fd) == 1).await;
        let _enoent = script("epoll_ctl_del", &[libc::ENOENT]);
        let err = Rc::into_inner(fd).unwrap().into_inner().unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(metrics().descriptors, 0);
        assert_eq!(peer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe, "closed");
    });
}

async fn yield_until(done: impl Fn() -> bool) {
    while !done() {
        yield_now().await;
    }
}

#[test]
fn an_interrupted_wait_returns_and_the_time_that_is_left_is_computed_afresh() {
    let netpoll = Netpoll::new(Clock::new(true), 0).unwrap();
    let seconds = |n: u64| n * 1_000_000_000;
    netpoll.timers.borrow_mut().arm(seconds(10), Alarm::of(Waker::noop()));
    let before = netpoll.wait_until_next_timer();
    let interrupted = script("epoll_pwait2", &[libc::EINTR]);
    let mut woken = Woken::default();
    assert_eq!(netpoll.wait(before, &mut woken).unwrap(), 0);
    assert_eq!(interrupted.left(), 0, "one call, and not another with the same time-out");
    netpoll.clock.advance_to(seconds(4));
    let (Wait::For(before), Wait::For(after)) = (before, netpoll.wait_until_next_timer()) else {
        panic!("waits without end")
    };
    assert!(before <= Duration::from_secs(10) && after <= before - Duration::from_secs(4));
}

#[test]
fn interrupted_waits_lose_no_event_and_end_no_sleep_early() {
    let mut runtime = Runtime::new().unwrap();
    let waits = script("epoll_wait", &[libc::EINTR; 100]);
    let _timed = script("epoll_pwait2", &[libc::EINTR; 100]);
    runtime.block_on(async {
        let (fd, mut peer) = pair();
        let task = parked_read(&fd).await;
        peer.write_all(b"abc").unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 3);
        let start = Instant::now();
        time::sleep(Duration::from_millis(1)).await;
        assert!(start.elapsed() >= Duration::from_millis(1));
    });
    assert_eq!(waits.left(), 0);
}

#[test]
fn a_broken_epoll_set_is_a_clear_panic_and_not_a_silent_loop() {
    let mut runtime = Runtime::new().unwrap();
    for errno in [libc::EBADF, libc::EINVAL] {
        let _broken = script("epoll_wait", &[errno]);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(std::future::pending::<()>());
        }));
        let message = *result.unwrap_err().downcast::<String>().unwrap();
        assert!(message.starts_with("epoll_wait: "), "{message}");
        assert!(message.contains(&format!("os error {errno}")), "{message}");
    }
    assert_eq!(runtime.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
}

#[test]
fn a_kernel_without_nanosecond_waits_sleeps_no_shorter() {
    let mut runtime = Runtime::new().unwrap();
    let _old = script("epoll_pwait2", &[libc::ENOSYS; 10_000]);
    let interrupted = script("epoll_wait", &[PASS, libc::EINTR, PASS, libc::EINTR]);
    runtime.block_on(async {
        for us in [1, 50, 999, 1_001, 3_000] {
            let start = Instant::now();
            time::sleep(Duration::from_micros(us)).await;
            assert!(start.elapsed() >= Duration::from_micros(us), "{us} us");
        }
    });
    assert_eq!(interrupted.left(), 0);
}

#[test]
fn a_close_that_fails_ends_the_connection_all_the_same() {
    block_on(async {
        let (fd, mut peer) = pair();
        let task = parked_read(&fd).await;
        let failing = script("dup3", &[libc::EBUSY]);
        fd.close();
        assert_eq!(failing.left(), 0);
        assert!(crate::is_closed(&task.await.unwrap().unwrap_err()));
        peer.set_nonblocking(true).unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "it was shut down");
        let before = metrics().events;
        drop(peer);
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!(metrics().events, before, "and left the epoll set");
    });
}

/// More often than there are places for runtimes, so that a place that is not given back shows.
#[test]
fn a_runtime_that_cannot_be_built_says_so_and_takes_no_place() {
    const TIMES: usize = RUNTIMES_MAX + 904;
    let calls = [
        ("eventfd", libc::EMFILE),
        ("epoll_create1", libc::EMFILE),
        ("epoll_create1", libc::ENFILE),
        ("epoll_ctl_add", libc::ENOSPC),
    ];
    for (call, errno) in calls {
        let failing = script(call, &[errno; TIMES]);
        for _ in 0..TIMES {
            let Err(err) = Runtime::new() else { panic!("{call} did not fail") };
            assert_eq!(err.raw_os_error(), Some(errno), "{call}: {err}");
        }
        assert_eq!(failing.left(), 0);
    }
    assert_eq!(block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
}

#[test]
fn a_processor_that_cannot_be_pinned_to_is_an_error() {
    let _einval = script("sched_setaffinity", &[libc::EINVAL]);
    let err = super::pin_to_nth_processor(0).unwrap_err();
    assert_eq!(err.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn a_signal_that_cannot_be_listened_for_leaves_its_place_to_the_next() {
    block_on(async {
        for _ in 0..2 * crate::SIGNAL_LISTENERS_MAX {
            let _emfile = script("eventfd", &[libc::EMFILE]);
            let _einval = script("sigaction", &[libc::EINVAL]);
            assert!(signal(SignalKind::WINDOW_CHANGE).is_err());
        }
        let all = (0..crate::SIGNAL_LISTENERS_MAX).map(|_| signal(SignalKind::WINDOW_CHANGE));
        let all: Vec<_> = all.collect::<Result<_, _>>().unwrap();
        assert!(signal(SignalKind::WINDOW_CHANGE).is_err(), "the limit");
        drop(all);
    });
}

#[test]
fn a_signal_whose_handler_cannot_be_installed_leaves_its_place_to_the_next() {
    block_on(async {
        for _ in 0..2 * crate::SIGNAL_LISTENERS_MAX {
            let _einval = script("sigaction", &[libc::EINVAL]);
            assert_eq!(signal(SignalKind::USER2).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
        drop(signal(SignalKind::USER2).unwrap());
    });
}

/// What others do with a signal meanwhile, another library say, is neither in the way of who listens next, nor
/// undone by who listens no more.
#[test]
fn a_signal_that_somebody_else_takes_over_is_theirs_until_the_next_listens() {
    const STKFLT: SignalKind = SignalKind::from_raw(libc::SIGSTKFLT); // Linux raises it never
    let ignore = || super::ignore_signal(STKFLT.as_raw());
    block_on(async {
        let first = signal(STKFLT).unwrap();
        ignore();
        let mut second = signal(STKFLT).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STKFLT)
            .unwrap();
        second.recv().await.unwrap();
        drop((first, second));
        assert!(ignore(), "what was found last is what comes back");

        let third = signal(STKFLT).unwrap();
        ignore();
        drop(third);
        assert!(ignore(), "and nothing is undone that is not ours");
    });
}

#[test]
fn reads_and_writes_that_are_interrupted_are_made_again_at_once() {
    block_on(async {
        let (fd, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        let (reads, writes) =
            (script("read", &[libc::EINTR; 5]), script("write", &[libc::EINTR; 5]));
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3);
        assert_eq!(fd.write(b"x").await.unwrap(), 1);
        assert_eq!((reads.left(), writes.left()), (0, 0));
        assert_eq!(metrics().parks, 0);
    });
}

#[test]
fn a_read_that_is_interrupted_without_end_lets_others_run() {
    block_on(async {
        let (fd, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        let interrupted = script("read", &[libc::EINTR; 1000]);
        let reader = spawn({
            let fd = Rc::clone(&fd);
            async move { fd.read(&mut [0; 8]).await }
        });
        yield_now().await;
        let left = interrupted.left();
        assert!((800..1000).contains(&left), "{left} of 1000 left after one poll");
        assert_eq!(reader.await.unwrap().unwrap(), 3);
    });
}

#[test]
fn a_read_that_would_block_although_data_is_there_gets_its_edge_from_registering() {
    block_on(async {
        let (fd, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        let _spurious = script("read", &[libc::EAGAIN]);
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3);
        assert_eq!(metrics().parks, 1);
    });
}

#[test]
fn an_error_of_a_read_is_the_answer_and_the_next_read_is_tried() {
    block_on(async {
        let (fd, mut peer) = pair();
        let task = parked_read(&fd).await;
        let _reset = script("read", &[libc::ECONNRESET, libc::EIO]);
        peer.write_all(b"abc").unwrap();
        let err = task.await.unwrap().unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::ECONNRESET));
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap_err().raw_os_error(), Some(libc::EIO));
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3);
    });
}

/// Nobody hears the bell, so the runtime learns of the wake-up when something else ends its sleep.
#[test]
fn an_eventfd_that_cannot_be_written_harms_no_waker_and_the_wake_up_is_kept() {
    for errno in [libc::EAGAIN, libc::EIO] {
        block_on(async {
            let (fd, mut peer) = pair();
            drop(parked_read(&fd).await);
            let (sender, receiver) = mpsc::channel::<Waker>();
            let waking = thread::spawn(move || {
                let _broken = script("write", &[errno]);
                receiver.recv().unwrap().wake();
                peer.write_all(b"abc").unwrap();
            });
            let mut sender = Some(sender);
            poll_fn(|cx| match sender.take() {
                None => Poll::Ready(()),
                Some(sender) => {
                    sender.send(cx.waker().clone()).unwrap();
                    Poll::Pending
                }
            })
            .await;
            waking.join().unwrap();
        });
    }
}

#[test]
fn a_script_answers_only_its_own_call_on_its_own_thread() {
    let failing = script("eventfd", &[libc::EMFILE]);
    thread::spawn(|| super::eventfd().unwrap()).join().unwrap();
    let epoll = super::epoll_create().unwrap();
    assert_eq!(failing.left(), 1);
    assert!(super::eventfd().is_err());
    assert!(super::eventfd().is_ok(), "the script is over");
    super::epoll_add(epoll.as_fd(), super::eventfd().unwrap().as_fd(), 0, 0).unwrap();
}

thread_local! {
    /// Whom the next message of this thread to the logger wakes.
    static READER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// A logger that wakes a task, which reads its messages.
struct Wakes;

impl log::Log for Wakes {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        READER.take().into_iter().for_each(Waker::wake);
    }

    fn flush(&self) {}
}

#[test]
fn a_timer_slack_that_cannot_be_read_is_asked_for_once_and_its_message_wakes_at_once() {
    log::set_logger(&Wakes).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let denied = script("prctl_get", &[libc::EINVAL; 10]);
    Runtime::new().unwrap().block_on(async {
        let late = spawn(time::sleep(Duration::from_secs(10)));
        let mut polls = 0;
        poll_fn(|cx| {
            READER.set(Some(cx.waker().clone()));
            polls += 1;
            if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        for _ in 0..2 * TASKS_PER_TURN {
            yield_now().await;
        }
        assert!(!late.is_finished(), "the message waited for the timer");
        for _ in 0..3 {
            time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(denied.left(), 9);
}

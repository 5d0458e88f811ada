//! Interleavings that could lose a wake-up or misdeliver one, forced. In virtual time a lost wake-up
//! shows as a time-out instead of a hang.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use reactor::time::{now, sleep, timeout};
use reactor::{Direction, PollFd, Runtime, is_closed, metrics, spawn, spawn_blocking, yield_now};

const SECOND: Duration = Duration::from_secs(1);

fn virtually<T>(future: impl Future<Output = T>) -> T {
    Runtime::builder().paused(true).build().unwrap().block_on(future)
}

fn pair() -> (Rc<PollFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Rc::new(PollFd::from_socket(OwnedFd::from(ours))), theirs)
}

/// Reads once, and lets `meanwhile` run right after the system call has said `EAGAIN`.
async fn read_with(fd: &PollFd, mut meanwhile: impl FnMut()) -> io::Result<usize> {
    fd.io(Direction::Read, |fd| {
        let result = UnixStream::from(fd.try_clone_to_owned()?).read(&mut [0; 8]);
        if result.as_ref().is_err_and(|err| err.kind() == ErrorKind::WouldBlock) {
            meanwhile();
        }
        result
    })
    .await
}

#[test]
fn an_edge_between_eagain_and_registration_is_not_lost() {
    virtually(async {
        let (fd, mut peer) = pair();
        let read = read_with(&fd, || peer.write_all(b"abc").unwrap());
        assert_eq!(timeout(SECOND, read).await.unwrap().unwrap(), 3);
    });
}

#[test]
fn an_edge_between_eagain_and_parking_is_not_lost() {
    virtually(async {
        let (fd, mut peer) = pair();
        // Registered by now.
        timeout(SECOND, read_with(&fd, || ())).await.unwrap_err();
        peer.write_all(b"a").unwrap();
        assert_eq!(read_with(&fd, || ()).await.unwrap(), 1);
        let read = read_with(&fd, || peer.write_all(b"abc").unwrap());
        assert_eq!(timeout(SECOND, read).await.unwrap().unwrap(), 3);
    });
}

#[test]
fn an_event_of_a_closed_descriptor_that_is_open_elsewhere_reaches_no_successor() {
    virtually(async {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let duplicate = ours.try_clone().unwrap();
        let old = PollFd::from_socket(OwnedFd::from(ours));
        timeout(SECOND, old.read(&mut [0; 8])).await.unwrap_err();
        drop(old);
        // The successor takes over the registry's index; the duplicate keeps events coming.
        let (new, _new_peer) = pair();
        timeout(SECOND, new.read(&mut [0; 8])).await.unwrap_err();
        peer.write_all(b"for the dead").unwrap();
        let woken = timeout(SECOND, new.readable()).await;
        assert!(woken.is_err(), "an event of its predecessor made it ready");
        drop(duplicate);
    });
}

#[test]
fn a_shared_descriptor_leaves_no_events_behind_when_it_is_closed() {
    for (shared, events_expected) in [(true, 0), (false, 1)] {
        virtually(async {
            let (ours, mut peer) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let _duplicate = ours.try_clone().unwrap();
            let fd = PollFd::from_socket(OwnedFd::from(ours));
            timeout(SECOND, fd.read(&mut [0; 8])).await.unwrap_err();
            if shared {
                fd.mark_shared();
            }
            drop(fd);
            let before = metrics().events;
            peer.write_all(b"abc").unwrap();
            sleep(SECOND).await;
            assert_eq!(metrics().events - before, events_expected);
        });
    }
}

#[test]
fn a_descriptor_is_refused_in_another_runtime_also_when_it_is_registered() {
    let mut home = Runtime::new().unwrap();
    let (fd, mut peer) = home.block_on(async {
        let (fd, peer) = pair();
        timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.unwrap_err();
        (fd, peer)
    });
    peer.write_all(b"abc").unwrap();
    let away = Runtime::new().unwrap().block_on(async {
        let fd = Rc::clone(&fd);
        spawn(async move { fd.read(&mut [0; 8]).await }).await.unwrap()
    });
    assert_eq!(away.unwrap_err().to_string(), "the descriptor belongs to another runtime");
    assert_eq!(home.block_on(async { fd.read(&mut [0; 8]).await.unwrap() }), 3);
}

#[test]
fn a_descriptor_whose_runtime_is_gone_is_refused_also_in_the_one_that_has_its_number() {
    let (fd, _peer) = virtually(async {
        let (fd, peer) = pair();
        timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.unwrap_err();
        (fd, peer)
    });
    // Numbers that were given back are given out first.
    virtually(async {
        let refused = timeout(SECOND, fd.read(&mut [0; 8])).await.expect("it hangs");
        assert_eq!(refused.unwrap_err().to_string(), "the descriptor belongs to another runtime");
        // The waker of a set is not ours, and tells nobody's number.
        let mut reading = FuturesUnordered::from_iter([fd.readable()]);
        let refused = timeout(SECOND, reading.next()).await.expect("it hangs");
        assert!(refused.unwrap().is_err());
    });
}

#[test]
fn a_loop_over_readable_lets_others_run() {
    virtually(async {
        let (fd, _peer) = pair();
        let hot = spawn(async move {
            for _ in 0..10_000 {
                fd.writable().await.unwrap();
            }
        });
        yield_now().await;
        assert!(!hot.is_finished(), "one poll of the hot task must not do it all");
        hot.await.unwrap();
    });
}

#[test]
fn a_deadline_that_passed_while_its_task_ran_is_noticed_when_it_is_set_again() {
    virtually(async {
        let (fd, mut peer) = pair();
        let at = now() + SECOND * 12;
        fd.set_read_deadline(Some(at));
        let reader = spawn({
            let fd = Rc::clone(&fd);
            async move { fd.read(&mut [0; 1]).await }
        });
        sleep(SECOND * 11).await;
        peer.write_all(b"ab").unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), 1);
        sleep(SECOND * 2).await;
        fd.set_read_deadline(Some(at));
        assert_eq!(fd.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn dropping_a_runtime_takes_each_task_once_however_many_there_are() {
    let mut runtime = Runtime::new().unwrap();
    let tasks = runtime.block_on(async {
        (0..200_000).map(|_| spawn(std::future::pending::<()>())).collect::<Vec<_>>()
    });
    drop(runtime);
    assert!(tasks.iter().all(reactor::JoinHandle::is_finished));
}

#[test]
fn a_panic_in_the_drop_of_a_detached_result_costs_the_pool_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped by the pool");
        }
    }
    let mut runtime = Runtime::builder().blocking_threads_max(1).paused(true).build().unwrap();
    runtime.block_on(async {
        // Not before nobody waits for it: a result that is there is dropped by whoever drops the handle.
        let (dropped, wait) = mpsc::channel();
        drop(spawn_blocking(move || {
            wait.recv().unwrap();
            Bomb
        }));
        dropped.send(()).unwrap();
        assert_eq!(spawn_blocking(|| 1).await.unwrap(), 1);
        // Virtual time moves on only when no work is counted as running.
        sleep(SECOND).await;
    });
}

#[test]
fn blocking_work_that_is_sent_while_the_runtime_ends_is_cancelled() {
    struct Sender;
    impl Drop for Sender {
        fn drop(&mut self) {
            let work = spawn_blocking(|| ());
            assert!(work.is_finished());
        }
    }
    let mut runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let sender = Sender;
        drop(spawn(async move {
            let _sender = sender;
            std::future::pending::<()>().await;
        }));
        yield_now().await;
    });
}

#[test]
fn a_close_beats_an_edge_that_came_in_the_same_batch() {
    virtually(async {
        let (fd, mut peer) = pair();
        let reader = spawn({
            let fd = Rc::clone(&fd);
            async move { fd.read(&mut [0; 8]).await }
        });
        yield_now().await;
        peer.write_all(b"abc").unwrap();
        fd.close();
        assert!(is_closed(&reader.await.unwrap().unwrap_err()));
    });
}

//! Descriptors: parking, readiness, deadlines and close, with real sockets and pipes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures_util::future::{join, join_all};
use reactor::time::{now, sleep, timeout};
use reactor::{Direction, PollFd, Runtime, is_closed, spawn, yield_now};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::net::RecvFlags;

const HOUR: Duration = Duration::from_secs(3600);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

/// A runtime whose time stands still while descriptors have anything to say.
fn virtually<T>(future: impl Future<Output = T>) -> T {
    Runtime::builder().paused(true).build().unwrap().block_on(future)
}

fn poll_fd(socket: impl Into<OwnedFd>) -> Rc<PollFd> {
    Rc::new(PollFd::from_socket(socket.into()))
}

fn pair() -> (Rc<PollFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (poll_fd(ours), theirs)
}

/// Starts a read and lets it park.
async fn parked_read(fd: &Rc<PollFd>) -> reactor::JoinHandle<io::Result<usize>> {
    let fd = Rc::clone(fd);
    let task = spawn(async move { fd.read(&mut [0; 512]).await });
    yield_now().await;
    assert!(!task.is_finished());
    task
}

async fn fill(fd: &PollFd) {
    while timeout(Duration::ZERO, fd.write(&[7; 4096])).await.is_ok() {}
}

#[test]
fn a_read_parks_until_data_comes() {
    block_on(async {
        let (fd, mut peer) = pair();
        let task = parked_read(&fd).await;
        peer.write_all(b"hello").unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 5);
    });
}

#[test]
fn a_write_parks_until_there_is_room() {
    block_on(async {
        let (fd, mut peer) = pair();
        fill(&fd).await;
        let writer = spawn({
            let fd = Rc::clone(&fd);
            async move { fd.write(b"x").await }
        });
        yield_now().await;
        assert!(!writer.is_finished());
        let drain = thread::spawn(move || {
            let mut buf = vec![0; 1 << 20];
            let n = peer.read(&mut buf).unwrap();
            (peer, n)
        });
        assert_eq!(writer.await.unwrap().unwrap(), 1);
        drop(drain.join().unwrap());
    });
}

#[test]
fn reading_and_writing_park_apart() {
    block_on(async {
        let (fd, peer) = pair();
        let read = parked_read(&fd).await;
        fill(&fd).await;
        let write = spawn({
            let fd = Rc::clone(&fd);
            async move { fd.write(b"x").await }
        });
        yield_now().await;
        (&peer).write_all(b"abc").unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 3);
        assert!(!write.is_finished());
        drop(peer);
        assert_eq!(write.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_peers_close_gives_the_end_to_a_parked_read() {
    block_on(async {
        let (fd, peer) = pair();
        let task = parked_read(&fd).await;
        drop(peer);
        assert_eq!(task.await.unwrap().unwrap(), 0);
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 0, "again and again");
    });
}

#[test]
fn data_and_end_in_one_edge_are_both_read_after_a_short_read() {
    block_on(async {
        let (fd, mut peer) = pair();
        let readable = spawn({
            let fd = Rc::clone(&fd);
            async move {
                let _ = timeout(Duration::ZERO, fd.read(&mut [0; 1])).await;
                fd.readable().await
            }
        });
        yield_now().await;
        peer.write_all(b"last").unwrap();
        drop(peer);
        readable.await.unwrap().unwrap();
        assert_eq!(fd.read(&mut [0; 64]).await.unwrap(), 4);
        fd.drained(Direction::Read);
        assert_eq!(fd.read(&mut [0; 64]).await.unwrap(), 0);
    });
}

#[test]
fn a_second_datagram_is_read_without_a_further_edge() {
    block_on(async {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let fd = poll_fd(ours);
        let task = parked_read(&fd).await;
        theirs.send(b"one").unwrap();
        theirs.send(b"three").unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 3);
        assert_eq!(fd.read(&mut [0; 64]).await.unwrap(), 5);
    });
}

#[test]
fn pipes_are_descriptors_too() {
    block_on(async {
        let (reader, mut writer) = io::pipe().unwrap();
        let pipe = PollFd::new(OwnedFd::from(reader)).unwrap();
        writer.write_all(b"through the pipe").unwrap();
        let mut buf = [0; 64];
        let n = pipe.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..n], b"through the pipe");
    });
}

#[test]
fn an_eventfd_is_a_descriptor_too() {
    use rustix::event::{EventfdFlags, eventfd};
    block_on(async {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let raised = File::from(event.try_clone().unwrap());
        let event = Rc::new(PollFd::new(event).unwrap());
        let read = parked_read(&event).await;
        (&raised).write_all(&3u64.to_ne_bytes()).unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 8);
    });
}

#[test]
fn a_timerfd_is_a_descriptor_too() {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    block_on(async {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).unwrap();
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let soon = Itimerspec { it_interval: never, it_value: Timespec { tv_sec: 0, tv_nsec: 1 } };
        let set = timer.try_clone().unwrap();
        let timer = Rc::new(PollFd::new(timer).unwrap());
        let read = parked_read(&timer).await;
        timerfd_settime(set, TimerfdTimerFlags::empty(), &soon).unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 8);
    });
}

#[test]
fn an_inotify_is_a_descriptor_too() {
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    block_on(async {
        let watched = std::env::temp_dir().join(format!("reactor-inotify-{}", std::process::id()));
        File::create(&watched).unwrap();
        let changes = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&changes, &watched, WatchFlags::DELETE_SELF).unwrap();
        let changes = Rc::new(PollFd::new(changes).unwrap());
        let event = parked_read(&changes).await;
        std::fs::remove_file(&watched).unwrap();
        assert!(event.await.unwrap().unwrap() >= 16);
    });
}

#[test]
fn a_terminal_is_a_descriptor_too() {
    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    block_on(async {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
        let far = File::options().read(true).write(true).open(name).unwrap();
        fcntl_setfl(&near, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        let near = Rc::new(PollFd::new(near).unwrap());
        let typed = parked_read(&near).await;
        (&far).write_all(b"typed").unwrap();
        assert_eq!(typed.await.unwrap().unwrap(), 5);
    });
}

#[test]
fn a_regular_file_is_not_pollable() {
    block_on(async {
        let file = File::open("/proc/self/exe").unwrap();
        let err = PollFd::new(file.into()).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Unsupported);
        assert_eq!(err.to_string(), "not pollable: a regular file or a directory");
    });
}

#[test]
fn a_read_of_nothing_returns_at_once() {
    block_on(async {
        let (fd, _peer) = pair();
        assert_eq!(fd.read(&mut []).await.unwrap(), 0);
    });
}

#[test]
fn try_io_says_would_block_and_never_waits() {
    block_on(async {
        let (fd, mut peer) = pair();
        let read = |fd: &PollFd| {
            fd.try_io(Direction::Read, |fd| {
                let mut socket = UnixStream::from(fd.try_clone_to_owned()?);
                socket.read(&mut [0; 8])
            })
        };
        assert_eq!(read(&fd).unwrap_err().kind(), ErrorKind::WouldBlock);
        peer.write_all(b"abc").unwrap();
        assert_eq!(read(&fd).unwrap_err().kind(), ErrorKind::WouldBlock, "the edge was not seen");
        fd.readable().await.unwrap();
        assert_eq!(read(&fd).unwrap(), 3);
    });
}

#[test]
fn close_wakes_every_reader_and_writer() {
    block_on(async {
        let (fd, _peer) = pair();
        fill(&fd).await;
        let mut tasks = Vec::new();
        for _ in 0..10 {
            tasks.push(parked_read(&fd).await);
        }
        for _ in 0..10 {
            let fd = Rc::clone(&fd);
            tasks.push(spawn(async move { fd.write(b"x").await }));
        }
        yield_now().await;
        fd.close();
        for result in join_all(tasks).await {
            assert!(is_closed(&result.unwrap().unwrap_err()));
        }
        assert!(is_closed(&fd.read(&mut [0; 8]).await.unwrap_err()));
        assert!(is_closed(&fd.with_fd(|_| ()).unwrap_err()));
    });
}

#[test]
fn close_from_within_an_operation_leaves_it_a_descriptor_that_refuses_everything() {
    block_on(async {
        let (fd, mut peer) = pair();
        let inner = Rc::clone(&fd);
        let other = fd.try_io(Direction::Read, |borrowed| {
            inner.close();
            assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "it is closed already");
            let other = UnixStream::pair()?.0;
            assert_ne!(other.as_raw_fd(), borrowed.as_raw_fd(), "the number is taken");
            let err = rustix::net::recv(borrowed, &mut [0; 8], RecvFlags::empty()).unwrap_err();
            assert_eq!(err, Errno::NOTSOCK);
            Ok(other)
        });
        assert!(other.is_ok(), "what it returned is the answer all the same");
    });
}

#[test]
fn a_descriptor_that_is_borrowed_never_comes_to_mean_another_file() {
    block_on(async {
        let (fd, mut peer) = pair();
        let number = fd.as_raw_fd();
        let read = parked_read(&fd).await;
        let borrowed = fd.as_fd();
        assert_eq!(borrowed.as_raw_fd(), number);
        fd.close();
        assert_eq!(fd.as_raw_fd(), number);
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        let many: Vec<_> = (0..8).map(|_| UnixStream::pair().unwrap()).collect();
        assert!(many.iter().all(|(a, b)| a.as_raw_fd() != number && b.as_raw_fd() != number));
        assert_eq!(rustix::io::write(borrowed, b"x").unwrap_err(), Errno::INVAL);
        assert_eq!(rustix::io::read(borrowed, &mut [0; 8]).unwrap_err(), Errno::INVAL);
        let through = rustix::fs::openat(borrowed, "etc", OFlags::PATH, Mode::empty());
        assert_eq!(through.unwrap_err(), Errno::NOTDIR, "it leads nowhere");
        assert_eq!(rustix::process::fchdir(borrowed).unwrap_err(), Errno::NOTDIR);
        assert!(rustix::io::fcntl_getfd(borrowed).unwrap().contains(FdFlags::CLOEXEC));
        assert!(is_closed(&read.await.unwrap().unwrap_err()));
    });
}

#[test]
fn an_expired_deadline_beats_ready_data_again_and_again() {
    block_on(async {
        let (fd, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        fd.set_read_deadline(Some(now()));
        for _ in 0..3 {
            let err = fd.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::TimedOut);
        }
        fd.set_read_deadline(None);
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3, "clearing it un-poisons");
    });
}

#[test]
fn an_expired_write_deadline_beats_room_and_leaves_reads_alone() {
    block_on(async {
        let (fd, mut peer) = pair();
        fd.set_write_deadline(Some(now()));
        assert_eq!(fd.write(b"x").await.unwrap_err().kind(), ErrorKind::TimedOut);
        peer.write_all(b"abc").unwrap();
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn a_deadline_wakes_a_parked_read_at_its_time() {
    virtually(async {
        let (fd, _peer) = pair();
        let at = now() + Duration::from_millis(10);
        fd.set_read_deadline(Some(at));
        let err = fd.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::TimedOut);
        assert_eq!(now(), at);
    });
}

#[test]
fn a_deadline_set_while_another_task_waits_wakes_it() {
    block_on(async {
        let (fd, _peer) = pair();
        let task = parked_read(&fd).await;
        fd.set_read_deadline(Some(now() - Duration::from_secs(1)));
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_deadline_that_moves_back_wakes_only_at_its_new_time() {
    virtually(async {
        let (fd, _peer) = pair();
        let start = now();
        fd.set_read_deadline(Some(start + Duration::from_secs(1)));
        let task = parked_read(&fd).await;
        fd.set_read_deadline(Some(start + Duration::from_secs(5)));
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(now() - start, Duration::from_secs(5));
    });
}

#[test]
fn a_deadline_that_moves_forward_wakes_at_its_new_time() {
    virtually(async {
        let (fd, _peer) = pair();
        let start = now();
        fd.set_read_deadline(Some(start + HOUR));
        let task = parked_read(&fd).await;
        fd.set_read_deadline(Some(start + Duration::from_secs(5)));
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(now() - start, Duration::from_secs(5));
    });
}

#[test]
fn a_cleared_deadline_wakes_nobody_and_a_close_then_is_no_time_out() {
    virtually(async {
        let (fd, _peer) = pair();
        fd.set_deadline(Some(now() + Duration::from_secs(1)));
        let task = parked_read(&fd).await;
        fd.set_read_deadline(None);
        sleep(HOUR).await;
        assert!(!task.is_finished());
        fd.close();
        assert!(is_closed(&task.await.unwrap().unwrap_err()));
    });
}

#[test]
fn the_farthest_deadline_does_not_overflow() {
    virtually(async {
        let (fd, mut peer) = pair();
        let far = (0..63).rev().find_map(|bit| now().checked_add(Duration::from_secs(1 << bit)));
        fd.set_deadline(far);
        let task = parked_read(&fd).await;
        peer.write_all(b"abc").unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 3);
    });
}

#[test]
fn deadlines_of_every_length_fire_in_their_order() {
    virtually(async {
        let start = now();
        let lengths = [1, 100, 1_000, 10_000, 1_000_000, 65_536, 20_000_000, 1_000_000_000];
        let reads = lengths.map(|ns| async move {
            let (fd, _peer) = pair();
            fd.set_read_deadline(Some(start + Duration::from_nanos(ns)));
            let err = fd.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::TimedOut);
            assert_eq!(now(), start + Duration::from_nanos(ns));
        });
        join_all(reads).await;
    });
}

#[test]
fn a_dropped_read_takes_nothing_and_leaves_nothing_behind() {
    block_on(async {
        let (fd, mut peer) = pair();
        for _ in 0..100 {
            assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err());
        }
        let other = parked_read(&fd).await;
        assert!(timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err());
        peer.write_all(b"abc").unwrap();
        assert_eq!(other.await.unwrap().unwrap(), 3, "the one who still waits is woken");
    });
}

#[test]
fn two_reads_of_one_task_wait_apart_when_one_is_dropped() {
    block_on(async {
        let (fd, mut peer) = pair();
        let kept = async { fd.read(&mut [0; 8]).await.unwrap() };
        let lost = async { timeout(Duration::ZERO, fd.read(&mut [0; 8])).await.is_err() };
        let wrote = async {
            yield_now().await;
            yield_now().await;
            peer.write_all(b"abc").unwrap();
        };
        assert_eq!(join(kept, join(lost, wrote)).await, (3, (true, ())));
    });
}

#[test]
fn the_descriptor_can_be_taken_out_again() {
    block_on(async {
        let (fresh, mut peer) = pair();
        let _ = timeout(Duration::ZERO, fresh.read(&mut [0; 8])).await;
        let owned = Rc::into_inner(fresh).unwrap().into_inner().unwrap();
        let again = poll_fd(owned);
        let task = parked_read(&again).await;
        peer.write_all(b"abc").unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 3);
    });
}

#[test]
fn a_stale_event_of_a_closed_descriptor_never_lands_on_its_successor() {
    block_on(async {
        // Both sockets of a pair are ready in one batch; the first to run closes the other and
        // opens a successor, which takes over the descriptor number and the registry's index.
        for _ in 0..100 {
            let (a, mut peer_a) = pair();
            let (b, mut peer_b) = pair();
            let reads = (parked_read(&a).await, parked_read(&b).await);
            peer_a.write_all(b"abc").unwrap();
            peer_b.write_all(b"abc").unwrap();
            b.close();
            let (c, mut peer_c) = pair();
            let waits = parked_read(&c).await;
            assert_eq!(reads.0.await.unwrap().unwrap(), 3);
            assert!(is_closed(&reads.1.await.unwrap().unwrap_err()));
            assert!(!waits.is_finished());
            peer_c.write_all(b"late").unwrap();
            assert_eq!(waits.await.unwrap().unwrap(), 4);
        }
    });
}

#[test]
fn a_descriptor_of_another_runtime_is_refused_where_it_would_hang() {
    let (fd, _peer) = block_on(async { pair() });
    let err = block_on(async { fd.read(&mut [0; 8]).await.unwrap_err() });
    assert_eq!(err.to_string(), "the descriptor belongs to another runtime");
}

#[test]
fn a_hot_descriptor_starves_nobody() {
    block_on(async {
        let (fd, mut peer) = pair();
        peer.write_all(&[1; 60_000]).unwrap();
        let hot = spawn({
            let fd = Rc::clone(&fd);
            async move {
                for _ in 0..60_000 {
                    assert_eq!(fd.read(&mut [0; 1]).await.unwrap(), 1);
                }
            }
        });
        yield_now().await;
        assert!(!hot.is_finished(), "one poll of the hot task must not read it all");
        hot.await.unwrap();
    });
}

//! Deadlines of one direction or both, that have passed, come, move and go.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use reactor::metrics;
use reactor::time::{now, sleep, sleep_until};

use super::*;

#[test]
fn an_expired_deadline_beats_room_to_write_again_and_again() {
    block_on(async {
        let (fd, mut peer) = pair();
        fd.set_write_deadline(Some(now()));
        for _ in 0..3 {
            assert_timed_out(fd.write(b"lost").await);
            assert_timed_out(fd.writable().await);
            assert_timed_out(fd.try_io(Direction::Write, |_| Ok(())));
        }
        fd.set_write_deadline(None);
        assert_eq!(fd.write(b"kept").await.unwrap(), 4);
        let mut buf = [0; 16];
        assert_eq!(peer.read(&mut buf).unwrap(), 4, "nothing was written before");
    });
}

#[test]
fn an_expired_deadline_beats_a_queued_connection() {
    block_on(async {
        let (listener, addr) = listener();
        let _client = UnixStream::connect_addr(&addr).unwrap();
        listener.set_read_deadline(Some(now()));
        for _ in 0..3 {
            assert_timed_out(accept(&listener).await);
        }
        listener.set_read_deadline(None);
        accept(&listener).await.unwrap();
    });
}

#[test]
fn a_deadline_wakes_a_parked_accept_at_its_time() {
    virtually(async {
        let (listener, _) = listener();
        let at = now() + Duration::from_millis(10);
        listener.set_deadline(Some(at));
        assert_timed_out(accept(&listener).await);
        assert_eq!(now(), at);
    });
}

#[test]
fn a_deadline_wakes_a_parked_write_at_its_time() {
    virtually(async {
        let (fd, _peer) = pair();
        fill(&fd).await;
        let at = now() + Duration::from_millis(10);
        fd.set_write_deadline(Some(at));
        assert_timed_out(fd.write(b"x").await);
        assert_eq!(now(), at);
    });
}

#[test]
fn clearing_the_read_deadline_leaves_the_write_deadline_and_a_close_is_no_time_out() {
    virtually(async {
        let (fd, _peer) = pair();
        fill(&fd).await;
        fd.set_deadline(Some(now() + Duration::from_millis(5)));
        fd.set_read_deadline(None);
        let read = parked_read(&fd).await;
        assert_timed_out(fd.write(b"x").await);
        sleep(HOUR).await;
        assert!(!read.is_finished());
        fd.close();
        assert_closed(read.await.unwrap());
        assert_closed(fd.write(b"x").await);
    });
}

#[test]
fn clearing_the_write_deadline_leaves_the_read_deadline_and_a_close_is_no_time_out() {
    virtually(async {
        let (fd, _peer) = pair();
        fill(&fd).await;
        fd.set_deadline(Some(now() + Duration::from_millis(5)));
        fd.set_write_deadline(None);
        let write = parked_write(&fd).await;
        assert_timed_out(fd.read(&mut [0; 8]).await);
        sleep(HOUR).await;
        assert!(!write.is_finished());
        fd.close();
        assert_closed(write.await.unwrap());
        assert_closed(fd.read(&mut [0; 8]).await);
    });
}

#[test]
fn a_datagram_is_waited_for_until_the_deadline() {
    virtually(async {
        let (fd, peer) = datagrams();
        fd.set_read_deadline(Some(now() + Duration::from_millis(10)));
        assert_timed_out(fd.read(&mut [0; 8]).await);
        peer.send(b"late").unwrap();
        assert_timed_out(fd.read(&mut [0; 8]).await);
        fd.set_read_deadline(None);
        assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 4);
    });
}

#[test]
fn room_for_a_datagram_is_waited_for_until_the_deadline() {
    virtually(async {
        let (fd, peer) = datagrams();
        fd.set_write_deadline(Some(now() + Duration::from_millis(10)));
        let err = loop {
            if let Err(err) = fd.write(b"datagram").await {
                break err;
            }
        };
        assert_eq!(err.kind(), ErrorKind::TimedOut);
        fd.set_write_deadline(None);
        let write = parked_write(&fd).await;
        peer.set_nonblocking(true).unwrap();
        while peer.recv(&mut [0; 8]).is_ok() {}
        assert_eq!(write.await.unwrap().unwrap(), 1);
    });
}

#[test]
fn on_the_systems_clock_no_deadline_comes_early() {
    block_on(async {
        let (fd, _peer) = pair();
        fill(&fd).await;
        for us in [0, 1, 50, 999, 1_001, 5_000] {
            let at = std::time::Instant::now() + Duration::from_micros(us);
            fd.set_deadline(Some(at));
            assert_timed_out(fd.read(&mut [0; 8]).await);
            assert_timed_out(fd.write(b"x").await);
            assert!(std::time::Instant::now() >= at, "{us} us");
        }
    });
}

#[test]
fn write_deadlines_of_every_length_fire_at_their_nanosecond() {
    virtually(async {
        let (fd, _peer) = pair();
        fill(&fd).await;
        for ns in [1, 100, 1_000, 65_536, 10_000_000, 1_000_000_000] {
            let at = now() + Duration::from_nanos(ns);
            fd.set_write_deadline(Some(at));
            assert_timed_out(fd.write(b"x").await);
            assert_eq!(now(), at);
        }
    });
}

#[test]
fn an_hours_deadline_before_every_operation_keeps_one_timer_a_direction() {
    // No other timer is there, not even that of a test that hangs.
    Runtime::new().unwrap().block_on(async {
        let (fd, mut peer) = pair();
        peer.set_nonblocking(true).unwrap();
        for _ in 0..1000 {
            fd.set_deadline(Some(now() + HOUR));
            assert_eq!(fd.write(b"ping").await.unwrap(), 4);
            assert_eq!(peer.read(&mut [0; 8]).unwrap(), 4);
            peer.write_all(b"pong").unwrap();
            fd.set_deadline(Some(now() + HOUR));
            assert_eq!(fd.read(&mut [0; 8]).await.unwrap(), 4);
            assert_eq!(metrics().timers, 2);
        }
        fd.close();
        assert_eq!(metrics().timers, 0);
    });
}

#[test]
fn deadlines_that_race_data_lose_none_of_it() {
    const BYTES: usize = 20_000;
    block_on(async {
        let (fd, mut peer) = pair();
        let writer = thread::spawn(move || {
            for _ in 0..BYTES {
                peer.write_all(&[1]).unwrap();
            }
        });
        let mut received = 0;
        loop {
            fd.set_read_deadline(Some(now() + Duration::from_micros(2)));
            match fd.read(&mut [0; 64]).await {
                Ok(0) => break,
                Ok(n) => received += n,
                Err(err) => assert_eq!(err.kind(), ErrorKind::TimedOut),
            }
        }
        assert_eq!(received, BYTES);
        writer.join().unwrap();
    });
}

#[test]
fn a_deadline_set_while_others_wait_wakes_all_of_its_direction_and_no_other() {
    virtually(async {
        let (fd, _peer) = pair();
        fill(&fd).await;
        let write = parked_write(&fd).await;
        let reads = [parked_read(&fd).await, parked_read(&fd).await, parked_read(&fd).await];
        let at = now() + Duration::from_secs(1);
        fd.set_read_deadline(Some(at));
        for read in reads {
            assert_timed_out(read.await.unwrap());
        }
        assert_eq!(now(), at);
        assert!(!write.is_finished());
    });
}

#[test]
fn a_deadline_may_be_set_by_the_operation_that_it_ends() {
    virtually(async {
        let (fd, _peer) = pair();
        let tries = Cell::new(0);
        let read = fd.io(Direction::Read, |_| {
            tries.set(tries.get() + 1);
            fd.set_read_deadline(Some(now()));
            Err::<(), _>(ErrorKind::WouldBlock.into())
        });
        assert_timed_out(read.await);
        assert_eq!(tries.get(), 1);
    });
}

#[test]
fn a_deadline_of_a_closed_descriptor_changes_nothing() {
    virtually(async {
        let (fd, _peer) = pair();
        fd.close();
        let timers = metrics().timers;
        fd.set_deadline(Some(now()));
        assert_closed(fd.read(&mut [0; 8]).await);
        fd.set_deadline(Some(now() + HOUR));
        fd.set_deadline(None);
        assert_closed(fd.read(&mut [0; 8]).await);
        assert_eq!(metrics().timers, timers);
    });
}

#[test]
fn data_that_came_before_the_deadline_is_read_by_the_parked_reader() {
    virtually(async {
        let (fd, mut peer) = pair();
        let at = now() + Duration::from_secs(1);
        fd.set_read_deadline(Some(at));
        let read = parked_read(&fd).await;
        sleep(Duration::from_millis(500)).await;
        peer.write_all(b"abc").unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 3);
        sleep_until(at).await;
        assert_timed_out(fd.read(&mut [0; 8]).await);
    });
}

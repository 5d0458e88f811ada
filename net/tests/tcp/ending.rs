//! How streams end: end of stream, half close, reset.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use net::TcpStream;
use reactor::time::{now, sleep, timeout};
use reactor::{metrics, spawn, yield_now};

use crate::{
    fill, narrow_pair_on, pair_on, read_to_end, run, run_on_both, run_virtual_on_both, settle, v4,
    v6,
};

/// Lets the loop turn, which takes many yields each time.
async fn turns(count: u64) {
    let end = metrics().turns + count;
    while metrics().turns < end {
        yield_now().await;
    }
}

#[test]
fn the_peers_close_ends_the_stream_of_a_parked_read() {
    run(async {
        for addr in [v4(), v6()] {
            let (near, far) = pair_on(addr).await?;
            let read = spawn(async move { near.read(&mut [0; 8]).await });
            settle().await;
            drop(far);
            assert_eq!(read.await.unwrap()?, 0);
        }
        Ok(())
    });
}

#[test]
fn the_end_of_the_stream_comes_after_the_data_that_came_with_it() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let mut buf = [0; 64];
        assert_eq!(near.try_read(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // Data and end are one edge, and the read of the data is short.
        far.write_all(b"last words").await?;
        drop(far);
        assert_eq!(near.read(&mut buf).await?, 10);
        assert_eq!(near.read(&mut buf).await?, 0);
        assert_eq!(near.read(&mut buf).await?, 0, "again and again");
        Ok(())
    });
}

#[test]
fn half_close_ends_one_direction_only() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        near.write_all(b"question").await?;
        near.shutdown(Shutdown::Write)?;
        assert_eq!(read_to_end(&far).await?, b"question");

        far.write_all(b"answer").await?;
        let mut buf = [0; 16];
        assert_eq!(near.read(&mut buf).await?, 6);
        let err = near.write(b"more").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::BrokenPipe);
        drop(far);
        assert_eq!(near.read(&mut buf).await?, 0);
        Ok(())
    });
}

#[test]
fn shutting_down_reading_ends_a_parked_read() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let read = spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        near.shutdown(Shutdown::Read)?;
        assert_eq!(read.await.unwrap()?, 0);
        near.write_all(b"still writes").await?;
        assert_eq!(far.read(&mut [0; 64]).await?, 12);
        Ok(())
    });
}

#[test]
fn shutting_down_reading_from_outside_ends_a_handler_that_moves_its_deadline_on() {
    const SECOND: Duration = Duration::from_secs(1);
    async fn answer(stream: &TcpStream) -> io::Result<()> {
        let mut buf = [0; 8];
        loop {
            stream.set_read_deadline(Some(now() + 3600 * SECOND));
            match stream.read(&mut buf).await? {
                0 => return Ok(()),
                n => {
                    sleep(SECOND).await; // the work
                    stream.write_all(&buf[..n]).await?;
                }
            }
        }
    }
    run_virtual_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let near = Rc::new(near);
        let stream = Rc::clone(&near);
        let handler = spawn(async move { answer(&stream).await });
        far.write_all(b"x").await?;
        sleep(SECOND / 2).await;
        near.set_read_deadline(Some(now()));
        assert_eq!(far.read(&mut [0; 8]).await?, 1);
        sleep(SECOND).await;
        assert!(!handler.is_finished(), "a deadline in the past was moved on");

        far.write_all(b"y").await?;
        sleep(SECOND / 2).await;
        near.shutdown(Shutdown::Read)?;
        assert_eq!(far.read(&mut [0; 8]).await?, 1, "it is still answered");
        handler.await.unwrap()
    });
}

#[test]
fn a_reset_is_an_error_and_never_the_end() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let read = spawn(async move { (near.read(&mut [0; 8]).await, near) });
        settle().await;
        far.reset()?;
        let (result, near) = read.await.unwrap();
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(near.write(b"x").await.is_err());
        Ok(())
    });
}

#[test]
fn a_message_that_was_cut_off_ends_in_a_reset_and_not_in_order() {
    run_on_both(async |addr| {
        let (near, far) = narrow_pair_on(addr).await?;
        let cut = timeout(Duration::ZERO, near.write_all(&[7; 1 << 20])).await;
        assert!(cut.is_err(), "there is no room for it");
        near.reset()?;
        let err = read_to_end(&far).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_reset_comes_too_late_after_a_close_and_says_so() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        near.close();
        assert!(reactor::is_closed(&near.reset().unwrap_err()));
        assert_eq!(far.read(&mut [0; 8]).await?, 0, "it was told of the end");
        Ok(())
    });
}

#[test]
fn closing_with_unread_data_resets_the_peer() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        near.write_all(b"never read").await?;
        far.readable().await?;
        drop(far);
        let err = near.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_reset_wakes_a_parked_write() {
    run_on_both(async |addr| {
        let (near, far) = narrow_pair_on(addr).await?;
        fill(&near)?;
        let write = spawn(async move { near.write_all(&[7; 1 << 20]).await });
        settle().await;
        far.reset()?;
        let kind = write.await.unwrap().unwrap_err().kind();
        let lost = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(lost.contains(&kind), "{kind:?}");
        Ok(())
    });
}

#[test]
fn writing_to_a_peer_that_ended_its_stream_parks_when_full() {
    // Go's issue of an endless EPOLLOUT: the peer's half close must not read as "writable".
    run_on_both(async |addr| {
        let (near, far) = narrow_pair_on(addr).await?;
        far.shutdown(Shutdown::Write)?;
        assert_eq!(near.read(&mut [0; 8]).await?, 0);
        // Full, it is registered, and the peer's end has its event. From then on a short write proves
        // nothing, and EAGAIN alone says that there is no room.
        fill(&near)?;
        turns(2).await;
        fill(&near)?;
        let near = Rc::new(near);
        let writer = Rc::clone(&near);
        let write = spawn(async move { writer.write_all(&[7; 64 << 10]).await });
        settle().await;
        assert!(!write.is_finished(), "it waits");
        let polls = metrics().polls;
        turns(1000).await;
        let polls = metrics().polls - polls;
        // What is under way to the peer may still make room, a few times.
        assert!(polls < 100, "{polls} polls in 1000 turns: it spins");
        near.close();
        assert!(reactor::is_closed(&write.await.unwrap().unwrap_err()));
        Ok(())
    });
}

#[test]
fn an_empty_read_or_write_is_zero_bytes_and_not_the_end() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        assert_eq!(near.read(&mut []).await?, 0, "at once, with nothing to read");
        assert_eq!(near.try_read(&mut [])?, 0);
        assert_eq!(near.peek(&mut []).await?, 0);
        assert_eq!(near.read_vectored(&mut []).await?, 0);
        assert_eq!(near.write(&[]).await?, 0);
        assert_eq!(near.write_vectored(&[]).await?, 0);
        near.write_all(&[]).await?;
        near.write_all_vectored(&mut []).await?;
        far.write_all(b"data").await?;
        assert_eq!(near.read(&mut []).await?, 0);
        assert_eq!(near.read(&mut [0; 8]).await?, 4);
        Ok(())
    });
}

#[test]
fn a_peek_takes_nothing() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        far.write_all(b"data").await?;
        let mut buf = [0; 8];
        for _ in 0..3 {
            assert_eq!(near.peek(&mut buf).await?, 4);
            assert_eq!(&buf[..4], b"data");
        }
        assert_eq!(near.read(&mut buf).await?, 4);
        drop(far);
        assert_eq!(near.peek(&mut buf).await?, 0);
        Ok(())
    });
}

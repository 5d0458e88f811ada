//! Deadlines: Go's `TestReadTimeout`, `TestWriteTimeout`, `TestAcceptTimeout` and their kin.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use net::{TcpListener, TcpStream};
use reactor::spawn;
use reactor::time::{now, sleep};

use crate::{fill, is_timeout, narrow_pair_on, pair_on, run_on_both, run_virtual_on_both, settle};

const SHORT: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_expired_deadline_beats_ready_data_again_and_again() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        far.write_all(b"ready").await?;
        near.readable().await?;
        near.set_read_deadline(Some(now()));
        for _ in 0..10 {
            assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));
            assert!(is_timeout(&near.try_read(&mut [0; 8]).unwrap_err()));
            assert!(is_timeout(&near.peek(&mut [0; 8]).await.unwrap_err()));
            assert!(is_timeout(&near.readable().await.unwrap_err()));
        }
        Ok(())
    });
}

#[test]
fn an_expired_deadline_beats_buffer_space() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        near.set_write_deadline(Some(now()));
        for _ in 0..10 {
            assert!(is_timeout(&near.write(b"never sent").await.unwrap_err()));
            assert!(is_timeout(&near.write_all(b"never sent").await.unwrap_err()));
        }
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).await?, 0, "nothing was sent");
        Ok(())
    });
}

#[test]
fn an_expired_deadline_beats_a_queued_connection() {
    run_on_both(async |addr| {
        let listener = TcpListener::bind(addr)?;
        let _queued = TcpStream::connect(listener.local_addr()?).await?;
        listener.set_deadline(Some(now()));
        for _ in 0..10 {
            assert!(is_timeout(&listener.accept().await.unwrap_err()));
        }
        listener.set_deadline(None);
        listener.accept().await?;
        Ok(())
    });
}

#[test]
fn a_deadline_wakes_a_parked_accept() {
    run_virtual_on_both(async |addr| {
        let listener = TcpListener::bind(addr)?;
        let start = now();
        listener.set_deadline(Some(start + SHORT));
        assert!(is_timeout(&listener.accept().await.unwrap_err()));
        assert!(now() >= start + SHORT, "not early");
        Ok(())
    });
}

#[test]
fn a_deadline_wakes_a_parked_read_at_its_very_moment() {
    run_virtual_on_both(async |addr| {
        let (near, _far) = pair_on(addr).await?;
        for nanos in [1, 1_000, 1_000_000, 25_000_000, 500_000_000, 1_000_000_000] {
            let deadline = now() + Duration::from_nanos(nanos);
            near.set_read_deadline(Some(deadline));
            assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));
            assert_eq!(now(), deadline, "{nanos} ns");
        }
        Ok(())
    });
}

#[test]
fn a_deadline_of_real_time_is_not_early() {
    run_on_both(async |addr| {
        let (near, _far) = narrow_pair_on(addr).await?;
        fill(&near)?;
        let deadline = now() + SHORT;
        near.set_read_deadline(Some(deadline));
        assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));
        assert!(now() >= deadline);
        let deadline = now() + SHORT;
        near.set_write_deadline(Some(deadline));
        assert!(is_timeout(&near.write_all(&[7; 1 << 20]).await.unwrap_err()));
        assert!(now() >= deadline);
        Ok(())
    });
}

#[test]
fn a_deadline_wakes_a_parked_write_at_its_very_moment() {
    run_virtual_on_both(async |addr| {
        let (near, _far) = narrow_pair_on(addr).await?;
        fill(&near)?;
        let deadline = now() + SHORT;
        near.set_write_deadline(Some(deadline));
        assert!(is_timeout(&near.write_all(&[7; 1 << 20]).await.unwrap_err()));
        assert_eq!(now(), deadline);
        Ok(())
    });
}

#[test]
fn clearing_an_expired_deadline_un_poisons() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        far.write_all(b"data").await?;
        near.set_deadline(Some(now()));
        assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));
        near.set_deadline(None);
        assert_eq!(near.read(&mut [0; 8]).await?, 4);
        near.write_all(b"back").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 4);
        Ok(())
    });
}

#[test]
fn clearing_the_read_deadline_leaves_the_write_deadline() {
    run_virtual_on_both(async |addr| {
        let (near, _far) = pair_on(addr).await?;
        let near = Rc::new(near);
        near.set_deadline(Some(now()));
        near.set_read_deadline(None);
        assert!(is_timeout(&near.write(b"x").await.unwrap_err()));

        let reader = Rc::clone(&near);
        let read = spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        assert!(!read.is_finished(), "no deadline wakes it");
        near.close();
        let err = read.await.unwrap().unwrap_err();
        assert!(reactor::is_closed(&err) && !is_timeout(&err), "{err}");
        Ok(())
    });
}

#[test]
fn clearing_the_write_deadline_leaves_the_read_deadline() {
    run_virtual_on_both(async |addr| {
        let (near, _far) = narrow_pair_on(addr).await?;
        let near = Rc::new(near);
        fill(&near)?;
        near.set_deadline(Some(now()));
        near.set_write_deadline(None);
        assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));

        let writer = Rc::clone(&near);
        let write = spawn(async move { writer.write_all(&[7; 1 << 20]).await });
        settle().await;
        assert!(!write.is_finished(), "no deadline wakes it");
        near.close();
        let err = write.await.unwrap().unwrap_err();
        assert!(reactor::is_closed(&err) && !is_timeout(&err), "{err}");
        Ok(())
    });
}

#[test]
fn a_deadline_set_in_the_past_wakes_a_parked_read() {
    run_on_both(async |addr| {
        let (near, _far) = pair_on(addr).await?;
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let read = spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        near.set_read_deadline(Some(now() - Duration::from_millis(1)));
        assert!(is_timeout(&read.await.unwrap().unwrap_err()));
        Ok(())
    });
}

#[test]
fn a_deadline_set_while_another_task_waits_holds_for_it() {
    run_virtual_on_both(async |addr| {
        let (near, _far) = pair_on(addr).await?;
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let read = spawn(async move { (reader.read(&mut [0; 8]).await, now()) });
        settle().await;
        let deadline = now() + HOUR;
        near.set_read_deadline(Some(now() + 2 * HOUR));
        near.set_read_deadline(Some(deadline));
        let (result, at) = read.await.unwrap();
        assert!(is_timeout(&result.unwrap_err()));
        assert!(at >= deadline && at < deadline + HOUR, "the last deadline holds");
        Ok(())
    });
}

#[test]
fn a_deadline_pushed_before_every_operation_never_expires() {
    run_virtual_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let echo = spawn(async move {
            let mut buf = [0; 8];
            loop {
                far.set_deadline(Some(now() + HOUR));
                match far.read(&mut buf).await? {
                    0 => return Ok::<_, io::Error>(()),
                    n => far.write_all(&buf[..n]).await?,
                }
            }
        });
        for _ in 0..100 {
            near.set_deadline(Some(now() + HOUR));
            near.write_all(b"ping").await?;
            assert_eq!(near.read(&mut [0; 8]).await?, 4);
            sleep(HOUR - SHORT).await;
        }
        drop(near);
        echo.await.unwrap()
    });
}

#[test]
fn deadlines_that_race_with_io_lose_no_byte() {
    const SOON: Duration = Duration::from_micros(2);
    run_on_both(async |addr| {
        let (near, far) = narrow_pair_on(addr).await?;
        let sent = crate::pattern(1 << 20);
        let expected = sent.clone();
        let writer = spawn(async move {
            let (mut rest, mut late) = (&sent[..], 0);
            while !rest.is_empty() {
                near.set_write_deadline(Some(now() + SOON));
                match near.write(rest).await {
                    Ok(n) => rest = &rest[n..],
                    Err(err) if is_timeout(&err) => {
                        late += 1;
                        reactor::yield_now().await;
                    }
                    Err(err) => return Err(err),
                }
            }
            Ok::<_, io::Error>(late)
        });
        let (mut received, mut buf, mut late) = (Vec::new(), [0; 700], 0);
        loop {
            far.set_read_deadline(Some(now() + SOON));
            match far.read(&mut buf).await {
                Ok(0) => break,
                Ok(n) => received.extend_from_slice(&buf[..n]),
                Err(err) if is_timeout(&err) => {
                    late += 1;
                    reactor::yield_now().await;
                }
                Err(err) => return Err(err),
            }
        }
        let writes_late = writer.await.unwrap()?;
        assert!(late > 0 && writes_late > 0, "{late} late reads, {writes_late} late writes");
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
        Ok(())
    });
}

#[test]
fn deadlines_of_every_length_fire() {
    run_virtual_on_both(async |addr| {
        let (near, _far) = narrow_pair_on(addr).await?;
        fill(&near)?;
        for length_ns in (0..=9).map(|power| 10_u64.pow(power)) {
            let deadline = now() + Duration::from_nanos(length_ns);
            near.set_deadline(Some(deadline));
            assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));
            assert!(is_timeout(&near.write(b"x").await.unwrap_err()));
            assert_eq!(now(), deadline, "{length_ns} ns");
        }
        Ok(())
    });
}

#[test]
fn the_longest_deadline_does_not_overflow() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let century = Duration::from_secs(100 * 366 * 24 * 3600);
        let longest = (1..=40).map_while(|n| now().checked_add(century * n)).last();
        near.set_deadline(longest);
        near.write_all(b"ping").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 4);
        far.write_all(b"pong").await?;
        assert_eq!(near.read(&mut [0; 8]).await?, 4);
        Ok(())
    });
}

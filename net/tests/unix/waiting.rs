//! Deadlines, closes and ends: of streams and of listeners.

use std::rc::Rc;
use std::time::Duration;

use net::OpError;
use reactor::time::now;

use super::*;

fn past() -> std::time::Instant {
    now() - Duration::from_secs(1)
}

#[test]
fn an_expired_deadline_beats_bytes_that_are_there_and_room_to_write() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        far.write_all(b"there").await?;
        near.set_deadline(Some(past()));
        for _ in 0..3 {
            assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));
            assert!(is_timeout(&near.recv_fds(&mut [0; 8], 1).await.unwrap_err()));
            assert!(is_timeout(&near.write(b"x").await.unwrap_err()));
            assert!(is_timeout(&near.send_fds(b"x", &[]).await.unwrap_err()));
        }
        near.set_read_deadline(None);
        assert_eq!(near.read(&mut [0; 8]).await?, 5, "un-poisoned");
        assert!(is_timeout(&near.write(b"x").await.unwrap_err()), "the other one stands");
        near.set_write_deadline(None);
        assert_eq!(near.write(b"x").await?, 1);
        Ok(())
    });
}

#[test]
fn a_deadline_ends_a_read_and_an_accept_and_is_never_early() {
    run_virtual(async {
        let (near, _far) = UnixStream::pair()?;
        let listener = listener()?;
        for ms in [1, 10, 250] {
            let begun = now();
            let deadline = Some(begun + Duration::from_millis(ms));
            near.set_read_deadline(deadline);
            assert!(is_timeout(&near.read(&mut [0; 8]).await.unwrap_err()));
            assert!(now() - begun >= Duration::from_millis(ms));
            listener.set_deadline(Some(now() + Duration::from_millis(ms)));
            assert!(is_timeout(&listener.accept().await.unwrap_err()));
            assert!(now() - begun >= Duration::from_millis(2 * ms));
        }
        Ok(())
    });
}

#[test]
fn a_deadline_ends_a_write_into_a_full_stream() {
    run_virtual(async {
        let (near, _far) = UnixStream::pair()?;
        while near.try_write(&[7; 4096]).is_ok() {}
        near.set_write_deadline(Some(now() + Duration::from_millis(10)));
        assert!(is_timeout(&near.write(b"x").await.unwrap_err()));
        Ok(())
    });
}

#[test]
fn a_deadline_in_the_past_wakes_a_parked_read() {
    run(async {
        let (near, _far) = UnixStream::pair()?;
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let task = reactor::spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        near.set_read_deadline(Some(past()));
        assert!(is_timeout(&task.await.unwrap().unwrap_err()));
        Ok(())
    });
}

#[test]
fn the_peers_close_is_the_end_for_a_parked_read() {
    run(async {
        let (near, far) = connected().await?;
        let task = reactor::spawn(async move { near.read(&mut [0; 8]).await });
        settle().await;
        drop(far);
        assert_eq!(task.await.unwrap()?, 0);
        Ok(())
    });
}

/// Bytes and the end come in one event; the short read must not hide the end.
#[test]
fn bytes_and_the_end_in_one_event_are_both_read() {
    run(async {
        let (near, far) = connected().await?;
        assert!(is_would_block(&near.try_read(&mut [0; 8]).unwrap_err()));
        far.write_all(b"bye").await?;
        drop(far);
        assert_eq!(near.read(&mut [0; 8]).await?, 3);
        assert_eq!(near.read(&mut [0; 8]).await?, 0);
        Ok(())
    });
}

/// A peer that closes with bytes of ours unread resets the connection.
#[test]
fn a_reset_is_an_error_and_not_the_end() {
    run(async {
        let (near, far) = connected().await?;
        near.write_all(b"never read").await?;
        drop(far);
        let err = near.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset, "{err}");
        Ok(())
    });
}

#[test]
fn close_wakes_who_reads_and_who_writes() {
    run(async {
        let (near, _far) = UnixStream::pair()?;
        while near.try_write(&[7; 4096]).is_ok() {}
        let near = Rc::new(near);
        let (reader, writer) = (Rc::clone(&near), Rc::clone(&near));
        let read = reactor::spawn(async move { reader.read(&mut [0; 8]).await });
        let write = reactor::spawn(async move { writer.write_all(b"x").await });
        settle().await;
        near.close();
        assert!(reactor::is_closed(&read.await.unwrap().unwrap_err()));
        assert!(reactor::is_closed(&write.await.unwrap().unwrap_err()));
        near.close();
        Ok(())
    });
}

#[test]
fn one_close_frees_ten_acceptors() {
    run(async {
        let listener = Rc::new(listener()?);
        let acceptors: Vec<_> = (0..10)
            .map(|_| {
                let listener = Rc::clone(&listener);
                reactor::spawn(async move { listener.accept().await.map(drop) })
            })
            .collect();
        settle().await;
        listener.close();
        for acceptor in acceptors {
            assert!(reactor::is_closed(&acceptor.await.unwrap().unwrap_err()));
        }
        Ok(())
    });
}

#[test]
fn an_error_says_operation_network_and_addresses() {
    run(async {
        let listener = listener()?;
        let addr = listener.local_addr()?;
        let near = UnixStream::connect_addr(&addr).await?;
        let (far, _) = listener.accept().await?;
        near.close();
        let err = near.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.to_string(), format!("read unix @->{addr}: use of closed descriptor"));
        let op = OpError::of(&err).unwrap();
        assert_eq!((op.network(), op.remote_unix_addr()), ("unix", Some(&addr)));
        assert_eq!((op.local_addr(), op.remote_addr()), (None, None), "no internet addresses");
        far.set_deadline(Some(past()));
        let err = far.write(b"x").await.unwrap_err();
        assert_eq!(err.to_string(), format!("write unix {addr}->@: deadline exceeded"));
        let op = OpError::of(&err).unwrap();
        let unnamed = net::UnixAddr::unnamed();
        assert_eq!((op.local_unix_addr(), op.remote_unix_addr()), (Some(&addr), Some(&unnamed)));
        listener.close();
        let err = listener.accept().await.unwrap_err();
        assert_eq!(err.to_string(), format!("accept unix {addr}: use of closed descriptor"));
        Ok(())
    });
}

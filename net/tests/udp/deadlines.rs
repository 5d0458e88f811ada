use std::time::Duration;

use reactor::time::{now, timeout};

use super::*;

#[test]
fn a_receive_deadline_ends_the_wait_and_stays() {
    run_virtual_on_both(async |addr| {
        let socket = UdpSocket::bind(addr)?;
        let begun = now();
        socket.set_read_deadline(Some(begun + Duration::from_millis(10)));
        for _ in 0..3 {
            let err = socket.recv(&mut [0; 8]).await.unwrap_err();
            assert!(is_timeout(&err) && !reactor::is_closed(&err), "{err}");
            let err = socket.recv_from(&mut [0; 8]).await.unwrap_err();
            assert!(is_timeout(&err), "{err}");
        }
        assert!(now() - begun >= Duration::from_millis(10), "never early");
        Ok(())
    });
}

#[test]
fn an_expired_deadline_beats_a_datagram_that_is_there() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        near.send(b"there").await?;
        far.set_read_deadline(Some(now() - Duration::from_secs(1)));
        for _ in 0..3 {
            let mut buf = [0; 8];
            assert!(is_timeout(&far.recv(&mut buf).await.unwrap_err()));
            assert!(is_timeout(&far.try_recv(&mut buf).unwrap_err()));
            assert!(is_timeout(&far.peek(&mut buf).await.unwrap_err()));
            assert!(is_timeout(&far.recv_msg(&mut buf).await.unwrap_err()));
            assert_eq!(buf, [0; 8]);
        }
        far.set_read_deadline(None);
        assert_eq!(far.recv(&mut [0; 8]).await?.len, 5, "it was not taken");
        Ok(())
    });
}

#[test]
fn an_expired_deadline_beats_room_to_send() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        near.set_write_deadline(Some(now() - Duration::from_secs(1)));
        let to = far.local_addr()?;
        for _ in 0..3 {
            assert!(is_timeout(&near.send(b"x").await.unwrap_err()));
            assert!(is_timeout(&near.send_to(b"x", to).await.unwrap_err()));
            assert!(is_timeout(&near.try_send(b"x").unwrap_err()));
        }
        assert_eq!(far.try_recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        near.set_write_deadline(None);
        near.send(b"sent").await?;
        assert_eq!(far.recv(&mut [0; 8]).await?.len, 4);
        Ok(())
    });
}

/// The socket of a sender is hardly ever full: what it sends leaves at once, or is lost.
#[test]
fn a_send_deadline_ends_a_loop_of_sends() {
    run_on_both(async |addr| {
        let (near, _far) = pair_on(addr)?;
        near.set_write_deadline(Some(now() + Duration::from_millis(20)));
        let err = loop {
            match near.send(&[7; 1400]).await {
                Ok(_) => {}
                Err(err) if err.to_string().ends_with("no buffer space available") => {}
                Err(err) => break err,
            }
        };
        assert!(is_timeout(&err), "{err}");
        Ok(())
    });
}

#[test]
fn a_deadline_set_while_a_task_waits_ends_its_wait() {
    run_on_both(async |addr| {
        let (_near, far) = pair_on(addr)?;
        let far = std::rc::Rc::new(far);
        let reader = std::rc::Rc::clone(&far);
        let task = reactor::spawn(async move { reader.recv(&mut [0; 8]).await });
        settle().await;
        far.set_deadline(Some(now() - Duration::from_secs(1)));
        assert!(is_timeout(&task.await.unwrap().unwrap_err()));
        Ok(())
    });
}

#[test]
fn a_timeout_around_a_receive_takes_no_datagram() {
    run_virtual_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        assert!(timeout(Duration::from_millis(1), far.recv(&mut [0; 8])).await.is_err());
        near.send(b"whole").await?;
        assert_eq!(far.recv(&mut [0; 8]).await?.len, 5);
        Ok(())
    });
}

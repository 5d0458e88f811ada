//! Senders that wait for the receiver: of that the kernel tells connected senders only.

use std::rc::Rc;
use std::time::Duration;

use reactor::time::now;

use super::*;

/// Sends until the receiver has no room. Returns how many it took.
fn fill(sender: &UnixDatagram, to: UnixAddr) -> usize {
    let mut sent = 0;
    loop {
        match sender.try_send_to(b"fill", to) {
            Ok(_) => sent += 1,
            Err(err) if is_would_block(&err) => return sent,
            Err(err) => panic!("{err}"),
        }
    }
}

async fn drain(receiver: &UnixDatagram, count: usize) -> io::Result<()> {
    for _ in 0..count {
        receiver.recv(&mut [0; 8]).await?;
    }
    Ok(())
}

#[test]
fn a_send_to_a_full_receiver_waits_until_there_is_room() {
    run_virtual(async {
        let receiver = datagram()?;
        let to = receiver.local_addr()?;
        let sender = Rc::new(UnixDatagram::unbound()?);
        let queued = fill(&sender, to);
        assert!(queued > 0);
        let waiting = reactor::spawn({
            let sender = Rc::clone(&sender);
            async move { sender.send_to(b"waited", to).await }
        });
        reactor::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        drain(&receiver, queued).await?;
        assert_eq!(waiting.await.unwrap()?, 6);
        assert_eq!(receiver.recv(&mut [0; 8]).await?.len, 6);
        assert_eq!(sender.try_send_to(b"x", to)?, 1, "it knows of the room without an edge");
        Ok(())
    });
}

#[test]
fn a_full_receiver_does_not_hold_up_a_send_to_another() {
    run(async {
        let (full, other) = (datagram()?, datagram()?);
        let sender = UnixDatagram::unbound()?;
        fill(&sender, full.local_addr()?);
        for _ in 0..3 {
            assert_eq!(sender.try_send_to(b"to you", other.local_addr()?)?, 6);
            assert_eq!(other.recv(&mut [0; 8]).await?.len, 6);
        }
        Ok(())
    });
}

#[test]
fn a_deadline_and_a_close_end_a_send_to_a_full_receiver() {
    run_virtual(async {
        let receiver = datagram()?;
        let to = receiver.local_addr()?;
        let sender = Rc::new(UnixDatagram::unbound()?);
        fill(&sender, to);
        let begun = now();
        sender.set_write_deadline(Some(begun + Duration::from_millis(250)));
        assert!(is_timeout(&sender.send_to(b"x", to).await.unwrap_err()));
        assert!(now() - begun >= Duration::from_millis(250));
        assert!(is_timeout(&sender.try_send_to(b"x", to).unwrap_err()));
        sender.set_write_deadline(None);

        let waiting = reactor::spawn({
            let sender = Rc::clone(&sender);
            async move { sender.send_to(b"x", to).await }
        });
        reactor::time::sleep(Duration::from_secs(1)).await;
        sender.close();
        assert!(reactor::is_closed(&waiting.await.unwrap().unwrap_err()));
        Ok(())
    });
}

/// Here an edge comes when there is room, and none before: in virtual time the sleep would not end
/// while somebody tries again and again.
#[test]
fn a_connected_sender_waits_for_its_peer() {
    run_virtual(async {
        let receiver = datagram()?;
        let sender = UnixDatagram::unbound()?;
        sender.connect_addr(&receiver.local_addr()?)?;
        let mut queued = 0;
        while sender.try_send(b"fill").is_ok() {
            queued += 1;
        }
        let waiting = reactor::spawn(async move { sender.send(b"waited").await });
        reactor::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        drain(&receiver, queued).await?;
        assert_eq!(waiting.await.unwrap()?, 6);
        Ok(())
    });
}

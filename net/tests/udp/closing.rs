use std::rc::Rc;

use net::{Outgoing, RecvBatch, SendBatch};

use super::*;

#[test]
fn close_wakes_all_who_wait() {
    run_on_both(async |addr| {
        let (_near, far) = pair_on(addr)?;
        let far = Rc::new(far);
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let far = Rc::clone(&far);
                reactor::spawn(async move { far.recv(&mut [0; 8]).await })
            })
            .collect();
        settle().await;
        far.close();
        for task in tasks {
            let err = task.await.unwrap().unwrap_err();
            assert!(reactor::is_closed(&err) && !is_timeout(&err), "{err}");
        }
        Ok(())
    });
}

#[test]
fn every_use_after_close_says_that_it_is_closed() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        let (local, peer) = (near.local_addr()?, near.peer_addr()?);
        near.close();
        near.close();
        let mut buf = [0; 8];
        let mut sends = SendBatch::new(1, 8);
        sends.push(b"x", &Outgoing::default()).unwrap();
        for err in [
            near.send(b"x").await.unwrap_err(),
            near.send_to(b"x", peer).await.unwrap_err(),
            near.send_msg(b"x", &Outgoing::default()).await.unwrap_err(),
            near.send_batch(&mut sends).await.unwrap_err(),
            near.recv(&mut buf).await.unwrap_err(),
            near.recv_from(&mut buf).await.unwrap_err(),
            near.recv_msg(&mut buf).await.unwrap_err(),
            near.recv_batch(&mut RecvBatch::new(1, 8)).await.unwrap_err(),
            near.peek(&mut buf).await.unwrap_err(),
            near.try_recv(&mut buf).unwrap_err(),
            near.readable().await.unwrap_err(),
            near.connect(peer).unwrap_err(),
            near.set_ttl(3).unwrap_err(),
        ] {
            assert!(reactor::is_closed(&err), "{err}");
        }
        assert_eq!((near.local_addr()?, near.peer_addr()?), (local, peer), "it remembers");
        drop(far);
        Ok(())
    });
}

#[test]
fn an_address_is_free_again_at_once() {
    run_on_both(async |addr| {
        let first = UdpSocket::bind(addr)?;
        let addr = first.local_addr()?;
        first.close();
        let second = UdpSocket::bind(addr)?;
        assert_eq!(second.local_addr()?, addr);
        Ok(())
    });
}

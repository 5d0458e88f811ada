use std::rc::Rc;

use net::OpError;

use super::*;

#[test]
fn an_error_says_operation_network_and_addresses() {
    run(async {
        let (near, far) = pair()?;
        let (local, peer) = (near.local_addr()?, near.peer_addr()?);
        near.close();
        let err = near.recv(&mut [0; 8]).await.unwrap_err();
        let text = format!("read udp {local}->{peer}: use of closed descriptor");
        assert_eq!(err.to_string(), text);
        let op = OpError::of(&err).unwrap();
        assert_eq!((op.operation(), op.network()), ("read", "udp"));
        assert_eq!((op.local_addr(), op.remote_addr()), (Some(local), Some(peer)));

        let unconnected = UdpSocket::bind(v6())?;
        let local = unconnected.local_addr()?;
        unconnected.set_deadline(Some(reactor::time::now()));
        let err = unconnected.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.to_string(), format!("read udp {local}: deadline exceeded"));
        let err = unconnected.send_to(b"", local).await.unwrap_err();
        assert_eq!(err.to_string(), format!("write udp {local}->{local}: deadline exceeded"));
        drop(far);
        Ok(())
    });
}

#[test]
fn an_address_in_use_says_which() {
    run(async {
        let first = UdpSocket::bind(v4())?;
        let addr = first.local_addr()?;
        let err = UdpSocket::bind(addr).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(err.to_string(), format!("bind udp {addr}: address already in use"));
        Ok(())
    });
}

#[test]
fn sending_without_a_peer_is_an_error() {
    run(async {
        let socket = UdpSocket::bind(v4())?;
        let err = socket.send(b"where to?").await.unwrap_err();
        let errno = OpError::of(&err).and_then(OpError::raw_os_error);
        assert_eq!(errno, Some(libc::EDESTADDRREQ), "{err}");
        Ok(())
    });
}

#[test]
fn nobody_at_the_other_end_is_reported_to_who_receives() {
    run_on_both(async |addr| {
        let socket = connected_to_nobody(addr)?;
        socket.send(b"anybody?").await?;
        let err = socket.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused, "{err}");
        let err = socket.try_recv(&mut [0; 8]).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock, "reported once");
        Ok(())
    });
}

#[test]
fn nobody_at_the_other_end_is_reported_to_who_sends_next() {
    run(async {
        let socket = connected_to_nobody(v4())?;
        socket.send(b"anybody?").await?;
        let err = socket.send(b"anybody?").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused, "{err}");
        Ok(())
    });
}

/// The error is one, and the waiters are two: one gets it, the other goes on waiting.
#[test]
fn nobody_at_the_other_end_is_reported_to_one_of_those_who_wait() {
    run(async {
        let socket = Rc::new(connected_to_nobody(v4())?);
        let peer = socket.peer_addr()?;
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let socket = Rc::clone(&socket);
                reactor::spawn(async move { socket.recv(&mut [0; 8]).await })
            })
            .collect();
        settle().await;
        socket.send(b"anybody?").await?;
        while !waiters.iter().any(reactor::JoinHandle::is_finished) {
            reactor::yield_now().await;
        }
        // The other one is as well as before: somebody comes to that port, and answers.
        let somebody = UdpSocket::bind(peer)?;
        somebody.send_to(b"here", socket.local_addr()?).await?;
        let (mut refused, mut received) = (0, 0);
        for waiter in waiters {
            match waiter.await.unwrap() {
                Ok(datagram) => received += datagram.len,
                Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => refused += 1,
                Err(err) => return Err(err),
            }
        }
        assert_eq!((refused, received), (1, 4));
        Ok(())
    });
}

#[test]
fn an_unconnected_socket_is_not_told_of_nobody() {
    run(async {
        let gone = connected_to_nobody(v4())?.peer_addr()?;
        let socket = UdpSocket::bind(v4())?;
        for _ in 0..3 {
            socket.send_to(b"anybody?", gone).await?;
        }
        assert_eq!(socket.try_recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

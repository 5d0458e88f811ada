//! Listening and accepting.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use net::{Keepalive, TcpListener, TcpStream};
use reactor::spawn;
use reactor::time::timeout;

use crate::{pair_on, run, settle, v4, v6};

#[test]
fn both_sides_know_both_addresses() {
    run(async {
        for addr in [v4(), v6()] {
            let listener = TcpListener::bind(addr)?;
            let near = TcpStream::connect(listener.local_addr()?).await?;
            let (far, peer) = listener.accept().await?;
            assert_eq!(peer, near.local_addr()?);
            assert_eq!(far.peer_addr()?, peer);
            assert_eq!(far.local_addr()?, near.peer_addr()?);
            assert_eq!(near.peer_addr()?, listener.local_addr()?);
        }
        Ok(())
    });
}

#[test]
fn accepted_streams_inherit_the_listeners_options() {
    run(async {
        for on in [v4(), v6()] {
            let (near, far) = pair_on(on).await?;
            for stream in [near, far] {
                assert!(stream.nodelay()?);
                assert_eq!(stream.keepalive()?, Some(Keepalive::default()));
            }

            let odd = Keepalive {
                idle: Duration::from_secs(7),
                interval: Duration::from_millis(1500),
                count: 3,
            };
            let listener = TcpListener::builder()
                .nodelay(false)
                .keepalive(Some(odd))
                .recv_buffer_bytes(20_000)
                .send_buffer_bytes(30_000)
                .user_timeout(Duration::from_secs(20))
                .notsent_lowat_bytes(4096)
                .congestion("reno")
                .bind(on)?;
            let _near = TcpStream::connect(listener.local_addr()?).await?;
            let (far, _) = listener.accept().await?;
            assert!(!far.nodelay()?);
            let rounded = Keepalive { interval: Duration::from_secs(2), ..odd };
            assert_eq!(far.keepalive()?, Some(rounded));
            assert_eq!((far.recv_buffer_bytes()?, far.send_buffer_bytes()?), (40_000, 60_000));
            assert_eq!(far.user_timeout()?, Some(Duration::from_secs(20)));
            assert_eq!((far.notsent_lowat_bytes()?, far.congestion()?), (4096, "reno".to_owned()));

            let listener = TcpListener::builder().keepalive(None).bind(on)?;
            let _near = TcpStream::connect(listener.local_addr()?).await?;
            assert_eq!(listener.accept().await?.0.keepalive()?, None);
        }
        Ok(())
    });
}

#[test]
fn every_queued_connection_is_accepted() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut near = Vec::new();
        for _ in 0..50 {
            near.push(TcpStream::connect(addr).await?);
        }
        let mut accepted = Vec::new();
        for _ in 0..50 {
            accepted.push(listener.accept().await?);
        }
        for (near, (_far, peer)) in near.iter().zip(&accepted) {
            assert_eq!(near.local_addr()?, *peer, "in the order they came");
        }
        Ok(())
    });
}

#[test]
fn ten_acceptors_share_the_connections() {
    run(async {
        let listener = Rc::new(TcpListener::bind(v4())?);
        let acceptors: Vec<_> = (0..10)
            .map(|_| {
                let listener = Rc::clone(&listener);
                spawn(async move { listener.accept().await })
            })
            .collect();
        settle().await;
        let mut near = Vec::new();
        for _ in 0..10 {
            near.push(TcpStream::connect(listener.local_addr()?).await?);
        }
        for acceptor in acceptors {
            acceptor.await.unwrap()?;
        }
        Ok(())
    });
}

#[test]
fn poll_accept_waits_and_is_woken() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let near = spawn(TcpStream::connect(addr));
        let mut pending = 0;
        let (_far, peer) = std::future::poll_fn(|cx| {
            let accepted = listener.poll_accept(cx);
            pending += usize::from(accepted.is_pending());
            accepted
        })
        .await?;
        assert_eq!(pending, 1);
        assert_eq!(near.await.unwrap()?.local_addr()?, peer);
        let none = std::future::poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
        assert!(none.is_pending());
        Ok(())
    });
}

#[test]
fn incoming_gives_one_connection_after_another() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let mut incoming = listener.incoming();
        for _ in 0..3 {
            let near = TcpStream::connect(listener.local_addr()?).await?;
            assert_eq!(incoming.next().await?.1, near.local_addr()?);
        }
        let waiting = timeout(Duration::ZERO, incoming.next()).await;
        assert!(waiting.is_err(), "none is left, and a dropped future takes none");
        let near = TcpStream::connect(listener.local_addr()?).await?;
        assert_eq!(incoming.next().await?.1, near.local_addr()?);
        Ok(())
    });
}

#[test]
fn a_connection_aborted_in_the_queue_is_not_an_accept_error() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let gone = TcpStream::connect(listener.local_addr()?).await?;
        gone.reset()?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        loop {
            // Linux hands out the aborted one too, and then it is the stream that has the error.
            let (far, peer) = listener.accept().await?;
            if peer == near.local_addr()? {
                return Ok(());
            }
            assert!(far.read(&mut [0; 8]).await.is_err());
        }
    });
}

#[test]
fn a_deferred_accept_waits_for_data() {
    run(async {
        let patience = Duration::from_secs(30);
        let listener = TcpListener::builder().defer_accept(patience).bind(v4())?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        settle().await;
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        near.write_all(b"hello").await?;
        let (far, _) = listener.accept().await?;
        assert_eq!(far.try_read(&mut [0; 8])?, 5, "it is there already");
        Ok(())
    });
}

#[test]
fn a_port_whose_connections_linger_is_listened_on_again_unless_told_otherwise() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let near = TcpStream::connect(addr).await?;
        let (far, _) = listener.accept().await?;
        drop(listener);
        // The side that closes first lingers in TIME_WAIT, on the listener's port.
        drop(far);
        assert_eq!(near.read(&mut [0; 8]).await?, 0);
        drop(near);
        let err = TcpListener::builder().reuse_addr(false).bind(addr).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrInUse);
        TcpListener::bind(addr)?;
        Ok(())
    });
}

#[test]
fn control_speaks_to_the_listener_before_it_is_bound() {
    run(async {
        // TEST-NET-1 of RFC 5737 is nobody's; IP_FREEBIND binds it all the same.
        let builder = TcpListener::builder()
            .control(|fd, _addr| Ok(rustix::net::sockopt::set_ip_freebind(fd, true)?));
        builder.bind("192.0.2.1:0".parse().unwrap())?;
        Ok(())
    });
}

#[test]
fn a_port_in_use_says_which() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let err = TcpListener::bind(addr).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(err.to_string(), format!("bind tcp {addr}: address already in use"));
        Ok(())
    });
}

#[test]
fn an_address_of_another_machine_says_which() {
    run(async {
        // TEST-NET-1 of RFC 5737 belongs to nobody.
        let err = TcpListener::bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(err.to_string().starts_with("bind tcp 192.0.2.1:0: "), "{err}");
        Ok(())
    });
}

#[test]
fn keepalive_out_of_range_is_refused() {
    run(async {
        let odd = Keepalive { count: 1000, ..Keepalive::default() };
        let err = TcpListener::builder().keepalive(Some(odd)).bind(v4()).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert!(err.to_string().starts_with("setsockopt tcp 127.0.0.1:0: "), "{err}");
        Ok(())
    });
}

#[test]
fn reuse_port_shares_a_port() {
    run(async {
        let shared = || TcpListener::builder().reuse_port(true);
        let first = shared().bind(v4())?;
        let addr = first.local_addr()?;
        let second = shared().bind(addr)?;
        let alone = TcpListener::bind(addr).unwrap_err();
        assert_eq!(alone.kind(), io::ErrorKind::AddrInUse, "only those that ask share");

        let mut near = Vec::new();
        let mut far = Vec::new();
        for _ in 0..32 {
            near.push(TcpStream::connect(addr).await?);
        }
        while far.len() < near.len() {
            for listener in [&first, &second] {
                match listener.try_accept() {
                    Ok(accepted) => far.push(accepted),
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                    Err(err) => return Err(err),
                }
            }
            reactor::yield_now().await;
        }
        Ok(())
    });
}

#[test]
fn the_unspecified_v6_address_takes_v4_unless_told_otherwise() {
    run(async {
        let unspecified: SocketAddr = "[::]:0".parse().unwrap();
        let both = TcpListener::bind(unspecified)?;
        let v4 = SocketAddr::from(([127, 0, 0, 1], both.local_addr()?.port()));
        let near = TcpStream::connect(v4).await?;
        let (_far, peer) = both.accept().await?;
        assert_eq!(peer.ip().to_canonical(), near.local_addr()?.ip());
        assert!(peer.is_ipv6(), "as the kernel maps it");

        let only = TcpListener::builder().v6only(true).bind(unspecified)?;
        // The port is free on IPv4. No other test uses this address of the loopback.
        let v4 = SocketAddr::from(([127, 0, 0, 78], only.local_addr()?.port()));
        let beside = TcpListener::bind(v4)?;
        let _near = TcpStream::connect(v4).await?;
        beside.accept().await?;
        assert_eq!(only.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

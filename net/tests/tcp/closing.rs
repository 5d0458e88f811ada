//! Close wakes and is final: Go's `TestReadTimeoutUnblocksRead`, `TestCloseUnblocksRead`,
//! `TestAcceptIgnoreSomeErrors`, `TestListenCloseListen` and their kin.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use net::{TcpListener, TcpStream};
use reactor::{is_closed, spawn};

use crate::{fill, narrow_pair_on, pair_on, run, run_on_both, settle};

#[test]
fn close_wakes_a_parked_read() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let read = spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        near.close();
        let err = read.await.unwrap().unwrap_err();
        assert!(is_closed(&err), "{err}");
        assert_eq!(far.read(&mut [0; 8]).await?, 0, "the descriptor is closed too");
        Ok(())
    });
}

#[test]
fn close_wakes_a_parked_write() {
    run_on_both(async |addr| {
        let (near, _far) = narrow_pair_on(addr).await?;
        let near = Rc::new(near);
        fill(&near)?;
        let writer = Rc::clone(&near);
        let write = spawn(async move { writer.write_all(&[7; 1 << 20]).await });
        settle().await;
        near.close();
        assert!(is_closed(&write.await.unwrap().unwrap_err()));
        Ok(())
    });
}

#[test]
fn close_wakes_a_parked_accept() {
    run_on_both(async |addr| {
        let listener = Rc::new(TcpListener::bind(addr)?);
        let acceptor = Rc::clone(&listener);
        let accept = spawn(async move { acceptor.accept().await.map(drop) });
        settle().await;
        listener.close();
        let err = accept.await.unwrap().unwrap_err();
        assert!(is_closed(&err), "{err}");
        Ok(())
    });
}

#[test]
fn ten_concurrent_acceptors_are_freed_by_one_close() {
    run_on_both(async |addr| {
        let listener = Rc::new(TcpListener::bind(addr)?);
        let acceptors: Vec<_> = (0..10)
            .map(|_| {
                let listener = Rc::clone(&listener);
                spawn(async move { listener.accept().await.map(drop) })
            })
            .collect();
        settle().await;
        listener.close();
        for acceptor in acceptors {
            assert!(is_closed(&acceptor.await.unwrap().unwrap_err()));
        }
        Ok(())
    });
}

#[test]
fn a_stream_is_of_no_use_after_close() {
    run_on_both(async |addr| {
        let (near, _far) = pair_on(addr).await?;
        let (local, peer) = (near.local_addr()?, near.peer_addr()?);
        near.close();
        near.close();
        assert!(is_closed(&near.read(&mut [0; 8]).await.unwrap_err()));
        assert!(is_closed(&near.try_read(&mut [0; 8]).unwrap_err()));
        assert!(is_closed(&near.peek(&mut [0; 8]).await.unwrap_err()));
        assert!(is_closed(&near.write(b"x").await.unwrap_err()));
        assert!(is_closed(&near.write_all(b"x").await.unwrap_err()));
        assert!(is_closed(&near.readable().await.unwrap_err()));
        assert!(is_closed(&near.writable().await.unwrap_err()));
        assert!(is_closed(&near.shutdown(Shutdown::Both).unwrap_err()));
        assert!(is_closed(&near.set_nodelay(true).unwrap_err()));
        assert!(is_closed(&near.take_error().unwrap_err()));
        assert_eq!((near.local_addr()?, near.peer_addr()?), (local, peer), "but it has its name");
        Ok(())
    });
}

#[test]
fn a_listener_is_of_no_use_after_close() {
    run_on_both(async |addr| {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let queued = TcpStream::connect(addr).await?;
        listener.close();
        listener.close();
        assert!(is_closed(&listener.accept().await.unwrap_err()));
        assert!(is_closed(&listener.try_accept().unwrap_err()));
        assert_eq!(listener.local_addr()?, addr);
        let err = queued.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionReset, "what was queued is reset");
        Ok(())
    });
}

#[test]
fn listen_close_listen_at_once() {
    run(async {
        // An address of the loopback that no other test takes a port of.
        let mut addr = "127.0.0.77:0".parse().unwrap();
        for round in 0..20 {
            let listener = TcpListener::bind(addr)?;
            addr = listener.local_addr()?;
            // The accepted side closes first and lingers in TIME_WAIT on the listener's port.
            let near = TcpStream::connect(addr).await?;
            let (far, _) = listener.accept().await?;
            drop(far);
            assert_eq!(near.read(&mut [0; 8]).await?, 0, "round {round}");
        }
        Ok(())
    });
}

#[test]
fn dropping_a_stream_closes_it() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).await?, 0);
        Ok(())
    });
}

#[test]
fn a_cancelled_read_leaves_no_waker_and_loses_no_byte() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let near = Rc::new(near);
        let reader = Rc::clone(&near);
        let read = spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        read.abort();
        assert!(read.await.unwrap_err().is_cancelled());
        far.write_all(b"whole").await?;
        let mut buf = [0; 8];
        crate::read_exact(&near, &mut buf[..5]).await?;
        assert_eq!(&buf[..5], b"whole");
        Ok(())
    });
}

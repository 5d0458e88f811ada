//! Descriptors in and out.

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use net::{OpError, TcpListener, TcpStream};
use reactor::spawn;
use reactor::time::{sleep, timeout};

use crate::{pair, run, run_virtual, settle, v4, v6};

fn is_nonblocking(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK)
}

fn is_cloexec(fd: impl AsFd) -> bool {
    rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC)
}

/// A TCP socket that is neither connected nor listens.
fn unconnected() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketType, socket};
    Ok(socket(AddressFamily::INET, SocketType::STREAM, None)?)
}

#[test]
fn sockets_of_the_standard_library_are_taken_over() {
    run(async {
        for on in [v4(), v6()] {
            let listener = TcpListener::from_std(std::net::TcpListener::bind(on)?)?;
            let std_near = std::net::TcpStream::connect(listener.local_addr()?)?;
            let near = TcpStream::from_std(std_near)?;
            let (far, peer) = listener.accept().await?;
            assert_eq!(near.local_addr()?, peer);
            assert_eq!(near.peer_addr()?, listener.local_addr()?);
            let read = spawn(async move { near.read(&mut [0; 8]).await });
            settle().await;
            far.write_all(b"hello").await?;
            assert_eq!(read.await.unwrap()?, 5, "it parked: it was made non-blocking");
        }
        Ok(())
    });
}

#[test]
fn sockets_are_given_to_the_standard_library() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let near = TcpStream::connect(addr).await?;
        // Registered with epoll when it leaves.
        assert!(timeout(std::time::Duration::ZERO, near.read(&mut [0; 8])).await.is_err());
        let before = reactor::metrics().descriptors;
        let near = near.into_std()?;
        assert_eq!(reactor::metrics().descriptors, before - 1);
        assert!(is_nonblocking(&near) && is_cloexec(&near));

        let listener = listener.into_std()?;
        let (far, peer) = listener.accept()?;
        assert_eq!((peer, far.local_addr()?), (near.local_addr()?, addr));
        Ok(())
    });
}

#[test]
fn a_closed_socket_cannot_be_given_away() {
    run(async {
        let (near, far) = pair().await?;
        let (local, peer) = (near.local_addr()?, far.local_addr()?);
        near.close();
        let err = near.into_std().unwrap_err();
        assert!(reactor::is_closed(&err));
        assert!(err.to_string().starts_with(&format!("into_std tcp {local}->{peer}: ")), "{err}");
        let listener = TcpListener::bind(v4())?;
        listener.close();
        assert!(reactor::is_closed(&listener.into_std().unwrap_err()));
        Ok(())
    });
}

#[test]
fn what_was_borrowed_of_a_socket_refuses_all_after_its_close_and_keeps_its_number() {
    run(async {
        let (near, far) = pair().await?;
        let borrowed = near.as_fd();
        assert!(rustix::net::getsockname(borrowed).is_ok());
        near.close();
        assert_eq!(far.read(&mut [0; 8]).await?, 0, "the connection has ended");
        let (another, _) = UnixStream::pair()?;
        assert_eq!(near.as_raw_fd(), borrowed.as_raw_fd());
        assert_ne!(another.as_raw_fd(), borrowed.as_raw_fd());
        assert_eq!(rustix::net::getsockname(borrowed).unwrap_err(), rustix::io::Errno::NOTSOCK);
        assert_eq!(rustix::io::write(borrowed, b"x").unwrap_err(), rustix::io::Errno::INVAL);
        Ok(())
    });
}

#[test]
fn a_descriptor_is_made_fit_for_the_reactor() {
    run(async {
        let std_listener = std::net::TcpListener::bind(v4())?;
        let fd = OwnedFd::from(std_listener);
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty()).unwrap();
        assert!(!is_nonblocking(&fd) && !is_cloexec(&fd));
        let listener = TcpListener::try_from(fd)?;
        assert!(is_nonblocking(&listener) && is_cloexec(&listener));
        Ok(())
    });
}

#[test]
fn what_is_not_a_listener_is_refused_and_closed() {
    run(async {
        let (connected, _far) = pair().await?;
        let path = std::env::temp_dir().join(format!("net-adopting-{}", std::process::id()));
        let unix = UnixListener::bind(&path)?;
        std::fs::remove_file(&path)?;
        for (fd, why) in [
            (OwnedFd::from(connected.into_std()?), "it does not listen"),
            (unconnected()?, "it does not listen"),
            (OwnedFd::from(UdpSocket::bind(v4())?), "it is a socket of another network"),
            (OwnedFd::from(unix), "it is a socket of another network"),
            (OwnedFd::from(File::open("/dev/null")?), "it is no socket"),
        ] {
            let err = TcpListener::try_from(fd).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
            assert!(err.to_string().ends_with(why), "{err}");
            assert_eq!(OpError::of(&err).unwrap().operation(), "adopt");
        }
        Ok(())
    });
}

#[test]
fn what_is_not_a_connection_is_refused() {
    run(async {
        let listening = std::net::TcpListener::bind(v4())?;
        let err = TcpStream::try_from(OwnedFd::from(listening)).unwrap_err();
        assert!(err.to_string().ends_with("it listens"), "{err}");
        let err = TcpStream::try_from(unconnected()?).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotConnected);
        Ok(())
    });
}

#[test]
fn a_copy_that_outlives_the_stream_brings_no_stray_events() {
    run_virtual(async {
        let (near, far) = pair().await?;
        assert!(timeout(std::time::Duration::ZERO, near.read(&mut [0; 8])).await.is_err());
        let copy = near.as_fd().try_clone_to_owned()?;
        near.close();
        sleep(std::time::Duration::from_secs(1)).await;
        let before = reactor::metrics().events;
        far.write_all(b"for the copy").await?;
        sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(reactor::metrics().events, before, "it left the epoll set with the stream");
        let copy = TcpStream::try_from(copy)?;
        assert_eq!(copy.read(&mut [0; 64]).await?, 12);
        Ok(())
    });
}

#[test]
fn datagram_sockets_are_taken_over_and_given_away() {
    run(async {
        for on in [v4(), v6()] {
            let (near, far) = (UdpSocket::bind(on)?, UdpSocket::bind(on)?);
            near.connect(far.local_addr()?)?;
            let (near, far) = (net::UdpSocket::from_std(near)?, net::UdpSocket::from_std(far)?);
            assert_eq!(near.peer_addr()?, far.local_addr()?);
            assert_eq!(far.peer_addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
            let received = spawn(async move { (far.recv(&mut [0; 8]).await, far) });
            settle().await;
            near.send(b"hello").await?;
            let (received, far) = received.await.unwrap();
            assert_eq!(received?.len, 5, "it parked: it was made non-blocking");
            assert!(is_nonblocking(&far.into_std()?));
        }
        let (near, _far) = UnixDatagram::pair()?;
        let near = net::UnixDatagram::from_std(near)?;
        assert!(is_nonblocking(&near));
        let err = net::UdpSocket::try_from(OwnedFd::from(near.into_std()?)).unwrap_err();
        assert_eq!(err.to_string(), "adopt udp: it is a socket of another network");
        Ok(())
    });
}

#[test]
fn the_path_of_a_unix_socket_stays_with_who_bound_it() {
    run(async {
        let path = std::env::temp_dir().join(format!("net-adopted-{}", std::process::id()));
        let listener = net::UnixListener::from_std(UnixListener::bind(&path)?)?;
        let near = net::UnixStream::from_std(UnixStream::connect(&path)?)?;
        let (far, _) = listener.accept().await?;
        near.write_all(b"hello").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 5);
        listener.close();
        assert!(path.exists(), "it was bound by another");
        std::fs::remove_file(&path)?;

        let listener = net::UnixListener::bind(&path)?.into_std()?;
        assert!(path.exists(), "the listener lives on");
        let _near = UnixStream::connect(&path)?;
        listener.accept()?;
        std::fs::remove_file(&path)
    });
}

//! Listening on what stands in a text: Go's `net.Listen`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use net::{OpError, TcpListener, TcpStream};

use crate::run;

#[test]
fn an_address_a_name_and_no_host_are_listened_on() {
    run(async {
        for (asked, at) in [
            ("127.0.0.1:0", IpAddr::from(Ipv4Addr::LOCALHOST)),
            ("[::1]:0", IpAddr::from(Ipv6Addr::LOCALHOST)),
            ("localhost:0", IpAddr::from(Ipv4Addr::LOCALHOST)),
            (":0", IpAddr::from(Ipv6Addr::UNSPECIFIED)),
            ("0.0.0.0:0", IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        ] {
            let listener = TcpListener::listen(asked).await?;
            let addr = listener.local_addr()?;
            assert_eq!(addr.ip(), at, "{asked}");
            assert_ne!(addr.port(), 0, "{asked}");
            let near = TcpStream::connect(addr).await?;
            assert_eq!(listener.accept().await?.1, near.local_addr()?);
        }
        Ok(())
    });
}

#[test]
fn no_host_takes_connections_of_both_families() {
    run(async {
        let listener = TcpListener::listen(":0").await?;
        let port = listener.local_addr()?.port();
        for host in ["127.0.0.1", "[::1]"] {
            let near = TcpStream::dial(&format!("{host}:{port}")).await?;
            let (_far, peer) = listener.accept().await?;
            assert_eq!(peer.ip().to_canonical(), near.local_addr()?.ip());
        }
        Ok(())
    });
}

#[test]
fn a_builder_listens_by_name_with_its_options() {
    run(async {
        let builder = TcpListener::builder().reuse_port(true).nodelay(false);
        let first = builder.clone().listen("localhost:0").await?;
        let again = format!("localhost:{}", first.local_addr()?.port());
        let second = builder.listen(&again).await?;
        assert_eq!(second.local_addr()?, first.local_addr()?);
        drop(first);
        let _near = TcpStream::dial(&again).await?;
        assert!(!second.accept().await?.0.nodelay()?);
        Ok(())
    });
}

#[test]
fn a_listen_that_fails_names_what_was_asked_for_and_what_was_found() {
    run(async {
        let taken = TcpListener::listen("127.0.0.1:0").await?;
        let addr = taken.local_addr()?;
        let asked = format!("localhost:{}", addr.port());
        let err = TcpListener::listen(&asked).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrInUse);
        let text = format!("bind tcp {asked} ({addr}): address already in use");
        assert_eq!(err.to_string(), text);
        let op = OpError::of(&err).unwrap();
        assert_eq!((op.local_addr(), op.raw_os_error()), (Some(addr), Some(libc::EADDRINUSE)));

        let err = TcpListener::listen(&addr.to_string()).await.unwrap_err();
        assert_eq!(err.to_string(), format!("bind tcp {addr}: address already in use"));
        // No address of a machine (RFC 5737), by a port that has to be looked up.
        let err = TcpListener::listen("192.0.2.1:https").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrNotAvailable);
        let text = "bind tcp 192.0.2.1:https (192.0.2.1:443): cannot assign requested address";
        assert_eq!(err.to_string(), text);
        Ok(())
    });
}

#[test]
fn a_listen_on_what_nobody_knows_says_so() {
    run(async {
        let err = TcpListener::listen("localhost:no-such-service").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);
        let text =
            r#"listen tcp localhost:no-such-service: no TCP service is called "no-such-service""#;
        assert_eq!(err.to_string(), text);
        assert_eq!(OpError::of(&err).unwrap().local_addr(), None);

        // The zero never leaves this process.
        let err = TcpListener::listen("a\0b:80").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        for odd in ["", "localhost", "localhost:-1", "::1:80", "[::1]", "[localhost]:80"] {
            let err = TcpListener::listen(odd).await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput, "{odd:?}");
            assert!(
                err.to_string().starts_with(&format!("listen tcp: address {odd:?}: ")),
                "{err}"
            );
        }
        Ok(())
    });
}

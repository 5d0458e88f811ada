//! What a dialer's sockets are set to: local address, options, fast open.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use net::{Dialer, Keepalive, TcpListener};
use reactor::time::now;

use crate::dialing::{both_loopbacks, dialer_to};
use crate::{run, v4, v6};

#[test]
fn the_local_address_is_bound_and_chooses_the_family() {
    run(async {
        let (six, four) = both_loopbacks()?;
        let local = SocketAddr::from(([127, 0, 0, 9], 0));
        let dialer = dialer_to(&[six.local_addr()?, four.local_addr()?]).local_addr(local);
        let near = dialer.dial("host.example:1").await?;
        assert_eq!(near.local_addr()?.ip(), local.ip());
        assert_eq!(four.accept().await?.1, near.local_addr()?);

        let err = dialer.connect(six.local_addr()?).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        let only_six = dialer_to(&[six.local_addr()?]).local_addr(local);
        let err = only_six.dial("host.example:1").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);

        // With the name of a service too, which is not looked up for it.
        let texts = [
            ("[::1]:80", "0.0.0.0:0->[::1]:80: "),
            ("[::1]:http", "0.0.0.0:0: address \"[::1]:http\": "),
            ("[::1]:no-such-service", "0.0.0.0:0: address \"[::1]:no-such-service\": "),
        ];
        for (dialed, between) in texts {
            let any = Dialer::new().local_addr("0.0.0.0:0".parse().unwrap());
            let err = any.dial(dialed).await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(err.to_string(), format!("dial tcp {between}addresses of two families"));
        }

        let foreign = Dialer::new().local_addr("192.0.2.1:0".parse().unwrap());
        let err = foreign.connect(four.local_addr()?).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrNotAvailable);
        let four = four.local_addr()?;
        let text = format!("bind tcp 192.0.2.1:0->{four}: cannot assign requested address");
        assert_eq!(err.to_string(), text);
        Ok(())
    });
}

#[test]
fn a_refusal_and_a_time_out_name_the_local_address_that_was_asked_for() {
    run(async {
        let nobody = TcpListener::bind(v4())?.local_addr()?;
        let dialer = Dialer::new().local_addr(SocketAddr::from(([127, 0, 0, 9], 0)));
        let err = dialer.connect(nobody).await.unwrap_err();
        let between = format!("tcp 127.0.0.9:0->{nobody}");
        assert_eq!(err.to_string(), format!("connect {between}: connection refused"));

        let too_late = dialer.deadline(now());
        let err = too_late.connect(nobody).await.unwrap_err();
        let text = format!("connect {between}: out of time before it was tried");
        assert_eq!((err.kind(), err.to_string()), (io::ErrorKind::TimedOut, text));
        Ok(())
    });
}

#[test]
fn one_local_address_serves_connections_to_many_peers() {
    run(async {
        let listeners = [TcpListener::bind(v4())?, TcpListener::bind(v4())?];
        let local = SocketAddr::from(([127, 0, 0, 9], 0));
        let dialer = Dialer::new().local_addr(local);
        let first = dialer.connect(listeners[0].local_addr()?).await?;
        let again = Dialer::new().local_addr(first.local_addr()?);
        let err = again.connect(listeners[0].local_addr()?).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrInUse, "the same two ends");
        assert!(dialer.connect(listeners[1].local_addr()?).await.is_ok());
        Ok(())
    });
}

#[test]
fn the_options_of_a_dialer_are_those_of_its_streams() {
    run(async {
        for on in [v4(), v6()] {
            let listener = TcpListener::bind(on)?;
            let odd = Keepalive { count: 3, ..Keepalive::default() };
            let dialer = Dialer::new()
                .nodelay(false)
                .keepalive(Some(odd))
                .recv_buffer_bytes(20_000)
                .send_buffer_bytes(30_000)
                .user_timeout(Duration::from_secs(1))
                .notsent_lowat_bytes(4096)
                .congestion("reno");
            let near = dialer.connect(listener.local_addr()?).await?;
            assert!(!near.nodelay()?);
            assert_eq!(near.keepalive()?, Some(odd));
            assert_eq!((near.recv_buffer_bytes()?, near.send_buffer_bytes()?), (40_000, 60_000));
            assert_eq!(near.user_timeout()?, Some(Duration::from_secs(1)));
            assert_eq!(near.notsent_lowat_bytes()?, 4096);
            assert_eq!(near.congestion()?, "reno");
            let plain = Dialer::new().keepalive(None).connect(listener.local_addr()?).await?;
            assert_eq!(plain.keepalive()?, None);
        }
        Ok(())
    });
}

#[test]
fn control_speaks_to_the_socket_before_it_connects_and_may_say_no() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let called_for = Rc::new(Cell::new(None));
        let noted = Rc::clone(&called_for);
        let dialer = Dialer::new().control(move |fd, addr| {
            noted.set(Some(addr));
            Ok(rustix::net::sockopt::set_ip_ttl(fd, 7)?)
        });
        assert_eq!(dialer.connect(addr).await?.ttl()?, 7);
        assert_eq!(called_for.get(), Some(addr));

        let refusing = Dialer::new().control(|_fd, _addr| Err(io::Error::other("not today")));
        let err = refusing.connect(addr).await.unwrap_err();
        assert_eq!(err.to_string(), format!("setsockopt tcp {addr}: not today"));
        Ok(())
    });
}

/// Where the system allows data in the first segment without a cookie, the write below makes the
/// connection (`unshare -n`, then `ip link set lo up; sysctl net.ipv4.tcp_fastopen=0x207`). Elsewhere
/// the handshake comes first.
#[test]
fn a_fast_open_works_whether_or_not_the_system_plays_along() {
    run(async {
        for on in [v4(), v6()] {
            let listener = TcpListener::builder().fast_open(16).bind(on)?;
            let addr = listener.local_addr()?;
            let near = Dialer::new().fast_open(true).connect(addr).await?;
            assert_eq!(near.peer_addr()?, addr);
            near.write_all(b"hello").await?;
            let (far, peer) = listener.accept().await?;
            assert_eq!(peer, near.local_addr()?);
            assert_eq!(far.read(&mut [0; 8]).await?, 5);
            far.write_all(b"hi").await?;
            assert_eq!(near.read(&mut [0; 8]).await?, 2);
        }
        Ok(())
    });
}

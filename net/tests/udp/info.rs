use std::future::poll_fn;
use std::net::IpAddr;

use net::{OpError, Outgoing, interface_index};
use reactor::spawn;
use reactor::time::now;

use super::*;

fn v6_any() -> SocketAddr {
    "[::]:0".parse().unwrap()
}

/// A socket that asks for everything, and one that sends to it at the loopback address `ip`.
async fn received(any: SocketAddr, ip: IpAddr, how: Outgoing) -> io::Result<net::Incoming> {
    let server = UdpSocket::builder().packet_info(true).recv_tos(true).bind(any)?;
    let client = UdpSocket::bind(SocketAddr::new(any.ip(), 0))?;
    let to = Some(SocketAddr::new(ip, server.local_addr()?.port()));
    client.send_msg(b"question", &Outgoing { to, ..how }).await?;
    let question = server.recv_msg(&mut [0; 64]).await?;
    server.send_msg(b"answer", &question.answer()).await?;
    let answer = client.recv_from(&mut [0; 64]).await?;
    assert_eq!(Some(answer.from), to, "answered from where it was asked");
    Ok(question)
}

#[test]
fn a_datagram_tells_where_it_arrived_and_is_answered_from_there() {
    let (v4_any, v4_ip) = ("0.0.0.0:0".parse().unwrap(), IpAddr::from([127, 0, 0, 9]));
    let mapped = "::ffff:127.0.0.9".parse().unwrap();
    for (any, ip) in [(v4_any, v4_ip), (v6_any(), "::1".parse().unwrap()), (v6_any(), mapped)] {
        run(async {
            let question = received(any, ip, Outgoing::default()).await?;
            assert_eq!((question.to, question.local), (Some(ip), Some(ip)));
            assert_eq!(question.interface, Some(interface_index("lo")?));
            assert_eq!((question.len, question.is_truncated()), (8, false));
            assert_eq!(question.tos, Some(0));
            assert_eq!(question.segment_bytes, None);
            Ok(())
        });
    }
}

#[test]
fn the_type_of_service_travels_with_a_datagram() {
    let (v4_any, v4_ip) = ("0.0.0.0:0".parse().unwrap(), IpAddr::from([127, 0, 0, 1]));
    let mapped = "::ffff:127.0.0.1".parse().unwrap();
    for (any, ip) in [(v4_any, v4_ip), (v6_any(), "::1".parse().unwrap()), (v6_any(), mapped)] {
        run(async {
            let ecn = Outgoing { tos: Some(0b10), ..Outgoing::default() };
            assert_eq!(received(any, ip, ecn).await?.tos, Some(0b10));
            Ok(())
        });
    }
}

#[test]
fn the_source_of_a_datagram_can_be_chosen() {
    run(async {
        let server = UdpSocket::bind(v4())?;
        let client = UdpSocket::bind("0.0.0.0:0".parse().unwrap())?;
        for last in [1, 2, 3] {
            let from = IpAddr::from([127, 0, 0, last]);
            let how = Outgoing { from: Some(from), ..Outgoing::to(server.local_addr()?) };
            client.send_msg(b"x", &how).await?;
            assert_eq!(server.recv_from(&mut [0; 8]).await?.from.ip(), from);
        }
        Ok(())
    });
}

#[test]
fn the_interface_of_a_datagram_can_be_chosen() {
    for (any, to) in [("0.0.0.0:0".parse().unwrap(), v4()), (v6_any(), v6())] {
        run(async {
            let server = UdpSocket::bind(to)?;
            let client = UdpSocket::bind(any)?;
            let how = |interface| Outgoing {
                interface: Some(interface),
                ..Outgoing::to(server.local_addr().unwrap())
            };
            client.send_msg(b"x", &how(interface_index("lo")?)).await?;
            assert_eq!(server.recv(&mut [0; 8]).await?.len, 1);
            assert!(client.send_msg(b"x", &how(999_999)).await.is_err(), "there is none");
            Ok(())
        });
    }
}

#[test]
fn addresses_of_two_families_in_one_datagram_are_refused() {
    run(async {
        let socket = UdpSocket::bind(v4())?;
        let from = Some("::1".parse().unwrap());
        let how = Outgoing { from, ..Outgoing::to(socket.local_addr()?) };
        let err = socket.send_msg(b"x", &how).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert!(err.to_string().contains("IPv4 and IPv6"), "{err}");
        Ok(())
    });
}

#[test]
fn what_was_not_asked_for_is_not_told() {
    run(async {
        let (near, far) = pair()?;
        near.send(b"too long").await?;
        let info = far.recv_msg(&mut [0; 3]).await?;
        assert_eq!((info.len, info.datagram_len, info.is_truncated()), (3, 8, true));
        assert_eq!((info.to, info.local, info.interface, info.tos), (None, None, None, None));
        assert_eq!(info.from, near.local_addr()?);
        assert_eq!(info.answer(), Outgoing::to(near.local_addr()?));
        Ok(())
    });
}

#[test]
fn poll_functions_and_tries_of_messages_do_what_the_futures_do() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr)?;
        let to_peer = Outgoing { tos: Some(0b10), ..Outgoing::default() };
        let (from, to) = (near.local_addr()?, far.local_addr()?);
        let err = far.try_recv_msg(&mut [0; 8]).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        let receiving = spawn(async move {
            let info = poll_fn(|cx| far.poll_recv_msg(cx, &mut [0; 3])).await;
            (info, far)
        });
        settle().await;
        assert!(!receiving.is_finished());
        assert_eq!(poll_fn(|cx| near.poll_send_msg(cx, b"too long", &to_peer)).await?, 8);
        let (info, far) = receiving.await.unwrap();
        let info = info?;
        assert_eq!((info.from, info.len, info.datagram_len), (from, 3, 8));

        assert_eq!(near.try_send_msg(b"whole", &to_peer)?, 5);
        far.readable().await?;
        let mut buf = [0; 8];
        let info = far.try_recv_msg(&mut buf)?;
        assert_eq!(
            (info.from, info.is_truncated(), &buf[..info.len]),
            (from, false, &b"whole"[..])
        );
        let err = far.try_recv_msg(&mut buf).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);

        // Their errors are the same too.
        let elsewhere = SocketAddr::new(if addr.is_ipv4() { v6() } else { v4() }.ip(), 9);
        let contradictory = Outgoing { from: Some(from.ip()), ..Outgoing::to(elsewhere) };
        let polled = poll_fn(|cx| near.poll_send_msg(cx, b"x", &contradictory)).await;
        for err in [polled.unwrap_err(), near.try_send_msg(b"x", &contradictory).unwrap_err()] {
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(OpError::of(&err).unwrap().remote_addr(), Some(elsewhere));
        }
        far.set_read_deadline(Some(now()));
        let err = poll_fn(|cx| far.poll_recv_msg(cx, &mut [0; 8])).await.unwrap_err();
        let names = format!("read udp {to}->{from}: ");
        assert!(is_timeout(&err) && err.to_string().starts_with(&names), "{err}");
        let err = far.try_recv_msg(&mut [0; 8]).unwrap_err();
        assert!(is_timeout(&err) && err.to_string().starts_with(&names), "{err}");
        Ok(())
    });
}

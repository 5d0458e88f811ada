use super::*;

#[test]
fn options_are_read_back_as_they_were_set() {
    run_on_both(async |addr| {
        let socket = UdpSocket::bind(addr)?;
        socket.set_ttl(7)?;
        assert_eq!(socket.ttl()?, 7);
        socket.set_tos(0x2e << 2)?;
        assert_eq!(socket.tos()?, 0x2e << 2);
        socket.set_multicast_ttl(9)?;
        assert_eq!(socket.multicast_ttl()?, 9);
        socket.set_multicast_loop(false)?;
        assert!(!socket.multicast_loop()?);
        assert!(socket.broadcast()?, "on unless told otherwise");
        socket.set_broadcast(false)?;
        assert!(!socket.broadcast()?);
        socket.set_recv_buffer_bytes(50_000)?;
        socket.set_send_buffer_bytes(60_000)?;
        assert_eq!(socket.recv_buffer_bytes()?, 100_000);
        assert_eq!(socket.send_buffer_bytes()?, 120_000);
        assert!(socket.take_error()?.is_none());
        Ok(())
    });
}

#[test]
fn a_socket_is_made_with_its_options() {
    run(async {
        let socket = UdpSocket::builder()
            .recv_buffer_bytes(50_000)
            .send_buffer_bytes(60_000)
            .broadcast(false)
            .bind(v4())?;
        assert_eq!((socket.recv_buffer_bytes()?, socket.send_buffer_bytes()?), (100_000, 120_000));
        assert!(!socket.broadcast()?);
        Ok(())
    });
}

#[test]
fn a_ttl_of_0_is_refused() {
    run(async {
        let socket = UdpSocket::bind(v4())?;
        let before = socket.ttl()?;
        let err = socket.set_ttl(0).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(socket.ttl()?, before);
        Ok(())
    });
}

#[test]
fn broadcasting_needs_to_be_allowed() {
    run(async {
        let socket = UdpSocket::builder().broadcast(false).bind("0.0.0.0:0".parse().unwrap())?;
        let err = socket.send_to(b"all", ([127, 255, 255, 255], 9)).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::PermissionDenied, "{err}");
        Ok(())
    });
}

#[test]
fn one_port_is_shared_by_those_who_agree() {
    run(async {
        let shared = UdpSocket::builder().reuse_port(true);
        let first = shared.bind(v4())?;
        let second = shared.bind(first.local_addr()?)?;
        assert_eq!(second.local_addr()?, first.local_addr()?);
        let err = UdpSocket::bind(first.local_addr()?).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrInUse);
        Ok(())
    });
}

//! What is sent here stays on this machine: with a TTL of 0.

use std::fs;
use std::net::IpAddr;

use net::interface_index;

use super::*;

const IFF_UP: u32 = 1;
const IFF_MULTICAST: u32 = 0x1000;

/// An interface that does multicast, which the loopback interface does not: it takes IPv4's, and
/// has no route for IPv6's. There need not be one where tests run.
fn multicast_interface() -> Option<u32> {
    let interfaces = fs::read_dir("/sys/class/net").unwrap();
    let names = interfaces.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let with_v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let suitable = |name: &String| {
        let flags = fs::read_to_string(format!("/sys/class/net/{name}/flags")).unwrap();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap();
        let has_v6 = with_v6.lines().any(|line| line.split_whitespace().last() == Some(name));
        flags & IFF_UP != 0 && flags & IFF_MULTICAST != 0 && has_v6
    };
    names.into_iter().find(suitable).map(|name| interface_index(&name).unwrap())
}

#[test]
fn an_interface_that_is_not_there_is_an_error_that_names_it() {
    let err = interface_index("eth-no-such").unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::NotFound);
    assert_eq!(err.to_string(), r#"there is no interface "eth-no-such""#);
    let err = interface_index("a\0b").unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
    assert!(err.to_string().starts_with(r#"interface "a\0b": "#), "{err}");
}

/// An address to bind, a group and the interface to use. The groups differ from test to test, so
/// that tests at the same time do not hear each other.
fn groups(last: u16) -> Vec<(SocketAddr, IpAddr, u32)> {
    let [high, low] = last.to_be_bytes();
    let v4 = ("0.0.0.0:0".parse().unwrap(), IpAddr::from([239, 255, high, low]));
    let v6 = ("[::]:0".parse().unwrap(), IpAddr::from([0xff01, 0, 0, 0, 0, 0, 0xabc, last]));
    let mut groups = vec![(v4.0, v4.1, interface_index("lo").unwrap())];
    match multicast_interface() {
        Some(interface) => groups.extend([(v4.0, v4.1, interface), (v6.0, v6.1, interface)]),
        None => eprintln!("IPv6 NOT TESTED: no interface of this machine does multicast"),
    }
    groups
}

fn bind(addr: SocketAddr, interface: u32) -> io::Result<UdpSocket> {
    let socket = UdpSocket::builder().reuse_addr(true).bind(addr)?;
    socket.set_multicast_interface(interface)?;
    socket.set_multicast_ttl(0)?;
    Ok(socket)
}

#[test]
fn who_joined_a_group_hears_it_until_it_leaves() {
    for (any, group, interface) in groups(1) {
        run(async {
            let socket = bind(any, interface)?;
            let to = SocketAddr::new(group, socket.local_addr()?.port());

            socket.join_multicast(group, interface)?;
            socket.send_to(b"heard", to).await?;
            assert_eq!(socket.recv(&mut [0; 16]).await?.len, 5);
            assert!(socket.join_multicast(group, interface).is_err(), "once is enough");

            socket.leave_multicast(group, interface)?;
            socket.send_to(b"not heard", to).await?;
            let err = socket.try_recv(&mut [0; 16]).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
            assert!(socket.leave_multicast(group, interface).is_err());
            Ok(())
        });
    }
}

/// The loopback interface itself gives back what it is given, whatever the option says.
#[test]
fn without_the_loop_this_machine_hears_nothing() {
    for (any, group, interface) in groups(2).into_iter().skip(1) {
        run(async {
            let socket = bind(any, interface)?;
            socket.join_multicast(group, interface)?;
            assert!(socket.multicast_loop()?);
            socket.set_multicast_loop(false)?;
            let to = SocketAddr::new(group, socket.local_addr()?.port());
            socket.send_to(b"for others", to).await?;
            socket.set_multicast_loop(true)?;
            socket.send_to(b"for all", to).await?;
            assert_eq!(socket.recv(&mut [0; 16]).await?.len, 7, "the second one");
            Ok(())
        });
    }
}

#[test]
fn several_sockets_with_one_address_hear_a_group_each() {
    for (any, group, interface) in groups(3) {
        run(async {
            let first = bind(any, interface)?;
            let port = first.local_addr()?.port();
            let second = bind(SocketAddr::new(any.ip(), port), interface)?;
            for socket in [&first, &second] {
                socket.join_multicast(group, interface)?;
            }
            first.send_to(b"to all", (group, port)).await?;
            assert_eq!(first.recv(&mut [0; 16]).await?.len, 6);
            assert_eq!(second.recv(&mut [0; 16]).await?.len, 6);
            Ok(())
        });
    }
}

#[test]
fn an_address_that_is_no_group_cannot_be_joined() {
    run(async {
        let socket = UdpSocket::bind(v4())?;
        let err = socket.join_multicast(IpAddr::from([10, 0, 0, 1]), 0).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput, "{err}");
        let err = socket.join_multicast(IpAddr::from([239, 255, 0, 4]), 999_999).unwrap_err();
        assert!(err.to_string().ends_with("no such device"), "{err}");
        Ok(())
    });
}

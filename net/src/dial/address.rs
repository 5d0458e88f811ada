//! `host:port`, as Go's `net.SplitHostPort` reads it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::sys;

/// Where to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// An address that stands there in numbers: nobody need be asked.
    Literal(SocketAddr),
    /// A name to be looked up.
    Name(&'a str, u16),
}

/// Why a text is no address.
#[derive(Debug, PartialEq, Eq)]
enum Odd {
    NoPort,
    Port,
    TooManyColons,
    Bracket,
    NotV6,
    Zone,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "no port, as in host:port",
            Self::Port => "the port is not a number from 0 to 65535",
            Self::TooManyColons => "too many colons; an IPv6 address stands in brackets",
            Self::Bracket => "brackets that do not enclose the host",
            Self::NotV6 => "brackets around what is not an IPv6 address",
            Self::Zone => "a zone that is no network interface of this machine",
        })
    }
}

impl std::error::Error for Odd {}

/// Reads `name:port`, `1.2.3.4:port`, `[::1]:port` or `[fe80::1%eth0]:port`. An empty host is this
/// machine, as in Go. A zone is an interface's name or number.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`]: the text says why.
pub(super) fn parse(address: &str) -> io::Result<Target<'_>> {
    read(address).map_err(|odd| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("address {address:?}: {odd}"))
    })
}

fn read(address: &str) -> Result<Target<'_>, Odd> {
    let (host, port) = address.rsplit_once(':').ok_or(Odd::NoPort)?;
    if host.starts_with('[') && port.ends_with(']') {
        return Err(Odd::NoPort);
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = || port.parse::<u16>().ok().filter(|_| digits).ok_or(Odd::Port);
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or(Odd::Bracket)?;
        return Ok(Target::Literal(v6(inside, number()?)?.into()));
    }
    if host.contains(':') {
        return Err(Odd::TooManyColons);
    }
    if host.contains(['[', ']']) {
        return Err(Odd::Bracket);
    }
    let port = number()?;
    if host.is_empty() {
        return Ok(Target::Literal((Ipv4Addr::LOCALHOST, port).into()));
    }
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(Target::Literal((ip, port).into())),
        Err(_) => Ok(Target::Name(host, port)),
    }
}

fn v6(text: &str, port: u16) -> Result<SocketAddrV6, Odd> {
    let (ip, scope_id) = match text.split_once('%') {
        Some((ip, zone)) => (ip, interface(zone)?),
        None => (text, 0),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| Odd::NotV6)?;
    Ok(SocketAddrV6::new(ip, port, 0, scope_id))
}

fn interface(zone: &str) -> Result<u32, Odd> {
    zone.parse().or_else(|_| sys::interface_index(zone)).map_err(|_| Odd::Zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literal(text: &str) -> Result<Target<'_>, Odd> {
        Ok(Target::Literal(text.parse().unwrap()))
    }

    #[test]
    fn numbers_are_literal_and_all_else_is_a_name() {
        for text in ["1.2.3.4:5", "[::1]:80", "[2001:db8::7]:0", "[fe80::1%7]:65535"] {
            assert_eq!(read(text), literal(text), "{text}");
        }
        assert_eq!(read(":7"), literal("127.0.0.1:7"));
        for name in ["localhost", "example.com.", "1.2.3", "a b", "%lo"] {
            assert_eq!(read(&format!("{name}:7")), Ok(Target::Name(name, 7)));
        }
    }

    #[test]
    fn a_zone_may_be_the_name_of_an_interface() {
        let index = sys::interface_index("lo").unwrap();
        assert_eq!(read("[fe80::1%lo]:80"), literal(&format!("[fe80::1%{index}]:80")));
        for odd in ["[fe80::1%no-such-0]:80", "[fe80::1%]:80", "[fe80::1%a\0b]:80"] {
            assert_eq!(read(odd), Err(Odd::Zone), "{odd:?}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, odd) in [
            ("", Odd::NoPort),
            ("localhost", Odd::NoPort),
            ("[::1]", Odd::NoPort),
            ("localhost:", Odd::Port),
            ("localhost:http", Odd::Port),
            ("localhost:65536", Odd::Port),
            ("localhost:+7", Odd::Port),
            ("::1:80", Odd::TooManyColons),
            ("a:b:80", Odd::TooManyColons),
            ("[::1:80", Odd::Bracket),
            ("[::1]x:80", Odd::Bracket),
            ("::1]:80", Odd::TooManyColons),
            ("x]:80", Odd::Bracket),
            ("[localhost]:80", Odd::NotV6),
            ("[1.2.3.4]:80", Odd::NotV6),
            ("[]:80", Odd::NotV6),
        ] {
            assert_eq!(read(text), Err(odd), "{text:?}");
        }
        let err = parse("localhost").unwrap_err();
        assert_eq!(err.to_string(), r#"address "localhost": no port, as in host:port"#);
    }

    proptest! {
        #[test]
        fn every_address_survives_the_way_to_text_and_back(addr: SocketAddr, scope_id: u32) {
            let addr = match addr {
                SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope_id).into(),
                v4 => v4,
            };
            let text = addr.to_string();
            prop_assert_eq!(read(&text), Ok(Target::Literal(addr)));
        }

        #[test]
        fn any_text_is_an_address_a_name_or_an_error(text in r"[\[\]:%.0-9a-f]{0,24}|\PC{0,24}") {
            if let Ok(Target::Name(host, port)) = read(&text) {
                prop_assert!(!host.is_empty() && !host.contains([':', '[', ']']));
                let digits = text.strip_prefix(host).unwrap().strip_prefix(':').unwrap();
                prop_assert_eq!(digits.parse::<u16>(), Ok(port));
            }
        }
    }
}

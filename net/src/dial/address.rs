//! `host:port`, as Go's `net.SplitHostPort` reads it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::sys;

/// Where to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// An address that stands there in numbers: nobody need be asked.
    Literal(SocketAddr),
    /// One with a name in it, to be looked up.
    Named(Host<'a>, Port<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host<'a> {
    /// An address whose port is still 0.
    Literal(SocketAddr),
    Name(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port<'a> {
    Number(u16),
    /// The name of a service.
    Service(&'a str),
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
            Self::Port => "the port is neither a number from 0 to 65535 nor a service's name",
            Self::TooManyColons => "too many colons; an IPv6 address stands in brackets",
            Self::Bracket => "brackets that do not enclose the host",
            Self::NotV6 => "brackets around what is not an IPv6 address",
            Self::Zone => "a zone that is no network interface of this machine",
        })
    }
}

impl std::error::Error for Odd {}

/// Reads `name:port`, `1.2.3.4:port`, `[::1]:port` or `[fe80::1%eth0]:port`. An empty host is `unnamed`,
/// as in Go: this machine for who dials, all of its addresses for who listens. A zone is an interface's
/// name or number; a port is a number or the name of a service.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`]: the text says why.
pub(crate) fn parse(address: &str, unnamed: IpAddr) -> io::Result<Target<'_>> {
    read(address, unnamed).map_err(|odd| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("address {address:?}: {odd}"))
    })
}

fn read(address: &str, unnamed: IpAddr) -> Result<Target<'_>, Odd> {
    let (host, port) = address.rsplit_once(':').ok_or(Odd::NoPort)?;
    if host.starts_with('[') && port.ends_with(']') {
        return Err(Odd::NoPort);
    }
    let (host, port) = (read_host(host, unnamed)?, read_port(port)?);
    Ok(match (host, port) {
        (Host::Literal(mut addr), Port::Number(port)) => {
            addr.set_port(port);
            Target::Literal(addr)
        }
        named => Target::Named(named.0, named.1),
    })
}

fn read_host(host: &str, unnamed: IpAddr) -> Result<Host<'_>, Odd> {
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or(Odd::Bracket)?;
        return Ok(Host::Literal(v6(inside)?.into()));
    }
    if host.contains(':') {
        return Err(Odd::TooManyColons);
    }
    if host.contains(['[', ']']) {
        return Err(Odd::Bracket);
    }
    if host.is_empty() {
        return Ok(Host::Literal((unnamed, 0).into()));
    }
    let ip = host.parse::<IpAddr>();
    Ok(ip.map_or(Host::Name(host), |ip| Host::Literal((ip, 0).into())))
}

/// What has a letter in it is the name of a service, and all else has to be a number.
fn read_port(port: &str) -> Result<Port<'_>, Odd> {
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        return port.parse().map(Port::Number).map_err(|_| Odd::Port);
    }
    let is_name = port.bytes().all(|byte| byte.is_ascii_graphic())
        && port.bytes().any(|byte| byte.is_ascii_alphabetic());
    if is_name { Ok(Port::Service(port)) } else { Err(Odd::Port) }
}

fn v6(text: &str) -> Result<SocketAddrV6, Odd> {
    let (ip, scope_id) = match text.split_once('%') {
        Some((ip, zone)) => (ip, interface(zone)?),
        None => (text, 0),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| Odd::NotV6)?;
    Ok(SocketAddrV6::new(ip, 0, 0, scope_id))
}

fn interface(zone: &str) -> Result<u32, Odd> {
    zone.parse().or_else(|_| sys::interface_index(zone)).map_err(|_| Odd::Zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn dialed(address: &str) -> Result<Target<'_>, Odd> {
        read(address, HERE)
    }

    fn literal(text: &str) -> Result<Target<'_>, Odd> {
        Ok(Target::Literal(text.parse().unwrap()))
    }

    #[test]
    fn numbers_are_literal_and_all_else_is_a_name() {
        for text in ["1.2.3.4:5", "[::1]:80", "[2001:db8::7]:0", "[fe80::1%7]:65535"] {
            assert_eq!(dialed(text), literal(text), "{text}");
        }
        assert_eq!(dialed(":7"), literal("127.0.0.1:7"));
        assert_eq!(read(":7", Ipv6Addr::UNSPECIFIED.into()), literal("[::]:7"));
        for name in ["localhost", "example.com.", "1.2.3", "a b", "%lo"] {
            let named = Target::Named(Host::Name(name), Port::Number(7));
            assert_eq!(dialed(&format!("{name}:7")), Ok(named));
        }
    }

    #[test]
    fn a_port_with_a_letter_in_it_is_a_service() {
        for name in ["http", "HTTP", "whois++", "z39.50", "iso-tsap", "9pfs"] {
            let service = Port::Service(name);
            for (host, of) in [
                ("localhost", Host::Name("localhost")),
                ("1.2.3.4", Host::Literal(([1, 2, 3, 4], 0).into())),
                ("[::1]", Host::Literal((Ipv6Addr::LOCALHOST, 0).into())),
                ("", Host::Literal((Ipv4Addr::LOCALHOST, 0).into())),
            ] {
                assert_eq!(dialed(&format!("{host}:{name}")), Ok(Target::Named(of, service)));
            }
        }
    }

    #[test]
    fn a_zone_may_be_the_name_of_an_interface() {
        let index = sys::interface_index("lo").unwrap();
        assert_eq!(dialed("[fe80::1%lo]:80"), literal(&format!("[fe80::1%{index}]:80")));
        for odd in ["[fe80::1%no-such-0]:80", "[fe80::1%]:80", "[fe80::1%a\0b]:80"] {
            assert_eq!(dialed(odd), Err(Odd::Zone), "{odd:?}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, odd) in [
            ("", Odd::NoPort),
            ("localhost", Odd::NoPort),
            ("[::1]", Odd::NoPort),
            ("localhost:", Odd::Port),
            ("localhost:ht tp", Odd::Port),
            ("localhost:h\u{e9}", Odd::Port),
            ("localhost:-", Odd::Port),
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
            assert_eq!(dialed(text), Err(odd), "{text:?}");
        }
        let err = parse("localhost", HERE).unwrap_err();
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
            prop_assert_eq!(dialed(&text), Ok(Target::Literal(addr)));
        }

        #[test]
        fn any_text_is_an_address_a_name_or_an_error(text in r"[\[\]:%.0-9a-f]{0,24}|\PC{0,24}") {
            if let Ok(Target::Named(host, port)) = dialed(&text) {
                if let Host::Name(host) = host {
                    prop_assert!(!host.is_empty() && !host.contains([':', '[', ']']));
                    prop_assert!(text.starts_with(host));
                }
                match port {
                    Port::Number(port) => {
                        let digits = text.rsplit(':').next().unwrap();
                        prop_assert_eq!(digits.parse::<u16>(), Ok(port));
                    }
                    Port::Service(name) => {
                        prop_assert!(text.ends_with(name));
                        prop_assert!(name.parse::<u64>().is_err());
                    }
                }
            }
        }
    }
}

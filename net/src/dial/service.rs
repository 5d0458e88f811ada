//! Ports by name: `http` is 80.

use std::ffi::CString;
use std::io;

use reactor::spawn_blocking;

use super::resolve::not_run;
use crate::sys;

/// What a system without `/etc/services` knows all the same, since images of containers seldom have
/// the file. The names are Go's (`services` in `net/lookup.go`).
const WELL_KNOWN: [(&str, u16); 15] = [
    ("domain", 53),
    ("ftp", 21),
    ("ftps", 990),
    ("gopher", 70),
    ("http", 80),
    ("https", 443),
    ("imap2", 143),
    ("imap3", 220),
    ("imaps", 993),
    ("pop3", 110),
    ("pop3s", 995),
    ("smtp", 25),
    ("submissions", 465),
    ("ssh", 22),
    ("telnet", 23),
];

/// The TCP port of a service, whatever the case of its name, as the system's database has it
/// (`/etc/services`, or what nsswitch.conf(5) says of `services`), or else [`WELL_KNOWN`].
///
/// # Errors
/// `NotFound`, with the name; `ResourceBusy` when the pool's queue is full.
pub(super) async fn port(service: &str) -> io::Result<u16> {
    let name = service.to_ascii_lowercase();
    let lookup = spawn_blocking(move || {
        let of_system = CString::new(name.as_str()).ok().map(|name| sys::tcp_port(&name));
        of_system.transpose().map(|port| port.flatten().or_else(|| well_known(&name)))
    });
    let port = lookup.await.unwrap_or_else(|err| Err(not_run(err)))?;
    port.ok_or_else(|| {
        let text = format!("no TCP service is called {service:?}");
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

fn well_known(service: &str) -> Option<u16> {
    WELL_KNOWN.iter().find(|(name, _)| *name == service).map(|(_, port)| *port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_of(service: &str) -> io::Result<u16> {
        reactor::block_on(port(service)).unwrap()
    }

    #[test]
    fn a_service_has_its_port_whatever_the_case() {
        for (name, port) in WELL_KNOWN {
            assert_eq!(well_known(name), Some(port));
        }
        for name in ["http", "HTTP", "Http"] {
            assert_eq!(port_of(name).unwrap(), 80);
        }
    }

    #[test]
    fn a_service_that_nobody_knows_is_an_error_that_names_it() {
        for name in ["no-such-service", "a\0b", "80x"] {
            let err = port_of(name).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::NotFound);
            assert_eq!(err.to_string(), format!("no TCP service is called {name:?}"));
        }
    }

    #[test]
    fn the_systems_database_comes_first() {
        let Ok(services) = std::fs::read_to_string("/etc/services") else {
            return eprintln!("!!! SKIPPED: there is no /etc/services here");
        };
        let known = |name: &str| WELL_KNOWN.iter().any(|(known, _)| *known == name);
        let entries = services.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, port) = (words.next()?, words.next()?.strip_suffix("/tcp")?);
            Some((name.to_owned(), port.parse::<u16>().ok()?))
        });
        let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase());
        let (name, port) = entries
            .into_iter()
            .find(|(name, _)| is_plain(name) && !known(name))
            .expect("it has more than the best known");
        assert_eq!(port_of(&name).unwrap(), port, "{name}");
    }
}

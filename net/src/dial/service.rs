//! Ports by name: `http` is 80.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::resolve::shortage;
use super::shared::Lookups;
use crate::sys;

/// Services whose ports a process remembers. The file knows some three hundred, of which a program
/// dials a few.
const REMEMBERED_MAX: usize = 256;

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
/// Found once, it is remembered for the life of the process, as Go remembers the file. Who asks on
/// the same thread while a lookup of the same service is under way shares it.
///
/// # Errors
/// `NotFound`, with the name; `EMFILE` or `ENFILE` when it was not found and no descriptor is to be had;
/// `ResourceBusy` when the pool's queue is full.
pub(super) async fn port(service: &str) -> io::Result<u16> {
    static OF_SYSTEM: Services = Services::new(of_system);
    OF_SYSTEM.port(service).await
}

/// A database of services, which blocks, and what it has told.
struct Services {
    ask: Ask,
    lookups: Lookups<Option<u16>>,
    ports: LazyLock<Mutex<HashMap<String, u16>>>,
}

type Ask = fn(&str) -> io::Result<Option<u16>>;

impl Services {
    const fn new(ask: Ask) -> Self {
        Self { ask, lookups: Lookups::new(), ports: LazyLock::new(Mutex::default) }
    }

    async fn port(&'static self, service: &str) -> io::Result<u16> {
        let name = service.to_ascii_lowercase();
        if let Some(port) = self.remembered(&name) {
            return Ok(port);
        }
        self.lookups.share(&name, |name| self.look_up(name)).await?.ok_or_else(|| {
            let text = format!("no TCP service is called {service:?}");
            io::Error::new(io::ErrorKind::NotFound, text)
        })
    }

    fn look_up(&self, name: &str) -> io::Result<Option<u16>> {
        // Another's lookup may just have ended.
        if let Some(port) = self.remembered(name) {
            return Ok(Some(port));
        }
        let port = (self.ask)(name)?.or_else(|| well_known(name));
        if let Some(port) = port {
            self.remember(name, port);
        }
        Ok(port)
    }

    fn remembered(&self, name: &str) -> Option<u16> {
        self.ports().get(name).copied()
    }

    fn remember(&self, name: &str, port: u16) {
        let mut ports = self.ports();
        if ports.len() < REMEMBERED_MAX {
            ports.insert(name.to_owned(), port);
        }
    }

    fn ports(&self) -> MutexGuard<'_, HashMap<String, u16>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_system(service: &str) -> io::Result<Option<u16>> {
    // No service has a zero in its name.
    let Ok(name) = CString::new(service) else { return Ok(None) };
    match sys::tcp_port(&name)? {
        Some(port) => Ok(Some(port)),
        None => shortage().map_or(Ok(None), Err),
    }
}

fn well_known(service: &str) -> Option<u16> {
    WELL_KNOWN.iter().find(|(name, _)| *name == service).map(|(_, port)| *port)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use reactor::spawn;

    use super::*;
    use crate::leaks::leaving_nothing_open;

    fn run<T>(test: impl Future<Output = T>) -> T {
        leaving_nothing_open(|| reactor::block_on(test).unwrap())
    }

    fn port_of(service: &str) -> io::Result<u16> {
        run(port(service))
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

    /// getaddrinfo takes a number for a service's name, so this asks it whatever the system has.
    #[test]
    fn the_system_is_asked() {
        assert_eq!(of_system("8080").unwrap(), Some(8080));
        assert_eq!(of_system("no-such-service").unwrap(), None);
    }

    #[test]
    fn the_systems_database_comes_first() {
        static SYSTEM: Services = Services::new(|name| Ok((name == "http").then_some(8080)));
        run(async {
            assert_eq!(SYSTEM.port("HTTP").await.unwrap(), 8080);
            assert_eq!(SYSTEM.port("https").await.unwrap(), 443, "it does not know it");
        });
    }

    #[test]
    fn an_error_of_the_system_is_not_taken_for_an_answer() {
        static SYSTEM: Services = Services::new(|_name| Err(io::Error::other("no database")));
        run(async {
            assert_eq!(SYSTEM.port("http").await.unwrap_err().to_string(), "no database");
        });
    }

    #[test]
    fn a_service_is_looked_up_once_however_many_ask() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static SYSTEM: Services = Services::new(|name| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Ok((name == "http").then_some(8080))
        });
        run(async {
            let askers: Vec<_> = (0..1000).map(|_| spawn(SYSTEM.port("http"))).collect();
            for asker in askers {
                assert_eq!(asker.await.unwrap().unwrap(), 8080);
            }
            assert_eq!(SYSTEM.port("Http").await.unwrap(), 8080);
            assert_eq!(ASKED.load(Ordering::Relaxed), 1);
            for _ in 0..2 {
                assert!(SYSTEM.port("no-such-service").await.is_err());
            }
            assert_eq!(ASKED.load(Ordering::Relaxed), 3, "what is missing may come");
        });
    }

    #[test]
    fn no_more_is_remembered_than_the_limit() {
        static SYSTEM: Services = Services::new(|name| Ok(name.strip_prefix('s').map(|_| 7)));
        run(async {
            for number in 0..REMEMBERED_MAX + 10 {
                assert_eq!(SYSTEM.port(&format!("s{number}")).await.unwrap(), 7);
            }
            assert_eq!(SYSTEM.ports().len(), REMEMBERED_MAX);
        });
    }
}

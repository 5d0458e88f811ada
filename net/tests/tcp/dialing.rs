//! Dialing, with real sockets: Go's `TestDialParallel`, `TestDialParallelSpuriousConnection`,
//! `TestDialTimeout`, `TestDialLocal` and their kin. The order and times of attempts are tested in
//! `net/src/dial/race/tests.rs`.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use net::{DialError, Dialer, FALLBACK_DELAY, OpError, TcpListener, TcpStream};
use reactor::time::{now, timeout};
use reactor::{spawn, spawn_blocking};

use crate::connecting::{refusing, unresponsive};
use crate::support::leaks::leaving_nothing_open;
use crate::{is_timeout, run, run_virtual, settle, v4, v6};

const SECOND: Duration = Duration::from_secs(1);

/// A dialer for which every name has these addresses.
pub(crate) fn dialer_to(addrs: &[SocketAddr]) -> Dialer {
    let addrs = addrs.to_vec();
    Dialer::new().resolver(async move |_host, _port| Ok(addrs.clone()))
}

/// A dialer that must not ask.
fn dialer_without_names() -> Dialer {
    Dialer::new().resolver(async |host, _port| panic!("asked for {host}"))
}

/// The hosts and ports that a resolver was asked for.
type Asked = Rc<RefCell<Vec<(String, u16)>>>;

/// A dialer that knows no name, and what it was asked for.
fn dialer_that_notes() -> (Dialer, Asked) {
    let asked = Asked::default();
    let noted = Rc::clone(&asked);
    let dialer = Dialer::new().resolver(async move |host, port| {
        noted.borrow_mut().push((host.to_owned(), port));
        Err(io::Error::other("no such name"))
    });
    (dialer, asked)
}

/// Listeners on one port of both loopbacks.
pub(crate) fn both_loopbacks() -> io::Result<(TcpListener, TcpListener)> {
    loop {
        let six = TcpListener::builder().v6only(true).bind(v6())?;
        let port = six.local_addr()?.port();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port).into()) {
            Ok(four) => return Ok((six, four)),
            Err(err) if err.kind() == io::ErrorKind::AddrInUse => {}
            Err(err) => return Err(err),
        }
    }
}

#[test]
fn a_name_is_dialed() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let near = TcpStream::dial(&format!("localhost:{}", addr.port())).await?;
        assert_eq!(near.peer_addr()?, addr);
        assert!(near.nodelay()? && near.keepalive()?.is_some());
        Ok(())
    });
}

#[test]
fn a_literal_address_never_touches_the_resolver() {
    run(async {
        let dialer = dialer_without_names();
        for on in [v4(), v6()] {
            let listener = TcpListener::bind(on)?;
            let addr = listener.local_addr()?;
            assert_eq!(dialer.dial(&addr.to_string()).await?.peer_addr()?, addr);
        }
        let listener = TcpListener::bind(v4())?;
        let port = listener.local_addr()?.port();
        let here = dialer.dial(&format!(":{port}")).await?;
        assert_eq!(here.peer_addr()?, listener.local_addr()?, "no host is this machine");
        Ok(())
    });
}

#[test]
fn the_resolver_is_told_host_and_port() {
    run(async {
        let (dialer, asked) = dialer_that_notes();
        let err = dialer.dial("backend.example.:8080").await.unwrap_err();
        assert_eq!(err.to_string(), "dial tcp backend.example.:8080: lookup: no such name");
        assert_eq!(*asked.borrow(), [("backend.example.".to_owned(), 8080)]);
        Ok(())
    });
}

#[test]
fn what_is_no_address_says_so_and_is_not_looked_up() {
    run(async {
        for odd in ["", "localhost", "localhost:-1", "::1:80", "[::1]", "[localhost]:80"] {
            let err = dialer_without_names().dial(odd).await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidInput, "{odd:?}");
            assert!(err.to_string().starts_with(&format!("dial tcp: address {odd:?}: ")), "{err}");
        }
        Ok(())
    });
}

/// Nothing listens at the ports that have names, so it is the errors that tell.
#[test]
fn a_service_is_dialed_by_its_name() {
    run(async {
        let (dialer, asked) = dialer_that_notes();
        let err = dialer.dial("backend.example:https").await.unwrap_err();
        assert_eq!(err.to_string(), "dial tcp backend.example:https: lookup: no such name");
        assert_eq!(*asked.borrow(), [("backend.example".to_owned(), 443)]);

        // An address that is bound to no interface: the kernel says so, whatever listens elsewhere.
        let foreign = Dialer::new().local_addr("192.0.2.1:0".parse().unwrap());
        for (dialed, tried) in [("127.0.0.1:http", "127.0.0.1:80"), (":ssh", "127.0.0.1:22")] {
            let err = foreign.dial(dialed).await.unwrap_err();
            let between = format!("192.0.2.1:0->{tried}");
            let text =
                format!("dial tcp {dialed}: bind tcp {between}: cannot assign requested address");
            assert_eq!(err.to_string(), text);
        }
        Ok(())
    });
}

#[test]
fn an_unknown_service_is_an_error_that_names_it() {
    run(async {
        for host in ["host.example", "127.0.0.1", "[::1]", ""] {
            let dialed = format!("{host}:no-such-service");
            let err = dialer_without_names().dial(&dialed).await.unwrap_err();
            let why = r#"no TCP service is called "no-such-service""#;
            assert_eq!(err.to_string(), format!("dial tcp {dialed}: lookup: {why}"));
            assert_eq!(err.kind(), io::ErrorKind::NotFound);
        }
        Ok(())
    });
}

#[test]
fn many_who_dial_a_name_at_once_all_get_there() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let address = format!("localhost:{}", listener.local_addr()?.port());
        let dials: Vec<_> = (0..50)
            .map(|_| {
                let address = address.clone();
                spawn(async move { TcpStream::dial(&address).await })
            })
            .collect();
        reactor::yield_now().await;
        for (number, dial) in dials.into_iter().enumerate() {
            if number % 2 == 0 {
                dial.abort(); // while it looks up, or connects, or has
            } else {
                assert_eq!(dial.await.unwrap()?.peer_addr()?, listener.local_addr()?);
            }
        }
        Ok(())
    });
}

#[test]
fn an_unknown_name_is_an_error_that_names_it() {
    run(async {
        // A label has 63 letters at most (RFC 1035), so no name server need be asked.
        let name = format!("{}.invalid", "a".repeat(64));
        let err = TcpStream::dial(&format!("{name}:80")).await.unwrap_err();
        let text = err.to_string();
        assert!(text.starts_with(&format!("dial tcp {name}:80: lookup: ")), "{text}");
        assert_eq!(text.matches(&name).count(), 1, "{text}");
        let dialed = DialError::of(&err).unwrap();
        assert_eq!((dialed.address(), dialed.attempts().count()), (&*format!("{name}:80"), 0));
        let err = net::lookup_host(&name, 80).await.unwrap_err();
        assert!(err.to_string().starts_with(&format!("lookup {name:?}: ")), "{err}");
        let err = net::lookup_host("a\0b", 80).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert!(err.to_string().starts_with(r#"lookup "a\0b": "#), "{err}");
        let err = TcpStream::dial("a\0b:80").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn a_silent_first_family_is_overtaken_after_the_delay_and_closed() {
    run_virtual(async {
        let (six, _filling) = unresponsive(v6()).await?;
        let four = TcpListener::bind(v4())?;
        let addrs = [six.local_addr()?, four.local_addr()?];
        let (start, open) = (now(), reactor::metrics().descriptors);
        let near = dialer_to(&addrs).dial("host.example:1").await?;
        assert_eq!(near.peer_addr()?, addrs[1]);
        assert_eq!(now() - start, FALLBACK_DELAY);
        assert_eq!(reactor::metrics().descriptors, open + 1, "the winner's alone");
        Ok(())
    });
}

#[test]
fn a_refused_first_family_is_overtaken_at_once() {
    run_virtual(async {
        let (refusing, _held) = refusing().await?;
        let six = TcpListener::bind(v6())?;
        let start = now();
        let dialer = dialer_to(&[refusing, six.local_addr()?]);
        let near = dialer.dial("host.example:1").await?;
        assert_eq!(near.peer_addr()?, six.local_addr()?);
        assert_eq!(now() - start, Duration::ZERO);
        Ok(())
    });
}

#[test]
fn a_refused_address_leaves_the_next_of_its_family() {
    run(async {
        let (refusing, _held) = refusing().await?;
        let listener = TcpListener::bind(v4())?;
        let near = dialer_to(&[refusing, listener.local_addr()?]).dial("host.example:1").await?;
        assert_eq!(near.peer_addr()?, listener.local_addr()?);
        Ok(())
    });
}

#[test]
fn the_losing_connection_is_closed() {
    run(async {
        let (six, four) = both_loopbacks()?;
        let addrs = [six.local_addr()?, four.local_addr()?];
        for round in 0..20 {
            let dialer = dialer_to(&addrs).fallback_delay(Some(Duration::ZERO));
            let winner = dialer.dial("host.example:1").await?;
            winner.write_all(b"x").await?;
            let (taken, lost) = match winner.peer_addr()? {
                addr if addr == addrs[0] => (&six, &four),
                _ => (&four, &six),
            };
            assert_eq!(taken.accept().await?.0.read(&mut [0; 8]).await?, 1, "round {round}");
            let loser = lost.accept().await?.0.read(&mut [0; 8]).await;
            assert!(matches!(loser, Ok(0) | Err(_)), "round {round}: {loser:?}");
        }
        Ok(())
    });
}

#[test]
fn when_all_fail_the_error_names_each_address() {
    run(async {
        let (first, _held) = refusing().await?;
        let (second, _held_too) = refusing().await?;
        let err = dialer_to(&[first, second]).dial("host.example:1").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::ConnectionRefused);
        let expected = format!(
            "dial tcp host.example:1: connect tcp {first}: connection refused; \
             connect tcp {second}: connection refused"
        );
        assert_eq!(err.to_string(), expected);
        let attempts = DialError::of(&err).unwrap().attempts();
        let remotes: Vec<_> = attempts.map(|attempt| attempt.remote_addr().unwrap()).collect();
        assert_eq!(remotes, [first, second]);
        Ok(())
    });
}

#[test]
fn a_dropped_dial_closes_what_it_had_begun() {
    run_virtual(async {
        let (six, _filling) = unresponsive(v6()).await?;
        let (four, _filling_too) = unresponsive(v4()).await?;
        let open = reactor::metrics().descriptors;
        {
            let dialer = dialer_to(&[six.local_addr()?, four.local_addr()?]);
            let mut dial = pin!(dialer.dial("host.example:1"));
            assert!(timeout(SECOND, dial.as_mut()).await.is_err());
            assert_eq!(reactor::metrics().descriptors, open + 2, "both under way");
        }
        assert_eq!(reactor::metrics().descriptors, open);
        Ok(())
    });
}

#[test]
fn a_silent_address_leaves_its_family_the_rest_of_the_time() {
    run_virtual(async {
        let (silent, _filling) = unresponsive(v4()).await?;
        let listener = TcpListener::bind(v4())?;
        let start = now();
        let dialer = dialer_to(&[silent.local_addr()?, listener.local_addr()?]);
        let near = dialer.timeout(10 * SECOND).dial("host.example:1").await?;
        assert_eq!(near.peer_addr()?, listener.local_addr()?);
        assert_eq!(now() - start, 5 * SECOND);
        Ok(())
    });
}

#[test]
fn a_dial_out_of_time_says_where_it_was() {
    run_virtual(async {
        let (silent, _filling) = unresponsive(v4()).await?;
        let addr = silent.local_addr()?;
        let dialer = Dialer::new().timeout(3 * SECOND);
        let start = now();
        let err = dialer.connect(addr).await.unwrap_err();
        assert_eq!(err.to_string(), format!("connect tcp {addr}: no answer within 3s"));
        assert!(is_timeout(&err) && now() - start == 3 * SECOND);

        let lost = dialer.resolver(async |_host, _port| pending().await);
        let err = lost.dial("host.example:1").await.unwrap_err();
        assert_eq!(err.to_string(), "dial tcp host.example:1: lookup: out of time");
        assert!(is_timeout(&err) && now() - start == 6 * SECOND);
        Ok(())
    });
}

#[test]
fn a_dial_past_its_time_tries_nothing() {
    // Virtual, so that a time-out of zero ends at this very nanosecond.
    run_virtual(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let past = now() - SECOND;
        for dialer in [Dialer::new().timeout(Duration::ZERO), Dialer::new().deadline(past)] {
            let err = dialer.connect(addr).await.unwrap_err();
            assert!(is_timeout(&err), "{err}");
            let unasked = dialer.resolver(async |_host, _port| panic!("asked"));
            assert!(is_timeout(&unasked.dial("host.example:1").await.unwrap_err()));
        }
        assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn the_longest_dial_timeout_does_not_overflow() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let addr = listener.local_addr()?;
        let dialer = dialer_to(&[addr]).timeout(Duration::MAX).fallback_delay(Some(Duration::MAX));
        dialer.connect(addr).await?;
        dialer.dial("host.example:1").await?;
        Ok(())
    });
}

#[test]
fn many_dials_at_once_share_a_dialer() {
    run(async {
        let listener = TcpListener::bind(v4())?;
        let dialer = Rc::new(dialer_to(&[listener.local_addr()?]));
        let dials: Vec<_> = (0..100)
            .map(|_| {
                let dialer = Rc::clone(&dialer);
                spawn(async move { dialer.dial("host.example:1").await })
            })
            .collect();
        for dial in dials {
            dial.await.unwrap()?;
        }
        Ok(())
    });
}

#[test]
fn addresses_beyond_the_limit_are_not_tried() {
    run(async {
        let (refusing, _held) = refusing().await?;
        let err = dialer_to(&[refusing; 1000]).dial("host.example:1").await.unwrap_err();
        let tried = DialError::of(&err).unwrap().attempts().count();
        assert_eq!(tried, net::DIAL_ADDRS_MAX);
        Ok(())
    });
}

#[test]
fn a_runtime_ends_while_a_lookup_hangs() {
    leaving_nothing_open(|| {
        let (answer, hanging) = mpsc::channel::<()>();
        let hanging = std::sync::Arc::new(std::sync::Mutex::new(hanging));
        let mut runtime = reactor::Runtime::new().unwrap();
        runtime.block_on(async {
            let dialer = Dialer::new().resolver(async move |_host, _port| {
                let hanging = std::sync::Arc::clone(&hanging);
                let lookup = spawn_blocking(move || hanging.lock().unwrap().recv());
                lookup.await.unwrap().map_err(io::Error::other)?;
                Ok(vec![(Ipv6Addr::LOCALHOST, 1).into()])
            });
            let mut dial = pin!(dialer.dial("host.example:1"));
            let polled = poll_fn(|cx| Poll::Ready(dial.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            settle().await;
        });
        drop(runtime);
        // Only now may the lookup end. Had the runtime waited for it, this line were not reached.
        drop(answer);
    });
}

#[test]
fn an_error_of_connecting_to_a_literal_is_that_of_connect() {
    run(async {
        let (addr, _held) = refusing().await?;
        let err = TcpStream::dial(&addr.to_string()).await.unwrap_err();
        assert_eq!(err.to_string(), format!("connect tcp {addr}: connection refused"));
        assert_eq!(OpError::of(&err).unwrap().remote_addr(), Some(addr));
        Ok(())
    });
}

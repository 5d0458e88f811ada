//! A socket that is made without a runtime says so, and where in the program that was.

#[path = "../../reactor/tests/panicking/mod.rs"]
mod panicking;

use std::net::{self as std_net, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net as std_unix;

use net::{TcpListener, TcpStream, UdpSocket, UnixAddr, UnixDatagram, UnixListener, UnixStream};
use panicking::panic_of;
use reactor::Runtime;

/// What makes a socket, and its name.
type Call = (&'static str, fn());

fn names_this_file(calls: &[Call]) {
    for (name, call) in calls {
        let (file, said) = panic_of(call);
        assert!(said.contains("called outside a runtime"), "{name}: {said}");
        assert_eq!(file, file!(), "{name}");
    }
}

fn v4() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn peer() -> SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

/// A path that nobody has, and that is removed again with the socket that was bound to it.
fn path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("net-outside-{}-{name}", std::process::id()))
}

fn abstract_name() -> UnixAddr {
    UnixAddr::unnamed()
}

fn std_listener() -> std_net::TcpListener {
    std_net::TcpListener::bind(v4()).unwrap()
}

fn std_stream() -> std_unix::UnixStream {
    std_unix::UnixStream::pair().unwrap().0
}

fn std_datagram() -> std_unix::UnixDatagram {
    std_unix::UnixDatagram::unbound().unwrap()
}

#[test]
fn a_listener_names_the_line_that_makes_it_without_a_runtime() {
    names_this_file(&[
        ("TcpListener::bind", || drop(TcpListener::bind(v4()))),
        ("ListenerBuilder::bind", || drop(TcpListener::builder().bind(v4()))),
        ("TcpListener::from_std", || drop(TcpListener::from_std(std_listener()))),
        ("TcpListener::try_from", || drop(TcpListener::try_from(OwnedFd::from(std_listener())))),
        ("UnixListener::bind", || drop(UnixListener::bind(path("listener")))),
        ("UnixBuilder::bind", || drop(UnixListener::builder().bind(path("builder")))),
        ("UnixBuilder::bind_addr", || {
            drop(UnixListener::builder().bind_addr(&abstract_name()));
        }),
    ]);
}

#[test]
fn a_stream_names_the_line_that_makes_it_without_a_runtime() {
    names_this_file(&[
        ("UnixStream::pair", || drop(UnixStream::pair())),
        ("UnixStream::from_std", || drop(UnixStream::from_std(std_stream()))),
        ("UnixStream::try_from", || drop(UnixStream::try_from(OwnedFd::from(std_stream())))),
        ("TcpStream::from_std", || {
            let listener = std_listener();
            let addr = listener.local_addr().unwrap();
            drop(TcpStream::from_std(std_net::TcpStream::connect(addr).unwrap()));
        }),
    ]);
}

#[test]
fn a_datagram_socket_names_the_line_that_makes_it_without_a_runtime() {
    names_this_file(&[
        ("UdpSocket::bind", || drop(UdpSocket::bind(v4()))),
        ("UdpBuilder::bind", || drop(UdpSocket::builder().bind(v4()))),
        ("UdpBuilder::connect", || drop(UdpSocket::builder().connect(peer()))),
        ("UdpSocket::from_std", || {
            drop(UdpSocket::from_std(std_net::UdpSocket::bind(v4()).unwrap()));
        }),
        ("UnixDatagram::bind", || drop(UnixDatagram::bind(path("datagram")))),
        ("UnixBuilder::bind", || drop(UnixDatagram::builder().bind(path("datagrams")))),
        ("UnixBuilder::bind_addr", || {
            drop(UnixDatagram::builder().bind_addr(&abstract_name()));
        }),
        ("UnixDatagram::unbound", || drop(UnixDatagram::unbound())),
        ("UnixDatagram::pair", || drop(UnixDatagram::pair())),
        ("UnixDatagram::from_std", || drop(UnixDatagram::from_std(std_datagram()))),
        ("UnixDatagram::try_from", || {
            drop(UnixDatagram::try_from(OwnedFd::from(std_datagram())));
        }),
    ]);
}

#[test]
fn an_accept_names_the_line_that_calls_it_when_its_runtime_does_not_run() {
    names_this_file(&[("Listener::try_accept", || {
        let mut runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(async { TcpListener::bind(v4()).unwrap() });
        let addr = listener.local_addr().unwrap();
        let _client = std_net::TcpStream::connect(addr).unwrap();
        drop(listener.try_accept());
    })]);
}

#[cfg(feature = "hyper")]
#[test]
fn hypers_executor_names_the_line_that_calls_it_without_a_runtime() {
    use hyper::rt::Executor as _;
    names_this_file(&[("Executor::execute", || net::hyper::Executor.execute(async {}))]);
}

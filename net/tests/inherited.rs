//! Descriptors handed over by whoever started the program, as systemd does it.
//!
//! A binary with one test, which runs itself again: the descriptors belong to the whole process, and
//! are given out once.

#[path = "support/leaks.rs"]
mod leaks;

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use leaks::leaving_nothing_open;

const CHILD: &str = "NET_TEST_INHERITED";

/// Descriptor 3 is a listener, and 4 is no socket.
const WEB_AND_ODD: &str = "3<&0 4<Cargo.toml 0</dev/null";
/// 3 is missing, and neither 4 nor 5 is a socket.
const TWO_ODD: &str = "4<Cargo.toml 5<Cargo.toml 0</dev/null";

#[test]
fn inherited_sockets_are_taken_once_checked_and_close_on_exec() {
    if std::env::var_os(CHILD).is_some() {
        return reactor::block_on(child()).unwrap();
    }
    leaving_nothing_open(start_all);
}

fn start_all() {
    // A descriptor that is not handed over will be the child's own by then.
    let own = "of LISTEN_FDS: it is close-on-exec, so it was not inherited";
    start(WEB_AND_ODD, "3", "web:odd:own", &format!("descriptor 5 {own}"));
    start(TWO_ODD, "3", "own:odd:odder", &format!("descriptor 3 {own}"));
    start(WEB_AND_ODD, "2", "web:odd", "");
    let two_names = r#"LISTEN_FDNAMES is "web:odd": 2 names for 1 descriptors"#;
    start(WEB_AND_ODD, "1", "web:odd", two_names);
}

/// Starts the child with these descriptors, as a service manager would: in the process that then
/// executes it, since its number must be known first.
fn start(redirections: &str, count: &str, names: &str, expected_error: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let shell = format!(r#"exec {redirections}; LISTEN_PID=$$ exec "$0" --nocapture"#);
    let mut child = Command::new("sh")
        .args(["-c", &shell])
        .arg(std::env::current_exe().unwrap())
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .env(CHILD, expected_error)
        .env("LISTEN_FDS", count)
        .env("LISTEN_FDNAMES", names)
        .spawn()
        .unwrap();
    if expected_error.is_empty() {
        let mut greeting = String::new();
        TcpStream::connect(addr).unwrap().read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "hello from web");
    }
    assert!(child.wait().unwrap().success(), "the child says why");
}

async fn child() {
    let expected_error = std::env::var(CHILD).unwrap();
    let inherited = match net::listen_fds() {
        Ok(inherited) => inherited,
        Err(err) => {
            assert_eq!(err.to_string(), expected_error);
            let were_taken = expected_error.starts_with("descriptor");
            assert!(!were_taken || odd_ones() == 0, "the others are closed");
            return;
        }
    };
    assert_eq!(expected_error, "");
    assert!(net::listen_fds().unwrap().is_empty(), "each has one owner");
    let names: Vec<_> = inherited.iter().map(net::ListenFd::name).collect();
    assert_eq!(names, ["web", "odd"]);

    let mut fds: Vec<_> = inherited.into_iter().map(OwnedFd::from).collect();
    for fd in &fds {
        let flags = rustix::io::fcntl_getfd(fd.as_fd()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let flags = rustix::fs::fcntl_getfl(fd.as_fd()).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    }
    let err = net::TcpListener::try_from(fds.pop().unwrap()).unwrap_err();
    assert!(err.to_string().ends_with("it is no socket"), "{err}");
    let listener = net::TcpListener::try_from(fds.pop().unwrap()).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"hello from web").await.unwrap();
}

/// How many of the descriptors that are no sockets are open.
fn odd_ones() -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.ends_with("net/Cargo.toml")).count()
}

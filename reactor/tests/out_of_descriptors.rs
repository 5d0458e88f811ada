//! A process without free descriptors: errors say so, and what exists goes on.
//!
//! A binary with one test, which runs itself again with a low limit: descriptors belong to the
//! whole process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::Command;
use std::time::Duration;

use reactor::time::timeout;
use reactor::{Direction, PollFd, Runtime, SignalKind, SpawnError, signal, spawn};

const CHILD: &str = "REACTOR_TEST_OUT_OF_DESCRIPTORS";
const NAME: &str = "without_descriptors_new_things_fail_and_old_ones_go_on";

#[test]
fn without_descriptors_new_things_fail_and_old_ones_go_on() {
    if std::env::var_os(CHILD).is_some() {
        let test = async { timeout(Duration::from_secs(60), out_of_descriptors()).await };
        reactor::block_on(test).unwrap().expect("the test hangs").unwrap();
        return;
    }
    let status = Command::new("sh")
        .args(["-c", r#"ulimit -n 48 && exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "the child says why");
}

async fn out_of_descriptors() -> io::Result<()> {
    let addr = SocketAddr::from_abstract_name(format!("reactor-test-{}", std::process::id()))?;
    let listener = UnixListener::bind_addr(&addr)?;
    listener.set_nonblocking(true)?;
    let accepting = listener.try_clone()?;
    let accept = |_: std::os::fd::BorrowedFd<'_>| accepting.accept().map(|(stream, _)| stream);
    let listener = PollFd::from_socket(OwnedFd::from(listener));
    let (old, mut peer) = UnixStream::pair()?;
    old.set_nonblocking(true)?;
    let old = PollFd::from_socket(OwnedFd::from(old));
    // Registered with epoll, and Idle: from here on only an edge makes it Ready.
    assert!(timeout(Duration::ZERO, listener.io(Direction::Read, accept)).await.is_err());

    for _ in 0..3 {
        let mut files = take_all_descriptors();
        drop(files.pop());
        let mut client = UnixStream::connect_addr(&addr)?;
        for _ in 0..3 {
            assert_no_descriptors(listener.io(Direction::Read, accept).await);
            assert_no_descriptors(Runtime::new());
            assert_no_descriptors(signal(SignalKind::WINDOW_CHANGE));
        }
        // One that exists can still be registered, read and woken.
        peer.write_all(b"abc")?;
        assert_eq!(old.read(&mut [0; 8]).await?, 3);
        assert!(timeout(Duration::ZERO, old.read(&mut [0; 8])).await.is_err());
        let task = spawn(async { 1 });
        assert_eq!(task.await?, 1);

        drop(files);
        let mut stream = listener.io(Direction::Read, accept).await?;
        stream.write_all(b"sound")?;
        assert_eq!(client.read(&mut [0; 8])?, 5);
        let gone = Runtime::new()?.handle();
        assert_eq!(gone.spawn(|| async {}).unwrap_err(), SpawnError::Gone);
    }
    Ok(())
}

fn assert_no_descriptors<T>(result: io::Result<T>) {
    assert_eq!(result.err().and_then(|err| err.raw_os_error()), Some(libc::EMFILE));
}

fn take_all_descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

//! A process without free descriptors: accept and the lookup of a name say so, and go on when there are
//! some again.
//!
//! Each test runs itself again, alone and with a low limit: descriptors belong to the whole process.

#[path = "support/leaks.rs"]
mod leaks;

use std::fs::File;
use std::io;
use std::process::Command;
use std::time::Duration;

use leaks::leaving_nothing_open;
use net::{OpError, TcpListener, TcpStream};
use reactor::time::timeout;

const CHILD: &str = "NET_TEST_OUT_OF_DESCRIPTORS";

#[test]
fn accept_without_descriptors_fails_and_the_listener_stays_usable() {
    if is_child() {
        run(out_of_descriptors());
        return run(incoming_pauses());
    }
    run_again("accept_without_descriptors_fails_and_the_listener_stays_usable");
}

#[test]
fn a_lookup_without_descriptors_says_so_and_not_that_the_name_does_not_exist() {
    if is_child() {
        return run(lookups());
    }
    run_again("a_lookup_without_descriptors_says_so_and_not_that_the_name_does_not_exist");
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

fn run_again(test: &str) {
    let status = Command::new("sh")
        .args(["-c", r#"ulimit -n 48 && exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "the child says why");
}

fn run(test: impl Future<Output = io::Result<()>>) {
    leaving_nothing_open(|| {
        let test = async { timeout(Duration::from_secs(60), test).await };
        reactor::block_on(test).unwrap().expect("the listener hangs").unwrap();
    });
}

async fn out_of_descriptors() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    let addr = listener.local_addr()?;
    // Registered with epoll, and Idle: from here on only an edge makes it Ready.
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

    for round in 0..3 {
        let mut files = take_all_descriptors();
        drop(files.pop());
        let near = TcpStream::connect(addr).await?;
        for _ in 0..3 {
            let err = listener.accept().await.unwrap_err();
            let errno = OpError::of(&err).and_then(OpError::raw_os_error);
            assert_eq!(errno, Some(libc::EMFILE), "round {round}: {err}");
            assert_eq!(err.to_string(), format!("accept tcp {addr}: too many open files"));
        }
        let err = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(err.to_string(), format!("socket tcp {addr}: too many open files"));

        // No new edge comes: the connection has been in the queue all the time.
        drop(files);
        let (far, peer) = listener.accept().await?;
        assert_eq!(peer, near.local_addr()?);
        near.write_all(b"sound").await?;
        assert_eq!(far.read(&mut [0; 8]).await?, 5);
    }
    Ok(())
}

async fn incoming_pauses() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    let addr = listener.local_addr()?;
    let mut incoming = listener.incoming();
    for _ in 0..3 {
        let mut files = take_all_descriptors();
        drop(files.pop());
        let near = TcpStream::connect(addr).await?;
        let turns = reactor::metrics().turns;
        assert!(timeout(Duration::from_millis(50), incoming.next()).await.is_err());
        let turns = reactor::metrics().turns - turns;
        assert!(turns < 20, "{turns} turns of the loop in a pause: it spins");
        drop(files);
        assert_eq!(incoming.next().await?.1, near.local_addr()?);
    }
    Ok(())
}

async fn lookups() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    let address = format!("localhost:{}", listener.local_addr()?.port());
    for _ in 0..3 {
        let files = take_all_descriptors();
        for address in [address.as_str(), "localhost:no-such-service"] {
            let err = TcpStream::dial(address).await.unwrap_err();
            let why = err.get_ref().and_then(|err| err.source()).unwrap();
            let why = why.downcast_ref::<io::Error>().unwrap();
            assert_eq!(why.raw_os_error(), Some(libc::EMFILE), "{err}");
        }
        let err = net::lookup_host("localhost", 80).await.unwrap_err();
        assert!(err.to_string().starts_with(r#"lookup "localhost": Too many open files"#), "{err}");
        drop(files);
        TcpStream::dial(&address).await?;
        listener.accept().await?;
        let err = TcpStream::dial("localhost:no-such-service").await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound, "{err}");
    }
    Ok(())
}

fn take_all_descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

//! Taking over the path that a process left behind.

use std::os::unix::net as std_unix;
use std::sync::{Arc, Barrier};
use std::thread;

use super::support::leaks::leaving_nothing_open;
use super::*;

fn take_over(path: &Path) -> io::Result<UnixListener> {
    UnixListener::builder().take_over_stale(true).bind(path)
}

fn take_over_datagram(path: &Path) -> io::Result<UnixDatagram> {
    UnixDatagram::builder().take_over_stale(true).bind(path)
}

#[track_caller]
fn assert_in_use<T: std::fmt::Debug>(result: io::Result<T>, path: &Path) {
    let err = result.unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::AddrInUse, "{err}");
    assert!(path.exists(), "it is still there");
}

#[test]
fn a_path_that_nobody_has_open_is_taken_over() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        for _ in 0..3 {
            drop(std_unix::UnixListener::bind(&path)?);
            assert_in_use(UnixListener::bind(&path), &path);
            let listener = take_over(&path)?;
            UnixStream::connect(&path).await?;
            drop(listener);
            assert!(!path.exists());

            drop(std_unix::UnixDatagram::bind(&path)?);
            assert_in_use(UnixDatagram::bind(&path), &path);
            drop(take_over_datagram(&path)?);
            assert!(!path.exists());
        }
        Ok(())
    });
}

#[test]
fn a_path_that_is_free_is_simply_bound() {
    run(async {
        let directory = Directory::new();
        drop(take_over(&directory.join("socket"))?);
        drop(UnixListener::builder().take_over_stale(true).bind_addr(&UnixAddr::unnamed())?);
        Ok(())
    });
}

#[test]
fn a_socket_in_use_is_never_taken_over() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path)?;
        assert_in_use(take_over(&path), &path);
        assert_in_use(take_over_datagram(&path), &path);
        // The probe is a connection that came and went.
        let near = UnixStream::connect(&path).await?;
        while near.try_write(b"hello").is_err() {}
        loop {
            let (far, _) = listener.accept().await?;
            if far.read(&mut [0; 8]).await? != 0 {
                break;
            }
        }
        drop(listener);

        let _datagram = UnixDatagram::bind(&path)?;
        assert_in_use(take_over(&path), &path);
        assert_in_use(take_over_datagram(&path), &path);
        Ok(())
    });
}

#[test]
fn a_listener_with_a_full_queue_is_in_use() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let _listener = UnixListener::builder().backlog(0).bind(&path)?;
        let _queued = UnixStream::connect(&path).await?;
        assert_in_use(take_over(&path), &path);
        Ok(())
    });
}

#[test]
fn what_is_no_socket_is_never_removed() {
    run(async {
        let directory = Directory::new();
        let (file, link) = (directory.join("file"), directory.join("link"));
        fs::write(&file, "precious")?;
        assert_in_use(take_over(&file), &file);
        drop(std_unix::UnixListener::bind(directory.join("dead"))?);
        std::os::unix::fs::symlink(directory.join("dead"), &link)?;
        assert_in_use(take_over(&link), &link);
        assert_eq!(fs::read_to_string(&file)?, "precious");
        assert!(directory.join("dead").exists());
        Ok(())
    });
}

/// Who has the lock may be about to bind, or have bound and not listen yet.
#[test]
fn nothing_is_taken_over_while_another_does_so_in_that_directory() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        drop(std_unix::UnixListener::bind(&path)?);
        let another = fs::File::open(&*directory)?;
        another.lock()?;
        assert_in_use(take_over(&path), &path);
        drop(another);
        take_over(&path)?;
        Ok(())
    });
}

/// Each asks, removes and binds: without the lock one would remove what another just bound.
#[test]
fn of_several_who_take_over_at_once_one_gets_the_path() {
    const TAKERS: usize = 4;
    leaving_nothing_open(|| {
        for _ in 0..20 {
            let directory = Directory::new();
            let path = directory.join("socket");
            drop(std_unix::UnixListener::bind(&path).unwrap());
            let all_have_tried = Arc::new(Barrier::new(TAKERS));
            let takers: Vec<_> = (0..TAKERS)
                .map(|_| {
                    let (path, all_have_tried) = (path.clone(), Arc::clone(&all_have_tried));
                    thread::spawn(move || {
                        reactor::block_on(async {
                            let taken = take_over(&path);
                            all_have_tried.wait();
                            taken.is_ok()
                        })
                        .unwrap()
                    })
                })
                .collect();
            let won = takers.into_iter().filter_map(|taker| taker.join().unwrap().then_some(()));
            assert_eq!(won.count(), 1);
        }
    });
}

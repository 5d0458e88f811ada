use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn an_abstract_name_needs_no_file_and_is_free_again_after_close() {
    run(async {
        let name = format!("net-test-{}", std::process::id());
        let addr = UnixAddr::from_abstract_name(&name)?;
        for _ in 0..3 {
            let listener = UnixListener::builder().bind_addr(&addr)?;
            assert_eq!(listener.local_addr()?, addr);
            let err = UnixListener::builder().bind_addr(&addr).unwrap_err();
            assert_eq!(err.to_string(), format!("bind unix @{name}: address already in use"));
            let near = UnixStream::connect_addr(&addr).await?;
            assert_eq!(near.peer_addr()?, addr);
            let (far, peer) = listener.accept().await?;
            assert!(peer.is_unnamed());
            assert_eq!((far.local_addr()?, far.peer_addr()?), (addr, peer));
            listener.close();
        }
        Ok(())
    });
}

#[test]
fn the_kernel_names_who_is_bound_to_no_name() {
    run(async {
        let (first, second) = (listener()?, listener()?);
        assert_ne!(first.local_addr()?, second.local_addr()?);
        assert!(first.local_addr()?.as_abstract_name().is_some());
        Ok(())
    });
}

#[test]
fn every_connection_in_the_queue_is_accepted() {
    run(async {
        let listener = listener()?;
        let addr = listener.local_addr()?;
        assert!(is_would_block(&listener.try_accept().unwrap_err()));
        let mut near = Vec::new();
        for _ in 0..20 {
            near.push(UnixStream::connect_addr(&addr).await?);
        }
        for _ in 0..20 {
            listener.accept().await?;
        }
        assert!(is_would_block(&listener.try_accept().unwrap_err()));
        Ok(())
    });
}

#[test]
fn a_path_is_exactly_as_open_as_it_is_told() {
    run(async {
        let directory = Directory::new();
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let stream = directory.join(format!("stream-{mode:o}"));
            let datagram = directory.join(format!("datagram-{mode:o}"));
            let _listener = UnixListener::builder().mode(mode).bind(&stream)?;
            let _datagram = UnixDatagram::builder().mode(mode).bind(&datagram)?;
            for path in [stream, datagram] {
                assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o7777, mode, "{path:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_path_that_cannot_be_bound_says_why() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("absent").join("socket");
        let err = UnixListener::bind(&path).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);
        let text = format!("bind unix {}: no such file or directory", path.display());
        assert_eq!(err.to_string(), text);

        let err = UnixListener::bind("p".repeat(109)).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        let text = "bind unix: a path of 109 bytes, where a Unix socket takes 108";
        assert_eq!(err.to_string(), text);
        Ok(())
    });
}

/// The kernel takes 108 bytes without a zero byte, and reports one more than there is room for.
#[test]
fn the_longest_path_is_bound_connected_to_and_removed() {
    run(async {
        let directory = Directory::new();
        let room = net::UNIX_PATH_BYTES_MAX - directory.as_os_str().len() - 1;
        let path = directory.join("p".repeat(room));
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.local_addr()?.as_path(), Some(&*path));
        let near = UnixStream::connect(&path).await?;
        let (far, _) = listener.accept().await?;
        far.write_all(b"sound").await?;
        assert_eq!(near.read(&mut [0; 8]).await?, 5);
        drop(listener);
        assert!(!path.exists());
        Ok(())
    });
}

//! Who removes the path of a socket, and when.

use std::os::unix::net as std_unix;

use super::*;

#[test]
fn only_the_first_close_unlinks_the_path() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let first = UnixListener::bind(&path)?;
        assert!(path.exists());
        first.close();
        assert!(!path.exists());

        let second = UnixListener::bind(&path)?;
        first.close();
        drop(first);
        assert!(path.exists(), "that is another's");
        let near = UnixStream::connect(&path).await?;
        second.accept().await?;
        drop((near, second));
        assert!(!path.exists());
        Ok(())
    });
}

#[test]
fn a_path_that_another_took_stays() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path)?;
        fs::remove_file(&path)?;
        let _other = std_unix::UnixListener::bind(&path)?;
        listener.close();
        assert!(path.exists());
        UnixStream::connect(&path).await?;
        Ok(())
    });
}

#[test]
fn a_path_is_left_to_a_successor_when_that_is_wanted() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path)?;
        listener.set_unlink_on_close(false);
        drop(listener);
        assert!(path.exists());
        fs::remove_file(&path)?;

        let datagram = UnixDatagram::bind(&path)?;
        datagram.set_unlink_on_close(false);
        datagram.set_unlink_on_close(true);
        drop(datagram);
        assert!(!path.exists());
        Ok(())
    });
}

#[test]
fn connections_that_were_accepted_leave_the_path_alone() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path)?;
        let near = UnixStream::connect(&path).await?;
        let (far, _) = listener.accept().await?;
        far.close();
        drop((near, far));
        assert!(path.exists());
        Ok(())
    });
}

#[test]
fn the_path_of_a_datagram_socket_is_removed_as_well() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        let first = UnixDatagram::bind(&path)?;
        first.close();
        assert!(!path.exists());
        let _second = UnixDatagram::bind(&path)?;
        drop(first);
        assert!(path.exists(), "that is another's");
        Ok(())
    });
}

#[test]
fn a_path_can_be_listened_on_again_at_once() {
    run(async {
        let directory = Directory::new();
        let path = directory.join("socket");
        for _ in 0..5 {
            UnixListener::bind(&path)?.close();
        }
        Ok(())
    });
}

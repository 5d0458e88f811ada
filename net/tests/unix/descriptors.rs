//! Passing descriptors.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use net::FDS_MAX;

use super::*;

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn is_close_on_exec(fd: &OwnedFd) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_CLOEXEC != 0
}

#[test]
fn a_passed_descriptor_is_the_same_file_and_close_on_exec() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let (mut read, mut write) = io::pipe()?;
        near.send_fds(b"pipe", &[read.as_fd(), write.as_fd()]).await?;
        let mut buf = [0; 16];
        let (n, passed) = far.recv_fds(&mut buf, 8).await?;
        assert_eq!((&buf[..n], passed.truncated), (&b"pipe"[..], false));
        let [their_read, their_write] = <[OwnedFd; 2]>::try_from(passed.fds).unwrap();
        assert!(is_close_on_exec(&their_read) && is_close_on_exec(&their_write));
        File::from(their_write).write_all(b"one way")?;
        read.read_exact(&mut buf[..7])?;
        write.write_all(b"and the other")?;
        File::from(their_read).read_exact(&mut buf[..13])?;
        assert_eq!(&buf[..13], b"and the other");
        Ok(())
    });
}

#[test]
fn descriptors_beyond_those_asked_for_are_truncated() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let null = null();
        for (sent, asked) in [(3, 1), (3, 2), (4, 3), (2, 0), (1, 0)] {
            near.send_fds(b"x", &vec![null.as_fd(); sent]).await?;
            let (n, passed) = far.recv_fds(&mut [0; 8], asked).await?;
            assert_eq!((n, passed.fds.len(), passed.truncated), (1, asked, true));
        }
        near.send_fds(b"x", &[null.as_fd()]).await?;
        let (_, passed) = far.recv_fds(&mut [0; 8], 1).await?;
        assert_eq!((passed.fds.len(), passed.truncated), (1, false));
        Ok(())
    });
}

#[test]
fn as_many_descriptors_as_are_promised_pass_at_once_and_one_more_is_refused() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let null = null();
        near.send_fds(b"x", &[null.as_fd(); FDS_MAX]).await?;
        let (_, passed) = far.recv_fds(&mut [0; 8], usize::MAX).await?;
        assert_eq!((passed.fds.len(), passed.truncated), (FDS_MAX, false));
        let err = near.send_fds(b"x", &[null.as_fd(); FDS_MAX + 1]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert!(err.to_string().ends_with("254 descriptors, where a message takes 253"), "{err}");
        Ok(())
    });
}

#[test]
fn descriptors_cannot_travel_in_a_stream_without_a_byte() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let err = near.send_fds(b"", &[null().as_fd()]).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(near.send_fds(b"", &[]).await?, 0);
        let (n, passed) = far.recv_fds(&mut [], 3).await?;
        assert_eq!((n, passed.fds.len()), (0, 0), "as a read into no room");
        Ok(())
    });
}

#[test]
fn the_end_of_a_stream_comes_without_descriptors() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        near.send_fds(b"last", &[null().as_fd()]).await?;
        drop(near);
        let (n, passed) = far.recv_fds(&mut [0; 8], 1).await?;
        assert_eq!((n, passed.fds.len()), (4, 1));
        let (n, passed) = far.recv_fds(&mut [0; 8], 1).await?;
        assert_eq!((n, passed.fds.len(), passed.truncated), (0, 0, false));
        Ok(())
    });
}

/// Of two messages the descriptors never mix, and a read that is short for that reason does not hide
/// what is behind it: no edge comes for that.
#[test]
fn a_read_stops_behind_descriptors_and_the_rest_is_read_without_an_edge() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        assert!(is_would_block(&far.try_read(&mut [0; 8]).unwrap_err()), "registered, and Idle");
        let null = null();
        near.send_fds(b"first", &[null.as_fd()]).await?;
        near.send_fds(b"second", &[null.as_fd(); 2]).await?;
        near.write_all(b"third").await?;
        let mut buf = [0; 64];
        let (n, passed) = far.recv_fds(&mut buf, 8).await?;
        assert_eq!((n, passed.fds.len()), (5, 1));
        let (n, passed) = far.recv_fds(&mut buf, 8).await?;
        assert_eq!((n, passed.fds.len()), (6, 2));
        assert_eq!(far.read(&mut buf).await?, 5);
        Ok(())
    });
}

/// The same for the reads that know nothing of descriptors, which are closed.
#[test]
fn descriptors_nobody_expects_do_not_hide_what_follows_them() {
    run(async {
        for vectored in [false, true] {
            let (near, far) = UnixStream::pair()?;
            assert!(is_would_block(&far.try_read(&mut [0; 8]).unwrap_err()));
            near.send_fds(b"first", &[null().as_fd()]).await?;
            near.send_fds(b"second", &[null().as_fd()]).await?;
            near.write_all(b"third").await?;
            let mut received = Vec::new();
            while received.len() < b"firstsecondthird".len() {
                let mut buf = [0; 64];
                let n = if vectored {
                    let (a, b) = buf.split_at_mut(32);
                    let mut bufs = [io::IoSliceMut::new(a), io::IoSliceMut::new(b)];
                    far.read_vectored(&mut bufs).await?
                } else {
                    far.read(&mut buf).await?
                };
                received.extend_from_slice(&buf[..n]);
            }
            assert_eq!(received, b"firstsecondthird");
        }
        Ok(())
    });
}

#[test]
fn datagrams_pass_descriptors_and_say_where_they_came_from() {
    run(async {
        let (server, client) = (datagram()?, datagram()?);
        let null = null();
        let fds: [BorrowedFd<'_>; 2] = [null.as_fd(); 2];
        client.send_fds_to(b"two", &fds, &server.local_addr()?).await?;
        let mut buf = [0; 2];
        let (received, passed) = server.recv_fds(&mut buf, 8).await?;
        assert_eq!((received.len, received.datagram_len), (2, 3));
        assert_eq!(received.from, client.local_addr()?);
        assert_eq!((passed.fds.len(), passed.truncated), (2, false));
        assert!(passed.fds.iter().all(is_close_on_exec));

        let (near, far) = UnixDatagram::pair()?;
        near.send_fds(b"", &fds).await?;
        let (received, passed) = far.recv_fds(&mut buf, 1).await?;
        assert_eq!((received.len, passed.fds.len(), passed.truncated), (0, 1, true));
        Ok(())
    });
}

#[test]
fn a_socket_can_be_passed_through_itself() {
    run(async {
        let (near, far) = UnixStream::pair()?;
        let (mut a, b) = std::os::unix::net::UnixStream::pair()?;
        near.send_fds(b"socket", &[b.as_fd()]).await?;
        drop(b);
        let (_, mut passed) = far.recv_fds(&mut [0; 8], 1).await?;
        let mut b = std::os::unix::net::UnixStream::from(passed.fds.remove(0));
        b.write_all(b"alive")?;
        a.read_exact(&mut [0; 5])?;
        Ok(())
    });
}

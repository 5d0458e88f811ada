//! Sending files.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use net::{OpError, SENDFILE_BYTES_MAX, TcpStream};
use reactor::spawn;
use reactor::time::now;

use crate::{is_timeout, narrow_pair, pair, pattern, read_to_end, run, run_virtual};

/// A file that is gone when it is dropped.
fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    path.push(format!("sent-{}-{:?}", std::process::id(), std::thread::current().id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// What arrives of a file, and what `send_file` counted.
async fn sent(file: File, offset: u64, len: u64) -> io::Result<(Vec<u8>, u64)> {
    let (near, far) = narrow_pair().await?;
    let send = spawn(async move {
        let sent = near.send_file(&file, offset, len).await?;
        near.shutdown(Shutdown::Write)?;
        Ok::<_, io::Error>(sent)
    });
    let received = read_to_end(&far).await?;
    Ok((received, send.await.unwrap()?))
}

#[test]
fn a_file_larger_than_a_piece_arrives_whole() {
    run(async {
        let bytes = pattern(2 * SENDFILE_BYTES_MAX + 12_345);
        let (received, count) = sent(file_of(&bytes)?, 0, bytes.len() as u64).await?;
        assert_eq!(count, bytes.len() as u64);
        assert!(received == bytes);
        Ok(())
    });
}

#[test]
fn a_part_of_a_file_is_what_was_asked_for_and_the_position_stays() {
    run(async {
        let bytes = pattern(100_000);
        let mut file = file_of(&bytes)?;
        file.seek(SeekFrom::Start(77))?;
        let (received, count) = sent(file.try_clone()?, 1_000, 50_000).await?;
        assert_eq!(count, 50_000);
        assert!(received == bytes[1_000..51_000]);
        assert_eq!(file.stream_position()?, 77);
        Ok(())
    });
}

#[test]
fn a_file_shorter_than_asked_gives_what_it_has() {
    run(async {
        let bytes = pattern(10_000);
        for (offset, expected) in [(0, 10_000), (9_000, 1_000), (10_000, 0), (1 << 40, 0)] {
            let (received, count) = sent(file_of(&bytes)?, offset, u64::MAX).await?;
            assert_eq!((count, received.len()), (expected, expected as usize), "from {offset}");
        }
        Ok(())
    });
}

#[test]
fn nothing_of_a_file_is_sent_when_nothing_is_asked_for() {
    run(async {
        let (received, count) = sent(file_of(b"something")?, 0, 0).await?;
        assert_eq!((received.len(), count), (0, 0));
        Ok(())
    });
}

#[test]
fn what_sendfile_does_not_take_goes_by_a_buffer() {
    run(async {
        // A file of the kernel's own making: it says that it is empty, and cannot be spliced.
        let expected = std::fs::read("/proc/version")?;
        let (received, count) = sent(File::open("/proc/version")?, 0, 1 << 20).await?;
        assert_eq!((received, count), (expected.clone(), expected.len() as u64));
        Ok(())
    });
}

#[test]
fn a_directory_is_an_error() {
    run(async {
        let (near, _far) = pair().await?;
        let err = near.send_file(&File::open("/")?, 0, 10).await.unwrap_err();
        assert_eq!((err.copied, err.source.kind()), (0, io::ErrorKind::IsADirectory));
        assert_eq!(OpError::of(&err.source).unwrap().operation(), "sendfile");
        Ok(())
    });
}

#[test]
fn a_peer_that_takes_no_more_stops_a_file_at_the_write_deadline() {
    run_virtual(async {
        let (near, _far) = narrow_pair().await?;
        near.set_write_deadline(Some(now() + Duration::from_secs(5)));
        let bytes = pattern(8 << 20);
        let err = near.send_file(&file_of(&bytes)?, 0, u64::MAX).await.unwrap_err();
        assert!(is_timeout(&err.source), "{err}");
        assert!(err.copied > 0 && err.copied < 8 << 20, "{} bytes", err.copied);
        Ok(())
    });
}

#[test]
fn a_peer_that_resets_in_the_middle_of_a_file_is_an_error() {
    async fn read_some_and_reset(far: TcpStream) -> io::Result<()> {
        crate::read_exact(&far, &mut vec![0; 1 << 20]).await?;
        far.reset()
    }
    run(async {
        let (near, far) = narrow_pair().await?;
        let near = Rc::new(near);
        let file = file_of(&pattern(32 << 20))?;
        let peer = spawn(read_some_and_reset(far));
        let err = near.send_file(&file, 0, u64::MAX).await.unwrap_err();
        peer.await.unwrap()?;
        assert!(err.copied >= 1 << 20, "{} bytes", err.copied);
        let lost = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(lost.contains(&err.source.kind()), "{err}");
        Ok(())
    });
}

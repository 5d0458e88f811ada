//! Vectored reads and writes.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use net::IOVECS_MAX;
use reactor::spawn;

use crate::{narrow_pair, pair, pair_on, pattern, read_to_end, run, v4, v6};

#[test]
fn buffers_are_written_and_read_in_turn() {
    run(async {
        let (near, far) = pair().await?;
        let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two three")];
        assert_eq!(near.write_vectored(&parts).await?, 13);
        assert_eq!(near.try_write_vectored(&parts[..1])?, 4);
        near.shutdown(Shutdown::Write)?;

        let (mut first, mut second) = ([0; 8], [0; 32]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let n = far.read_vectored(&mut bufs).await?;
        assert_eq!(n, 17);
        assert_eq!(&first, b"one two ");
        assert_eq!(&second[..n - 8], b"threeone ");
        let end = far.read_vectored(&mut [IoSliceMut::new(&mut first)]).await?;
        assert_eq!(end, 0);
        Ok(())
    });
}

#[test]
fn a_write_takes_1024_buffers_and_no_more() {
    run(async {
        let (near, far) = pair().await?;
        let many = vec![IoSlice::new(b"x"); 3 * IOVECS_MAX];
        assert_eq!(near.write_vectored(&many).await?, IOVECS_MAX);
        let mut bytes = vec![0; 3 * IOVECS_MAX];
        near.write_vectored(&many).await?;
        near.shutdown(Shutdown::Write)?;
        let mut many: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        let n = far.read_vectored(&mut many).await?;
        assert!(n <= IOVECS_MAX, "{n}");
        assert_eq!(n + read_to_end(&far).await?.len(), 2 * IOVECS_MAX);
        Ok(())
    });
}

#[test]
fn a_large_vectored_transfer_arrives_over_v4_and_v6() {
    run(async {
        for addr in [v4(), v6()] {
            let (near, far) = pair_on(addr).await?;
            let sent = pattern(8 << 20);
            let expected = sent.clone();
            let write = spawn(async move {
                // Uneven parts, far more than one call takes.
                let mut parts: Vec<_> = sent.chunks(1531).map(IoSlice::new).collect();
                near.write_all_vectored(&mut parts).await
            });
            assert!(read_to_end(&far).await? == expected);
            write.await.unwrap()?;
        }
        Ok(())
    });
}

#[test]
fn the_traits_carry_a_vectored_transfer_through_a_narrow_connection() {
    run(async {
        let (mut near, mut far) = narrow_pair().await?;
        let sent = pattern(1 << 20);
        let expected = sent.clone();
        let write = spawn(async move {
            let mut parts: Vec<_> = sent.chunks(777).map(IoSlice::new).collect();
            let mut parts = &mut parts[..];
            while !parts.is_empty() {
                let n = AsyncWriteExt::write_vectored(&mut near, parts).await?;
                IoSlice::advance_slices(&mut parts, n);
            }
            AsyncWriteExt::close(&mut near).await
        });
        let mut received = Vec::new();
        let (mut first, mut second) = ([0; 100], [0; 1000]);
        loop {
            let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
            let n = AsyncReadExt::read_vectored(&mut far, &mut bufs).await?;
            if n == 0 {
                break;
            }
            received.extend_from_slice(&first[..n.min(100)]);
            received.extend_from_slice(&second[..n.saturating_sub(100)]);
        }
        write.await.unwrap()?;
        assert!(received == expected);
        Ok(())
    });
}

#[test]
fn an_error_of_a_vectored_operation_is_that_of_the_plain_one() {
    run(async {
        let (near, _far) = pair().await?;
        near.shutdown(Shutdown::Write)?;
        let err = near.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]).await;
        assert_eq!(err.unwrap_err().kind(), io::ErrorKind::BrokenPipe, "and no SIGPIPE");
        near.close();
        let (mut a, mut b) = ([0; 1], [0; 1]);
        let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert!(reactor::is_closed(&near.read_vectored(&mut bufs).await.unwrap_err()));
        Ok(())
    });
}

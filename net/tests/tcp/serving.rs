//! `while_ready`: one operation after another, whenever the stream is ready.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use net::OpError;
use reactor::time::now;
use reactor::{Direction, spawn};

use super::*;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn an_operation_is_called_when_the_stream_is_ready_and_not_whenever_its_task_is_polled() {
    run_on_both(async |addr| {
        let (near, far) = pair_on(addr).await?;
        let calls = Cell::new(0);
        let mut until_z = near.while_ready(Direction::Read, || {
            calls.set(calls.get() + 1);
            let mut piece = [0; 8];
            let n = near.try_read(&mut piece)?;
            Ok((n == 0 || piece[..n].contains(&b'z')).then_some(n))
        });
        // The first call finds nothing, and those after it one piece each.
        for (called, piece) in [(1, &b"ab"[..]), (2, b"c"), (3, b"dz")] {
            for _ in 0..10 {
                let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut until_z).poll(cx))).await;
                assert!(polled.is_pending());
                assert_eq!(calls.get(), called, "polled for no reason");
            }
            far.write_all(piece).await?;
            near.readable().await?;
        }
        assert_eq!((until_z.await?, calls.get()), (2, 4));
        Ok(())
    });
}

/// Waits in the background, which ends it by an error. How often its operation was called, too.
async fn ends_by_an_error(
    stream: &Rc<TcpStream>,
    direction: Direction,
    end: impl AsyncFnOnce(),
) -> (io::Error, usize) {
    let (waiting, calls) = (Rc::clone(stream), Rc::new(Cell::new(0)));
    let counted = Rc::clone(&calls);
    let task = spawn(async move {
        let forever = waiting.while_ready(direction, || {
            counted.set(counted.get() + 1);
            match direction {
                Direction::Read => waiting.try_read(&mut [0; 8])?,
                Direction::Write => waiting.try_write(&[7; 64 << 10])?,
            };
            Ok(None::<()>)
        });
        forever.await.unwrap_err()
    });
    settle().await;
    let before = calls.get();
    end().await;
    let err = task.await.unwrap();
    (err, calls.get() - before)
}

#[test]
fn a_deadline_and_a_close_end_operations_that_wait_and_name_the_connection() {
    run_virtual_on_both(async |addr| {
        for (direction, name) in [(Direction::Read, "read"), (Direction::Write, "write")] {
            let (near, _far) = narrow_pair_on(addr).await?;
            fill(&near)?;
            let near = Rc::new(near);
            let names = format!("{name} tcp {}->{}", near.local_addr()?, near.peer_addr()?);

            let deadline = now() + LONG;
            near.set_deadline(Some(deadline));
            let ended = ends_by_an_error(&near, direction, async || {}).await;
            assert_eq!(ended.0.to_string(), format!("{names}: deadline exceeded"));
            assert_eq!((is_timeout(&ended.0), now(), ended.1), (true, deadline, 0));
            let (err, _) = ends_by_an_error(&near, direction, async || {}).await;
            assert!(is_timeout(&err), "it stays");

            near.set_deadline(None);
            let ended = ends_by_an_error(&near, direction, async || near.close()).await;
            assert_eq!(ended.0.to_string(), format!("{names}: use of closed descriptor"));
            assert_eq!((reactor::is_closed(&ended.0), ended.1), (true, 0));
        }
        Ok(())
    });
}

#[test]
fn an_error_of_an_operation_is_named_once() {
    run(async {
        let (near, far) = pair().await?;
        let names = format!("read tcp {}->{}", near.local_addr()?, near.peer_addr()?);
        let odd =
            near.while_ready(Direction::Read, || Err::<Option<()>, _>(io::Error::other("odd")));
        assert_eq!(odd.await.unwrap_err().to_string(), format!("{names}: odd"));

        far.reset()?;
        let reading = near.while_ready(Direction::Read, || near.try_read(&mut [0; 8]).map(Some));
        let err = reading.await.unwrap_err();
        assert_eq!(err.to_string(), format!("{names}: connection reset by peer"));
        assert_eq!(OpError::of(&err).unwrap().raw_os_error(), Some(libc::ECONNRESET));
        Ok(())
    });
}

//! Windows larger than what the protocol gives every stream.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::{join, join3};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use mux::{Config, Stream};

use crate::payload::{give, noise, take};
use crate::{
    Pair, Setup, WINDOW_BYTES, in_both_roles, opened_by_them, opened_by_us, settled, until,
};

#[test]
fn a_larger_window_of_ours_is_used_while_nobody_reads() {
    const LARGER_BYTES: usize = 1 << 20;
    let setup = || {
        let ours = Config { window_bytes: LARGER_BYTES as u32, ..Config::default() };
        Setup { ours, ..Setup::default() }
    };
    in_both_roles(setup, async |pair: Pair| {
        // One window is said by our SYN, the other one by our ACK.
        for (ours, theirs) in [opened_by_us(&pair).await, opened_by_them(&pair).await] {
            let read = async {
                settled().await;
                let unread = ours.stats().unread_bytes;
                assert!(unread >= LARGER_BYTES - 1, "{unread}"); // the first was read
                assert_eq!(take(&ours).await, 2 * LARGER_BYTES);
                ours.shutdown().unwrap();
            };
            let (_, ()) = join(give(theirs, 2 * LARGER_BYTES), read).await;
        }
        pair.part().await;
    });
}

/// They let a window grow that is half used within two round trips, both by the real clock, and
/// measure the round trip once, at first.
#[test]
fn a_window_of_theirs_that_has_grown_is_used_while_nobody_reads() {
    in_both_roles(Setup::default, async |pair: Pair| {
        pair.sent.stop();
        until(|| pair.session.stats().pings_received == 1).await;
        // The answer is on its way for so long; in less than twice that they read half a window, now
        // or later.
        std::thread::sleep(Duration::from_millis(100));
        pair.sent.resume();
        for (ours, theirs) in [opened_by_us(&pair).await, opened_by_them(&pair).await] {
            assert_grown_window_is_used(ours, theirs).await;
        }
        pair.part().await;
    });
}

async fn assert_grown_window_is_used(ours: Stream, mut theirs: yamux::Stream) {
    const PIECE_BYTES: usize = 16 * 1024;
    const FRUITLESS_BYTES: usize = 1 << 30;
    let (taken, grown, may_read, enough) =
        (Cell::new(0), Cell::new(false), Cell::new(true), Cell::new(false));
    let unread = || ours.stats().bytes_sent as usize - taken.get();
    let write = async {
        let mut sent = 0;
        while !enough.get() {
            (&ours).write_all(&noise(sent, PIECE_BYTES)).await.unwrap();
            sent += PIECE_BYTES;
        }
        ours.shutdown().unwrap();
        sent
    };
    let read = async {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            until(|| may_read.get()).await;
            let n = theirs.read(&mut buffer).await.unwrap();
            assert!(buffer[..n] == noise(taken.get(), n), "other bytes than sent");
            taken.set(taken.get() + n);
            if n == 0 {
                break;
            }
            if !grown.get() && unread() + ours.stats().send_credit_bytes as usize > WINDOW_BYTES {
                grown.set(true);
                may_read.set(false);
            }
            assert!(grown.get() || taken.get() < FRUITLESS_BYTES, "their window does not grow");
        }
        theirs.close().await.unwrap();
        taken.get()
    };
    let watch = async {
        until(|| grown.get()).await;
        settled().await;
        assert!(unread() > WINDOW_BYTES, "{}", unread());
        enough.set(true);
        may_read.set(true);
    };
    let (sent, taken, ()) = join3(write, read, watch).await;
    assert_eq!(taken, sent);
}

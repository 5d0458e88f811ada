//! Plain TCP: what the bytes cost without frames, streams and credit. The limit.
//!
//! It is one connection however many streams the others have, and one task that writes the same buffer
//! again and again, a whole write at a time, until the kernel takes no more. Another reads into one
//! buffer of 64 KiB until there is nothing. The buffers of the kernel are of the size that it finds best.

use std::time::Duration;

use futures_util::future::join;

use crate::cpu;
use crate::load::{READ_BYTES, connection};

/// The CPU time of sending `bytes` on one connection, in writes of that size.
pub(crate) fn bulk(write_bytes: usize, bytes: usize) -> Duration {
    let work = async {
        let (near, far) = connection().await.expect("loopback");
        let before = cpu::thread_time();
        let there = async {
            let chunk = vec![0xA5; write_bytes];
            for _ in 0..bytes / write_bytes {
                near.write_all(&chunk).await.expect("a write");
            }
            drop(near);
        };
        let read = async {
            let mut buffer = vec![0; READ_BYTES];
            while far.read(&mut buffer).await.expect("a read") > 0 {}
        };
        join(there, read).await;
        cpu::thread_time() - before
    };
    reactor::block_on(work).expect("a runtime")
}

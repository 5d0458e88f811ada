//! A proxy in a process that has used up its descriptors itself. Alone in its process, whose limit it sets.

mod common;

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use common::*;
use proxy::codec::bolt::status;
use proxy::descriptors::raise_limit;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const LIMIT: u64 = 96;

/// The limit is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn limited(test: impl AsyncFnOnce()) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), ..before }).unwrap();
    run(test());
    setrlimit(Resource::Nofile, before).unwrap();
}

fn open_files(count: usize) -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).take(count).collect()
}

#[test]
fn a_limit_that_is_raised_later_counts_at_once() {
    limited(async || {
        let bed = Bed::new(Setup::default());
        let _files = open_files(LIMIT as usize * 3 / 4);
        let mut client = bed.client().await;
        client.closed().await;
        raise_limit().unwrap();
        let mut client = bed.client().await;
        client.send(&heartbeat(1)).await;
        assert_eq!(client.frame().await.id(), 1);
    });
}

#[test]
fn a_dial_that_finds_no_descriptor_is_not_the_hosts_failure() {
    limited(async || {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&heartbeat(1)).await;
        client.frame().await;
        let files = open_files(usize::MAX);
        client.send(&request(2, b"")).await;
        client.expect(2, status::CONNECTION_CLOSED).await;
        drop(files);
        // After a failure it would not be dialed for a while.
        client.send(&request(3, b"")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.answer(&got).await;
        client.expect(3, status::SUCCESS).await;
        assert_eq!(bed.server.stats().upstream_connect_failed, 1);
    });
}

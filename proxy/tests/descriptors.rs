//! Descriptors of connections that have ended. Alone in its process, which it counts them in.

mod common;

use common::{Bed, Setup, request, run, until};

/// A proxy that kept them would run out of descriptors before slow hosts have answered.
#[test]
fn clients_that_leave_before_their_answers_hold_no_descriptors() {
    run(async {
        let bed = Bed::new(Setup::default());
        let first = bed.client().await;
        first.send(&request(1, b"never answered")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        let before = open_files();
        for _ in 0..8 {
            let client = bed.client().await;
            client.send(&request(1, b"never answered")).await;
            host.frame().await;
            drop(client);
        }
        until(|| bed.server.stats().downstream_connections == 1).await;
        assert_eq!(open_files(), before);
    });
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

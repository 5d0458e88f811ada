//! Clients that are refused, as the log tells of them.

mod common;

use common::*;
use proxy::limits::REFUSAL_PAUSE;
use reactor::time;

async fn refused(bed: &Bed, count: usize) {
    for _ in 0..count {
        bed.client().await.closed().await;
    }
}

#[test]
fn the_log_says_so_at_most_once_a_second_and_how_many_there_were() {
    run_paused(async {
        let bed = Bed::new(Setup { limits: r#""connections_max": 1"#, ..Setup::default() });
        let client = bed.client().await;
        until(|| bed.server.stats().downstream_connections == 1).await;
        warnings();
        refused(&bed, 3).await;
        // A place is free for a moment: that is no reason to say it again.
        drop(client);
        until(|| bed.server.stats().downstream_connections == 0).await;
        let _client = bed.client().await;
        until(|| bed.server.stats().downstream_connections == 1).await;
        refused(&bed, 3).await;
        let lines = warnings();
        assert!(lines.len() == 1 && lines[0].ends_with("there are 1 connections"), "{lines:?}");
        time::sleep(REFUSAL_PAUSE).await;
        refused(&bed, 2).await;
        let lines = warnings();
        let expected = "there are 1 connections (5 more since this was last said)";
        assert!(lines.len() == 1 && lines[0].ends_with(expected), "{lines:?}");
        assert_eq!(bed.server.stats().downstream_refused, 8);
    });
}

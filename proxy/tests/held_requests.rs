//! Requests that wait in the proxy, for a filter or a retry, when what they wait for is not to be had.

mod common;

use std::rc::Rc;

use common::*;
use proxy::Server;
use proxy::codec::bolt::status;

const KIB: usize = 1024;
const DELAY: &str = r#", "stream_filters": [{"type": "fault", "config":
    {"delay": {"fixed_delay": "1ms", "percentage": 100}}}]"#;
const HEADERS: &str = r#", "stream_filters": [{"type": "headers", "config":
    {"request_headers_to_add": [{"header": {"key": "long", "value": "than there is room"}}]}}]"#;

#[test]
fn oneways_that_waited_for_a_filter_wait_on_for_a_host_that_does_not_read() {
    run(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384"#;
        let bed = Bed::new(Setup { listener: DELAY, limits, ..Setup::default() });
        let client = Rc::new(bed.client().await);
        // More than all socket buffers on the way can hold.
        let count = 500;
        let flooding = {
            let client = Rc::clone(&client);
            reactor::spawn(async move {
                for id in 0..count {
                    client.send(&oneway(id, &vec![id as u8; 64 * KIB])).await;
                }
            })
        };
        let mut host = bed.host.accept().await;
        until(|| bed.server.stats().output_bytes > 64 * KIB as u64).await;
        // High water and one frame, in the output and in front of it.
        let bound = 2 * (64 + 65) * KIB as u64;
        for _ in 0..1000 {
            reactor::yield_now().await;
            let stats = bed.server.stats();
            assert!(stats.output_bytes + stats.kept_bytes <= bound, "{stats}");
        }
        assert!(!flooding.is_finished(), "the flood was taken in whole");
        for _ in 0..count {
            assert_eq!(host.frame().await.content().len(), 64 * KIB);
        }
        flooding.await.unwrap();
        drop(client);
        all_empty(&bed.server).await;
        let stats = bed.server.stats();
        assert_eq!((stats.oneways_sent, stats.kept_bytes), (count.into(), 0), "{stats}");
    });
}

/// Waits until a flood has filled all socket buffers on its way: nothing has moved for a while.
async fn until_full(server: &Server) {
    let (mut before, mut idle_turns) = (0, 0);
    while idle_turns < 1000 {
        reactor::yield_now().await;
        let stats = server.stats();
        let still = stats.parked > 0 && stats.oneways_sent == before;
        idle_turns = if still { idle_turns + 1 } else { 0 };
        before = stats.oneways_sent;
    }
}

#[test]
fn those_who_are_held_back_go_on_in_their_order_with_one_request_kept_of_each() {
    run(async {
        // A host's output takes three frames.
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384"#;
        let bed = Bed::new(Setup { listener: HEADERS, limits, ..Setup::default() });
        let filler = Rc::new(bed.client().await);
        let (fill, count, bytes) = (600, 100, 32 * KIB);
        let filling = {
            let filler = Rc::clone(&filler);
            reactor::spawn(async move {
                for _ in 0..fill {
                    filler.send(&oneway(0, &vec![0; bytes])).await;
                }
            })
        };
        let mut host = bed.host.accept().await;
        until_full(&bed.server).await;
        let mut clients = Vec::new();
        for client in 1..=count {
            clients.push(bed.client().await);
            let held = oneway(client, &vec![client as u8; bytes]);
            clients.last().unwrap().send(&[held.clone(), held].concat()).await;
            until(|| bed.server.stats().parked == u64::from(client) + 1).await;
        }
        let mut firsts = Vec::new();
        for _ in 0..fill + 2 * count {
            let stats = bed.server.stats();
            assert!(stats.parked <= u64::from(count) + 1, "two of one client: {stats}");
            let got = host.frame().await;
            let client = got.content()[0];
            if client > 0 && !firsts.contains(&client) {
                firsts.push(client);
            }
        }
        assert_eq!(firsts, (1..=count as u8).collect::<Vec<_>>());
        let stats = bed.server.stats();
        let stalls_max = 2 * u64::from(fill + 2 * count);
        assert!(stats.stalls <= stalls_max, "{stats}");
        filling.await.unwrap();
        drop((filler, clients));
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_long_frame_that_a_filter_made_longer_than_any_may_be_is_held_back_and_sent() {
    run(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384,
                        "frame_bytes_max": 65600"#;
        let bed = Bed::new(Setup { listener: HEADERS, limits, ..Setup::default() });
        let client = Rc::new(bed.client().await);
        let flooding = flood(&client, 300, 64 * KIB);
        let mut host = bed.host.accept().await;
        until(|| bed.server.stats().stalls > 0).await;
        reactor::spawn(async move { host.echo().await }).detach();
        let answer = |id| response(id, &vec![id as u8; 64 * KIB]);
        let client = take_back(client, flooding, 300, answer).await;
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn requests_that_wait_are_answered_when_the_clients_bound_connection_is_lost() {
    run_paused(async {
        let route =
            r#", "retry_policy": {"retry_on": true, "status_codes": [4], "num_retries": 5}"#;
        let listener = r#", "stream_filters": [{"type": "fault", "config":
            {"delay": {"fixed_delay": "10s", "percentage": 100}}}]"#;
        let setup =
            Setup { route, listener, cluster: r#", "pool": "binding""#, ..Setup::default() };
        let bed = Bed::new(setup);
        let mut client = bed.client().await;
        client.send(&request_with(1, 60_000, b"", b"first")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        // This one waits for the filter still, and one that wants no answer gets none.
        client.send(&request_with(2, 60_000, b"", b"second")).await;
        client.send(&oneway(3, b"third")).await;
        until(|| bed.server.stats().parked == 2).await;
        drop(host);
        for _ in 0..2 {
            assert_eq!(client.frame().await.frame.status, status::CONNECTION_CLOSED);
        }
        client.closed().await;
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().parked, 0);
    });
}

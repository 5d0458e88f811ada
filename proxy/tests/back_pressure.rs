//! Limits, and what happens at them: memory stays bounded, nobody else waits.

mod common;

use std::rc::Rc;
use std::time::Duration;

use common::*;
use proxy::codec::bolt::status;

const KIB: usize = 1024;
/// Turns of the loop in which a call comes and goes. It has four ways, and a wait before each of them.
const QUICK_TURNS_MAX: u64 = 16;

#[test]
fn a_client_has_no_more_requests_in_flight_than_it_may() {
    run(async {
        let bed = Bed::new(Setup { limits: r#""in_flight_max": 2"#, ..Setup::default() });
        let mut client = bed.client().await;
        let five: Vec<u8> = (1..=5).flat_map(|id| request(id, &[id as u8])).collect();
        client.send(&five).await;
        let mut host = bed.host.accept().await;
        let mut waiting = vec![host.frame().await, host.frame().await];
        for id in 3..=5 {
            // Had the next request been let through, it would be in front of the acknowledgement.
            host.send(&heartbeat(1000 + id)).await;
            assert_eq!(host.frame().await.id(), 1000 + id);
            assert_eq!(bed.server.stats().in_flight, 2);
            let first = waiting.remove(0);
            host.answer(&first).await;
            client.frame().await;
            waiting.push(host.frame().await);
        }
        for got in &waiting {
            host.answer(got).await;
            client.frame().await;
        }
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_full_upstream_connection_gives_status_4() {
    run(async {
        let bed = Bed::new(Setup { cluster: r#", "max_request_per_conn": 2"#, ..Setup::default() });
        let mut client = bed.client().await;
        let three: Vec<u8> = (1..=3).flat_map(|id| request(id, b"")).collect();
        client.send(&three).await;
        client.expect(3, status::SERVER_THREADPOOL_BUSY).await;
        let mut host = bed.host.accept().await;
        for id in 1..=2 {
            let got = host.frame().await;
            host.answer(&got).await;
            assert_eq!(client.frame().await.id(), id);
        }
        client.send(&request(4, b"")).await;
        let got = host.frame().await;
        host.answer(&got).await;
        assert_eq!(client.frame().await.frame.status, status::SUCCESS);
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_host_is_full_only_when_all_its_connections_are() {
    run(async {
        let cluster = r#", "connections_per_host": 2, "max_request_per_conn": 2"#;
        let bed = Bed::new(Setup { cluster, ..Setup::default() });
        let mut client = bed.client().await;
        let four: Vec<u8> = (1..=4).flat_map(|id| request(id, b"")).collect();
        client.send(&four).await;
        let mut hosts = [bed.host.accept().await, bed.host.accept().await];
        for host in &mut hosts {
            host.frame().await;
        }
        // The next in turn is the first connection, which stays full.
        let got = hosts[1].frame().await;
        hosts[1].answer(&got).await;
        client.frame().await;
        client.send(&request(5, b"")).await;
        let got = hosts[1].frame().await;
        hosts[1].answer(&got).await;
        client.expect(5, status::SUCCESS).await;
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn answers_of_the_proxys_own_above_the_high_water_stop_nobody_who_reads() {
    run(async {
        let limits = r#""output_high_bytes": 1024, "output_low_bytes": 1"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let mut client = bed.client().await;
        let many: Vec<u8> = (0..1000).flat_map(heartbeat).collect();
        client.send(&many).await;
        for id in 0..1000 {
            assert_eq!(client.frame().await.id(), id);
        }
        assert!(bed.server.stats().stalls > 0, "{}", bed.server.stats());
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn one_answer_above_the_output_limit_reaches_a_client_that_reads() {
    run(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384,
                        "output_bytes_max": 1048576"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(1, b"")).await;
        let mut host = bed.host.accept().await;
        let got = host.frame().await;
        host.send(&response(got.id(), &vec![7; 5 << 20])).await;
        assert_eq!(client.frame().await.content().len(), 5 << 20);
        drop(client);
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_connection_above_the_limit_is_closed_at_once() {
    run(async {
        let bed = Bed::new(Setup { limits: r#""connections_max": 2"#, ..Setup::default() });
        let mut first = bed.client().await;
        let second = bed.client().await;
        let mut third = bed.client().await;
        third.closed().await;
        let mut fourth = bed.client().await;
        fourth.closed().await;
        assert_eq!(warnings().len(), 1, "said once, not for every refused connection");
        drop(second);
        until(|| bed.server.stats().downstream_connections == 1).await;
        let mut fifth = bed.client().await;
        for client in [&mut first, &mut fifth] {
            client.send(&heartbeat(1)).await;
            client.frame().await;
        }
        assert_eq!(bed.server.stats().downstream_refused, 2);
    });
}

/// Plays the host for every connection that comes.
fn echo_host(host: Host) -> reactor::JoinHandle<()> {
    reactor::spawn(async move {
        loop {
            let mut peer = host.accept().await;
            reactor::spawn(async move { peer.echo().await }).detach();
        }
    })
}

#[test]
fn a_client_that_reads_late_costs_bounded_memory_and_nobody_elses_time() {
    run(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384, "in_flight_max": 4"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let slow = Rc::new(bed.client().await);
        let mut quick = bed.client().await;
        let echo = echo_host(bed.host);
        // More than all socket buffers on the way can hold.
        let (count, bytes) = (3000, 16 * KIB);
        let flooding = flood(&slow, count, bytes);

        // High water, what was in flight when it was reached, and what goes to the host meanwhile.
        let bound = (64 + 2 * 4 * 17 + 64 + 17) * KIB;
        let mut quick_calls = 0;
        let mut stalled_before = 0;
        while quick_calls < 300 || stalled_before == 0 {
            let before = reactor::metrics().turns;
            quick.send(&request(1, b"quick")).await;
            assert_eq!(quick.frame().await.content(), b"quick");
            let turns = reactor::metrics().turns - before;
            assert!(turns <= QUICK_TURNS_MAX, "an answer after {turns} turns of the loop");
            quick_calls += 1;
            let stats = bed.server.stats();
            stalled_before = stats.stalls;
            assert!(stats.output_bytes <= bound as u64, "{} > {bound}", stats.output_bytes);
        }
        assert!(!flooding.is_finished(), "the flood was taken in whole");

        let mut slow =
            take_back(slow, flooding, count, |id| response(id, &vec![id as u8; bytes])).await;
        slow.send(&heartbeat(9)).await;
        assert_eq!(slow.frame().await.id(), 9, "nothing came twice");
        drop((slow, quick));
        all_empty(&bed.server).await;
        echo.abort();
    });
}

#[test]
fn a_client_that_never_reads_is_closed_at_its_limit_and_others_go_on() {
    run(async {
        let limits = r#""output_bytes_max": 4194304"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let never = bed.client().await;
        let requests: Vec<u8> = (0..100).flat_map(|id| request(id, b"much")).collect();
        never.send(&requests).await;
        let mut host = bed.host.accept().await;
        let mut quick = bed.client().await;
        let much = vec![7; 1 << 20];
        for _ in 0..100 {
            let got = host.frame().await;
            host.send(&response(got.id(), &much)).await;
            quick.send(&request(1, b"quick")).await;
            // The flood's requests all came first.
            assert!(bed.server.stats().output_bytes <= (4 << 20) + (2 << 20));
        }
        until(|| bed.server.stats().downstream_faulty == 1).await;
        let lines = warnings();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("the peer does not read"), "{lines:?}");
        for _ in 0..100 {
            let got = host.frame().await;
            host.answer(&got).await;
            assert_eq!(quick.frame().await.content(), b"quick");
        }
        drop((never, quick));
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_host_that_reads_late_stops_its_clients_and_nothing_is_lost() {
    run(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let client = Rc::new(bed.client().await);
        let (count, bytes) = (1000, 32 * KIB);
        let flooding = flood(&client, count, bytes);
        let mut host = bed.host.accept().await;
        until(|| bed.server.stats().stalls > 0).await;
        for _ in 0..1000 {
            reactor::yield_now().await;
            let waiting = bed.server.stats().output_bytes;
            assert!(waiting <= (64 + 33) * KIB as u64, "{waiting} bytes wait");
        }
        assert!(!flooding.is_finished());
        // A client that is stopped can leave.
        let leaver = bed.client().await;
        leaver.send(&request(1, b"never sent")).await;
        until(|| bed.server.stats().stalls > 1).await;

        let echo = reactor::spawn(async move { host.echo().await });
        let client =
            take_back(client, flooding, count, |id| response(id, &vec![id as u8; bytes])).await;
        drop((client, leaver));
        all_empty(&bed.server).await;
        echo.abort();
    });
}

#[test]
fn a_host_that_never_reads_is_given_up_and_its_requests_are_answered() {
    run_paused(async {
        let limits = r#""output_high_bytes": 65536, "output_low_bytes": 16384"#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let client = Rc::new(bed.client().await);
        let flooding = flood(&client, 1000, 32 * KIB);
        let host = bed.host.accept().await;
        // The clock stands still until nothing moves any more, and jumps then.
        let began = reactor::time::now();
        until(|| bed.server.stats().upstream_closed == 1).await;
        assert!(reactor::time::now() - began >= Duration::from_secs(15));
        assert!(bed.server.stats().lost_upstream > 0);
        flooding.abort();
        drop((host, client));
        until(|| bed.server.stats().is_idle()).await;
        assert_eq!(bed.server.stats().lost(), 0);
    });
}

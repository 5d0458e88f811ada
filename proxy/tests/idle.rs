//! Clients that say nothing, and clients that never finish what they say.

mod common;

use common::{Bed, Setup, all_empty, request, run_paused, warnings};

#[test]
fn a_silent_client_is_closed_and_counted() {
    run_paused(async {
        let bed =
            Bed::new(Setup { limits: r#""client_idle_timeout": "20ms""#, ..Setup::default() });
        let mut client = bed.client().await;
        client.closed().await;
        all_empty(&bed.server).await;
        let stats = bed.server.stats();
        assert_eq!((stats.downstream_idle, stats.downstream_faulty), (1, 0));
    });
}

#[test]
fn a_listener_can_have_its_own_patience() {
    run_paused(async {
        let mut config = Setup::default().config();
        config.listeners[0].idle_timeout = Some(std::time::Duration::from_millis(20));
        let server = proxy::Server::start(&config).unwrap();
        common::Peer::connect(server.addresses()[0]).await.closed().await;
        all_empty(&server).await;
    });
}

#[test]
fn a_client_whose_protocol_is_to_be_found_out_is_not_waited_for_either() {
    run_paused(async {
        let limits = r#""client_idle_timeout": "20ms""#;
        let bed = Bed::new(Setup { protocol: "Auto", limits, ..Setup::default() });
        bed.client().await.closed().await;
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().downstream_idle, 1);
    });
}

#[test]
fn a_client_that_waits_for_its_answer_is_not_idle() {
    run_paused(async {
        let bed = Bed::new(Setup { limits: r#""client_idle_timeout": "1ms""#, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(7, b"slow")).await;
        let host = bed.host.accept().await;
        let mut host = host;
        let asked = host.frame().await;
        // Many times the client's time: another client comes and is closed for it.
        for _ in 0..3 {
            bed.client().await.closed().await;
        }
        host.answer(&asked).await;
        assert_eq!(client.frame().await.content(), b"slow");
        client.closed().await;
        all_empty(&bed.server).await;
    });
}

#[test]
fn a_frame_that_never_ends_costs_the_connection_however_busy_it_is() {
    run_paused(async {
        let limits = r#""frame_timeout": "20ms", "client_idle_timeout": "0s""#;
        let bed = Bed::new(Setup { limits, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&request(7, b"whole")).await;
        let host = bed.host.accept().await;
        client.send(&request(8, b"never whole")[..5]).await;
        client.closed().await;
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().downstream_faulty, 1);
        let lines = warnings().join("\n");
        assert!(lines.contains("unfinished frame: 5 of at least "), "{lines}");
        assert!(lines.contains(" bytes after 20ms"), "{lines}");
        drop(host);
    });
}

//! Hosts that ask for no further requests.

mod common;

use common::*;
use proxy::codec::{Kind, Protocol};

#[test]
fn a_host_that_says_go_away_answers_what_it_has_and_gets_nothing_more() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(1, b"old")).await;
        let mut old = bed.host.accept().await;
        let got = old.frame().await;
        old.send(&wire::go_away(Protocol::Bolt).unwrap()).await;
        old.send(&heartbeat(7)).await;
        assert_eq!(old.frame().await.frame.kind, Kind::HeartbeatAck);

        client.send(&request(2, b"new")).await;
        let mut new = bed.host.accept().await;
        let other = new.frame().await;
        assert_eq!(other.content(), b"new");
        old.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"old");
        old.closed().await;
        new.answer(&other).await;
        assert_eq!(client.frame().await.content(), b"new");
    });
}

#[test]
fn a_host_that_says_go_away_is_left_when_its_last_client_is_gone() {
    run(async {
        let bed = Bed::new(Setup::default());
        let leaver = bed.client().await;
        leaver.send(&request(1, b"never answered")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        host.send(&wire::go_away(Protocol::Bolt).unwrap()).await;
        host.send(&heartbeat(7)).await;
        assert_eq!(host.frame().await.frame.kind, Kind::HeartbeatAck);
        drop(leaver);
        // Long before the request's time-out.
        host.closed().await;
        all_empty(&bed.server).await;
        assert_eq!(bed.server.stats().upstream_connections, 0);
    });
}

#[test]
fn a_host_that_said_go_away_is_dialed_anew_at_once() {
    run(async {
        let bed = Bed::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&oneway(1, b"told")).await;
        let mut old = bed.host.accept().await;
        old.frame().await;
        // Twice: the log says so once.
        old.send(
            &[wire::go_away(Protocol::Bolt).unwrap(), wire::go_away(Protocol::Bolt).unwrap()]
                .concat(),
        )
        .await;
        old.closed().await;
        client.send(&request(2, b"new")).await;
        let mut new = bed.host.accept().await;
        let got = new.frame().await;
        new.answer(&got).await;
        assert_eq!(client.frame().await.content(), b"new");
    });
}

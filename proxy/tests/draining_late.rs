//! A proxy that stops, after half of its time: what is in flight goes on, and nothing new begins.

mod common;

use std::time::Duration;

use common::stopping::{GRACE, Stopping, ended};
use common::*;
use proxy::Drained;
use proxy::codec::Kind;
use proxy::codec::bolt::status;
use reactor::{JoinHandle, time};

/// A moment in which no further request is taken.
const LATE: Duration = Duration::from_secs(16);

async fn late(bed: &Stopping) -> JoinHandle<Drained> {
    let drained = bed.drain(GRACE);
    time::sleep(LATE).await;
    drained
}

fn binding() -> Stopping {
    Stopping::new(Setup { cluster: r#", "pool": "binding""#, ..Setup::default() })
}

#[test]
fn a_client_that_never_pauses_is_served_no_further_and_gets_what_it_is_owed() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(1, b"slow")).await;
        let mut host = bed.host.accept().await;
        let slow = host.frame().await;
        let drained = bed.drain(GRACE);
        time::sleep(GRACE / 4).await;
        client.send(&request(2, b"before")).await;
        let before = host.frame().await;
        assert_eq!(before.content(), b"before");
        time::sleep(GRACE / 2).await;
        client.send(&[request(3, b"after"), oneway(4, b"after")].concat()).await;
        host.answer(&slow).await;
        client.expect(1, 0).await;
        host.answer(&before).await;
        // What came too late does not cost it the answers before.
        client.expect(2, 0).await;
        ended(&mut client).await;
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
        host.closed().await;
        bed.is_over().await;
    });
}

#[test]
fn a_heartbeat_is_acknowledged_as_long_as_something_is_in_flight() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let mut client = bed.client().await;
        client.send(&request(1, b"slow")).await;
        let mut host = bed.host.accept().await;
        let slow = host.frame().await;
        let drained = late(&bed).await;
        for id in 10..13 {
            client.send(&heartbeat(id)).await;
            let ack = client.frame().await;
            assert_eq!((ack.frame.kind, ack.id()), (Kind::HeartbeatAck, id));
        }
        host.answer(&slow).await;
        client.expect(1, 0).await;
        ended(&mut client).await;
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
        bed.is_over().await;
    });
}

#[test]
fn a_client_that_leaves_is_noticed_while_something_is_in_flight() {
    run_paused(async {
        let bed = Stopping::new(Setup::default());
        let client = bed.client().await;
        client.send(&request(1, b"slow")).await;
        let mut host = bed.host.accept().await;
        host.frame().await;
        let (start, drained) = (time::now(), late(&bed).await);
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
        assert_eq!(time::now() - start, LATE);
    });
}

#[test]
fn a_hosts_call_is_answered_late_and_no_further_one_is_passed_on() {
    run_paused(async {
        let bed = binding();
        let mut client = bed.client().await;
        let mut host = bed.host.accept_after(&mut client).await;
        host.send(&request(77, b"call")).await;
        let call = client.frame().await;
        let drained = late(&bed).await;
        // A call keeps a client from being closed, and so does none that comes now.
        host.send(&[request(78, b"too late"), oneway(79, b"too late")].concat()).await;
        let refused = host.frame().await;
        assert_eq!((refused.id(), refused.frame.kind), (78, Kind::Response));
        assert_ne!(refused.frame.status, status::SUCCESS);
        client.answer(&call).await;
        host.expect(77, status::SUCCESS).await;
        ended(&mut client).await;
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
        let stats = bed.server.stats();
        assert_eq!((stats.host_calls, stats.host_calls_refused), (1, 2), "{stats}");
        bed.is_over().await;
    });
}

#[test]
fn a_host_that_never_stops_calling_does_not_keep_its_client() {
    run_paused(async {
        let bed = binding();
        let mut client = bed.client().await;
        let host = bed.host.accept_after(&mut client).await;
        let pause = Duration::from_millis(200);
        // As fast as the client answers, and always one ahead.
        host.send(&request(0, b"call")).await;
        until(|| bed.server.stats().host_calls == 1).await;
        let (start, drained) = (time::now(), bed.drain(GRACE));
        let calling = reactor::spawn(async move {
            for id in 1.. {
                if host.stream.write_all(&request(id, b"call")).await.is_err() {
                    return;
                }
                time::sleep(pause).await;
            }
        });
        while let Some(call) = client.next().await {
            time::sleep(pause).await;
            client.answer(&call).await;
        }
        assert!(time::now() - start < LATE, "{:?}", time::now() - start);
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
        calling.await.unwrap();
        bed.is_over().await;
    });
}

#[test]
fn requests_that_were_read_in_time_and_held_back_are_served_late() {
    run_paused(async {
        let limits = r#""in_flight_max": 1"#;
        let bed = Stopping::new(Setup { limits, ..Setup::default() });
        let mut client = bed.client().await;
        client.send(&[request(1, b"slow"), request(2, b"held back")].concat()).await;
        let mut host = bed.host.accept().await;
        let slow = host.frame().await;
        let drained = late(&bed).await;
        client.send(&request(3, b"too late")).await;
        host.answer(&slow).await;
        client.expect(1, 0).await;
        let held = host.frame().await;
        assert_eq!(held.content(), b"held back");
        time::sleep(Duration::from_secs(1)).await;
        client.send(&heartbeat(9)).await;
        host.answer(&held).await;
        client.expect(2, 0).await;
        ended(&mut client).await;
        drop(client);
        assert_eq!(drained.await.unwrap(), Drained::default());
        host.closed().await;
        bed.is_over().await;
    });
}

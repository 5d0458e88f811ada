//! A proxy of plain TCP that stops: nobody knows when a request of its peers is over.

mod common;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::bytes::{read, read_end};
use common::stopping::{GRACE, Stopping};
use common::*;
use proxy::{Drained, Server};
use reactor::time;

/// A proxy of plain TCP in front of one host.
fn tcp() -> Stopping {
    let host = Host::new();
    let server = tcp_to(host.address());
    Stopping { server, host }
}

fn tcp_to(host: SocketAddr) -> Rc<Server> {
    let text = format!(
        r#"{{"servers": [{{"listeners": [{{"address": "127.0.0.1:0", "filter_chains": [{{"filters":
             [{{"type": "tcp_proxy", "config": {{"cluster": "t"}}}}]}}]}}]}}],
           "cluster_manager": {{"clusters": [{{"name": "t", "hosts": [{{"address": "{}"}}]}}]}}}}"#,
        host
    );
    let config = proxy::Config::parse("tcp.json".as_ref(), &text).unwrap();
    Rc::new(Server::start(&config).unwrap())
}

#[test]
fn plain_tcp_whose_host_is_still_being_dialed_is_cut_as_well() {
    run_paused(async {
        let mute = Mute::new().await;
        let server = tcp_to(mute.address);
        let client = Peer::connect(server.addresses()[0]).await;
        until(|| server.stats().tcp_accepted == 1).await;
        let (start, grace) = (time::now(), Duration::from_millis(500));
        assert_eq!(server.drain(grace).await.cut, 1);
        assert_eq!(time::now() - start, grace);
        read_end(&client).await;
        all_empty(&server).await;
    });
}

#[test]
fn plain_tcp_goes_on_until_its_peers_end_it() {
    run_paused(async {
        let bed = tcp();
        let client = bed.client().await;
        let host = bed.host.accept().await;
        let (start, drained) = (time::now(), bed.drain(GRACE));
        time::sleep(GRACE - Duration::from_secs(1)).await;
        client.send(b"still here").await;
        assert_eq!(read(&host, 10).await, b"still here");
        drop((client, host));
        assert_eq!(drained.await.unwrap(), Drained::default());
        assert!(time::now() - start < GRACE);
        all_empty(&bed.server).await;
    });
}

#[test]
fn plain_tcp_that_does_not_end_is_cut_on_both_sides_and_its_bytes_are_counted() {
    run_paused(async {
        let bed = tcp();
        let client = bed.client().await;
        let host = bed.host.accept().await;
        client.send(b"question").await;
        assert_eq!(read(&host, 8).await, b"question");
        let start = time::now();
        assert_eq!(bed.drain(GRACE).await.unwrap().cut, 1);
        assert_eq!(time::now() - start, GRACE);
        read_end(&client).await;
        read_end(&host).await;
        assert_eq!(bed.server.stats().tcp_received_bytes, 8);
        all_empty(&bed.server).await;
    });
}

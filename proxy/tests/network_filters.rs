//! Network filters: a client's connection as they see it, and how they end it.

mod common;

use std::cell::RefCell;
use std::net::SocketAddr;

use common::*;
use proxy::Filters;
use proxy::filter::{NetworkFilter, NetworkFlow};

thread_local! {
    static SEEN: RefCell<Vec<(&'static str, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

/// Notes what it is shown, and stops at one kind of it.
struct Spy {
    stops_at: &'static str,
}

impl Spy {
    fn note(&self, what: &'static str, bytes: &[u8]) -> NetworkFlow {
        SEEN.with_borrow_mut(|seen| seen.push((what, bytes.to_vec())));
        if self.stops_at == what { NetworkFlow::Stop } else { NetworkFlow::Continue }
    }
}

impl NetworkFilter for Spy {
    fn on_new_connection(&mut self, client: SocketAddr) -> NetworkFlow {
        assert!(client.ip().is_loopback());
        self.note("new", b"")
    }

    fn on_data(&mut self, bytes: &[u8]) -> NetworkFlow {
        self.note("data", bytes)
    }

    fn on_write(&mut self, bytes: &[u8]) -> NetworkFlow {
        self.note("write", bytes)
    }
}

fn bed(protocol: &str, stops_at: &'static str) -> Bed {
    let mut filters = Filters::new();
    filters.add_network("spy", move |_| {
        Ok(move || Box::new(Spy { stops_at }) as Box<dyn NetworkFilter>)
    });
    let listener = r#", "network_filters": [{"type": "spy"}, {"type": "spy"}]"#;
    Bed::with(Setup { listener, protocol, ..Setup::default() }, &filters)
}

#[test]
fn a_filter_sees_the_connection_and_every_byte_of_it() {
    for protocol in ["bolt", "Auto"] {
        run(async {
            let bed = bed(protocol, "nothing");
            let mut client = bed.client().await;
            let sent = [request(1, b"x"), heartbeat(2)].concat();
            client.send(&sent).await;
            let mut host = bed.host.accept().await;
            let got = host.frame().await;
            host.answer(&got).await;
            let back = [client.frame().await.bytes, client.frame().await.bytes].concat();
            let seen = SEEN.take();
            assert_eq!(seen[..2], [("new", vec![]), ("new", vec![])]);
            let bytes = |what: &str| -> Vec<u8> {
                // Each of the two filters saw it; one of them counts.
                let all = seen.iter().filter(|(other, _)| *other == what).step_by(2);
                all.flat_map(|(_, bytes)| bytes.clone()).collect()
            };
            assert_eq!((bytes("data"), bytes("write")), (sent, back));
        });
    }
}

#[test]
fn a_filter_that_stops_ends_the_connection_and_nothing_goes_further() {
    for (stops_at, sent) in [("new", 0), ("data", 0), ("write", 1)] {
        for protocol in ["bolt", "Auto"] {
            run(async {
                let bed = bed(protocol, stops_at);
                let mut client = bed.client().await;
                client.send(&request(1, b"x")).await;
                if stops_at == "write" {
                    let mut host = bed.host.accept().await;
                    let got = host.frame().await;
                    host.answer(&got).await;
                }
                client.closed().await;
                assert_eq!(bed.server.stats().sent, sent);
                // The second filter was not asked about what the first one stopped.
                let asked = SEEN.take().iter().filter(|(what, _)| *what == stops_at).count();
                assert_eq!(asked, 1);
                all_empty(&bed.server).await;
            });
        }
    }
}

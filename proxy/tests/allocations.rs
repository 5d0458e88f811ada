//! A request allocates nothing on its way, once tables and buffers have found their size.

mod common;
#[path = "../../reactor/tests/counting/mod.rs"]
mod counting;

use std::cell::Cell;
use std::rc::Rc;

use common::{Bed, Peer, Setup, request_with, response, run};
use net::TcpStream;
use proxy::codec::bolt;
use proxy::codec::{Codec, Protocol};

const WARM_UP: u32 = 2_000;
const COUNTED: u32 = 2_000;

/// Routes by exact value, prefix, expression and weight, all of which every request is asked.
const MATCHING: &str = r#"{"headers": [
    {"name": "service", "prefix": "org."},
    {"name": "service", "value": "Basket$", "regex": true}]}"#;

async fn read_exact(stream: &TcpStream, mut into: &mut [u8]) {
    while !into.is_empty() {
        let bytes = stream.read(into).await.unwrap();
        assert_ne!(bytes, 0, "closed");
        into = &mut into[bytes..];
    }
}

#[test]
fn neither_the_protocol_nor_the_pool_nor_the_balancer_allocates() {
    let pools = ["multiplex", "ping_pong", "binding"];
    let policies = ["LB_ROUNDROBIN", "LB_LEAST_REQUEST", "LB_MAGLEV"];
    for (protocol, (pool, policy)) in Protocol::ALL.into_iter().zip(pools.into_iter().zip(policies))
    {
        run(async {
            let cluster = format!(r#", "pool": "{pool}", "lb_type": "{policy}""#);
            let setup = Setup { cluster: &cluster, protocol: protocol.name(), ..Setup::default() };
            let bed = Bed::new(setup);
            let request = common::wire::request(protocol, 7, b"some content");
            let allocations = steady(&bed, protocol, &request).await;
            assert_eq!(allocations, 0, "in {COUNTED} requests: {protocol:?}, {pool}, {policy}");
        });
    }
}

/// Asks with this request until tables and buffers have their sizes, and then counts.
async fn steady(bed: &Bed, protocol: Protocol, request: &[u8]) -> u64 {
    let client = bed.client().await.speaking(protocol);
    client.send(request).await;
    let mut host = bed.host.accept().await.speaking(protocol);
    let first = host.frame().await;
    let mut answer = common::wire::response(protocol, first.frame.origin.id, b"some content");
    host.send(&answer).await;
    read_exact(&client.stream, &mut answer).await;
    round_trips(&client, &host, WARM_UP, request, &mut answer).await;
    round_trips(&client, &host, COUNTED, request, &mut answer).await
}

/// Asks and answers so often, out of buffers that are there; how many allocations that took.
async fn round_trips(
    client: &Peer,
    host: &Peer,
    count: u32,
    request: &[u8],
    answer: &mut [u8],
) -> u64 {
    let mut asked = vec![0; request.len()];
    let mut answered = vec![0; answer.len()];
    let before = counting::allocations();
    for _ in 0..count {
        client.stream.write_all(request).await.unwrap();
        read_exact(&host.stream, &mut asked).await;
        let frame = common::wire::decode(host.protocol, &asked);
        host.protocol.set_id(answer, frame.origin.id);
        host.stream.write_all(answer).await.unwrap();
        read_exact(&client.stream, &mut answered).await;
    }
    counting::allocations() - before
}

/// Allocations in [`COUNTED`] requests through this proxy.
fn counted(setup: Setup<'static>) -> u64 {
    let counted = Rc::new(Cell::new(0));
    let result = Rc::clone(&counted);
    run(async move {
        let bed = Bed::new(setup);
        let client = bed.client().await;
        let mut header = Vec::new();
        bolt::push_header(b"service", b"org.example.Basket", &mut header);
        let request = request_with(7, 0, &header, b"some content");
        client.send(&request).await;
        let mut host = bed.host.accept().await;
        let first = host.frame().await;
        host.answer(&first).await;
        let mut answer = response(7, b"some content");
        read_exact(&client.stream, &mut answer).await;
        round_trips(&client, &host, WARM_UP, &request, &mut answer).await;
        result.set(round_trips(&client, &host, COUNTED, &request, &mut answer).await);
    });
    counted.get()
}

#[test]
fn a_request_allocates_nothing_in_the_steady_state() {
    let allocations = counted(Setup { matching: MATCHING, ..Setup::default() });
    assert_eq!(allocations, 0, "in {COUNTED} requests");
}

#[test]
fn a_request_that_may_be_tried_again_allocates_what_is_kept_of_it_and_no_names() {
    let route = r#", "retry_policy": {"retry_on": true, "num_retries": 1}"#;
    let allocations = counted(Setup { matching: MATCHING, route, ..Setup::default() });
    // Its journey, and its frame.
    assert_eq!(allocations, 2 * u64::from(COUNTED), "in {COUNTED} requests");
}

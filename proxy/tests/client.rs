//! The client against a server that the test plays.

mod common;

use common::*;
use proxy::Client;
use proxy::client::{Call, CallError, ONEWAY_BYTES_MAX};

#[test]
fn an_answer_that_came_before_the_close_is_given_to_its_caller() {
    run(async {
        let host = Host::new();
        let client = Client::connect(host.address()).await.unwrap();
        let mut peer = host.accept().await;
        let serving = reactor::spawn(async move {
            let got = peer.frame().await;
            peer.answer(&got).await;
            // Dropped here: the answer and the end of the stream are there together.
        });
        let answer = client.call(&Call::new(b"last")).await.unwrap();
        assert_eq!(answer.content(), b"last");
        serving.await.unwrap();
        match client.call(&Call::new(b"more")).await {
            Err(CallError::Closed(why)) => assert!(!why.is_empty()),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn oneways_that_the_server_does_not_read_are_refused_at_the_limit() {
    run(async {
        let host = Host::new();
        let client = Client::connect(host.address()).await.unwrap();
        let content = vec![7; 1 << 20];
        let refused = async {
            loop {
                match client.oneway(&Call::new(&content)) {
                    Ok(()) => reactor::yield_now().await,
                    Err(error) => return error,
                }
            }
        };
        match refused.await {
            CallError::NotReading { waiting_bytes } => {
                assert!(waiting_bytes > ONEWAY_BYTES_MAX);
                assert!(waiting_bytes < ONEWAY_BYTES_MAX + (2 << 20), "{waiting_bytes}");
            }
            other => panic!("{other:?}"),
        }
    });
}

//! The echo server on its own: what a client does must not stop the thread, or its own connection.

mod common;

use std::rc::Rc;

use common::*;
use proxy::EchoServer;
use proxy::codec::bolt;

const MIB: usize = 1 << 20;

#[test]
fn a_client_that_reads_late_does_not_stop_the_thread() {
    run(async {
        let server = EchoServer::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let slow = Rc::new(Peer::connect(server.address()).await);
        // More than all socket buffers on the way can hold.
        let flooding = flood(&slow, 30, MIB);
        let mut quick = Peer::connect(server.address()).await;
        for id in 0..300 {
            quick.send(&request(id, b"quick")).await;
            assert_eq!(quick.frame().await.content(), b"quick");
        }
        assert!(!flooding.is_finished(), "the flood was taken in whole");
        let answer = |id| {
            // The server repeats the class name too.
            let mut out = Vec::new();
            let (class, header, content) =
                (&b"com.example.Request"[..], &b""[..], &vec![id as u8; MIB]);
            bolt::Response { id, status: 0, class, header, content }.encode(&mut out).unwrap();
            out
        };
        take_back(slow, flooding, 30, answer).await;
        assert_eq!(server.answered(), 330);
    });
}

#[test]
fn a_client_whose_oneways_had_to_wait_is_served_afterwards() {
    run(async {
        let server = EchoServer::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = Peer::connect(server.address()).await;
        // The answer is longer than what may wait, so that what follows in the same read is held.
        let mut bytes = request(1, &vec![1; 2 * MIB]);
        for id in 2..3000 {
            bytes.extend_from_slice(&oneway(id, b"told"));
        }
        client.send(&bytes).await;
        assert_eq!(client.frame().await.content().len(), 2 * MIB);
        client.send(&request(9999, b"still there?")).await;
        assert_eq!(client.frame().await.content(), b"still there?");
    });
}

//! A proxy that may have few descriptors, and clients that would take them all.

mod common;

use common::process::{Serving, config};
use common::*;

const LIMIT: u32 = 64;
const CLIENTS: u32 = 70;

#[test]
fn however_many_clients_come_a_host_can_be_dialed_again() {
    run(async {
        let host = Host::new();
        let serving = Serving::with_descriptors("few", &config(host.address(), ""), LIMIT);
        let mut first = Peer::connect(serving.address).await;
        let mut peer = host.accept_after(&mut first).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(Peer::connect(serving.address).await);
        }
        let line = serving.until_it_says("refused");
        assert!(line.contains("raise ulimit -n"), "{line}");
        // The last one is, too: nobody has gone.
        clients.last_mut().unwrap().closed().await;
        for id in 1..10 {
            drop(peer);
            // A request that it gets before would go to the connection that has ended.
            serving.until_it_says("the peer closed the connection");
            first.send(&request(id, b"dial")).await;
            peer = host.accept().await;
            // What is free now is below, and goes to a client.
            clients.push(Peer::connect(serving.address).await);
            let got = peer.frame().await;
            peer.answer(&got).await;
            first.expect(id, 0).await;
        }
    });
}

#[test]
fn a_limit_that_is_too_low_for_the_configuration_is_named_at_the_start() {
    let host = "127.0.0.1:9".parse().unwrap();
    let mut command = std::process::Command::new("sh");
    let file = common::process::file("low.json");
    // An address that nobody can listen on: it ends by itself.
    let text = config(host, "").replacen("127.0.0.1:0", "192.0.2.1:1", 1);
    std::fs::write(&file, &text).unwrap();
    let script = "ulimit -n 100 && exec \"$0\" -c \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_proxy"), file.to_str().unwrap()]);
    let output = command.output().unwrap();
    std::fs::remove_file(file).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let (_, rest) = err.split_once("raise ulimit -n to ").unwrap_or_else(|| panic!("{err}"));
    let (needed, _) = rest.split_once(',').unwrap();
    let config = proxy::Config::parse("low.json".as_ref(), &text).unwrap();
    let needed: u64 = needed.parse().unwrap();
    assert!(err.contains("the limit is 100"), "{err}");
    assert_eq!(proxy::descriptors::shortage(&config, 1, needed), None);
    // 16,384 clients, one host, and what one thread and the process have, behind the most that is kept.
    assert_eq!(needed, 16_384 + 1 + 9 + 16 + 1024);
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let host = "127.0.0.1:9".parse().unwrap();
    let serving = Serving::with_descriptors("soft", &config(host, ""), 64);
    let limits = serving.limits();
    assert_eq!(limits, ("64".to_owned(), "64".to_owned()));
    let serving = Serving::with_soft_descriptors("soft", &config(host, ""), 64);
    let (soft, hard) = serving.limits();
    assert_eq!(soft, hard);
    assert_ne!(soft, "64");
}

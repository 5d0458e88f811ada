//! Hosts that say who they are, behind a cluster that a test configures.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use proxy::codec::bolt::status;
use proxy::{Config, Server};

use super::{Host, Peer, request, response};

/// A host that answers every request with the number it was made with.
pub fn numbered(number: u8) -> (SocketAddr, reactor::JoinHandle<()>) {
    let host = Host::new();
    let address = host.address();
    let task = reactor::spawn(async move {
        loop {
            let mut peer = host.accept().await;
            reactor::spawn(async move {
                while let Some(got) = peer.next().await {
                    peer.send(&response(got.id(), &[number])).await;
                }
            })
            .detach();
        }
    });
    (address, task)
}

/// Which host answers; `None`: none does.
pub async fn ask(client: &mut Peer, id: u32) -> Option<u8> {
    client.send(&request(id, b"who?")).await;
    let back = client.frame().await;
    assert_eq!(back.id(), id);
    (back.frame.status == status::SUCCESS).then(|| back.content()[0])
}

pub async fn count(client: &mut Peer, requests: u32) -> HashMap<u8, u32> {
    let mut answers = HashMap::new();
    for id in 0..requests {
        *answers.entry(ask(client, id).await.expect("an answer")).or_default() += 1;
    }
    answers
}

/// A proxy of one cluster with these keys, and of one route with these.
pub fn start(cluster: &str, route: &str) -> Server {
    let text = format!(
        r#"{{"servers": [{{
             "routers": [{{"router_config_name": "r", "virtual_hosts": [{{"domains": ["*"],
               "routers": [{{"match": {{}}, "route": {{"cluster_name": "c"{route}}}}}]}}]}}],
             "listeners": [{{"address": "127.0.0.1:0", "filter_chains": [{{"filters": [{{
               "type": "proxy",
               "config": {{"downstream_protocol": "bolt", "router_config_name": "r"}}}}]}}]}}]}}],
           "cluster_manager": {{"clusters": [{{"name": "c"{cluster}}}]}}}}"#
    );
    let config = Config::parse(Path::new("test.json"), &text).unwrap_or_else(|e| panic!("{e}"));
    Server::start(&config).unwrap()
}

//! Hosts that say who they are, behind a cluster that a test configures.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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

/// A list of hosts in a file, removed at the end.
pub struct List(pub PathBuf);

impl List {
    pub fn new(name: &str) -> List {
        List(std::env::temp_dir().join(format!("proxy-{}-{name}.json", std::process::id())))
    }

    /// Puts these hosts in it, at once: whoever reads it sees the old list or the new one.
    pub fn write(&self, hosts: &[SocketAddr]) {
        let hosts: Vec<String> =
            hosts.iter().map(|host| format!(r#"{{"address": "{host}"}}"#)).collect();
        self.write_text(&format!("[{}]", hosts.join(",")));
    }

    pub fn write_text(&self, text: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    /// The keys of a cluster that has its hosts from the file.
    pub fn keys(&self, interval: &str) -> String {
        let path = self.0.display();
        format!(r#", "hosts_file": "{path}", "hosts_file_interval": "{interval}""#)
    }

    pub fn start(&self) -> Server {
        self.start_with("", "")
    }

    pub fn start_with(&self, cluster: &str, route: &str) -> Server {
        start(&(self.keys("10ms") + cluster), route)
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

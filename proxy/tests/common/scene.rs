//! One client, one proxy, one host, in any protocol.

use super::{Bed, Got, Peer, Setup, all_empty, wire};
use proxy::codec::{Codec, Kind, Protocol};

/// A proxy for this protocol in front of one host, and a client of it.
pub struct Scene {
    pub bed: Bed,
    pub protocol: Protocol,
    pub client: Peer,
}

impl Scene {
    pub async fn new(protocol: Protocol, setup: Setup<'_>) -> Scene {
        let bed = Bed::new(Setup { protocol: protocol.name(), ..setup });
        let client = bed.client().await.speaking(protocol);
        Scene { bed, protocol, client }
    }

    pub async fn plain(protocol: Protocol) -> Scene {
        Scene::new(protocol, Setup::default()).await
    }

    pub async fn host(&self) -> Peer {
        self.bed.host.accept().await.speaking(self.protocol)
    }

    pub async fn ask(&self, id: u64, content: &[u8]) {
        self.client.send(&wire::request(self.protocol, id, content)).await;
    }

    pub async fn answer(&self, host: &Peer, to: &Got, content: &[u8]) {
        host.send(&wire::response(self.protocol, to.frame.origin.id, content)).await;
    }

    /// The id and the status of the next answer.
    pub async fn status(&mut self) -> (u64, i32) {
        let got = self.client.frame().await;
        assert_eq!(got.frame.kind, Kind::Response);
        (got.frame.origin.id, wire::status(self.protocol, &got.frame, &got.bytes))
    }

    /// The content of the next answer.
    pub async fn heard(&mut self) -> Vec<u8> {
        let got = self.client.frame().await;
        self.content(&got)
    }

    pub fn content(&self, got: &Got) -> Vec<u8> {
        wire::content(self.protocol, &got.frame, &got.bytes)
    }

    pub async fn end(self) {
        drop(self.client);
        all_empty(&self.bed.server).await;
    }
}

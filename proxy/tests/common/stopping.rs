//! A proxy that is stopped while a test goes on.

use std::rc::Rc;
use std::time::Duration;

use proxy::{Drained, Server};
use reactor::JoinHandle;

use super::{Bed, Host, Peer, Setup, all_empty};

pub const GRACE: Duration = Duration::from_secs(30);
/// Clients of Bolt are told to go.
pub const TOLD: &str = r#", "extend_config": {"enable_bolt_goaway": true}"#;

/// A bed whose proxy can be drained by a task of its own.
pub struct Stopping {
    pub server: Rc<Server>,
    pub host: Host,
}

impl Stopping {
    pub fn new(setup: Setup<'_>) -> Stopping {
        let Bed { server, host } = Bed::new(setup);
        Stopping { server: Rc::new(server), host }
    }

    pub async fn client(&self) -> Peer {
        Peer::connect(self.server.addresses()[0]).await
    }

    pub fn drain(&self, grace: Duration) -> JoinHandle<Drained> {
        let server = Rc::clone(&self.server);
        reactor::spawn(async move { server.drain(grace).await })
    }

    /// Nobody is counted any more, upstream connections included.
    pub async fn is_over(&self) {
        all_empty(&self.server).await;
        assert_eq!(self.server.stats().upstream_connections, 0);
    }
}

pub async fn refused(server: &Server) {
    let error = net::TcpStream::connect(server.addresses()[0]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// The end, and not a reset.
pub async fn ended(peer: &mut Peer) {
    assert_eq!(peer.stream.read(&mut [0; 8]).await.unwrap(), 0);
}

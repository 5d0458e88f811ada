//! This project.

use mux::{Config, Session, Stream};
use net::TcpStream;

use crate::load::Multiplexer;

pub(crate) struct Ours {
    session: Session,
}

impl Multiplexer for Ours {
    const NAME: &str = "mux";
    type Stream = Stream;

    fn start(near: TcpStream, far: TcpStream, serve: impl Fn(Stream) + 'static) -> Self {
        let config = Config { inbound_streams_max: 4096, ..Config::default() };
        let (session, driver) = Session::client(near, config.clone());
        reactor::spawn(driver).detach();
        let (accepter, driver) = Session::server(far, config);
        reactor::spawn(driver).detach();
        reactor::spawn(async move {
            while let Ok(stream) = accepter.accept().await {
                serve(stream);
            }
        })
        .detach();
        Self { session }
    }

    async fn open(&self) -> Stream {
        self.session.open().await.expect("a stream")
    }
}

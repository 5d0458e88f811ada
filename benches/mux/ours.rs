//! This project.

use std::time::Duration;

use bytes::Bytes;
use mux::{Config, Session, Stream};
use net::TcpStream;

use crate::load::{self, Multiplexer};

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

/// As [`load::bulk`], by `write_bytes` and `read_bytes`, which do not copy.
pub(crate) fn bulk_of_chunks(streams: usize, write_bytes: usize, bytes: usize) -> Duration {
    let chunk = Bytes::from(vec![0xA5; write_bytes]);
    let serve = |stream| reactor::spawn(discard(stream)).detach();
    let fill = move |stream| fill(stream, chunk.clone(), bytes / streams);
    load::bulk_by::<Ours, _>(streams, serve, fill)
}

async fn discard(stream: Stream) {
    while stream.read_bytes().await.expect("a read").is_some() {}
    stream.write_bytes(Bytes::from_static(b".")).await.expect("a write");
    stream.shutdown().expect("a close");
}

async fn fill(stream: Stream, chunk: Bytes, bytes: usize) {
    let mut left = bytes;
    while left > 0 {
        let part = chunk.slice(..chunk.len().min(left));
        left -= part.len();
        stream.write_bytes(part).await.expect("a write");
    }
    stream.shutdown().expect("a close");
    stream.read_bytes().await.expect("an answer");
}

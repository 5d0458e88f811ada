//! An echo server on `net` as one writes it first: a task and a buffer for each connection, `read` and
//! `write_all`.
//!
//! ```sh
//! cargo run --release -p benches --example echo_plain -- 127.0.0.1:0
//! ```
//!
//! `examples/echo.rs` is the manner that keeps no buffer for an idle connection.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use net::{TcpListener, TcpStream};

const READ_BYTES_MAX: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).and_then(|word| word.parse().ok());
    reactor::block_on(serve(address.expect("usage: echo_plain IP:PORT")))?
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        reactor::spawn(echo(stream)).detach();
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    // Not zeroed: a page of it counts as memory only once it was read into.
    let mut buffer = BytesMut::with_capacity(READ_BYTES_MAX);
    while stream.read_into(&mut buffer).await? > 0 {
        stream.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

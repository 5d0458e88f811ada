//! An echo server on monoio with its epoll driver; io_uring is not compiled in.
//!
//! ```sh
//! cargo run --release -p benches --example echo_monoio -- 127.0.0.1:0
//! ```
//!
//! Each task has a buffer for as long as it lives: monoio's `read` takes it by value.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{LegacyDriver, RuntimeBuilder};

const READ_BYTES_MAX: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).expect("usage: echo_monoio IP:PORT");
    RuntimeBuilder::<LegacyDriver>::new().build()?.block_on(serve(address))
}

async fn serve(address: String) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        monoio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    // Not zeroed: a page of it counts as memory only once it was read into.
    let mut buffer = Vec::with_capacity(READ_BYTES_MAX);
    loop {
        let (length, filled) = stream.read(buffer).await;
        if length? == 0 {
            return Ok(());
        }
        let (sent, emptied) = stream.write_all(filled).await;
        sent?;
        buffer = emptied;
        buffer.clear();
    }
}

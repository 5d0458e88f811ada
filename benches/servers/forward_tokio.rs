//! A TCP forwarder on tokio's current_thread runtime, with `tokio::io::copy_bidirectional`.
//!
//! ```sh
//! cargo run --release -p benches --example forward_tokio -- 127.0.0.1:0 127.0.0.1:7000
//! ```
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let mut addresses = std::env::args().skip(1).map_while(|text| text.parse().ok());
    let (Some(here), Some(there)) = (addresses.next(), addresses.next()) else {
        panic!("usage: forward_tokio IP:PORT IP:PORT");
    };
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(here, there))
}

async fn serve(here: SocketAddr, there: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(here).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (downstream, _peer) = listener.accept().await?;
        tokio::spawn(forward(downstream, there));
    }
}

async fn forward(mut downstream: TcpStream, there: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(there).await?;
    downstream.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await?;
    Ok(())
}

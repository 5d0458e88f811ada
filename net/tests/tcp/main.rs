//! Behaviours of TCP sockets, with real ones. Most are those of Go's own tests: `docs/sockets-tests.md`
//! says which. Every test is also one of leaks: see [`run`].

mod accepting;
mod adopting;
mod closing;
mod connecting;
mod copying;
mod copying_idle;
mod deadlines;
mod dialer;
mod dialing;
mod ending;
mod errors;
mod files;
mod listening;
mod options;
mod reading_into;
mod serving;
mod splitting;
#[path = "../support/mod.rs"]
mod support;
mod transfer;
mod vectored;

use std::io;
use std::net::SocketAddr;

use net::{Stream, StreamNetwork, TcpListener, TcpStream};

use support::*;

/// Two ends of a connection: the one that connected, and the one that was accepted.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    pair_on(v4()).await
}

async fn pair_on(addr: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(addr)?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    Ok((near, far))
}

/// A connection with buffers so small that a few hundred kilobytes fill it.
async fn narrow_pair() -> io::Result<(TcpStream, TcpStream)> {
    narrow_pair_on(v4()).await
}

async fn narrow_pair_on(addr: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let narrow = TcpListener::builder().recv_buffer_bytes(16 << 10).send_buffer_bytes(16 << 10);
    let listener = narrow.bind(addr)?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    near.set_send_buffer_bytes(16 << 10)?;
    near.set_recv_buffer_bytes(16 << 10)?;
    let (far, _) = listener.accept().await?;
    Ok((near, far))
}

/// Writes until there is no room; returns how much went in.
fn fill(stream: &TcpStream) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        match stream.try_write(&[7; 64 << 10]) {
            Ok(n) => filled += n,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(filled),
            Err(err) => return Err(err),
        }
    }
}

/// Reads to the end of the stream.
async fn read_to_end(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buf = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

/// Reads exactly `buf.len()` bytes.
async fn read_exact<N: StreamNetwork>(stream: &Stream<N>, buf: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match stream.read(&mut buf[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    Ok(())
}

//! Behaviours of UDP sockets, with real ones. Most are those of Go's own tests.

mod batches;
mod closing;
mod deadlines;
mod errors;
mod info;
mod multicast;
mod options;
mod segments;
#[path = "../support/mod.rs"]
mod support;
mod transfer;

use std::io;
use std::net::SocketAddr;

use net::UdpSocket;

use support::*;

/// Two sockets, each connected to the other.
fn pair_on(addr: SocketAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    let near = UdpSocket::bind(addr)?;
    let far = UdpSocket::bind(addr)?;
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    Ok((near, far))
}

fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
    pair_on(v4())
}

/// A socket connected to a port where nobody is.
fn connected_to_nobody(addr: SocketAddr) -> io::Result<UdpSocket> {
    let gone = UdpSocket::bind(addr)?;
    let socket = UdpSocket::builder().connect(gone.local_addr()?)?;
    gone.close();
    Ok(socket)
}

//! Plain TCP: bytes both ways between a client and one host, whatever they mean.

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll, ready};

use net::TcpStream;
use reactor::time;

use crate::balance;
use crate::buffers::Buffers;
use crate::cluster::Cluster;
use crate::limits::READS_PER_TURN_MAX;
use crate::worker::Worker;

/// Connects a client to a host of the cluster and copies until both have closed their sides. `first`
/// was read from the client before.
///
/// # Errors
/// No host can be reached, or one of the two connections failed.
pub(crate) async fn run(
    worker: &Worker,
    cluster: &Cluster,
    client: TcpStream,
    first: Vec<u8>,
) -> io::Result<()> {
    worker.stats.tcp_accepted.up();
    let no_upstream = |_: &io::Error| worker.stats.tcp_no_upstream.up();
    let full = || io::Error::other(format!("cluster `{}` has too many", cluster.name()));
    let connections = &cluster.breakers().connections;
    let _seat = connections.seat().ok_or_else(full).inspect_err(no_upstream)?;
    let key = client.peer_addr().map_or(0, key);
    let host = dial(cluster, key).await.inspect_err(no_upstream)?;
    copy_both_ways(&client, &host, first, &worker.buffers).await
}

/// Tries every host once, the next in turn first; those that failed lately only if there is no
/// other.
async fn dial(cluster: &Cluster, key: u64) -> io::Result<TcpStream> {
    let mut error = io::Error::other(format!("cluster `{}` has no hosts", cluster.name()));
    let hosts = cluster.hosts_in_turn(key);
    let (resting, fresh): (Vec<_>, Vec<_>) =
        hosts.into_iter().partition(|host| host.is_resting(time::now()));
    for host in fresh.into_iter().chain(resting) {
        let connect = TcpStream::connect(host.address);
        match time::timeout(host.shared.config.connect_timeout, connect)
            .await
            .map_err(io::Error::from)
            .flatten()
        {
            Ok(stream) => {
                host.connected();
                host.proved();
                return Ok(stream);
            }
            Err(failure) => {
                host.failed(time::now());
                log::warn!("upstream {}: cannot connect: {failure}", host.address);
                error = failure;
            }
        }
    }
    Err(error)
}

/// What a consistent hash goes by: the client's address, without its port.
pub(crate) fn key(peer: SocketAddr) -> u64 {
    balance::hash(peer.ip().to_canonical().to_string().as_bytes())
}

/// Copies until both have closed their sides; `first` goes to `host` before anything else. A side
/// that is closed is passed on as such, while the other goes on.
///
/// # Errors
/// One of them failed: both are to be closed.
async fn copy_both_ways(
    client: &TcpStream,
    host: &TcpStream,
    first: Vec<u8>,
    buffers: &Buffers,
) -> io::Result<()> {
    let mut out = Pipe { held: first, ..Pipe::default() };
    let mut back = Pipe::default();
    poll_fn(|cx| {
        let out = out.poll(cx, client, host, buffers)?;
        let back = back.poll(cx, host, client, buffers)?;
        if out.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction. It reads only when all that it read before is written: what it holds is at most
/// one read, and a reader that is slow stops the sender.
#[derive(Default)]
struct Pipe {
    held: Vec<u8>,
    written_bytes: usize,
    read_all: bool,
    done: bool,
}

impl Pipe {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        for _ in 0..READS_PER_TURN_MAX {
            if self.done {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_write_held(cx, to))?;
            if self.read_all {
                // The peer may have gone altogether: then the other direction says so.
                let _ = to.shutdown(Shutdown::Write);
                self.done = true;
            } else {
                ready!(self.poll_pass_on(cx, from, to, buffers))?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write_held(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        while self.written_bytes < self.held.len() {
            self.written_bytes += ready!(to.poll_write(cx, &self.held[self.written_bytes..]))?;
        }
        self.held = Vec::new();
        self.written_bytes = 0;
        Poll::Ready(Ok(()))
    }

    /// One read, and as much of it written as the socket takes; the rest is held.
    fn poll_pass_on(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        let mut scratch = buffers.take_scratch();
        let step = match from.poll_read(cx, scratch.read_area()) {
            Poll::Ready(Ok(bytes)) => {
                Poll::Ready(self.offer(cx, to, &scratch.read_area()[..bytes]))
            }
            other => other.map_ok(drop),
        };
        buffers.put_scratch(scratch);
        step
    }

    fn offer(&mut self, cx: &mut Context<'_>, to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            self.read_all = true;
            return Ok(());
        }
        let written_bytes = match to.poll_write(cx, bytes) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        self.held = bytes[written_bytes..].to_vec();
        Ok(())
    }
}

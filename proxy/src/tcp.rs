//! Plain TCP: bytes both ways between a client and one host, whatever they mean.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use net::{CopyError, TcpStream, copy_bidirectional};
use reactor::time;

use crate::balance;
use crate::cluster::Cluster;
use crate::conn::CloseReason;
use crate::descriptors::is_exhausted;
use crate::drain::Stage;
use crate::limits::{IDLE_LOOKS, TCP_DIALS_MAX};
use crate::worker::Worker;

/// Connects a client to a host of the cluster and passes bytes on, inside the kernel, until both have
/// closed their sides. A side that is closed is passed on as such, while the other goes on. `first` was
/// read from the client before.
///
/// # Errors
/// No host can be reached, one of the two connections failed, the proxy stops and its time is over, or
/// nothing moved for `idle_timeout`: then the kind is `TimedOut`.
pub(crate) async fn run(
    worker: &Worker,
    cluster: &Cluster,
    client: TcpStream,
    first: Vec<u8>,
    idle_timeout: Duration,
) -> io::Result<()> {
    let stats = &worker.stats;
    stats.tcp_accepted.up();
    let no_upstream = |_: &io::Error| stats.tcp_no_upstream.up();
    let full = || io::Error::other(format!("cluster `{}` has too many", cluster.name()));
    let connections = &cluster.breakers().connections;
    let _seat = connections.seat().ok_or_else(full).inspect_err(no_upstream)?;
    let key = client.peer_addr().map_or(0, key);
    let dial = pin!(dial(cluster, key));
    let Some(host) = select(dial, pin!(reset(&client))).await else {
        return Err(io::ErrorKind::ConnectionReset.into());
    };
    let host = host.inspect_err(no_upstream)?;
    let passing = pin!(pass(&client, &host, first));
    let idle = pin!(idle(&client, &host, idle_timeout));
    let passed = pin!(select(passing, idle));
    let came = || (came_bytes(&client), came_bytes(&host));
    let ((received, sent), ended) = match worker.drain.unless(Stage::Cut, passed).await {
        Some(Some(passed)) => passed,
        Some(None) => {
            stats.downstream_idle.up();
            let error = format!("idle for {idle_timeout:?}");
            (came(), Err(io::Error::new(io::ErrorKind::TimedOut, error)))
        }
        None => (came(), Err(io::Error::other(CloseReason::Cut.to_string()))),
    };
    stats.tcp_received_bytes.add(received as usize);
    stats.tcp_sent_bytes.add(sent as usize);
    ended
}

/// How many bytes were passed on from the client, and from the host, and how it ended.
type Passed = ((u64, u64), io::Result<()>);

async fn pass(client: &TcpStream, host: &TcpStream, first: Vec<u8>) -> Passed {
    if let Err(error) = host.write_all(&first).await {
        return ((0, 0), Err(error));
    }
    let first_bytes = first.len() as u64;
    // The rest may go on for days.
    drop(first);
    let (copied, ended) = match copy_bidirectional(client, host).await {
        Ok(copied) => (copied, Ok(())),
        Err(CopyError { copied, source }) => (copied, Err(source)),
    };
    ((first_bytes + copied.0, copied.1), ended)
}

/// The first to its end; `None` when that is the second.
async fn select<T>(
    mut first: Pin<&mut impl Future<Output = T>>,
    mut second: Pin<&mut impl Future<Output = ()>>,
) -> Option<T> {
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => second.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Tries hosts, each once, the next in turn first; those that failed lately only if there is no other.
/// All tries together take at most twice the time that one may: a host that is silent leaves as much for
/// the next.
async fn dial(cluster: &Cluster, key: u64) -> io::Result<TcpStream> {
    let mut error = io::Error::other(format!("cluster `{}` has no hosts", cluster.name()));
    let hosts = cluster.hosts_in_turn(key);
    let (resting, fresh): (Vec<_>, Vec<_>) =
        hosts.into_iter().partition(|host| host.is_resting(time::now()));
    let limit = cluster.connect_timeout();
    let end = time::now() + 2 * limit;
    for host in fresh.into_iter().chain(resting).take(TCP_DIALS_MAX) {
        let left = end.saturating_duration_since(time::now());
        if left.is_zero() {
            break;
        }
        let connect = TcpStream::connect(host.address);
        match time::timeout(limit.min(left), connect).await.map_err(io::Error::from).flatten() {
            Ok(stream) => {
                host.connected();
                host.proved();
                return Ok(stream);
            }
            Err(failure) => {
                log::warn!("upstream {}: cannot connect: {failure}", host.address);
                if is_exhausted(&failure) {
                    return Err(failure);
                }
                host.failed(time::now());
                error = failure;
            }
        }
    }
    Err(error)
}

/// Resolves when the client has reset its connection before it sent anything. One that has sent bytes, or
/// closed its own half, may still wait for an answer: there it never does.
async fn reset(client: &TcpStream) {
    if client.peek(&mut [0]).await.is_ok() {
        std::future::pending().await
    }
}

/// What a consistent hash goes by: the client's address, without its port.
pub(crate) fn key(peer: SocketAddr) -> u64 {
    balance::hash(peer.ip().to_canonical().to_string().as_bytes())
}

/// Resolves when no byte has come from, or has been taken by, either of the two for so long; zero is for
/// ever. The kernel counts the bytes: what copies them is not asked.
async fn idle(client: &TcpStream, host: &TcpStream, timeout: Duration) {
    if timeout.is_zero() {
        return std::future::pending().await;
    }
    let moved = || moved_bytes(client) + moved_bytes(host);
    let (mut before, mut looks) = (moved(), 0);
    while looks < IDLE_LOOKS {
        time::sleep(timeout / IDLE_LOOKS).await;
        let now = moved();
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
    }
}

/// Bytes that came from the peer or reached it. A connection that is gone moves none.
fn moved_bytes(stream: &TcpStream) -> u64 {
    stream.info().map_or(0, |info| info.received_bytes + info.acked_bytes)
}

/// Bytes that came from the peer; a half that it has closed counts as one.
fn came_bytes(stream: &TcpStream) -> u64 {
    stream.info().map_or(0, |info| info.received_bytes)
}

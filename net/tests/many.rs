//! Ten thousand connections at once, and twenty thousand one after another.

#[path = "support/leaks.rs"]
mod leaks;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command};
use std::time::Duration;

use leaks::leaving_nothing_open;
use net::{TcpListener, TcpStream};
use reactor::time::timeout;
use reactor::{JoinSet, metrics, spawn, yield_now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const HUNG_AFTER: Duration = Duration::from_secs(120);

/// Connections open at once, where the system allows so many descriptors.
const AT_ONCE: usize = 10_000;

/// Connects under way at once: fewer than the listener's backlog.
const DIALS_MAX: usize = 128;

/// Connections opened and closed, more than half of the local ports there are.
const CHURN: usize = 20_000;

/// Tells a process of this test that it is the clients, and whom to connect to.
const CLIENTS_OF: &str = "NET_TEST_CLIENTS_OF";
const CLIENTS: &str = "NET_TEST_CLIENTS";

/// As many connections as [`AT_ONCE`], or as the system lets a process have.
fn connections_allowed() -> usize {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).unwrap();
    let allowed = hard.map_or(AT_ONCE, |hard| (hard as usize).saturating_sub(100).min(AT_ONCE));
    if allowed < AT_ONCE {
        eprintln!("!!! {allowed} connections instead of {AT_ONCE}: RLIMIT_NOFILE is {hard:?}");
    }
    allowed
}

async fn echo_until_end(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

async fn ping(stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut buf = [0; 8];
    assert_eq!(stream.read(&mut buf).await?, 4);
    Ok(())
}

/// The clients: all connections are open before the first is closed, and each is used twice.
async fn clients(addr: SocketAddr, count: usize) -> io::Result<()> {
    let mut streams = Vec::with_capacity(count);
    let mut dials = JoinSet::new();
    let mut left = count;
    while streams.len() < count {
        while left > 0 && dials.len() < DIALS_MAX {
            left -= 1;
            dials.spawn(async move {
                let stream = TcpStream::connect(addr).await?;
                ping(&stream).await?;
                Ok::<_, io::Error>(stream)
            });
        }
        streams.extend(dials.join_next().await.map(Result::unwrap).transpose()?);
    }
    for stream in &streams {
        ping(stream).await?;
    }
    Ok(())
}

/// Serves the clients until they are gone; returns how many were open at once.
async fn serve(listener: TcpListener, count: usize) -> io::Result<usize> {
    let mut echoes = JoinSet::new();
    let mut incoming = listener.incoming();
    for _ in 0..count {
        let (stream, _) = incoming.next().await?;
        echoes.spawn(echo_until_end(stream));
    }
    let open = echoes.len();
    while let Some(echoed) = echoes.join_next().await {
        echoed.unwrap()?;
    }
    Ok(open)
}

fn start_clients(addr: SocketAddr, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ten_thousand_connections_at_once", "--nocapture"])
        .env(CLIENTS_OF, addr.to_string())
        .env(CLIENTS, count.to_string())
        .spawn()
        .unwrap()
}

/// The clients have a process of their own: together the two ends would be 20,000 descriptors.
#[test]
fn ten_thousand_connections_at_once() {
    let count = connections_allowed();
    if let Ok(addr) = std::env::var(CLIENTS_OF) {
        let count = std::env::var(CLIENTS).unwrap().parse().unwrap();
        let clients = async { timeout(HUNG_AFTER, clients(addr.parse().unwrap(), count)).await };
        reactor::block_on(clients).unwrap().expect("the clients hang").unwrap();
        return;
    }
    leaving_nothing_open(|| {
        let served = reactor::block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
            let mut clients = start_clients(listener.local_addr()?, count);
            let served = timeout(HUNG_AFTER, serve(listener, count)).await;
            assert!(clients.wait()?.success(), "the clients say why");
            assert_eq!(metrics().descriptors, 0);
            served.expect("the server hangs")
        });
        assert_eq!(served.unwrap().unwrap(), count);
    });
}

/// Closed by a reset, no connection lingers in `TIME_WAIT` and keeps its port.
async fn churn(addr: SocketAddr, rounds: usize) -> io::Result<()> {
    for _ in 0..rounds {
        let stream = TcpStream::connect(addr).await?;
        ping(&stream).await?;
        stream.reset()?;
    }
    Ok(())
}

#[test]
fn twenty_thousand_connections_one_after_another() {
    const TASKS: usize = 16;
    leaving_nothing_open(|| {
        let outcome = reactor::block_on(timeout(HUNG_AFTER, async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
            let addr = listener.local_addr()?;
            let server = spawn(async move {
                let mut incoming = listener.incoming();
                while let Ok((stream, _)) = incoming.next().await {
                    spawn(async move { drop(echo_until_end(stream).await) }).detach();
                }
            });
            let tasks: Vec<_> = (0..TASKS).map(|_| spawn(churn(addr, CHURN / TASKS))).collect();
            for task in tasks {
                task.await.unwrap()?;
            }
            server.abort();
            assert!(server.await.unwrap_err().is_cancelled());
            while metrics().tasks > 0 {
                yield_now().await;
            }
            assert_eq!((metrics().descriptors, metrics().timers), (0, 1), "the time-out's timer");
            Ok::<_, io::Error>(())
        }));
        outcome.unwrap().expect("the churn hangs").unwrap();
    });
}

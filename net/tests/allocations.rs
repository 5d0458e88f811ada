//! Reads, writes and datagrams allocate nothing, one by one or in batches, once everything has found
//! its size (Go: `TestAllocs`).
//! Counted for each thread, so that tests do not disturb each other.

#[path = "../../reactor/tests/counting/mod.rs"]
mod counting;
#[path = "support/leaks.rs"]
mod leaks;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use leaks::leaving_nothing_open;
use net::{
    Outgoing, RecvBatch, SendBatch, TcpListener, TcpStream, UdpSocket, UnixAddr, UnixDatagram,
    UnixStream,
};
use reactor::spawn;
use reactor::time::timeout;

/// Enough to use up the budget of operations of one poll, too, for which the runtime keeps a list.
const WARM_UP: usize = 500;
const COUNTED: usize = 500;

fn run<T>(test: impl Future<Output = T>) -> T {
    leaving_nothing_open(|| reactor::block_on(test).unwrap())
}

/// Runs `round` until everything has found its size, and then counts.
fn assert_allocates_nothing(round: impl AsyncFn(&mut State) -> io::Result<()>) {
    let allocated = run(async {
        let mut state = State::new()?;
        // Registers the socket, which a round does only when it happens to wait.
        let nothing_there = timeout(Duration::from_millis(1), state.far.recv(&mut [0; 8])).await;
        assert!(nothing_there.is_err());
        for _ in 0..WARM_UP {
            round(&mut state).await?;
        }
        let before = counting::allocations();
        for _ in 0..COUNTED {
            round(&mut state).await?;
        }
        Ok::<_, io::Error>(counting::allocations() - before)
    });
    assert_eq!(allocated.unwrap(), 0);
}

struct State {
    near: UdpSocket,
    far: UdpSocket,
    far_addr: SocketAddr,
    out: SendBatch,
    batch: RecvBatch,
}

impl State {
    fn new() -> io::Result<Self> {
        let any = "127.0.0.1:0".parse().unwrap();
        let far = UdpSocket::builder().packet_info(true).recv_tos(true).gro(true).bind(any)?;
        let far_addr = far.local_addr()?;
        let near = UdpSocket::builder().connect(far_addr)?;
        let (out, batch) = (SendBatch::new(16, 16 << 10), RecvBatch::new(16, 2048));
        Ok(Self { near, far, far_addr, out, batch })
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

/// Both ends park and are woken in every round.
#[test]
fn reads_and_writes_allocate_nothing() {
    let allocated = run(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
        let near = TcpStream::connect(listener.local_addr()?).await?;
        spawn(echo(listener.accept().await?.0)).detach();
        let mut before = 0;
        for round in 0..WARM_UP + COUNTED {
            if round == WARM_UP {
                before = counting::allocations();
            }
            near.write_all(b"ping").await?;
            assert_eq!(near.read(&mut [0; 64]).await?, 4);
        }
        Ok::<_, io::Error>(counting::allocations() - before)
    });
    assert_eq!(allocated.unwrap(), 0);
}

#[test]
fn datagrams_allocate_nothing() {
    assert_allocates_nothing(async |state| {
        let mut buf = [0; 64];
        let how = Outgoing {
            tos: Some(4),
            from: Some([127, 0, 0, 1].into()),
            ..Outgoing::to(state.far_addr)
        };
        state.near.send(b"one").await?;
        state.near.send_to(b"two", state.far_addr).await?;
        state.near.send_msg(b"three", &how).await?;
        state.far.recv(&mut buf).await?;
        state.far.recv_from(&mut buf).await?;
        let info = state.far.recv_msg(&mut buf).await?;
        assert_eq!(info.tos, Some(4));
        Ok(())
    });
}

#[test]
fn batches_allocate_nothing() {
    assert_allocates_nothing(async |state| {
        let segments = Outgoing { segment_bytes: Some(100), ..Outgoing::to(state.far_addr) };
        for _ in 0..8 {
            state.out.push(&[7; 90], &Outgoing::default()).unwrap();
        }
        state.out.push(&[7; 1000], &segments).unwrap();
        state.near.send_batch(&mut state.out).await?;
        let mut bytes = 0;
        while bytes < 8 * 90 + 1000 {
            state.far.recv_batch(&mut state.batch).await?;
            bytes += state.batch.iter().flat_map(|d| d.segments()).map(<[u8]>::len).sum::<usize>();
        }
        Ok(())
    });
}

#[test]
fn unix_sockets_allocate_nothing() {
    let allocated = run(async {
        let far = UnixDatagram::builder().bind_addr(&UnixAddr::unnamed())?;
        let near = UnixDatagram::builder().bind_addr(&UnixAddr::unnamed())?;
        let (near_stream, far_stream) = UnixStream::pair()?;
        let mut before = 0;
        let mut buf = [0; 64];
        for round in 0..WARM_UP + COUNTED {
            if round == WARM_UP {
                before = counting::allocations();
            }
            near.send_to(b"datagram", far.local_addr()?).await?;
            let received = far.recv_from(&mut buf).await?;
            far.send_to(b"answer", received.from).await?;
            near.recv(&mut buf).await?;
            near_stream.write_all(b"bytes").await?;
            far_stream.read(&mut buf).await?;
        }
        Ok::<_, io::Error>(counting::allocations() - before)
    });
    assert_eq!(allocated.unwrap(), 0);
}

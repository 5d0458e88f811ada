//! An echo server on a Unix socket, and its client.
//!
//! ```sh
//! cargo run --release --example echo_unix -- /tmp/echo.sock
//! cargo run --release --example echo_unix -- /tmp/echo.sock --send 100000
//! ```
//!
//! A path that begins with `@` is a name in the abstract namespace. What a server that was killed
//! left behind is no obstacle, and on Ctrl-C the path is removed. Try it with
//! `socat - UNIX-CONNECT:/tmp/echo.sock`, too.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use examples::{Arguments, Usage};
use net::{UnixAddr, UnixListener, UnixStream};
use reactor::{SignalKind, signal};

const READ_BYTES_MAX: usize = 16 * 1024;
const MESSAGE_BYTES: usize = 64;
const SEND_MAX: usize = 1_000_000_000;
/// How long to pause after a failed accept: with no descriptors left, trying at once would only
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const USAGE: Usage = Usage {
    text: "\
An echo server on a Unix socket, or its client.

usage: echo_unix PATH [--send N]

  PATH       where to listen, for example /tmp/echo.sock; @NAME is an abstract name
  --send N   be the client: send N messages there, one after the other",
    options: &["--send"],
};

fn main() -> ExitCode {
    env_logger::init();
    let arguments = Arguments::of_process(&USAGE);
    let address = arguments.unix_address().unwrap_or_else(|error| USAGE.refuse(&error));
    let count =
        arguments.number("--send", 0, SEND_MAX).unwrap_or_else(|error| USAGE.refuse(&error));
    let run = async {
        match count {
            0 => serve(address).await,
            count => ask(address, count).await,
        }
    };
    examples::exit_code(reactor::block_on(run).flatten())
}

async fn serve(address: UnixAddr) -> io::Result<()> {
    let builder = UnixListener::builder().take_over_stale(true);
    let listener = Rc::new(builder.bind_addr(&address)?);
    for kind in [SignalKind::INTERRUPT, SignalKind::TERMINATE] {
        let (mut signal, listener) = (signal(kind)?, Rc::clone(&listener));
        reactor::spawn(async move {
            if signal.recv().await.is_ok() {
                listener.close();
            }
        })
        .detach();
    }
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => reactor::spawn(welcome(stream)).detach(),
            Err(error) if reactor::is_closed(&error) => return Ok(()),
            Err(error) => {
                log::warn!("{error}");
                reactor::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn welcome(stream: UnixStream) {
    let peer = stream.peer_credentials().map_or(0, |peer| peer.pid);
    if let Err(error) = echo(&stream).await {
        log::info!("process {peer}: {error}");
    }
}

/// Echoes until the peer has said everything.
async fn echo(stream: &UnixStream) -> io::Result<()> {
    let mut buf = vec![0; READ_BYTES_MAX];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            length => stream.write_all(&buf[..length]).await?,
        }
    }
}

async fn ask(address: UnixAddr, count: usize) -> io::Result<()> {
    let stream = UnixStream::connect_addr(&address).await?;
    let begun = Instant::now();
    for number in 0..count {
        let sent = [number as u8; MESSAGE_BYTES];
        stream.write_all(&sent).await?;
        let mut received = [0; MESSAGE_BYTES];
        read_exact(&stream, &mut received).await?;
        if received != sent {
            return Err(io::Error::other(format!("message {number} came back as another")));
        }
    }
    println!("{count} messages, {:.0} a second", count as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

async fn read_exact(stream: &UnixStream, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match stream.read(buf).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => buf = &mut buf[length..],
        }
    }
    Ok(())
}

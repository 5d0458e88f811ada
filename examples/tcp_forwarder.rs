//! A TCP forwarder on one thread: every connection goes on to one host.
//!
//! ```sh
//! cargo run --release --example tcp_forwarder -- 127.0.0.1:7001 --to 127.0.0.1:7000
//! ```
//!
//! It prints the address it listens on (port 0 takes any free one) and runs until it is stopped. With
//! `RUST_LOG=info` it says of each connection how much went each way.
//!
//! What comes in large pieces stays in the kernel: splice(2) moves it from socket to pipe to socket. A
//! connection that nobody says anything on has no pipe and no buffer. The end of one side's stream is passed on
//! and the other way stays open; a connection that failed is reset on both sides, since an orderly
//! end would tell the peer that what it got was everything.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use examples::{Arguments, Usage};
use net::{CopyError, Dialer, TcpListener, TcpStream};

/// How long it may take to reach the other side, with all its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const USAGE: Usage = Usage {
    text: "\
A TCP forwarder on one thread.

usage: tcp_forwarder ADDRESS --to HOST:PORT

  ADDRESS          where to listen, for example 127.0.0.1:7001 (port 0: any free port)
  --to HOST:PORT   where every connection goes on to; the host is a name or an address",
    options: &["--to"],
};

fn main() -> ExitCode {
    env_logger::init();
    let (listen, to) = addresses().unwrap_or_else(|error| USAGE.refuse(&error));
    examples::exit_code(reactor::block_on(serve(listen, to.into())).flatten())
}

fn addresses() -> Result<(SocketAddr, String), String> {
    let arguments = Arguments::of_process(&USAGE);
    let to = arguments.value("--to")?.ok_or("--to is missing")?;
    Ok((arguments.address()?, to))
}

async fn serve(listen: SocketAddr, to: Rc<str>) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    println!("listening on {}", listener.local_addr()?);
    let mut incoming = listener.incoming();
    loop {
        let (stream, peer) = incoming.next().await?;
        let to = Rc::clone(&to);
        reactor::spawn(async move {
            match forward(stream, &to).await {
                Ok((there, back)) => log::info!("{peer}: {there} bytes there, {back} back"),
                Err(error) => log::info!("{peer}: {error}"),
            }
        })
        .detach();
    }
}

async fn forward(inner: TcpStream, to: &str) -> io::Result<(u64, u64)> {
    let outer = match Dialer::new().timeout(CONNECT_TIMEOUT).dial(to).await {
        Ok(outer) => outer,
        Err(error) => return reset_all([&inner], error),
    };
    match net::copy_bidirectional(&inner, &outer).await {
        Ok(copied) => Ok(copied),
        Err(CopyError { source, .. }) => reset_all([&inner, &outer], source),
    }
}

/// Makes the close of these streams, which is near, a reset. The error is the one that was given.
fn reset_all<'a, T>(
    streams: impl IntoIterator<Item = &'a TcpStream>,
    error: io::Error,
) -> io::Result<T> {
    for stream in streams {
        if let Err(error) = stream.set_linger(Some(Duration::ZERO)) {
            log::debug!("{error}");
        }
    }
    Err(error)
}

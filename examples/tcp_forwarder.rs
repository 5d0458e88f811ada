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
//! and the other way stays open; a connection that failed, or on which nothing has moved for `--idle-s`,
//! is reset on both sides, since an orderly end would tell the peer that what it got was everything.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use examples::{Arguments, Usage};
use net::{Dialer, TcpListener, TcpStream};

/// How long it may take to reach the other side, with all its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_S_MAX: usize = 30 * 24 * 3600;

const USAGE: Usage = Usage {
    text: "\
A TCP forwarder on one thread.

usage: tcp_forwarder ADDRESS --to HOST:PORT [--idle-s N]

  ADDRESS          where to listen, for example 127.0.0.1:7001 (port 0: any free port)
  --to HOST:PORT   where every connection goes on to; the host is a name or an address
  --idle-s N       a connection on which nothing moves for so many seconds is reset (default: none is)",
    options: &["--to", "--idle-s"],
};

struct Settings {
    listen: SocketAddr,
    to: String,
    idle: Option<Duration>,
}

fn main() -> ExitCode {
    env_logger::init();
    let settings = settings().unwrap_or_else(|error| USAGE.refuse(&error));
    examples::exit_code(reactor::block_on(serve(settings.into())).flatten())
}

fn settings() -> Result<Settings, String> {
    let arguments = Arguments::of_process(&USAGE);
    let idle = match arguments.number("--idle-s", 0, IDLE_S_MAX)? {
        0 => None,
        seconds => Some(Duration::from_secs(seconds as u64)),
    };
    let to = arguments.value("--to")?.ok_or("--to is missing")?;
    Ok(Settings { listen: arguments.address()?, to, idle })
}

async fn serve(settings: Rc<Settings>) -> io::Result<()> {
    let listener = TcpListener::bind(settings.listen)?;
    println!("listening on {}", listener.local_addr()?);
    let mut incoming = listener.incoming();
    loop {
        let (stream, peer) = incoming.next().await?;
        let settings = Rc::clone(&settings);
        reactor::spawn(async move {
            match forward(stream, &settings).await {
                Ok((there, back)) => log::info!("{peer}: {there} bytes there, {back} back"),
                Err(error) => log::info!("{peer}: {error}"),
            }
        })
        .detach();
    }
}

async fn forward(inner: TcpStream, settings: &Settings) -> io::Result<(u64, u64)> {
    let outer = match Dialer::new().timeout(CONNECT_TIMEOUT).dial(&settings.to).await {
        Ok(outer) => outer,
        Err(error) => {
            reset(inner);
            return Err(error);
        }
    };
    let passed = match settings.idle {
        None => net::copy_bidirectional(&inner, &outer).await,
        Some(idle) => net::copy_bidirectional_idle(&inner, &outer, idle).await,
    };
    if passed.is_err() {
        reset(inner);
        reset(outer);
    }
    Ok(passed?)
}

/// The error that led here is the one to report.
fn reset(stream: TcpStream) {
    if let Err(error) = stream.reset() {
        log::debug!("{error}");
    }
}

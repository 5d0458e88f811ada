//! A TCP echo server with one reactor for each processor.
//!
//! ```sh
//! cargo run --release --example multicore_echo -- 127.0.0.1:7000
//! cargo run --release --example multicore_echo -- 127.0.0.1:7000 --workers 4
//! ```
//!
//! It prints the address it listens on (port 0 takes any free one) and runs until it is stopped.
//!
//! The workers share nothing: each has its own runtime, pinned to its processor, and its own listener
//! on the one port (`SO_REUSEPORT`), among which the kernel divides the connections by a hash of
//! their addresses. That is fair for many connections and a matter of luck for a few.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use examples::{Arguments, Usage};
use net::{TcpListener, TcpStream};
use reactor::Workers;

const WORKERS_MAX: usize = 1024;

const USAGE: Usage = Usage {
    text: "\
A TCP echo server with one reactor for each processor.

usage: multicore_echo ADDRESS [--workers N]

  ADDRESS       where to listen, for example 127.0.0.1:7000 (port 0: any free port)
  --workers N   how many reactors, from 1 to 1024 (default: one for each processor)",
    options: &["--workers"],
};

fn main() -> ExitCode {
    env_logger::init();
    let (address, workers) = settings().unwrap_or_else(|error| USAGE.refuse(&error));
    examples::exit_code(serve(address, workers))
}

fn settings() -> Result<(SocketAddr, usize), String> {
    let arguments = Arguments::of_process(&USAGE);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok((arguments.address()?, arguments.number("--workers", processors, WORKERS_MAX)?))
}

fn serve(address: SocketAddr, workers: usize) -> io::Result<()> {
    let address = reactor::block_on(async { port_of(address) })??;
    let listening = AtomicUsize::new(0);
    let ended = Workers::new(workers).pin(true).run(async |index| {
        let listener = TcpListener::builder().reuse_port(true).bind(address)?;
        // The last of them says it: from then on nobody is refused.
        if listening.fetch_add(1, Relaxed) + 1 == workers {
            println!("listening on {address}");
        }
        work(index, listener).await
    });
    ended.map(drop).map_err(io::Error::other)
}

/// The address with a port that all can listen on. For port 0 that is one which was free a moment
/// ago: a listener that only held it would be given connections too.
fn port_of(address: SocketAddr) -> io::Result<SocketAddr> {
    TcpListener::builder().reuse_port(true).bind(address)?.local_addr()
}

async fn work(index: usize, listener: TcpListener) -> io::Result<()> {
    let mut incoming = listener.incoming();
    loop {
        let (stream, peer) = incoming.next().await?;
        log::debug!("worker {index}: {peer}");
        reactor::spawn(async move {
            if let Err(error) = echo(stream).await {
                log::info!("{peer}: {error}");
            }
        })
        .detach();
    }
}

/// What a connection keeps while it is idle is this buffer; `echo.rs` shows how to keep none.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

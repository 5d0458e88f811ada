//! An echo over yamux: a server, and a client that checks every byte.
//!
//! ```sh
//! cargo run --release --example mux_echo -- 127.0.0.1:7000
//! cargo run --release --example mux_echo -- 127.0.0.1:7000 --streams 100 --count 1000
//! ```
//!
//! With `--streams` it is the client: that many streams through one connection, each of which sends a
//! message and waits until it is back before it sends the next. Without it is the server, which prints
//! the address it listens on and runs until it is stopped.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use examples::{Arguments, Histogram, Pattern, Usage};
use futures_util::future::try_join;
use mux::{Config, Error, Session, Stream};
use net::{TcpListener, TcpStream};

const STREAMS_MAX: usize = 1000;
const SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
const COUNT_MAX: usize = 1_000_000_000;
/// How long to pause after a failed accept: with no descriptors left, trying at once would only
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What the system holds of a connection that is not on its way yet: see docs/mux-writer.md.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

const USAGE: Usage = Usage {
    text: "\
An echo over yamux.

usage: mux_echo ADDRESS                          the server
       mux_echo ADDRESS --streams N [options]    the client

  ADDRESS        where to listen, or the server, for example 127.0.0.1:7000
  --streams N    streams at once, through one connection
  --size BYTES   bytes in a message (64)
  --count N      messages on each stream (1000)",
    options: &["--streams", "--size", "--count"],
};

/// What the client is asked for.
#[derive(Clone, Copy)]
struct Plan {
    streams: usize,
    size_bytes: usize,
    count: usize,
}

/// `None` for the server.
fn plan(arguments: &Arguments) -> Result<Option<Plan>, String> {
    let plan = Plan {
        streams: arguments.number("--streams", 1, STREAMS_MAX)?,
        size_bytes: arguments.number("--size", 64, SIZE_BYTES_MAX)?,
        count: arguments.number("--count", 1000, COUNT_MAX)?,
    };
    Ok(arguments.value::<usize>("--streams")?.map(|_| plan))
}

fn main() -> ExitCode {
    env_logger::init();
    let arguments = Arguments::of_process(&USAGE);
    let address = arguments.address().unwrap_or_else(|error| USAGE.refuse(&error));
    let ended = match plan(&arguments).unwrap_or_else(|error| USAGE.refuse(&error)) {
        None => reactor::block_on(serve(address)),
        Some(plan) => reactor::block_on(ask(address, plan)),
    };
    examples::exit_code(ended.flatten())
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((io, peer)) => {
                if let Err(error) = io.set_notsent_lowat_bytes(UNSENT_BYTES_MAX) {
                    log::warn!("{peer}: TCP_NOTSENT_LOWAT: {error}");
                }
                let (session, driver) = Session::server(io, Config::default());
                reactor::spawn(serve_session(session)).detach();
                reactor::spawn(async move {
                    if let Err(error) = driver.await {
                        log::info!("{peer}: {error}");
                    }
                })
                .detach();
            }
            Err(error) => {
                log::warn!("accept: {error}");
                reactor::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_session(session: Session) {
    while let Ok(stream) = session.accept().await {
        reactor::spawn(async move {
            if let Err(error) = echo(&stream).await {
                log::info!("stream {}: {error}", stream.id());
            }
        })
        .detach();
    }
}

/// Sends back what comes, and holds no more than one chunk of it: what the client does not take, it
/// cannot send either.
async fn echo(stream: &Stream) -> Result<(), Error> {
    while let Some(chunk) = stream.read_bytes().await? {
        stream.write_bytes(chunk).await?;
    }
    stream.shutdown()
}

async fn ask(address: SocketAddr, plan: Plan) -> io::Result<()> {
    let io = TcpStream::connect(address).await?;
    io.set_notsent_lowat_bytes(UNSENT_BYTES_MAX)?;
    let (session, driver) = Session::client(io, Config::default());
    let driver = reactor::spawn(driver);
    let pattern = Rc::new(Pattern::new());
    let latencies = Rc::new(RefCell::new(Histogram::new()));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for index in 0..plan.streams {
        let stream = session.open().await?;
        let (pattern, latencies) = (Rc::clone(&pattern), Rc::clone(&latencies));
        tasks.push(reactor::spawn(async move {
            exchange(&stream, plan, &pattern, index as u64 * 31, &latencies).await
        }));
    }
    for task in tasks {
        task.await??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let messages = plan.streams * plan.count;
    println!("{} streams, {} bytes a message", plan.streams, plan.size_bytes);
    println!("{messages} messages in {seconds:.2} s, every byte checked");
    println!("messages/s  {:.0}", messages as f64 / seconds);
    println!("{}", examples::latency_line(&latencies.borrow()));
    session.close().await?;
    Ok(driver.await??)
}

/// Message after message. Each is written and read at the same time: it may be larger than the
/// window.
async fn exchange(
    stream: &Stream,
    plan: Plan,
    pattern: &Pattern,
    offset: u64,
    latencies: &RefCell<Histogram>,
) -> io::Result<()> {
    for message in 0..plan.count {
        let position = offset + (message * plan.size_bytes) as u64;
        let start = Instant::now();
        let there = async {
            for chunk in pattern.chunks(position, plan.size_bytes) {
                stream.write_bytes(Bytes::copy_from_slice(chunk)).await?;
            }
            Ok(())
        };
        try_join(there, check(stream, pattern, position, plan.size_bytes)).await?;
        latencies.borrow_mut().record(start.elapsed());
    }
    Ok(stream.shutdown()?)
}

async fn check(stream: &Stream, pattern: &Pattern, from: u64, length: usize) -> io::Result<()> {
    let (mut position, end) = (from, from + length as u64);
    while position < end {
        let Some(bytes) = stream.read_bytes().await? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if !pattern.matches(position, &bytes) {
            let text = format!("stream {}: wrong bytes from {position} on", stream.id());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        position += bytes.len() as u64;
    }
    Ok(())
}

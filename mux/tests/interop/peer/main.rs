//! This project's side of the interop checks: over TCP, it serves the streams that another
//! implementation opens, or opens streams that the other one serves. `run` starts both.
//!
//! ```text
//! interop_peer serve client|server                       prints "listening on ADDRESS"
//! interop_peer check client|server ADDRESS hashicorp|libp2p
//! ```
//!
//! Who listens and who is the yamux client are two questions. A stream begins with a byte that names
//! what its accepter is to do, and a number of eight bytes; see `serve.rs`.
#![allow(clippy::print_stdout)] // a program talks to its caller
#![forbid(unsafe_code)]

mod check;
mod ends;
mod pattern;
mod pressure;
mod serve;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use mux::{Config, Driver, Session};
use net::TcpStream;

/// Streams that wait to be accepted, here and in the other programs; the next one is refused.
const BACKLOG: usize = 64;

/// The window of a stream, here and in the other programs.
const WINDOW_BYTES: u32 = 1 << 20;

/// Which implementation is on the other side: not all of them can do everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Hashicorp,
    Libp2p,
}

/// Short times and windows above the default, so that everything there is takes part.
fn config() -> Config {
    Config {
        window_bytes: WINDOW_BYTES,
        accept_backlog_max: BACKLOG,
        unacked_opens_max: 1024,
        // Sooner than theirs: any frame of theirs is a sign of life.
        keepalive: Some(Duration::from_millis(100)),
        ..Config::default()
    }
}

fn session(role: &str, io: TcpStream) -> (Session, Driver<TcpStream>) {
    match role {
        "client" => Session::client(io, config()),
        _ => Session::server(io, config()),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words[..] {
        ["serve", role @ ("client" | "server")] => reactor::block_on(serve::serve(role)),
        ["check", role @ ("client" | "server"), address, peer @ ("hashicorp" | "libp2p")] => {
            let peer = if peer == "hashicorp" { Peer::Hashicorp } else { Peer::Libp2p };
            let address: SocketAddr = address.parse().expect("an address of the form IP:PORT");
            reactor::block_on(check::check(role, address, peer))
        }
        _ => {
            eprintln!("usage: interop_peer serve ROLE | check ROLE ADDRESS PEER");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(err)) | Err(err) => {
            eprintln!("error: {err}");
            ExitCode::FAILURE
        }
    }
}

//! A Bolt server that answers every request with its own content: something to put behind the proxy.
//!
//! ```sh
//! cargo run --release --example bolt_echo_server -- 127.0.0.1:12200
//! cargo run --release --example bolt_echo_server -- 127.0.0.1:12201
//! cargo run --release -p proxy -- -c examples/configs/one_hop.json
//! cargo run --release --example bolt_call -- 127.0.0.1:2045
//! ```
//!
//! Each in a terminal of its own: the configuration names two hosts, and calls fail while one of them is
//! not there.
//!
//! It prints the address it listens on (port 0 takes any free one) and runs until it is stopped. It
//! speaks both versions of Bolt, acknowledges heartbeats and answers in the frame's own version.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use examples::{Arguments, Usage};
use proxy::EchoServer;

const USAGE: Usage = Usage {
    text: "\
A Bolt server that answers every request with its own content.

usage: bolt_echo_server ADDRESS

  ADDRESS   where to listen, for example 127.0.0.1:12200 (port 0: any free port)",
    options: &[],
};

fn main() -> ExitCode {
    env_logger::init();
    let address = Arguments::of_process(&USAGE).address().unwrap_or_else(|e| USAGE.refuse(&e));
    examples::exit_code(reactor::block_on(serve(address)).flatten())
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let server = EchoServer::start(address)?;
    println!("listening on {}", server.address());
    // Until the process is ended from outside.
    std::future::pending().await
}

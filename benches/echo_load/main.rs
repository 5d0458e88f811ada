//! Load for the echo servers that `echo_table` compares, driven from its standard input.
//!
//! ```sh
//! echo 'slice 100000' | cargo run --release -p benches --example echo_load -- 127.0.0.1:7000
//! ```
//!
//! It opens all connections, says `ready`, and then does what each line asks for:
//!
//! | line | what happens | answer |
//! |---|---|---|
//! | `slice MICROSECONDS` | messages for so long, then what is under way comes back | how many came back |
//! | `count N` | N messages | N |
//! | `latency` | forgets the latencies it tells | p50, p99 and p99.9 in nanoseconds |
//!
//! A connection keeps `--depth` messages in flight and sends the next when one has come back whole.
//! Every byte that comes back is compared with what was sent. With `--churn` each message has a
//! connection of its own: connect, send, receive, close. It stands on mio alone, so that no runtime
//! that is measured is part of the measure.
#![allow(clippy::print_stdout)] // its answers

mod churn;
mod connection;
mod goal;
mod steady;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use examples::Histogram;

use crate::churn::Churn;
use crate::goal::Goal;
use crate::steady::Steady;

#[derive(Parser)]
struct Options {
    /// The server, for example 127.0.0.1:7000
    address: SocketAddr,
    /// How many connections are open at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Bytes in a message
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// A connection for each message
    #[arg(long)]
    churn: bool,
}

/// What makes messages until a goal is reached.
trait Traffic {
    fn run(&mut self, goal: Goal) -> io::Result<u64>;
    fn latencies(&mut self) -> &mut Histogram;
}

fn main() -> ExitCode {
    examples::exit_code(run(&Options::parse()))
}

fn run(options: &Options) -> io::Result<()> {
    let mut traffic: Box<dyn Traffic> = if options.churn {
        Box::new(Churn::new(options.address, options.connections, options.size)?)
    } else {
        let Options { address, connections, size, depth, .. } = *options;
        Box::new(Steady::connect(address, connections, size, depth)?)
    };
    println!("ready");
    for line in io::stdin().lines() {
        println!("{}", answer(&line?, traffic.as_mut())?);
    }
    Ok(())
}

fn answer(line: &str, traffic: &mut dyn Traffic) -> io::Result<String> {
    let (verb, number) = line.split_once(' ').unwrap_or((line, ""));
    let number = number.parse().ok();
    match (verb, number) {
        ("slice", Some(us)) => Ok(traffic.run(Goal::time(Duration::from_micros(us)))?.to_string()),
        ("count", Some(count)) => Ok(traffic.run(Goal::count(count))?.to_string()),
        ("latency", None) => Ok(quantiles(&std::mem::take(traffic.latencies()))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("cannot do {line:?}"))),
    }
}

fn quantiles(latencies: &Histogram) -> String {
    let ns = |q| latencies.quantile(q).unwrap_or_default().as_nanos();
    format!("{} {} {}", ns(0.5), ns(0.99), ns(0.999))
}

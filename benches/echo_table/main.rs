//! Echo servers side by side: what does a message cost with each of them? Prints markdown tables.
//!
//! ```sh
//! cargo run --release -p benches --example echo_table              # everything, about half an hour
//! cargo run --release -p benches --example echo_table -- costs     # instructions and system calls
//! cargo run --release -p benches --example echo_table -- quick     # does every server answer?
//! cargo run --release -p benches --example echo_table -- ratios --connections 10000 --sizes 64
//! ```
//!
//! | part | what it measures | module |
//! |---|---|---|
//! | `ratios` | CPU time of the server per message and latency, as ratios to the C loop | `ratios` |
//! | `churn` | CPU time of the server per connection that says one message | `ratios` |
//! | `forward` | CPU time of a forwarder per message, as a ratio to tokio's | `ratios` |
//! | `costs` | user instructions and system calls per message (valgrind, strace) | `costs` |
//! | `memory` | user memory of an idle connection | `memory` |
//! | `quick` | nothing: every server answers, in a few seconds | `quick` |
//!
//! It builds what it runs. A server whose compiler is absent is left out, and it says so.
#![allow(clippy::print_stdout)] // a program talks to its user

mod costs;
mod lab;
mod memory;
mod programs;
mod quick;
mod ratios;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::lab::Lab;
use crate::programs::Program;

#[derive(Parser)]
#[command(about = "Echo servers side by side")]
struct Options {
    /// What to measure; everything but `quick` when nothing is named
    parts: Vec<Part>,
    /// Only these servers, by the names of their columns
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many connections
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1024])]
    connections: Vec<usize>,
    /// Bytes in a message
    #[arg(long, value_delimiter = ',', default_values_t = [64, 4096, 65536])]
    sizes: Vec<usize>,
    /// Messages in flight on each connection
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    depths: Vec<usize>,
    /// How many pairs of neighbouring slices a ratio is the median of
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// How long a slice is
    #[arg(long, default_value_t = 100)]
    slice_ms: u64,
    /// How many connections are idle for `memory`
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// The processor of the server
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// The processor of the load, and of the server behind a forwarder
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Ratios,
    Churn,
    Forward,
    Costs,
    Memory,
    Quick,
}

const EVERYTHING: [Part; 5] = [Part::Costs, Part::Memory, Part::Ratios, Part::Churn, Part::Forward];

fn main() -> ExitCode {
    let mut options = Options::parse();
    if cfg!(debug_assertions) {
        eprintln!("error: a debug build measures nothing; run it with --release");
        return ExitCode::from(2);
    }
    if options.parts.is_empty() {
        options.parts = EVERYTHING.to_vec();
    }
    examples::exit_code(run(&options))
}

fn run(options: &Options) -> io::Result<()> {
    benches::process::raise_open_files()?;
    let bin = programs::directory()?;
    let lab = Lab::new(bin.clone(), options.server_cpu, options.load_cpu);
    let programs = programs::build(&bin, &options.only)?;
    for part in &options.parts {
        run_part(*part, options, &lab, &programs)?;
    }
    Ok(())
}

fn run_part(part: Part, options: &Options, lab: &Lab, programs: &[Program]) -> io::Result<()> {
    let plan =
        ratios::Plan { pairs: options.pairs, slice: Duration::from_millis(options.slice_ms) };
    let forwarders = || programs::forwarders(lab.bin());
    match part {
        Part::Ratios => {
            let shapes = ratios::shapes(&options.depths, &options.connections, &options.sizes);
            ratios::echo(lab, programs, &shapes, &plan)
        }
        Part::Churn => ratios::churn(lab, programs, &plan),
        Part::Forward => ratios::forward(lab, &programs[0], &forwarders(), &plan),
        Part::Costs => costs::measure(lab, programs),
        Part::Memory => memory::measure(lab, programs, options.idle),
        Part::Quick => quick::run(lab, programs, &forwarders()),
    }
}

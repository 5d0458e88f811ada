//! What do many streams through one connection cost, beside other yamuxes and beside plain TCP?
//!
//! ```sh
//! cargo bench -p benches --bench mux                 # the whole table, some minutes
//! cargo bench -p benches --bench mux -- --quick      # one round of each, to see that it works
//! cargo bench -p benches --bench mux -- opens fair   # these parts: bulk opens beside fair memory
//! cargo bench -p benches --bench mux -- 100x16384    # of bulk, the row of 100 streams and such writes
//! cargo bench -p benches --bench mux -- bulk --congestion=bbr   # instead of reno
//! cargo bench -p benches --bench mux -- bulk --congestion=bbr --unsent=131072   # with TCP_NOTSENT_LOWAT
//! ```
//!
//! Both ends of a connection over TCP loopback live in one thread, so the CPU time of the thread is that
//! of sender and receiver, and no idle core hides a difference. hashicorp/yamux does the same in a
//! process of its own, if Go and Debian's package are there. The implementations take turns in slices,
//! and a ratio is the median of those of neighbouring slices: a machine that changes its speed changes
//! it for all of them.
//!
//! `mux chunks` is ours by `write_bytes` and `read_bytes`, which do not copy. Neither does plain TCP: the
//! caller's buffers are the kernel's next hop. So that is what multiplexing itself costs; `mux` beside it
//! is what the calls of `AsyncRead` and `AsyncWrite` cost, which all others are measured by.
//!
//! All do the same work: every write is of one buffer, which all streams share, and every read is into one buffer of 64 KiB,
//! which they share too (but in Go, where a reader that waits has its own). What plain TCP does is told in `tcp.rs`, and why the
//! congestion control is reno in `load.rs`.
#![allow(clippy::print_stdout)] // a benchmark prints its results

mod cpu;
mod hashicorp;
mod load;
mod ours;
mod rust_yamux;
mod tcp;

use std::process::Command;
use std::time::Duration;

use hashicorp::Hashicorp;
use load::Multiplexer;
use ours::Ours;
use rust_yamux::RustYamux;

/// Streams and bytes of one write of the bulk transfers.
const STREAMS: [usize; 3] = [1, 100, 1000];
const WRITES: [usize; 3] = [1 << 10, 16 << 10, 1 << 20];

/// Bytes of one slice: a tenth of a second or so.
const SLICE_BYTES: usize = 128 << 20;

/// What there is beside the bulk transfers.
const PARTS: [(&str, Part); 4] = [
    ("opens", Table::opens),
    ("beside", Table::beside_load),
    ("fair", Table::fairness),
    ("memory", Table::memory),
];

fn main() {
    if let Some(name) = std::env::args().skip_while(|word| word != "--memory").nth(1) {
        let memory =
            if name == Ours::NAME { load::memory::<Ours> } else { load::memory::<RustYamux> };
        return println!("{}", memory());
    }
    // `cargo bench` passes options of its own.
    let (options, chosen): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    for option in &options {
        match option.split_once('=') {
            Some(("--congestion", name)) => load::choose_congestion(name),
            Some(("--unsent", bytes)) => load::limit_unsent(bytes.parse().expect("bytes")),
            _ => {}
        }
    }
    let quick = options.iter().any(|word| word == "--quick");
    let (rounds, scale) = if quick { (1, 8) } else { (11, 1) };
    let table = Table { rounds, scale, chosen };
    table.check();
    let mut go = Hashicorp::build();
    if go.is_none() {
        println!("!!! without hashicorp/yamux: Go or its package is not installed");
    }
    table.bulk(go.as_mut());
    for (name, part) in PARTS {
        if table.is_chosen(name) {
            part(&table, go.as_mut());
        }
    }
}

/// What prints a part of the table.
type Part = fn(&Table, Option<&mut Hashicorp>);

struct Table {
    rounds: usize,
    /// By how much everything is smaller than in a full run.
    scale: usize,
    /// Parts, and rows of the first; all of them if empty.
    chosen: Vec<String>,
}

impl Table {
    fn is_chosen(&self, name: &str) -> bool {
        self.chosen.is_empty() || self.chosen.iter().any(|word| word == name)
    }

    /// Ends the program at a word that means nothing.
    fn check(&self) {
        let parts = PARTS.iter().map(|(name, _)| name.to_string());
        let known: Vec<_> = parts.chain(["bulk".into()]).chain(rows().map(row_name)).collect();
        if let Some(word) = self.chosen.iter().find(|word| !known.contains(word)) {
            eprintln!("there is no part {word:?}; there are: {}", known.join(" "));
            std::process::exit(2);
        }
    }

    fn bulk(&self, mut go: Option<&mut Hashicorp>) {
        let is_chosen = |row: &_| self.is_chosen("bulk") || self.is_chosen(&row_name(*row));
        let rows: Vec<_> = rows().filter(is_chosen).collect();
        if !rows.is_empty() {
            let congestion = load::congestion();
            println!("\nMB per CPU-second, both ends, {congestion}; beside it the ratio to ours");
        }
        for (streams, write_bytes) in rows {
            // Every stream writes at least once.
            let bytes = (SLICE_BYTES / self.scale).max(streams * write_bytes);
            let mega = |cpu: Duration| bytes as f64 / 1e6 / cpu.as_secs_f64();
            let mut columns = names(go.is_some());
            for _ in 0..self.rounds {
                let cells = [
                    Some(load::bulk::<Ours>(streams, write_bytes, bytes)),
                    Some(ours::bulk_of_chunks(streams, write_bytes, bytes)),
                    Some(load::bulk::<RustYamux>(streams, write_bytes, bytes)),
                    Some(tcp::bulk(write_bytes, bytes)),
                    go.as_mut().map(|go| go.bulk(streams, write_bytes, bytes)),
                ];
                note(&mut columns, cells.map(|cell| cell.map(mega)));
            }
            print_row(&format!("{streams} x {write_bytes} B"), &columns);
        }
    }

    fn opens(&self, mut go: Option<&mut Hashicorp>) {
        println!("\nopen + 64 B echo + close, thousands per CPU-second, 100 at a time");
        let count = 20_000 / self.scale;
        let thousands = |cpu: Duration| count as f64 / 1e3 / cpu.as_secs_f64();
        let mut columns = names(go.is_some());
        for _ in 0..self.rounds {
            let cells = [
                Some(load::opens::<Ours>(count)),
                None,
                Some(load::opens::<RustYamux>(count)),
                None,
                go.as_mut().map(|go| go.opens(count)),
            ];
            note(&mut columns, cells.map(|cell| cell.map(thousands)));
        }
        print_row("opens", &columns);
    }

    fn beside_load(&self, mut go: Option<&mut Hashicorp>) {
        println!("\necho of 1 B beside 10 bulk streams, us: less is better");
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let count = 2000 / self.scale;
            let mut columns = names(go.is_some());
            for _ in 0..self.rounds {
                let cells = [
                    Some(load::beside_load::<Ours>(count, quantile)),
                    None,
                    Some(load::beside_load::<RustYamux>(count, quantile)),
                    None,
                    go.as_mut().map(|go| go.beside_load(count, quantile)),
                ];
                note(&mut columns, cells.map(|cell| cell.map(|time| time.as_secs_f64() * 1e6)));
            }
            print_row(name, &columns);
        }
    }

    fn fairness(&self, mut go: Option<&mut Hashicorp>) {
        println!("\nbytes of the slowest of 100 streams to those of the fastest: 1 is fair");
        let bytes = SLICE_BYTES / self.scale;
        let mut columns = names(go.is_some());
        for _ in 0..self.rounds {
            let cells = [
                Some(load::fairness::<Ours>(bytes)),
                None,
                Some(load::fairness::<RustYamux>(bytes)),
                None,
                go.as_mut().map(|go| go.fairness(bytes)),
            ];
            note(&mut columns, cells);
        }
        print_row("100 streams", &columns);
    }

    fn memory(&self, go: Option<&mut Hashicorp>) {
        println!("\nresident bytes of an idle stream that was used once, one end: less is better");
        let mut columns = names(go.is_some());
        let cells = [
            Some(memory_of(Ours::NAME)),
            None,
            Some(memory_of(RustYamux::NAME)),
            None,
            Hashicorp::build().map(|mut go| go.memory()),
        ];
        note(&mut columns, cells);
        print_row(&format!("{} streams", load::IDLE_STREAMS), &columns);
    }
}

/// Streams and bytes of one write, of all bulk transfers.
fn rows() -> impl Iterator<Item = (usize, usize)> {
    STREAMS.into_iter().flat_map(|streams| WRITES.map(|write_bytes| (streams, write_bytes)))
}

fn row_name((streams, write_bytes): (usize, usize)) -> String {
    format!("{streams}x{write_bytes}")
}

/// In a process of its own, where nothing was freed before that could be used again.
fn memory_of(name: &str) -> f64 {
    let program = std::env::current_exe().expect("a path");
    let output = Command::new(program).args(["--memory", name]).output().expect("it runs again");
    let number = String::from_utf8_lossy(&output.stdout).trim().parse();
    number.unwrap_or_else(|_| panic!("--memory {name}: {output:?}"))
}

fn names(go: bool) -> Vec<(&'static str, Vec<f64>)> {
    let names = [Ours::NAME, "mux chunks", RustYamux::NAME, "tcp", "hashicorp"];
    names.into_iter().take(if go { 5 } else { 4 }).map(|name| (name, Vec::new())).collect()
}

fn note(columns: &mut [(&str, Vec<f64>)], cells: [Option<f64>; 5]) {
    for ((_, column), cell) in columns.iter_mut().zip(cells) {
        column.extend(cell);
    }
}

fn print_row(name: &str, columns: &[(&str, Vec<f64>)]) {
    print!("{name:>16}");
    let (_, ours) = &columns[0];
    for (peer, column) in columns {
        if column.is_empty() {
            continue;
        }
        let ratios = column.iter().zip(ours).map(|(peer, ours)| peer / ours).collect();
        print!("   {peer} {:.2} ({:.2})", median(column.clone()), median(ratios));
    }
    println!();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

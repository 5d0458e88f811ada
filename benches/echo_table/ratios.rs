//! CPU time of a server per message, and latency, as ratios to a reference.
//!
//! A shared machine changes its speed every few seconds, so whole runs one after another say
//! nothing. Both servers stay alive and are driven in turn, in short slices: A B, B A, A B, ... A
//! ratio is that of two neighbouring slices, and the median of all is reported. The reference against
//! a second process of itself is the noise floor.

use std::io;
use std::time::Duration;

use benches::process::SETTLE;
use benches::stats;
use benches::table::Table;

use crate::lab::{Lab, Load, Server, Shape};
use crate::programs::Program;

/// What is under way at once must fit the sockets and take only a part of a slice.
const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long to measure.
pub(crate) struct Plan {
    pub(crate) pairs: usize,
    pub(crate) slice: Duration,
}

/// All combinations, but for those with too much under way.
pub(crate) fn shapes(depths: &[usize], connections: &[usize], sizes: &[usize]) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for &depth in depths {
        for &connections in connections {
            shapes.extend(sizes.iter().map(|&size_bytes| Shape {
                connections,
                size_bytes,
                depth,
                churn: false,
            }));
        }
    }
    shapes.retain(|shape| {
        let fits = shape.connections * shape.size_bytes * shape.depth <= IN_FLIGHT_BYTES_MAX;
        if !fits {
            let mib = IN_FLIGHT_BYTES_MAX >> 20;
            eprintln!("left out, more than {mib} MiB under way: {}", name(*shape));
        }
        fits
    });
    shapes
}

/// Prints the tables of echo servers.
pub(crate) fn echo(
    lab: &Lab,
    programs: &[Program],
    shapes: &[Shape],
    plan: &Plan,
) -> io::Result<()> {
    let mut tables = Tables::new("CPU time of the server per message / C", programs);
    for shape in shapes {
        tables.measure(lab, programs, *shape, plan)?;
    }
    tables.print();
    Ok(())
}

/// Prints the tables of connections that say one message.
pub(crate) fn churn(lab: &Lab, programs: &[Program], plan: &Plan) -> io::Result<()> {
    let title = "CPU time of the server per connection (connect, one message, close) / C";
    let mut tables = Tables::new(title, programs);
    for connections in [1, 64] {
        let shape = Shape { connections, size_bytes: 64, depth: 1, churn: true };
        tables.measure(lab, programs, shape, plan)?;
    }
    tables.print();
    Ok(())
}

/// Prints the tables of forwarders in front of the C loop.
pub(crate) fn forward(
    lab: &Lab,
    upstream: &Program,
    forwarders: &[Program],
    plan: &Plan,
) -> io::Result<()> {
    let upstream = lab.helper(upstream)?;
    let forwarders: Vec<_> =
        forwarders.iter().map(|forwarder| forwarder.to(upstream.address())).collect();
    let title = "CPU time of the forwarder per message / tokio's copy_bidirectional";
    let mut tables = Tables::new(title, &forwarders);
    for shape in shapes(&[1, 16], &[1, 64], &[64, 65536]) {
        tables.measure(lab, &forwarders, shape, plan)?;
    }
    tables.print();
    Ok(())
}

/// A table of CPU time and one of latencies, with the same rows and columns.
struct Tables {
    cpu: Table,
    latency: Table,
    ratios: Vec<Vec<f64>>,
}

impl Tables {
    fn new(cpu_title: &str, programs: &[Program]) -> Self {
        let names = || programs.iter().map(|program| program.name.as_str());
        let again = format!("{} again", programs[0].name);
        let columns = || std::iter::once(again.as_str()).chain(names().skip(1));
        let latency_title = format!(
            "Latency, p50 / p99 / p99.9 as ratios to {} (first column: microseconds)",
            programs[0].name
        );
        Self {
            cpu: Table::new(cpu_title, columns()),
            latency: Table::new(&latency_title, names()),
            ratios: vec![Vec::new(); programs.len()],
        }
    }

    /// Adds a row to both.
    fn measure(
        &mut self,
        lab: &Lab,
        programs: &[Program],
        shape: Shape,
        plan: &Plan,
    ) -> io::Result<()> {
        let mut latencies = Vec::new();
        for (program, ratios) in programs.iter().zip(&mut self.ratios) {
            let compared = compare(lab, [&programs[0], program], shape, plan)?;
            eprintln!("{}: {}: {}", name(shape), program.name, compared.line());
            ratios.push(compared.median());
            latencies.push(compared.latency(program.name == programs[0].name));
        }
        let row = self.ratios.iter().map(|ratios| format!("{:.2}", ratios[ratios.len() - 1]));
        self.cpu.row(&name(shape), row);
        self.latency.row(&name(shape), latencies);
        Ok(())
    }

    fn print(mut self) {
        let means =
            self.ratios.iter().map(|ratios| format!("{:.2}", stats::geometric_mean(ratios)));
        self.cpu.row("geometric mean", means);
        self.cpu.print();
        self.latency.print();
    }
}

fn name(shape: Shape) -> String {
    let Shape { connections, size_bytes, depth, churn } = shape;
    let deep = if depth > 1 { format!(", {depth} in flight") } else { String::new() };
    let churn = if churn { ", churn" } else { "" };
    format!("{connections} x {size_bytes} B{deep}{churn}")
}

/// A server and the load on it.
struct Side {
    server: Server,
    load: Load,
}

/// What two servers did in turn: the reference and the other.
struct Compared {
    /// The other's CPU time per message by the reference's, one for each pair of slices.
    ratios: Vec<f64>,
    /// CPU time per message of the reference.
    reference_ns: Vec<f64>,
    latency_ns: [[f64; 3]; 2],
}

fn compare(lab: &Lab, programs: [&Program; 2], shape: Shape, plan: &Plan) -> io::Result<Compared> {
    let mut sides = [Side::start(lab, programs[0], shape)?, Side::start(lab, programs[1], shape)?];
    for side in &mut sides {
        side.slice(plan.slice)?; // to warm up
        side.load.latency_ns()?;
    }
    let (mut ratios, mut reference_ns) = (Vec::new(), Vec::new());
    for pair in 0..plan.pairs {
        let mut ns = [0.0; 2];
        for turn in 0..2 {
            let side = (pair + turn) % 2;
            ns[side] = sides[side].slice(plan.slice)?;
        }
        // Not so when a process was kept from running for a whole slice.
        if (ns[1] / ns[0]).is_normal() {
            ratios.push(ns[1] / ns[0]);
            reference_ns.push(ns[0]);
        }
    }
    let [reference, other] = &mut sides;
    let latency_ns = [reference.load.latency_ns()?, other.load.latency_ns()?];
    Ok(Compared { ratios, reference_ns, latency_ns })
}

impl Side {
    fn start(lab: &Lab, program: &Program, shape: Shape) -> io::Result<Self> {
        let server = lab.server(program)?;
        let load = lab.load(&server, shape)?;
        Ok(Self { server, load })
    }

    /// The server's CPU time per message, in nanoseconds.
    fn slice(&mut self, time: Duration) -> io::Result<f64> {
        let before = self.server.cpu_time()?;
        let messages = self.load.slice(time)?;
        std::thread::sleep(SETTLE);
        let spent = self.server.cpu_time()? - before;
        Ok(spent.as_nanos() as f64 / messages as f64)
    }
}

impl Compared {
    fn median(&self) -> f64 {
        stats::quantile(&self.ratios, 0.5)
    }

    fn line(&self) -> String {
        let [low, median, high] = [0.25, 0.5, 0.75].map(|q| stats::quantile(&self.ratios, q));
        let per_second = 1e9 / stats::quantile(&self.reference_ns, 0.5);
        format!(
            "{median:.3} (quartiles {low:.3} to {high:.3}), reference {per_second:.0} per CPU-second"
        )
    }

    fn latency(&self, absolute: bool) -> String {
        let [reference, other] = self.latency_ns;
        let numbers = (0..3).map(|i| match absolute {
            true => format!("{:.0}", reference[i] / 1e3),
            false => format!("{:.2}", other[i] / reference[i]),
        });
        numbers.collect::<Vec<_>>().join(" / ")
    }
}

//! What does a request cost on its way through the proxy, beside nginx and HAProxy?
//!
//! `README.md` beside this file tells how it is measured. Parts are named as arguments: `ratios`, `syscalls`;
//! without one, both. `--quick` is one short pair of slices for each shape, to see that all works; `--shapes`
//! names the shapes, `--beside` another build of our proxy.
#![allow(clippy::print_stdout)] // it prints tables

mod lab;
mod programs;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use benches::process;
use benches::stats::quantile;
use lab::{Load, Server};
use programs::Program;

/// Length of a slice.
const SLICE: Duration = Duration::from_millis(100);
/// Pairs of slices for each ratio.
const PAIRS: usize = 20;
/// Requests that are counted under strace.
const COUNTED_REQUESTS: u64 = 20_000;

/// Connections, requests in flight on each, bytes of content.
#[derive(Clone, Copy)]
struct Shape(usize, usize, usize);

const SHAPES: [Shape; 9] = [
    Shape(64, 1, 128),
    Shape(64, 1, 1024),
    Shape(64, 1, 65536),
    Shape(64, 16, 128),
    Shape(64, 16, 1024),
    Shape(64, 16, 65536),
    Shape(1000, 1, 128),
    Shape(1000, 1, 1024),
    Shape(1000, 1, 65536),
];

impl Shape {
    /// `64x1x128`: connections, requests in flight on each, bytes of content.
    fn parse(text: &str) -> Option<Shape> {
        let numbers: Vec<usize> = text.split('x').map(str::parse).collect::<Result<_, _>>().ok()?;
        match numbers[..] {
            [connections @ 1..=usize::MAX, depth @ 1..=usize::MAX, body_bytes] => {
                Some(Shape(connections, depth, body_bytes))
            }
            _ => None,
        }
    }

    fn name(self) -> String {
        format!("{} x {}, {} B", self.0, self.1, self.2)
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    parts: Vec<String>,
    quick: bool,
    /// Empty: those of each part.
    shapes: Vec<Shape>,
    /// Another build of our proxy.
    beside: Option<PathBuf>,
}

impl Asked {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
        let mut asked = Asked::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--quick" => asked.quick = true,
                "--beside" => asked.beside = Some(value()?.into()),
                "--shapes" => {
                    for text in value()?.split(',') {
                        let wanted = "connections x in flight x bytes, such as 64x1x128";
                        let shape = Shape::parse(text);
                        asked.shapes.push(shape.ok_or(format!("shape {text:?} is not {wanted}"))?);
                    }
                }
                "ratios" | "syscalls" => asked.parts.push(word),
                _ => {
                    return Err(format!(
                        "unknown word {word:?}; there are \"ratios\", \"syscalls\", --quick, \
                         --shapes LIST and --beside PROXY"
                    ));
                }
            }
        }
        Ok(asked)
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|asked| asked == part)
    }

    fn shapes(&self, default: impl Fn(&Shape) -> bool) -> Vec<Shape> {
        match &self.shapes[..] {
            [] => SHAPES.into_iter().filter(default).collect(),
            shapes => shapes.to_vec(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = Asked::parse(std::env::args().skip(1))?;
    process::raise_open_files()?;
    let bin = programs::build()?;
    let mut load = Load::start(&bin)?;
    let programs = programs::all(&bin, asked.beside.as_deref(), load.upstream())?;
    if asked.wants("ratios") {
        let pairs = if asked.quick { 1 } else { PAIRS };
        ratios(&mut load, &programs, &asked.shapes(|_| true), pairs)?;
    }
    if asked.wants("syscalls") {
        syscalls(&mut load, &programs, &asked.shapes(|shape| shape.2 == 128))?;
    }
    Ok(())
}

fn ratios(load: &mut Load, programs: &[Program], shapes: &[Shape], pairs: usize) -> io::Result<()> {
    let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
    println!("CPU time per request: microseconds of nginx, and the others as ratios to it;");
    println!("requests per CPU-second, latency p50 / p99 / p99.9 in ms, resident memory in MiB.\n");
    println!("| connections x in flight, body | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for &shape in shapes {
        let cells = ratio_row(load, programs, shape, pairs)?;
        println!("| {} | {} |", shape.name(), cells.join(" | "));
    }
    println!();
    Ok(())
}

/// One server and what was seen of it.
struct Contender {
    name: &'static str,
    server: Server,
    /// Nanoseconds of CPU per request, and the ratio to the reference's slice beside it.
    costs_ns: Vec<f64>,
    ratios: Vec<f64>,
}

impl Contender {
    /// Nanoseconds of CPU per request in one slice.
    fn slice(&mut self, load: &mut Load) -> io::Result<f64> {
        let before = self.server.cpu_time()?;
        let requests = load.slice(self.name, SLICE)?;
        std::thread::sleep(process::SETTLE);
        let spent = self.server.cpu_time()? - before;
        let cost_ns = spent.as_nanos() as f64 / requests.max(1) as f64;
        self.costs_ns.push(cost_ns);
        Ok(cost_ns)
    }
}

fn ratio_row(
    load: &mut Load,
    programs: &[Program],
    shape: Shape,
    pairs: usize,
) -> io::Result<Vec<String>> {
    let mut contenders = Vec::new();
    for program in programs {
        let server = program.start()?;
        load.connect(program.name, server.address(), shape)?;
        let (name, costs_ns, ratios) = (program.name, Vec::new(), Vec::new());
        let mut contender = Contender { name, server, costs_ns, ratios };
        contender.slice(load)?;
        contender.costs_ns.clear();
        load.latency(name)?;
        contenders.push(contender);
    }
    let (reference, others) = contenders.split_first_mut().expect("nginx is there");
    for other in others {
        for pair in 0..pairs {
            // A B, B A, ...: a drift of the machine's speed cancels out.
            let (a, b) = if pair % 2 == 0 {
                (reference.slice(load)?, other.slice(load)?)
            } else {
                let b = other.slice(load)?;
                (reference.slice(load)?, b)
            };
            // Not so when a process was kept from running for a whole slice.
            if (b / a).is_normal() {
                other.ratios.push(b / a);
            }
        }
    }
    contenders.iter().map(|contender| cell(load, contender)).collect()
}

fn cell(load: &mut Load, contender: &Contender) -> io::Result<String> {
    let cost_ns = quantile(&contender.costs_ns, 0.5);
    let cost = match &contender.ratios[..] {
        [] => format!("{:.2} us", cost_ns / 1e3),
        ratios => format!("{:.2}", quantile(ratios, 0.5)),
    };
    let [p50, p99, p999] = load.latency(contender.name)?.map(|ns| ns / 1e6);
    let memory = contender.server.resident_bytes()? as f64 / f64::from(1 << 20);
    load.close(contender.name)?;
    let rate = 1e9 / cost_ns;
    Ok(format!("{cost}; {rate:.0}/s; {p50:.2} / {p99:.2} / {p999:.2}; {memory:.1}"))
}

fn syscalls(load: &mut Load, programs: &[Program], shapes: &[Shape]) -> io::Result<()> {
    let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
    println!("System calls per request, under strace.\n");
    println!("| connections x in flight, body | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for &shape in shapes {
        let mut cells = Vec::new();
        for program in programs {
            let server = program.start()?;
            load.connect(program.name, server.address(), shape)?;
            load.count(program.name, COUNTED_REQUESTS)?;
            let calls = server.syscalls_during(|| load.count(program.name, COUNTED_REQUESTS))?;
            cells.push(format!("{:.2}", calls as f64 / COUNTED_REQUESTS as f64));
            load.close(program.name)?;
        }
        println!("| {} | {} |", shape.name(), cells.join(" | "));
    }
    println!();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Asked, Shape};

    fn parse(line: &str) -> Result<Asked, String> {
        Asked::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn shapes_and_parts_are_read_from_the_command_line() {
        let asked = parse("ratios --shapes 64x1x65536,1000x2x0 --beside old/proxy").unwrap();
        assert!(asked.wants("ratios") && !asked.wants("syscalls") && !asked.quick);
        let shapes: Vec<String> = asked.shapes(|_| true).into_iter().map(Shape::name).collect();
        assert_eq!(shapes, ["64 x 1, 65536 B", "1000 x 2, 0 B"]);
        let all = parse("--quick").unwrap();
        assert!(all.wants("syscalls") && all.quick && all.shapes(|_| true).len() == 9);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (line, word) in
            [("rations", "rations"), ("--shapes 64x0x1", "64x0x1"), ("--beside", "--beside")]
        {
            let error = parse(line).err().unwrap();
            assert!(error.contains(word), "{error}");
        }
    }
}

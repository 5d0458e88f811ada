//! User instructions and system calls per message: counts, which no neighbour on the machine changes.
//!
//! Both are the difference of two runs of the server, so that starting, connecting and stopping cancel
//! out. Both tools slow the server and not the load, so many events come with each wait, as at full
//! speed.

use std::ffi::OsStr;
use std::path::Path;
use std::{fs, io};

use benches::process::total_calls;
use benches::table::Table;

use crate::lab::{Lab, Shape};
use crate::programs::Program;

/// Messages of the shorter and of the longer run.
type Runs = [u64; 2];

/// How many connections, and the runs under callgrind and under strace. There are fewer with
/// strace, since a system call takes it some twenty times as long as the server; and with one
/// connection, where each message waits until both sides had a processor: on a busy machine that
/// is milliseconds.
const SHAPES: [(usize, Runs, Runs); 2] =
    [(64, [4_000, 104_000], [1_000, 21_000]), (1, [1_000, 21_000], [500, 5_500])];
const SIZE_BYTES: usize = 64;

/// Prints the table.
pub(crate) fn measure(lab: &Lab, programs: &[Program]) -> io::Result<()> {
    let names = programs.iter().map(|program| program.name.as_str());
    let mut table = Table::new("What one message of 64 bytes costs the server", names);
    for (connections, under_callgrind, under_strace) in SHAPES {
        let shape = Shape { connections, size_bytes: SIZE_BYTES, depth: 1, churn: false };
        let (mut instructions, mut calls) = (Vec::new(), Vec::new());
        for program in programs {
            // Bit by bit, so that who waits sees for what.
            eprint!("{connections} connections: {}: ", program.name);
            let executed = match program.valgrind {
                true => {
                    let run = |messages| callgrind(lab, program, shape, messages);
                    format!("{:.0}", per_message(under_callgrind, run)?)
                }
                false => "-".into(),
            };
            eprint!("{executed} instructions, ");
            let run = |messages| strace(lab, program, shape, messages);
            let called = format!("{:.2}", per_message(under_strace, run)?);
            eprintln!("{called} calls");
            instructions.push(executed);
            calls.push(called);
        }
        table.row(&format!("user instructions, {connections} connections"), instructions);
        table.row(&format!("system calls, {connections} connections"), calls);
    }
    table.print();
    Ok(())
}

fn per_message(runs: Runs, total: impl Fn(u64) -> io::Result<u64>) -> io::Result<f64> {
    let [few, many] = [total(runs[0])?, total(runs[1])?];
    Ok((many as f64 - few as f64) / (runs[1] - runs[0]) as f64)
}

fn callgrind(lab: &Lab, program: &Program, shape: Shape, messages: u64) -> io::Result<u64> {
    let log = lab.bin().join("echo_table.valgrind");
    let mut log_option = std::ffi::OsString::from("--log-file=");
    log_option.push(&log);
    let options = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let mut tool = options.map(OsStr::new).to_vec();
    tool.push(&log_option);
    let text = run(lab, &tool, program, shape, messages, &log)?;
    text.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("callgrind collected nothing: {text}")))
}

fn strace(lab: &Lab, program: &Program, shape: Shape, messages: u64) -> io::Result<u64> {
    let log = lab.bin().join("echo_table.strace");
    // What strace runs is to end when strace is killed; its start is in both runs.
    let ends_with_it = ["setpriv", "--pdeathsig", "KILL"].map(OsStr::new);
    let tool = ["strace", "-f", "-c", "-o"].map(OsStr::new);
    let tool = [&tool[..], &[log.as_os_str()], &ends_with_it].concat();
    let text = run(lab, &tool, program, shape, messages, &log)?;
    total_calls(&text)
}

/// Runs the load against the program under a tool, and returns what the tool wrote into its log.
fn run(
    lab: &Lab,
    tool: &[&OsStr],
    program: &Program,
    shape: Shape,
    messages: u64,
    log: &Path,
) -> io::Result<String> {
    let server = lab.server_under(tool, program)?;
    let mut load = lab.load(&server, shape)?;
    load.count(messages)?;
    server.stop()?;
    let text = fs::read_to_string(log)?;
    fs::remove_file(log)?;
    Ok(text)
}

//! User memory of an idle connection: the growth of the server's private pages
//! (`Private_Dirty` in /proc/PID/smaps_rollup) while connections are opened, divided by how many.
//!
//! "Never used": they are open. "Used once": one message of 64 bytes went to and fro on each. What the
//! kernel keeps for a socket is the same for all and not in it.

use std::io;

use crate::lab::{self, Lab, Server, Shape};
use crate::programs::Program;
use benches::table::Table;

/// Prints the table.
pub(crate) fn measure(lab: &Lab, programs: &[Program], connections: usize) -> io::Result<()> {
    lab::check_open_files(connections)?;
    let names = programs.iter().map(|program| program.name.as_str());
    let title = format!("User bytes per idle connection, {connections} open");
    let mut table = Table::new(&title, names);
    let (mut unused, mut used) = (Vec::new(), Vec::new());
    for program in programs {
        let bytes = idle(lab, program, connections)?;
        eprintln!("{connections} idle connections: {}: {bytes:.1?} bytes each", program.name);
        unused.push(format!("{:.1}", bytes[0]));
        used.push(format!("{:.1}", bytes[1]));
    }
    table.row("never used", unused);
    table.row("used once", used);
    table.print();
    Ok(())
}

fn idle(lab: &Lab, program: &Program, connections: usize) -> io::Result<[f64; 2]> {
    let server = lab.server(program)?;
    let shape = Shape { connections: 1, size_bytes: 64, depth: 1, churn: false };
    // So that what is made once is there before.
    let mut warm_up = lab.load(&server, shape)?;
    warm_up.count(100)?;
    let files = server.open_files()? - 1;
    drop(warm_up);
    server.wait_for_open_files(files)?;
    let before = server.private_bytes()?;
    let mut load = lab.load(&server, Shape { connections, ..shape })?;
    server.wait_for_open_files(files + connections)?;
    let unused = growth(&server, before, connections)?;
    load.count(connections as u64)?;
    Ok([unused, growth(&server, before, connections)?])
}

fn growth(server: &Server, before: u64, connections: usize) -> io::Result<f64> {
    Ok((server.private_bytes()? as f64 - before as f64) / connections as f64)
}

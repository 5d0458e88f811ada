//! Whether every server answers: a few messages, small and large, one by one and many at once.

use std::io;

use crate::lab::{Lab, Server, Shape};
use crate::programs::Program;

const SHAPES: [(Shape, u64); 3] = [
    (Shape { connections: 8, size_bytes: 64, depth: 2, churn: false }, 2_000),
    // So much at once that the server meets full sockets.
    (Shape { connections: 4, size_bytes: 1 << 20, depth: 16, churn: false }, 200),
    (Shape { connections: 8, size_bytes: 64, depth: 1, churn: true }, 200),
];

/// Fails when one does not answer, or not with what it was sent.
pub(crate) fn run(lab: &Lab, programs: &[Program], forwarders: &[Program]) -> io::Result<()> {
    for program in programs {
        answers(lab, &program.name, &lab.server(program)?)?;
    }
    let upstream = lab.helper(&programs[0])?;
    for forwarder in forwarders {
        answers(lab, &forwarder.name, &lab.server(&forwarder.to(upstream.address()))?)?;
    }
    Ok(())
}

fn answers(lab: &Lab, name: &str, server: &Server) -> io::Result<()> {
    for (shape, messages) in SHAPES {
        lab.load(server, shape)?.count(messages)?;
    }
    println!("{name} answers");
    Ok(())
}

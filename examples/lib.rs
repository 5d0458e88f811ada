//! What the examples share: their command lines, a histogram for latencies, checked bytes, private
//! directories.
//!
//! An example is one file and is run with `cargo run --release --example NAME`.

mod arguments;
mod histogram;
mod load;
mod private;

use std::io;
use std::process::ExitCode;

pub use arguments::{Arguments, Usage};
pub use histogram::Histogram;
pub use load::{Pattern, latency_line};
pub use private::private_directory;

/// What `main` returns: success, or 1 with the error said on standard error in the words for users.
pub fn exit_code(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compiles and runs the snippets of the README together with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

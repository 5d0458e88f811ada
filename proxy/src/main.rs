//! The proxy's command line.
#![forbid(unsafe_code)]

mod demo;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use proxy::{Config, Server};

const AFTER_HELP: &str = "\
The log goes to standard error; RUST_LOG=warn (error, warn, info, debug, trace) sets its level.
The exit code is 0 for success, 1 for a failure that was named, 2 for a wrong command line.";

/// A proxy that shares upstream connections between many clients: every request travels under an
/// id of the proxy's own, and its answer returns under the client's.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    /// Run with this configuration (JSON in MOSN's shape; docs/proxy.md lists the keys)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read a configuration, say what it does or what is wrong with it, and exit with 0 or 1
    Check {
        /// The configuration
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run upstreams, proxy and clients in this one process, check every answer, print the result
    Demo(demo::Options),
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let cli = Cli::parse();
    let result = match (cli.command, cli.config) {
        (Some(Command::Check { config }), _) => check(&config),
        (Some(Command::Demo(options)), _) => demo::run(&options),
        (None, Some(config)) => serve(&config),
        (None, None) => help(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when standard error is closed too.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn help() -> Outcome {
    Cli::command().print_help()?;
    Ok(ExitCode::from(2))
}

fn check(file: &Path) -> Outcome {
    let config = Config::read(file)?;
    let mut out = io::stdout().lock();
    write!(out, "{}", config.explain())?;
    writeln!(out, "{}: ok", file.display())?;
    Ok(ExitCode::SUCCESS)
}

fn serve(file: &Path) -> Outcome {
    let config = Config::read(file)?;
    for warning in &config.warnings {
        log::warn!("{}: {warning}", file.display());
    }
    reactor::block_on(async {
        let _server = Server::start(&config)?;
        // Until the process is ended from outside.
        std::future::pending::<Outcome>().await
    })?
}

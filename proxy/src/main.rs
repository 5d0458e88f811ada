//! The proxy's command line.
#![forbid(unsafe_code)]

mod demo;
mod signals;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use proxy::{Config, Threads, descriptors};

/// Most threads that can be asked for.
const WORKERS_MAX: usize = 256;

const AFTER_HELP: &str = "\
The log goes to standard error; RUST_LOG=warn (error, warn, info, debug, trace) sets its level.
SIGTERM and SIGINT stop it and let the requests in flight end (\"graceful_timeout\"), a second one ends it
at once; SIGHUP opens the access logs anew, SIGUSR1 writes all counters.
The exit code is 0 for success, 1 for a failure that was named, 2 for a wrong command line, 130 or 143
for the end by a second signal.";

/// A proxy that shares upstream connections between many clients: every request travels under an
/// id of the proxy's own, and its answer returns under the client's.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    /// Run with this configuration (JSON in MOSN's shape; docs/proxy-config.md lists the keys)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Threads, each with a reactor, upstream connections and ids of its own
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = workers)]
    workers: usize,

    #[command(subcommand)]
    command: Option<Command>,
}

/// `auto`, or a number.
fn workers(text: &str) -> Result<usize, String> {
    if text == "auto" {
        let processors = std::thread::available_parallelism().map_err(|e| e.to_string())?;
        return Ok(processors.get().min(WORKERS_MAX));
    }
    let number = text.parse().ok().filter(|number| (1..=WORKERS_MAX).contains(number));
    number.ok_or_else(|| format!("expected 1 to {WORKERS_MAX}, or \"auto\" for one per processor"))
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
        (None, Some(config)) => serve(&config, cli.workers),
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
    print(&Cli::command().render_help().to_string())?;
    Ok(ExitCode::from(2))
}

fn check(file: &Path) -> Outcome {
    let config = Config::read(file)?;
    let notes = [config.notes_on_logs(), config.notes_on_hosts()].concat();
    let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
    print(&format!("{}{notes}{}: ok\n", config.explain(), file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn serve(file: &Path, workers: usize) -> Outcome {
    let config = Config::read(file)?;
    // Of the files with hosts, every thread says itself what it finds.
    for warning in config.warnings.iter().chain(&config.notes_on_logs()) {
        log::warn!("{}: {warning}", file.display());
    }
    if let Err(error) = descriptors::raise_limit() {
        log::warn!("the limit on descriptors cannot be raised: {error}");
    }
    if let Some(shortage) = descriptors::shortage(&config, workers, descriptors::limit()) {
        log::warn!("{shortage}");
    }
    let grace = config.graceful_timeout;
    let threads = Arc::new(Threads::new(config, workers)?);
    let ended = signals::obey(&threads, grace)?;
    let drained = threads.run()?;
    match drained.cut {
        0 => log::info!("stopped"),
        cut => log::warn!("stopped; {cut} client connections did not end in time and were cut"),
    }
    Ok(ended.exit_code().map_or(ExitCode::SUCCESS, ExitCode::from))
}

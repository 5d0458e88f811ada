//! Requests to worker processes over a Unix socket: the stream mode of `mux::package`.
//!
//! ```sh
//! cargo run --release --example packages -- /tmp/packages
//! cargo run --release --example packages -- /tmp/packages --workers 8 --callers 50 --calls 2000
//! ```
//!
//! It makes a directory that nobody else gets into, listens on a socket there, and starts processes
//! that have inherited it: each accepts a request when it is idle, and answers it. Callers send requests and check
//! every byte of the replies. Then one of the workers is made to die in the middle of a reply: its caller
//! learns of that, and the other workers answer what comes. In the end it says how many answers were lost, and
//! fails if it was one.
#![allow(clippy::print_stdout)] // a program talks to its user

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use examples::{Arguments, Usage};
use mux::package::{CallConfig, Caller, Connect, Error, Request, WorkConfig, Worker};
use net::{UnixListener, UnixStream};

const WORKERS_MAX: usize = 1000;
const CALLERS_MAX: usize = 1000;
const CALLS_MAX: usize = 1_000_000_000;
const SOCKET: &str = "workers.sock";
/// A request with this body makes its worker die.
const DIE: &[u8] = b"die";
/// The longest request. Beyond what a socket holds, so that both sides meet a full one.
const REQUEST_BYTES_MAX: usize = 400_000;
/// Requests come back in packages of at most so much.
const PACKAGE_BYTES: usize = 64 * 1024;

const USAGE: Usage = Usage {
    text: "\
Requests to worker processes over a Unix socket.

usage: packages DIRECTORY [options]

  DIRECTORY      where the socket is to be: made with mode 0700, or it must have it
  --workers N    worker processes (4)
  --callers N    callers, each with one request at a time (20)
  --calls N      requests of all callers together (4000)",
    options: &["--workers", "--callers", "--calls", "--worker"],
};

struct Plan {
    directory: PathBuf,
    workers: usize,
    callers: usize,
    calls: usize,
}

fn plan(arguments: &Arguments) -> Result<Plan, String> {
    let address = arguments.unix_address()?;
    Ok(Plan {
        directory: address.as_path().ok_or("that is no directory")?.to_owned(),
        workers: arguments.number("--workers", 4, WORKERS_MAX)?,
        callers: arguments.number("--callers", 20, CALLERS_MAX)?,
        calls: arguments.number("--calls", 4000, CALLS_MAX)?,
    })
}

fn main() -> ExitCode {
    env_logger::init();
    let arguments = Arguments::of_process(&USAGE);
    // Not for users: how this program starts its workers.
    let worker = arguments.value::<u32>("--worker").unwrap_or_else(|error| USAGE.refuse(&error));
    if let Some(id) = worker {
        return examples::exit_code(reactor::block_on(work(id)).flatten());
    }
    let plan = plan(&arguments).unwrap_or_else(|error| USAGE.refuse(&error));
    examples::exit_code(reactor::block_on(run(&plan)).flatten())
}

async fn run(plan: &Plan) -> io::Result<()> {
    examples::private_directory(&plan.directory)?;
    let path = plan.directory.join(SOCKET);
    // It is never accepted from in this process; when it is dropped the path is removed.
    let listener = UnixListener::builder().take_over_stale(true).mode(0o600).bind(&path)?;
    let ids = 0..plan.workers;
    let _workers = ids.map(|id| start(&listener, id)).collect::<io::Result<Vec<_>>>()?;
    println!("{} workers on {}", plan.workers, path.display());

    let begun = Instant::now();
    let lost = ask_all(plan, &path, plan.calls).await;
    println!("{} calls in {:.2} s, every byte checked", plan.calls, begun.elapsed().as_secs_f64());
    let mut lost = lost?;
    let caller = caller_of(&path);
    match ask(&caller, DIE).await {
        Err(error @ Error::WorkerGone { packages: 1, .. }) => println!("a worker dies: {error}"),
        other => {
            return Err(io::Error::other(format!("a worker died, and its caller got {other:?}")));
        }
    }
    if plan.workers > 1 {
        lost += ask_all(plan, &path, plan.calls / 10).await?;
        println!("{} calls to the others", plan.calls / 10);
    }
    println!("{lost} lost");
    if lost == 0 { Ok(()) } else { Err(io::Error::other("answers were lost")) }
}

/// A worker process, which ends with this one.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts this program once more, with the listening socket in the place of its standard input.
fn start(listener: &UnixListener, id: usize) -> io::Result<Process> {
    let socket: OwnedFd = listener.as_fd().try_clone_to_owned()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--worker").arg(id.to_string()).stdin(Stdio::from(socket));
    command.spawn().map(Process)
}

/// The worker: who shares the socket does not matter to it.
async fn work(id: u32) -> io::Result<()> {
    let listener = UnixListener::try_from(io::stdin().as_fd().try_clone_to_owned()?)?;
    let accept = async || listener.incoming().next().await.map(|(stream, _)| stream);
    let mut worker = Worker::new(accept, WorkConfig::default());
    Err(worker.serve(async |request| answer(request, id).await).await.into())
}

/// Who it is, and then what was asked, in packages.
async fn answer(request: &mut Request<'_, UnixStream>, id: u32) -> Result<(), Error> {
    request.reply(id.to_be_bytes().to_vec()).await?;
    if request.body() == DIE {
        process::exit(0);
    }
    let mut rest = request.body().clone();
    while !rest.is_empty() {
        request.reply(rest.split_to(rest.len().min(PACKAGE_BYTES))).await?;
    }
    Ok(())
}

fn caller_of(path: &Path) -> Caller<impl Connect<Io = UnixStream> + use<>> {
    let path = path.to_owned();
    let config =
        CallConfig { call_timeout: Some(Duration::from_secs(60)), ..CallConfig::default() };
    Caller::new(async move || UnixStream::connect(&path).await, config)
}

/// So many calls, by all callers. Returns how many were lost: each is logged.
async fn ask_all(plan: &Plan, path: &Path, calls: usize) -> io::Result<usize> {
    let caller = caller_of(path);
    let shares = Rc::new(RefCell::new(vec![0; plan.workers]));
    let mut tasks = Vec::new();
    for index in 0..plan.callers {
        let (caller, shares, callers) = (caller.clone(), Rc::clone(&shares), plan.callers);
        tasks.push(reactor::spawn(async move {
            let mut lost = 0;
            for number in (index..calls).step_by(callers) {
                match check(&caller, number).await {
                    Ok(worker) => shares.borrow_mut()[worker] += 1,
                    Err(error) => {
                        eprintln!("call {number}: {error}");
                        lost += 1;
                    }
                }
            }
            lost
        }));
    }
    let mut lost = 0;
    for task in tasks {
        lost += task.await?;
    }
    println!("answered by each worker: {:?}", shares.borrow());
    Ok(lost)
}

/// One call, and the worker that has answered it.
async fn check<C: Connect>(caller: &Caller<C>, number: usize) -> Result<usize, String> {
    let bytes = if number.is_multiple_of(50) { REQUEST_BYTES_MAX } else { number % 1000 + 1 };
    let request: Vec<u8> = (0..bytes).map(|at| (at / 7 + at + number) as u8).collect();
    let packages = ask(caller, &request).await.map_err(|error| error.to_string())?;
    let Some((id, echo)) = packages.split_first() else { return Err("an empty reply".into()) };
    let id = id[..].try_into().map_err(|_| "a reply that does not say whose it is")?;
    if echo.concat() == request {
        Ok(u32::from_be_bytes(id) as usize)
    } else {
        Err("another request came back".into())
    }
}

async fn ask<C: Connect>(caller: &Caller<C>, request: &[u8]) -> Result<Vec<Bytes>, Error> {
    let mut reply = caller.call(Bytes::copy_from_slice(request)).await?;
    let mut packages = Vec::new();
    while let Some(package) = reply.next().await? {
        packages.push(package);
    }
    Ok(packages)
}

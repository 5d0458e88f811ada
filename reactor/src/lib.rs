//! A single-threaded, edge-triggered epoll reactor and task runtime in the style of Go's netpoll.
//!
//! Tasks are futures, compiled to stackless state machines, on the thread that spawned them: they
//! need not be [`Send`], share state by `Rc` and `Cell`, and never race. A task that would block
//! parks in the `PollDesc` of its descriptor and is woken by readiness, by the deadline or by the
//! close. Servers use sockets from the `net` crate; any other descriptor goes through [`PollFd`].
//!
//! # A first server
//! With nothing but this crate and the standard library (`net` spares you the first lines of each
//! function):
//!
//! ```
//! use reactor::{Direction, PollFd, spawn};
//! use std::{io, net::{TcpListener, TcpStream}};
//!
//! async fn serve(listener: TcpListener) -> io::Result<()> {
//!     listener.set_nonblocking(true)?;
//!     let readiness = PollFd::from_socket(listener.try_clone()?.into());
//!     loop {
//!         let (stream, _peer) = readiness.io(Direction::Read, |_| listener.accept()).await?;
//!         spawn(echo(stream)).detach();       // on this thread: the future need not be Send
//!     }
//! }
//!
//! async fn echo(stream: TcpStream) -> io::Result<()> {
//!     stream.set_nonblocking(true)?;
//!     let (stream, mut buf) = (PollFd::from_socket(stream.into()), [0; 4096]);
//!     loop {
//!         let mut rest = match stream.read(&mut buf).await? {    // parks until there is something
//!             0 => return Ok(()),
//!             n => &buf[..n],
//!         };
//!         while !rest.is_empty() {
//!             rest = &rest[stream.write(rest).await?..];
//!         }
//!     }
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let address = listener.local_addr()?;
//! # let client = std::thread::spawn(move || -> io::Result<[u8; 5]> {
//! #     use std::io::{Read, Write};
//! #     let mut stream = TcpStream::connect(address)?;
//! #     stream.write_all(b"hello")?;
//! #     let mut echoed = [0; 5];
//! #     stream.read_exact(&mut echoed)?;
//! #     Ok(echoed)
//! # });
//! # reactor::block_on(async {
//! #     spawn(serve(listener)).detach();
//! #     let echoed = reactor::spawn_blocking(|| client.join().unwrap()).await??;
//! #     assert_eq!(&echoed, b"hello");
//! #     Ok::<_, io::Error>(())
//! # })??;
//! # async fn run(listener: TcpListener) -> io::Result<()> {
//! reactor::block_on(serve(listener))?
//! # }
//! # Ok::<_, io::Error>(())
//! ```
//!
//! # One turn of the loop
//! 1. Take what other threads sent.
//! 2. Run ready tasks, at most a budget of them.
//! 3. Fire timers.
//! 4. Wait for events: not at all while tasks are ready, else until the next timer.
//! 5. Mark the descriptor of every event, then wake.
//!
//! # Limits
//! | what | limit |
//! |---|---|
//! | runtimes alive in a process | 4,096 |
//! | tasks alive in a runtime | 2^28 - 1 |
//! | task polls in one turn | [`TASKS_PER_TURN`], [`Builder::tasks_per_turn`] |
//! | descriptor operations in one task poll | 128 |
//! | tasks that other threads have sent and that are not taken in | [`REMOTE_SPAWNS_MAX`] |
//! | threads for blocking work | [`BLOCKING_THREADS_MAX`], [`Builder::blocking_threads_max`] |
//! | closures that wait for such a thread | [`BLOCKING_QUEUE_MAX`] |
//! | listeners for one signal in a process | [`SIGNAL_LISTENERS_MAX`] |
//! | events in one wait | 1,024 |
//! | bytes of one read or write | 1 GiB |
//!
//! Linux on 64-bit machines only.
#![deny(unsafe_code)]

mod blocking;
#[cfg(doctest)]
mod book;
mod builder;
mod clock;
mod context;
mod epoll;
mod fd;
mod handle;
mod metrics;
mod netpoll;
mod oneshot;
mod polldesc;
mod remote;
mod runtime;
mod signal;
mod sys;
mod table;
mod task;
pub mod time;
mod timer;
mod waiters;
mod workers;

pub use blocking::{BLOCKING_QUEUE_MAX, BLOCKING_THREADS_MAX, spawn_blocking};
pub use builder::{Builder, TASKS_PER_TURN, TIMER_SLACK};
pub use fd::{Io, PollFd, Ready, WhileReady, is_closed};
pub use handle::{Handle, RemoteJoinHandle, SpawnError, handle};
pub use metrics::{Metrics, metrics};
pub use polldesc::Direction;
pub use remote::REMOTE_SPAWNS_MAX;
pub use runtime::{Runtime, block_on};
pub use signal::{SIGNAL_LISTENERS_MAX, Signal, SignalKind, signal};
pub use sys::syscall;
pub use task::{AbortHandle, JoinError, JoinHandle, JoinSet, spawn, yield_now};
pub use workers::{Workers, WorkersError, workers};

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("reactor runs on 64-bit Linux only");

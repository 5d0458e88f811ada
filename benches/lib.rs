//! Benchmarks: one file per question, run with `cargo bench -p benches`; `echo_table` is a program.
//!
//! | file | question |
//! |---|---|
//! | `scheduler.rs` | what do tasks, yields, wake-ups and timers cost, without any I/O? |
//! | `threads.rs` | how long does a wake-up from another thread take, and how late is a sleep? |
//! | `mux` (a folder) | what do many streams through one connection cost, beside other yamuxes and TCP? |
//! | `echo_table` (an example) | what does one echoed message cost, beside C, mio, Go and the runtimes? |
//! | `proxy_table` (an example) | what does a request cost on its way through the proxy, beside nginx and HAProxy? |
//!
//! Peers do the same work in the same run: tokio (current_thread with a `LocalSet`), smol's parts
//! (`LocalExecutor` and async-io) and monoio (its epoll driver). `README.md` says how echo is measured.
//!
//! The library is what the two tables share: [`child`] and [`process`] for the processes that they
//! measure, [`stats`] and [`table`] for what came out.

pub mod child;
pub mod process;
pub mod stats;
pub mod table;

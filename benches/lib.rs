//! Benchmarks: one file per question, run with `cargo bench -p benches`.
//!
//! | file | question |
//! |---|---|
//! | `scheduler.rs` | what do tasks, yields, wake-ups and timers cost, without any I/O? |
//! | `threads.rs` | how long does a wake-up from another thread take, and how late is a sleep? |
//! | `echo_costs` (a script) | what does one echoed message cost, in instructions and system calls? |
//!
//! Peers do the same work in the same run: tokio (current_thread with a `LocalSet`), smol's parts
//! (`LocalExecutor` and async-io) and monoio (its epoll driver).

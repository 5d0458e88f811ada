//! The chapters of the book that show code of this crate: `cargo test -p reactor --doc` compiles
//! and runs their snippets.

#[doc = include_str!("../../docs/turn.md")]
struct Turn;

#[doc = include_str!("../../docs/blocked-read.md")]
struct BlockedRead;

#[doc = include_str!("../../docs/polldesc.md")]
struct PollDesc;

#[doc = include_str!("../../docs/lost-wakeups.md")]
struct LostWakeups;

#[doc = include_str!("../../docs/deadlines.md")]
struct Deadlines;

#[doc = include_str!("../../docs/time.md")]
struct Time;

#[doc = include_str!("../../docs/closing.md")]
struct Closing;

#[doc = include_str!("../../docs/tasks.md")]
struct Tasks;

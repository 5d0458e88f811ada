//! The chapters of the book that show code of this crate: `cargo test -p net --doc` compiles and
//! runs their snippets.

#[doc = include_str!("../../docs/datagrams.md")]
struct Datagrams;

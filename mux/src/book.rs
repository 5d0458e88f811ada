//! The chapters of the book that show code of this crate: `cargo test -p mux --doc` compiles and
//! runs their snippets.

#[doc = include_str!("../../docs/mux.md")]
struct Mux;

#[doc = include_str!("../../docs/mux-credit.md")]
struct Credit;

#[doc = include_str!("../../docs/mux-writer.md")]
struct Writer;

#[doc = include_str!("../../docs/mux-stream.md")]
struct Stream;

#[doc = include_str!("../../docs/mux-attacks.md")]
struct Attacks;

#[doc = include_str!("../../docs/mux-host.md")]
struct Host;

#[doc = include_str!("../../docs/mux-packages.md")]
struct Packages;

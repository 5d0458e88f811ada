//! The chapters of the book that show code of this crate: `cargo test -p net --doc` compiles and
//! runs their snippets.

#[doc = include_str!("../../docs/listen.md")]
struct Listen;

#[doc = include_str!("../../docs/connecting.md")]
struct Connecting;

#[doc = include_str!("../../docs/descriptors.md")]
struct Descriptors;

#[doc = include_str!("../../docs/cancellation.md")]
struct Cancellation;

#[doc = include_str!("../../docs/datagrams.md")]
struct Datagrams;

#[doc = include_str!("../../docs/reading-writing.md")]
struct ReadingWriting;

#[doc = include_str!("../../docs/from-tokio.md")]
struct FromTokio;

//! What is done with an input, by the fuzzer and by the ordinary test `fuzz`.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each fuzz target uses one of them")]

mod decode;
mod package;
mod session;
#[path = "../../tests/wire/mod.rs"]
mod wire;

pub use decode::decode;
pub use package::package;
pub use session::session;

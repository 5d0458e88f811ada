//! The pure parts of a host, without a runtime.

mod back_off;
mod choice;
mod dials;
#[path = "../../../tests/wire/rng.rs"]
#[allow(dead_code, unreachable_pub, reason = "these tests need a part of it")]
mod rng;
mod sessions;

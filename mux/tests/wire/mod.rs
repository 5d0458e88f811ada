//! What the simulation and the fuzz targets share: bytes to frames, a referee that judges what a
//! session says and why it ends, and numbers from a seed.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test uses a part of it")]

mod frames;
mod referee;
mod rng;
mod verdict;
mod view;

pub use referee::{Referee, Side};
pub use rng::Rng;
pub use view::Seen;

#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code)]
mod bodies;

use proxy::codec::Protocol;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::codec(Protocol::Bolt, data);
    bodies::cutting(Protocol::Bolt, data);
});

//! The bodies of the fuzz targets over their corpus, random bytes, and good frames with bytes changed.

#[path = "../fuzz/bodies.rs"]
mod bodies;
mod common;

use std::fs;
use std::path::Path;

use common::wire;
use proptest::prelude::*;
use proxy::codec::Protocol;

fn noise(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(Protocol::ALL.to_vec())
}

/// Frames of every kind one behind the other.
fn stream(protocol: Protocol, content: &[u8]) -> Vec<u8> {
    wire::every_kind(protocol, content).concat()
}

/// Frames of every kind, and all of them as a stream that is cut: what the fuzzer begins with.
#[test]
fn the_corpus_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (protocol, folder) in
        [(Protocol::Bolt, "bolt"), (Protocol::Dubbo, "dubbo"), (Protocol::Thrift, "thrift")]
    {
        let files: Vec<_> = fs::read_dir(corpus.join(folder)).unwrap().collect();
        assert!(!files.is_empty());
        for file in files {
            let path = file.unwrap().path();
            eprintln!("{}", path.display());
            let data = fs::read(path).unwrap();
            bodies::codec(protocol, &data);
            bodies::cutting(protocol, &data);
            bodies::detection(&data);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_break_no_promise(protocol in protocol(), data in noise(200), start in 0..8usize) {
        bodies::codec(protocol, &data);
        // The first bytes of a good frame in front, so that more than the first byte is looked at.
        let good = wire::request(protocol, 7, b"content");
        let data = [&good[..start], &data].concat();
        bodies::codec(protocol, &data);
        bodies::cutting(protocol, &data);
        bodies::detection(&data);
    }

    #[test]
    fn good_frames_break_no_promise_however_they_are_cut(
        protocol in protocol(), content in noise(3_000), sizes in any::<[u8; 4]>(),
    ) {
        for frame in wire::every_kind(protocol, &content) {
            bodies::codec(protocol, &frame);
            bodies::codec(protocol, &[&frame[..], b"\0\x01trailing"].concat());
        }
        bodies::cutting(protocol, &[&sizes[..], &stream(protocol, &content)].concat());
    }

    #[test]
    fn changed_frames_break_no_promise(
        protocol in protocol(), content in noise(100), changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut data = stream(protocol, &content);
        for (at, value) in changes {
            let at = at.index(data.len());
            data[at] = value;
        }
        bodies::cutting(protocol, &data);
        for frame in wire::every_kind(protocol, &content) {
            let cut = frame.len().min(data.len());
            bodies::codec(protocol, &data[..cut]);
        }
    }
}

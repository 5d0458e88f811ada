//! The bodies of the fuzz targets (`mux/fuzz`), with the corpus and with inputs at random: what an
//! ordinary toolchain can do without a fuzzer.

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

/// Runs `body` with every file of the corpus.
fn with_the_corpus(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        eprintln!("{}", file.display());
        body(&fs::read(&file).unwrap());
    }
}

#[test]
fn the_corpus_of_decode_holds() {
    with_the_corpus("decode", bodies::decode);
}

#[test]
fn the_corpus_of_package_holds() {
    with_the_corpus("package", bodies::package);
}

#[test]
fn the_corpus_of_session_holds() {
    with_the_corpus("session", bodies::session);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_break_a_rule(input in vec(any::<u8>(), 0..60)) {
        bodies::decode(&input);
    }

    #[test]
    fn any_bytes_are_packages_or_are_named(input in vec(prop_oneof![0..9_u8, any::<u8>()], 0..80)) {
        bodies::package(&input);
    }

    #[test]
    fn a_session_bears_any_program(input in vec(any::<u8>(), 0..300)) {
        bodies::session(&input);
    }
}

//! The table in `main.rs` says which test holds which behaviour; this one holds the table.

use std::fs;
use std::path::Path;

const MAIN: &str = include_str!("main.rs");

/// The file of the tests that the table calls so.
fn file(module: &str) -> String {
    match module {
        "interop" => "tests/interop/run".into(),
        "memory" => "tests/memory.rs".into(),
        _ if module.starts_with("proto/") => format!("src/{module}.rs"),
        _ => format!("tests/session/{module}.rs"),
    }
}

/// Whether there is such a test, and it is run.
fn is_run(code: &str, test: &str) -> bool {
    let (head, function) = (format!("fn {test}("), |line: &str| line.contains("fn "));
    let lines: Vec<_> = code.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&head)) else { return false };
    let before = lines[..at].iter().rev().take_while(|line| !function(line) && !line.is_empty());
    let attributes: Vec<_> = before.filter(|line| line.starts_with("#[")).collect();
    attributes.contains(&&"#[test]") && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

#[test]
fn each_behaviour_of_the_table_has_its_tests_and_they_are_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = MAIN.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
    let mut count = 0;
    for row in rows.skip(1) {
        let (behaviour, tests) = row.split_once(" | ").unwrap();
        let mut module = "";
        for test in tests.split(", ") {
            let (named, test) = test.split_once(": ").unwrap_or(match test.strip_prefix('`') {
                Some(_) => (module, test),
                None => (test, ""),
            });
            module = named;
            let code = fs::read_to_string(package.join(file(module)));
            let code = code.unwrap_or_else(|err| panic!("{behaviour}: {module}: {err}"));
            let name = test.trim_matches('`');
            assert!(
                name.is_empty() || is_run(&code, name),
                "{behaviour}: no test {name} in {module}"
            );
        }
        count += 1;
    }
    assert!(count > 50, "{count} rows");
}

#[test]
fn only_what_is_run_counts_as_a_test() {
    let code = "
        /// Said before.
        #[test]
        fn is_run() {}

        #[test]
        #[ignore = \"slow\"]
        fn is_ignored() {}

        fn is_none() {}";
    assert!(is_run(code, "is_run"));
    assert!(["is_ignored", "is_none", "is_absent", "is"].iter().all(|test| !is_run(code, test)));
}

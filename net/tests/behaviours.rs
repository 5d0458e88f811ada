//! `docs/sockets-tests.md` says which tests hold the forty behaviours; this one holds the page.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/sockets-tests.md");
const BEHAVIOURS: u32 = 40;

/// All Rust sources in a folder and below, one after another.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(&path).unwrap();
        }
    }
    all
}

/// The number of a table's row, and what its last cell has in backticks.
fn row(line: &str) -> Option<(u32, Vec<&str>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
    let [number, _behaviour, tests, ""] = cells[..] else { return None };
    Some((number.parse().ok()?, tests.split('`').skip(1).step_by(2).collect()))
}

#[test]
fn each_behaviour_has_its_tests_and_they_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let code = sources(&root.join("net")) + &sources(&root.join("reactor/tests"));
    let mut rows: Vec<_> = PAGE.lines().filter_map(row).collect();
    rows.sort_unstable();
    let numbers: Vec<u32> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=BEHAVIOURS).collect::<Vec<_>>());
    for (number, named) in rows {
        assert!(!named.is_empty(), "{number} has no test");
        for name in named {
            let is_there = match name.contains('/') {
                true => root.join(name).exists(),
                false => code.contains(&format!("fn {name}(")),
            };
            assert!(is_there, "{number}: there is no {name}");
        }
    }
}

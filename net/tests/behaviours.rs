//! `docs/sockets-tests.md` says which tests hold the forty behaviours; this one holds the page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/sockets-tests.md");
const BEHAVIOURS: u32 = 40;

/// All Rust sources in a folder and below, and what is in them.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = fs::read_to_string(&path).unwrap();
            all.push((path, code));
        }
    }
    all
}

/// The tests of a package that are run.
fn tests(package: &Path) -> BTreeSet<String> {
    let sources = sources(package);
    let built = sources.iter().filter(|(path, _)| is_built(package, path, &sources));
    built.flat_map(|(_, code)| tests_in(code)).collect()
}

/// Whether a file is a target of its own, or a module that one beside or above it declares.
fn is_built(package: &Path, path: &Path, sources: &[(PathBuf, String)]) -> bool {
    let (folder, tests) = (path.parent().unwrap(), package.join("tests"));
    let name = path.file_stem().unwrap().to_str().unwrap();
    if folder == tests || (name == "main" && folder.parent() == Some(&tests)) {
        return true;
    }
    let declaration = format!("mod {name};");
    sources.iter().any(|(by, code)| {
        let may_declare = by.parent() == Some(folder) || by.with_extension("") == folder;
        may_declare && code.lines().any(|line| line.trim_start().ends_with(&declaration))
    })
}

/// Every function with `#[test]` and without `#[ignore]`.
fn tests_in(code: &str) -> Vec<String> {
    let (mut tests, mut attributes) = (Vec::new(), Vec::new());
    for line in code.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if let Some(function) = line.strip_prefix("fn ") {
            let is_run = !attributes.iter().any(|attribute| attribute.starts_with("#[ignore"));
            if attributes.contains(&"#[test]") && is_run {
                tests.extend(function.split('(').next().map(str::to_owned));
            }
            attributes.clear();
        } else if !line.starts_with("//") {
            attributes.clear();
        }
    }
    tests
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
    let mut run = tests(&root.join("net"));
    run.extend(tests(&root.join("reactor")));
    let mut rows: Vec<_> = PAGE.lines().filter_map(row).collect();
    rows.sort_unstable();
    let numbers: Vec<u32> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=BEHAVIOURS).collect::<Vec<_>>());
    for (number, named) in rows {
        assert!(!named.is_empty(), "{number} has no test");
        for name in named {
            let is_there = match name.contains('/') {
                true => root.join(name).exists(),
                false => run.contains(name),
            };
            assert!(is_there, "{number}: there is no {name}");
        }
    }
}

#[test]
fn only_what_is_run_counts_as_a_test() {
    let code = "
        #[test]
        fn is_run() {}
        // Said in between.
        #[test]
        /// And here.
        #[should_panic]
        fn panics() {}
        #[test]
        #[ignore = \"slow\"]
        fn is_ignored() {}
        fn is_none() {}
        #[test]
        const THREE: u32 = 3;
        fn is_none_either() {}";
    assert_eq!(tests_in(code), ["is_run", "panics"]);
    let sources = [
        ("tests/a.rs", "mod b;\n//mod lost;"),
        ("tests/b/main.rs", "mod c;"),
        ("tests/b/c.rs", ""),
        ("tests/b/d.rs", ""),
        ("src/e.rs", "mod tests;"),
        ("src/e/tests.rs", ""),
    ];
    let sources = sources.map(|(path, code)| (PathBuf::from(path), code.to_owned()));
    let built = |path: &str| is_built(Path::new(""), Path::new(path), &sources);
    for path in ["tests/a.rs", "tests/b/main.rs", "tests/b/c.rs", "src/e/tests.rs"] {
        assert!(built(path), "{path}");
    }
    assert!(!built("tests/b/d.rs") && !built("src/e.rs"));
}

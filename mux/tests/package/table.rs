//! The table in `main.rs` says which test holds against which fault; this one holds the table.

const MAIN: &str = include_str!("main.rs");

/// The modules that the table names.
const MODULES: [(&str, &str); 5] = [
    ("faults", include_str!("faults.rs")),
    ("queue", include_str!("queue.rs")),
    ("retry", include_str!("retry.rs")),
    ("schedule", include_str!("schedule.rs")),
    ("stream_mode", include_str!("stream_mode.rs")),
];

#[test]
fn each_test_of_the_table_is_in_the_module_that_it_names() {
    let rows = MAIN.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
    let mut count = 0;
    for row in rows.skip(1) {
        let (fault, tests) = row.split_once(" | ").unwrap();
        let mut module = "";
        for test in tests.split(", ") {
            let (named, test) = test.split_once(": ").unwrap_or((module, test));
            module = named;
            let found = MODULES.iter().find(|(name, _)| *name == module);
            let (_, code) = found.unwrap_or_else(|| panic!("{fault}: no module {module}"));
            let Some(name) = test.strip_prefix('`') else { continue };
            let head = format!("#[test]\nfn {}(", name.trim_end_matches('`'));
            assert!(code.contains(&head), "{fault}: no test {name} in {module}");
        }
        count += 1;
    }
    assert!(count > 5, "{count} rows");
}

//! The configuration reference and the samples, checked against the code.
//!
//! Which keys there are is asked of the code itself: a key that cannot exist is put into every object
//! of every sample, and the error lists those that could.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use proxy::Config;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/proxy-config.md");
/// A key that no version will have.
const STRANGE: &str = "?";

/// Names of keys, by the path of the object that has them.
type Keys = BTreeMap<String, BTreeSet<String>>;

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/configs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "json")).collect()
}

fn document(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Pointers (RFC 6901) of all objects in `value`.
fn objects(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            out.push(at.to_owned());
            map.iter().for_each(|(key, value)| objects(value, &format!("{at}/{key}"), out));
        }
        Value::Array(list) => {
            let list = list.iter().enumerate();
            list.for_each(|(number, value)| objects(value, &format!("{at}/{number}"), out));
        }
        _ => {}
    }
}

/// `/servers/0/listeners/1` as `servers[].listeners[]`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str("[]");
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(part);
        }
    }
    path
}

fn between_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The keys that the code takes.
fn known() -> Keys {
    let mut keys = Keys::new();
    for file in samples() {
        let document = document(&file);
        let mut pointers = Vec::new();
        objects(&document, "", &mut pointers);
        for pointer in pointers {
            let mut strange = document.clone();
            strange.pointer_mut(&pointer).unwrap()[STRANGE] = json!(0);
            let Err(error) = Config::parse(&file, &strange.to_string()) else { continue };
            let is_free = error.message.starts_with("unknown field `?`, there are no fields")
                // Names that the file makes up, each with a text.
                || error.message == "invalid type: integer `0`, expected a string";
            if is_free {
                continue;
            }
            let Some((_, expected)) = error.message.split_once("unknown field `?`, expected ")
            else {
                panic!("{}: {pointer}: {error}", file.display());
            };
            let names = between_backticks(expected).map(str::to_owned);
            keys.entry(path_of(&pointer)).or_default().extend(names);
        }
    }
    keys
}

/// The keys that the page lists, with what it says of each: under a heading with the path of an object, the first column of a
/// table.
fn rows() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut keys: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut path = None;
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            path = Some(between_backticks(heading).next().unwrap_or_default().to_owned());
        } else if line.starts_with("## ") {
            path = None;
        } else if let (Some(path), Some(row)) = (&path, line.strip_prefix("| `")) {
            let name = row.split('`').next().unwrap_or_default();
            let meaning = row.trim_end_matches(['|', ' ']).rsplit(" |").next().unwrap_or_default();
            let meaning = meaning.trim().to_owned();
            let before = keys.entry(path.clone()).or_default().insert(name.to_owned(), meaning);
            assert!(before.is_none(), "`{name}` is there twice under `{path}`");
        }
    }
    keys
}

fn documented() -> Keys {
    let names = |rows: BTreeMap<String, String>| rows.into_keys().collect();
    rows().into_iter().map(|(path, rows)| (path, names(rows))).collect()
}

#[test]
fn every_key_that_the_code_knows_is_in_the_reference_and_the_other_way_round() {
    let (known, documented) = (known(), documented());
    let flat = |keys: &Keys| -> BTreeSet<String> {
        let keys =
            keys.iter().flat_map(|(path, names)| names.iter().map(move |name| joined(path, name)));
        keys.collect()
    };
    let (known, documented) = (flat(&known), flat(&documented));
    let missing: Vec<_> = known.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&known).collect();
    assert!(missing.is_empty(), "not in docs/proxy-config.md: {missing:#?}");
    assert!(invented.is_empty(), "in docs/proxy-config.md, or in no sample: {invented:#?}");
}

/// `path` and `key` as one.
fn joined(path: &str, key: &str) -> String {
    format!("{path}{}{key}", if path.is_empty() { "" } else { "." })
}

#[test]
fn everything_has_every_key_that_has_an_effect() {
    let file = samples().into_iter().find(|file| file.ends_with("everything.json")).unwrap();
    let (document, mut pointers, mut present) = (document(&file), Vec::new(), BTreeSet::new());
    objects(&document, "", &mut pointers);
    for pointer in pointers {
        let keys = document.pointer(&pointer).unwrap().as_object().unwrap().keys();
        present.extend(keys.map(|key| joined(&path_of(&pointer), key)));
    }
    // Another name for `name`.
    present.insert("cluster_manager.clusters[].Name".to_owned());
    let has_effect =
        |meaning: &str| !meaning.starts_with("no effect") && !meaning.starts_with("an error");
    let mut missing = Vec::new();
    for (path, rows) in rows() {
        // In older files the same stands elsewhere: once is enough.
        let is_old = path.contains(".config.virtual_hosts[]");
        let wanted = rows.iter().filter(|(_, meaning)| !is_old && has_effect(meaning));
        missing
            .extend(wanted.map(|(key, _)| joined(&path, key)).filter(|key| !present.contains(key)));
    }
    assert!(missing.is_empty(), "not in everything.json: {missing:#?}");
}

#[test]
fn the_defaults_in_the_samples_are_those_of_the_code() {
    let file = samples().into_iter().find(|file| file.ends_with("everything.json")).unwrap();
    let config = Config::read(&file).unwrap();
    assert_eq!(config.limits, proxy::Limits::default());
}

#[test]
fn every_sample_passes_check_and_is_explained_beside_it() {
    let readme = include_str!("../../examples/configs/README.md");
    let samples = samples();
    assert!(samples.len() >= 5, "{samples:?}");
    for file in samples {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
        let output = command.arg("check").arg("-c").arg(&file).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!out.contains("note: "), "{out}");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(out.ends_with(&format!("{name}: ok\n")), "{out}");
        assert!(readme.contains(&format!("\n## {name}\n")), "{name} is not in the README");
    }
}

//! The chapters about the reactor and its sockets name symbols, and these are there. What a chapter
//! says of them its readers have to check.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Chapters of other packages, and two pages that name everybody's.
const OF_OTHERS: [&str; 4] = ["mux", "proxy", "README", "performance"];

/// The pieces of all sources that end with a brace at the start of a line: an `impl`, a `struct`.
fn items(folder: &Path) -> Vec<String> {
    let mut items = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            items.extend(self::items(&path));
        } else {
            let code = fs::read_to_string(&path).unwrap();
            items.extend(code.split("\n}\n").map(str::to_owned));
        }
    }
    items
}

/// Words of Rust, one after another.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// `type TcpStream = Stream<Tcp>`: what a name stands for.
fn aliases(items: &[String]) -> HashMap<&str, &str> {
    let definitions = items.iter().flat_map(|item| item.lines()).filter_map(|line| {
        let (name, meaning) = line.split_once("type ")?.1.split_once(" = ")?;
        Some((words(name).next()?, words(meaning).next()?))
    });
    definitions.collect()
}

/// Whether an item is of the type, and has this function or field.
fn has(item: &str, of: &str, name: &str) -> bool {
    let is_of = item.lines().any(|line| {
        let line = line.trim_start_matches("unsafe ");
        let line = line.strip_prefix("pub").map_or(line, |rest| rest.split_once(' ').unwrap().1);
        let kinds = ["impl", "struct", "enum", "trait"];
        kinds.iter().any(|kind| line.starts_with(kind)) && words(line).any(|word| word == of)
    });
    let function = item
        .match_indices(&format!("fn {name}"))
        .any(|(at, found)| item[at + found.len()..].starts_with(['(', '<']));
    is_of && (function || item.contains(&format!(" {name}: ")))
}

/// The `Type::function`s between backticks.
fn symbols(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let code = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    code.filter_map(|code| {
        let (of, rest) = code.split_once("::")?;
        let is_type = of.starts_with(|c: char| c.is_ascii_uppercase()) && words(of).eq([of]);
        let name = words(rest).next().filter(|name| rest.starts_with(name))?;
        let is_function = name.starts_with(|c: char| c.is_ascii_lowercase());
        (is_type && is_function).then_some((of, name))
    })
}

#[test]
fn each_function_that_the_book_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut items = items(&root.join("reactor/src"));
    items.extend(self::items(&root.join("net/src")));
    let aliases = aliases(&items);
    let (mut named, mut missing) = (0, Vec::new());
    for page in fs::read_dir(root.join("docs")).unwrap() {
        let page = page.unwrap();
        let title = page.file_name().into_string().unwrap();
        if OF_OTHERS.iter().any(|other| title.starts_with(other)) {
            continue;
        }
        for (of, name) in symbols(&fs::read_to_string(page.path()).unwrap()) {
            let meant = aliases.get(of).copied().unwrap_or(of);
            named += 1;
            if !items.iter().any(|item| has(item, meant, name)) {
                missing.push(format!("{title}: {of}::{name}"));
            }
        }
    }
    assert!(named > 50, "{named} are too few to believe");
    assert!(missing.is_empty(), "{missing:#?}");
}

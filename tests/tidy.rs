//! The house rules that a program can check: sizes, plain ASCII, one way for dependencies, and
//! that no test file lies about unused. There is no list of exceptions.

#![allow(clippy::disallowed_methods, reason = "a test is outside the seams it tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module uses modules of its own layer and of the layers before it, never of a later one.
const LAYERS: &[&[&str]] = &[
    &["clock", "disk", "glob", "memory", "number", "raw_text", "resp", "rng", "types"],
    &["keyspace", "session"],
    &["config", "logger", "aof", "snapshot", "scripting"],
    &["acl", "command"],
    &["engine"],
    &["backup", "exchange", "recovery"],
    &["metrics", "server"],
    &["cli", "sim"],
];

const LINES_MAX: usize = 1000;
const COLUMNS_MAX: usize = 140;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, sorted; none when there is no such folder.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    found
}

fn rust_files() -> Vec<PathBuf> {
    ["src", "tests", "benches", "fuzz/fuzz_targets"]
        .iter()
        .flat_map(|folder| files(folder, "rs"))
        .collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn files_and_lines_stay_short() {
    let mut found = Vec::new();
    for path in rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        let count = text.lines().count();
        if count > LINES_MAX {
            found.push(format!("{}: {count} lines, at most {LINES_MAX}", shown(&path)));
        }
        for (number, line) in text.lines().enumerate() {
            if without_texts(line).chars().count() > COLUMNS_MAX {
                found.push(format!("{}:{}: over {COLUMNS_MAX} columns", shown(&path), number + 1));
            }
        }
    }
    assert_none(&found);
}

/// The line with its string literals emptied: a sentence in quotes may be as long as it is.
fn without_texts(line: &str) -> String {
    let mut code = String::new();
    let (mut inside, mut escaped) = (false, false);
    for next in line.chars() {
        match next {
            '"' if !escaped => inside = !inside,
            _ if !inside => code.push(next),
            _ => {}
        }
        escaped = next == '\\' && !escaped;
    }
    code
}

#[test]
fn source_is_plain_ascii() {
    let mut found = Vec::new();
    for path in files("src", "rs") {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if !line.is_ascii() {
                found.push(format!("{}:{}: {line}", shown(&path), number + 1));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn dependencies_go_one_way() {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut found = Vec::new();
    for path in files("src", "rs") {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let first = inside.iter().next().map(|part| part.to_string_lossy().replace(".rs", ""));
        let module = first.unwrap_or_default();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(own) = layer(&module) else {
            found.push(format!("{}: {module} is in no layer of tests/tidy.rs", shown(&path)));
            continue;
        };
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for used in modules_used(line) {
                // A name that is no module is an item of the crate's root.
                if layer(&used).is_some_and(|other| other > own) {
                    let at = number + 1;
                    found.push(format!("{}:{at}: {module} uses {used}: {line}", shown(&path)));
                }
            }
        }
    }
    assert_none(&found);
}

/// The modules that a line names after `crate::`, also in braces: `use crate::{a::B, c}`.
fn modules_used(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or(line);
    let name = |text: &str| -> String {
        text.trim()
            .chars()
            .take_while(|next| next.is_ascii_alphanumeric() || *next == '_')
            .collect()
    };
    let mut used = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => used.extend(top_level_items(list).iter().map(|item| name(item))),
            None => used.push(name(after)),
        }
    }
    used
}

/// Splits `a::{B, C}, d}` at the commas that are not inside inner braces.
fn top_level_items(list: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0;
    for next in list.chars() {
        match next {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = items.last_mut() {
            last.push(next);
        }
    }
    items
}

/// A folder of `tests/` is one binary: each of its files is named by a `mod` line, or never built.
#[test]
fn no_test_file_is_forgotten() {
    let mut found = Vec::new();
    for path in files("tests", "rs") {
        let folder = path.parent().unwrap();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if folder == root().join("tests") || stem == "main" || stem == "mod" {
            continue;
        }
        let named = ["main.rs", "mod.rs"].iter().any(|head| {
            fs::read_to_string(folder.join(head))
                .is_ok_and(|text| text.lines().any(|line| line.ends_with(&format!("mod {stem};"))))
        });
        if !named {
            found.push(format!("{}: no `mod {stem};`", shown(&path)));
        }
    }
    for folder in folders_with_rust("tests") {
        let built = folder.join("main.rs").exists() || folder.join("mod.rs").exists();
        if !built {
            found.push(format!("{}: neither main.rs nor mod.rs", shown(&folder)));
        }
    }
    assert_none(&found);
}

fn folders_with_rust(folder: &str) -> BTreeSet<PathBuf> {
    files(folder, "rs")
        .iter()
        .filter_map(|path| Some(path.parent()?.to_path_buf()))
        .filter(|folder| folder != &root().join("tests"))
        .collect()
}

/// Every text file beside the transcripts is a transcript (all of which are run) or the list of
/// seeds, and every transcript has at least one request whose reply is written down.
#[test]
fn transcripts_are_complete() {
    let mut found = Vec::new();
    let paths = files("tests/commands", "txt");
    assert!(paths.len() > 10, "the transcripts are gone");
    for path in paths {
        if path.ends_with("seeds.txt") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let request = |line: &str| line.split_once('>').is_some_and(|(name, _)| is_name(name));
        let reply = |line: &str| line.split_once('<').is_some_and(|(name, _)| is_name(name));
        if !text.lines().any(request) || !text.lines().any(reply) {
            found.push(format!("{}: no request with a reply", shown(&path)));
        }
        for (number, line) in text.lines().enumerate() {
            if line.ends_with("< ?") {
                found.push(format!("{}:{}: not blessed", shown(&path), number + 1));
            }
        }
    }
    assert_none(&found);
}

/// docs/security.md lists every file that has unsafe code, and no other.
#[test]
fn unsafe_code_is_in_the_table() {
    let security = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let listed: BTreeSet<String> = security
        .lines()
        .filter_map(|line| line.strip_prefix("| `src/")?.split_once(".rs` |"))
        .map(|(name, _)| format!("src/{name}.rs"))
        .collect();
    let unsafe_in = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().any(is_unsafe);
    let having: BTreeSet<String> =
        rust_files().iter().filter(|path| unsafe_in(path)).map(|path| shown(path)).collect();
    let missing = having.difference(&listed).map(|file| format!("{file}: not in docs/security.md"));
    let gone = listed.difference(&having).map(|file| format!("{file}: listed, but has none"));
    assert!(!having.is_empty());
    assert_none(&missing.chain(gone).collect::<Vec<_>>());
}

/// Whether the line has unsafe code that is no comment and no text.
fn is_unsafe(line: &str) -> bool {
    let code = without_texts(line);
    let code = code.split("//").next().unwrap_or_default();
    let ends = |rest: &str| rest.trim().is_empty() || rest.starts_with([' ', '{', '(']);
    let word = |(at, found): (usize, &str)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
            && ends(&code[at + found.len()..])
    };
    code.match_indices("unsafe").any(word)
}

fn is_name(text: &str) -> bool {
    text.chars().all(|next| next.is_ascii_alphanumeric())
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(modules_used("use crate::disk::Disk;"), ["disk"]);
    assert_eq!(modules_used("use crate::{aof::Writer, types};"), ["aof", "types"]);
    assert_eq!(modules_used("use crate::{a::{B, C}, d};"), ["a", "d"]);
    assert_eq!(
        modules_used("let x = crate::server::run(crate::clock::now());"),
        ["server", "clock"]
    );
    assert_eq!(without_texts(r#"a("b \" c", d)"#), "a(, d)");
    assert!(modules_used("// crate::server is not used").is_empty());
    assert!(is_unsafe("unsafe impl Send for A {}") && is_unsafe("a(unsafe { *b })"));
    assert!(!is_unsafe("// unsafe { }") && !is_unsafe("#![allow(unsafe_code)]"));
    assert!(!is_unsafe("a(\"unsafe { }\")") && !is_unsafe("is_unsafe(b)"));
}

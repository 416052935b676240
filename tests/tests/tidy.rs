//! The project's rules about its own source, as a test.
//!
//! **Invariant: every rule is seen to fail**: each is a function from a text to its flaws, and is given a text that breaks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line of code; a line with a comment or a string in it, which rustfmt leaves alone, may be a little longer.
const COLUMNS: usize = 120;
const COLUMNS_OF_WORDS: usize = 140;

/// Lines of a file.
const LINES: usize = 700;

/// Longer files that were there before this rule; none is to be added.
const LONG: [&str; 1] = ["tests/tests/write_path_channel.rs"];

/// Lines before an operation in which its comment stands.
const NEAR: usize = 6;

/// Lines before an unsafe block in which its reason stands: reasons are longer.
const NEAR_UNSAFE: usize = 8;

const ORDERINGS: [&str; 5] = ["Acquire", "Release", "AcqRel", "SeqCst", "Relaxed"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files with this ending below a folder of the repository, as paths from its root, sorted.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_string()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap_or_else(|e| panic!("{folder}: {e}")) {
            let entry = entry.expect("an entry");
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            match entry.file_type().expect("a type").is_dir() {
                true if !path.ends_with("/target") => folders.push(path),
                false if path.ends_with(ending) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has {ending} files");
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// No file below `folders` has a flaw.
#[track_caller]
fn clean(folders: &[&str], rule: impl Fn(&str, &str) -> Vec<String>) {
    let files = folders.iter().flat_map(|folder| files(folder, ".rs"));
    let flaws: Vec<String> = files
        .flat_map(|path| rule(&path, &read(&path)).into_iter().map(move |flaw| format!("{path}:{flaw}")))
        .collect();
    assert!(flaws.is_empty(), "{} flaws:\n{}", flaws.len(), flaws.join("\n"));
}

const MODEL: [&str; 1] = ["model/src"];
const BOTH: [&str; 2] = ["model/src", "sim/src"];
/// This file breaks the rules on purpose, in strings.
const HERE: &str = "tests/tests/tidy.rs";
const ALL: [&str; 6] = ["model/src", "sim/src", "sim/benches", "sim/tests", "tests/src", "tests/tests"];

/// A line's code and its comment. `//` after a colon is an address in a string.
fn parts(line: &str) -> (&str, &str) {
    let mut from = 0;
    while let Some(at) = line[from..].find("//").map(|at| from + at) {
        if !line[..at].ends_with(':') {
            return line.split_at(at);
        }
        from = at + 2;
    }
    (line, "")
}

/// Whether `word` stands in `code` as a word of its own.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

/// Lines whose code has one of these words.
fn forbidden(text: &str, words: &[String]) -> Vec<String> {
    let flaw = |(i, line): (usize, &str)| {
        let word = words.iter().find(|word| has_word(parts(line).0, word.as_str()))?;
        Some(format!("{}: `{word}` does not belong here", i + 1))
    };
    text.lines().enumerate().filter_map(flaw).collect()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| w.to_string()).collect()
}

fn conditional(text: &str) -> Vec<String> {
    forbidden(text, &words(&["cfg", "cfg_attr"]))
}

fn of_the_host(text: &str) -> Vec<String> {
    forbidden(text, &words(&["std::sync", "std::thread", "std::time", "Instant", "SystemTime"]))
}

fn hashed(text: &str) -> Vec<String> {
    forbidden(text, &words(&["HashMap", "HashSet"]))
}

fn unfinished(text: &str) -> Vec<String> {
    let macros = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!"));
    let mut words = macros.to_vec();
    words.push(format!("#[{}", "ignore"));
    forbidden(text, &words)
}

/// The comments on line `i` and on the lines before it.
fn comments(lines: &[&str], i: usize, near: usize) -> String {
    lines[i.saturating_sub(near)..=i].iter().map(|line| parts(line).1).collect::<Vec<_>>().join(" ")
}

fn unexplained_unsafe(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let opens = |code: &str| code.contains("unsafe {") || code.contains("unsafe impl");
    (0..lines.len())
        .filter(|&i| opens(parts(lines[i]).0) && !comments(&lines, i, NEAR_UNSAFE).contains("SAFETY:"))
        .map(|i| format!("{}: no `SAFETY:` before it", i + 1))
        .collect()
}

/// The orderings that a line passes to an operation.
fn orderings(code: &str) -> Vec<&'static str> {
    if code.trim_start().starts_with("use ") {
        return Vec::new();
    }
    let passed = |name: &str| {
        code.match_indices(name).any(|(at, _)| {
            let (before, after) = (code[..at].trim_end(), &code[at + name.len()..]);
            let is_argument = before.is_empty() || before.ends_with(['(', ',']) || before.ends_with("Ordering::");
            is_argument && after.starts_with([')', ',']) || before.ends_with("Ordering::") && after.is_empty()
        })
    };
    ORDERINGS.into_iter().filter(|name| passed(name)).collect()
}

/// An operation needs a comment nearby that names its ordering, its partner, or the place that explains it. Of several
/// orderings of one operation, the weaker one of a failed exchange needs none of its own.
fn unexplained_orderings(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let flaw = |i: usize| {
        let used = orderings(parts(lines[i]).0);
        let comment = comments(&lines, i, NEAR);
        let halves = ["Acquire", "Release"];
        let says =
            |name: &str| has_word(&comment, name) || name == "AcqRel" && halves.iter().any(|h| has_word(&comment, h));
        let refers = ["airs with", "as in `", "see `", "ordered by", "published by", "lain field"];
        let is_explained = used.iter().any(|name| says(name)) || refers.iter().any(|r| comment.contains(r));
        (!used.is_empty() && !is_explained).then(|| format!("{}: no comment says why {}", i + 1, used.join(" and ")))
    };
    (0..lines.len()).filter_map(flaw).collect()
}

fn too_wide(text: &str) -> Vec<String> {
    let limit = |line: &str| if line.contains("//") || line.contains('"') { COLUMNS_OF_WORDS } else { COLUMNS };
    let width = |line: &str| line.chars().count();
    let wide = text.lines().enumerate().filter(|(_, line)| width(line) > limit(line));
    wide.map(|(i, line)| format!("{}: {} columns", i + 1, width(line))).collect()
}

fn too_long(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines > LINES && !LONG.contains(&path) { vec![format!("{lines} lines; at most {LINES}")] } else { Vec::new() }
}

/// The scenarios that the gallery's links name, and what is wrong with them.
fn gallery(readme: &str, there: &BTreeSet<String>) -> Vec<String> {
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let named: BTreeSet<String> = links.filter(|link| link.ends_with(".ron")).map(str::to_string).collect();
    let absent = named.difference(there).map(|name| format!("{name} is named and does not exist"));
    absent.chain(there.difference(&named).map(|name| format!("{name} exists and is not named"))).collect()
}

#[test]
fn the_model_has_one_text_on_every_host() {
    clean(&MODEL, |_, text| conditional(text));
    assert_eq!(conditional("// cfg(x)\n#[cfg(test)]\nif cfg!(unix) {}").len(), 2);
    assert_eq!(conditional("#[cfg_attr(test, allow(x))]").len(), 1);
}

#[test]
fn the_model_reaches_the_host_through_its_platform() {
    clean(&MODEL, |path, text| if path == "model/src/platform/std.rs" { Vec::new() } else { of_the_host(text) });
    let text = "use std::sync::Arc;\nstd::thread::spawn(f);\nlet t = Instant::now();\nuse std::time::Duration;";
    assert_eq!(of_the_host(text).len(), 4);
    assert!(of_the_host("use alloc::sync::Arc; // not std::sync\nuse core::time::Duration;").is_empty());
}

#[test]
fn no_order_depends_on_a_hash() {
    clean(&BOTH, |_, text| hashed(text));
    assert_eq!(hashed("let m = HashMap::new();\n// a HashMap\nuse std::collections::HashSet;").len(), 2);
}

#[test]
fn nothing_is_unfinished() {
    clean(&ALL, |path, text| if path == HERE { Vec::new() } else { unfinished(text) });
    let text = ["todo!()", "unimplemented!()", "dbg!(x)", "#[ignore]", "#[ignore = \"slow\"]"].join("\n");
    assert_eq!(unfinished(&text.replace("#[ignore", "    #[ignore")).len(), 5);
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    clean(&ALL, |path, text| if path == HERE { Vec::new() } else { unexplained_unsafe(text) });
    let block = "let x = unsafe { *p };\n";
    assert_eq!(unexplained_unsafe(block), ["1: no `SAFETY:` before it"]);
    assert_eq!(unexplained_unsafe("unsafe impl Send for X {}").len(), 1);
    assert!(unexplained_unsafe(&format!("// SAFETY: it is ours.\n{block}")).is_empty());
    assert_eq!(unexplained_unsafe(&format!("// SAFETY: too far.\n{}{block}", "\n".repeat(NEAR_UNSAFE))).len(), 1);
    assert_eq!(unexplained_unsafe(&format!("{block}// SAFETY: too late.\n")).len(), 1);
}

#[test]
fn every_ordering_is_explained() {
    // Its calls pass on the orderings of their callers; what stays is explained like any other.
    clean(&MODEL, |_, text| unexplained_orderings(text));
    let bare = "self.head.store(next, Release);\n";
    assert_eq!(unexplained_orderings(bare), ["1: no comment says why Release"]);
    assert_eq!(unexplained_orderings("x.load(Ordering::SeqCst)").len(), 1);
    assert_eq!(unexplained_orderings("x.compare_exchange(a, b, AcqRel, Relaxed)").len(), 1);
    assert_eq!(unexplained_orderings(&format!("// It moves on.\n{bare}")).len(), 1, "any comment is not enough");
    assert_eq!(unexplained_orderings(&format!("// Acquire: the other one.\n{bare}")).len(), 1);
    for comment in
        ["// Release: the consumer sees the slot.", "// Pairs with the Acquire in `poll`.", "// as in `poll`"]
    {
        assert!(unexplained_orderings(&format!("{comment}\n{bare}")).is_empty(), "{comment}");
        assert_eq!(unexplained_orderings(&format!("{comment}\n{}{bare}", "\n".repeat(NEAR))).len(), 1, "{comment}");
    }
    assert!(unexplained_orderings("fn release(&self) -> Result<Release, IllegalCount> {").is_empty());
    assert!(unexplained_orderings("use core::sync::atomic::Ordering::{Acquire, Relaxed};").is_empty());
}

#[test]
fn lines_and_files_can_be_read() {
    clean(&ALL, |_, text| too_wide(text));
    clean(&ALL, too_long);
    for path in LONG {
        assert!(read(path).lines().count() > LINES, "{path} is not long any more: take it off the list");
    }
    assert_eq!(too_wide(&format!("{}\n{}\n", "x".repeat(COLUMNS), "x".repeat(COLUMNS + 1))), ["2: 121 columns"]);
    let words = |columns: usize| format!("// {}", "ä".repeat(columns - 3));
    assert!(too_wide(&words(COLUMNS_OF_WORDS)).is_empty());
    assert_eq!(too_wide(&words(COLUMNS_OF_WORDS + 1)).len(), 1);
    assert_eq!(too_long("sim/src/x.rs", &"\n".repeat(LINES + 1)).len(), 1);
    assert!(too_long("sim/src/x.rs", &"\n".repeat(LINES)).is_empty());
}

#[test]
fn the_gallery_names_every_scenario_and_no_other() {
    let there: BTreeSet<String> =
        files("scenarios", ".ron").iter().map(|path| path.trim_start_matches("scenarios/").to_string()).collect();
    let flaws = gallery(&read("scenarios/README.md"), &there);
    assert!(flaws.is_empty(), "{flaws:#?}");
    let there = BTreeSet::from(["a.ron".to_string(), "b/c.ron".to_string()]);
    assert!(gallery("[a](a.ron), [c](b/c.ron) and [more](x.md)", &there).is_empty());
    assert_eq!(gallery("[a](a.ron)", &there), ["b/c.ron exists and is not named"]);
    assert_eq!(gallery("[a](a.ron) [c](b/c.ron) [d](d.ron)", &there), ["d.ron is named and does not exist"]);
}

/// `cargo run` says which program only if there is one: what else can be run is an example.
#[test]
fn the_workspace_has_one_program() {
    let all: Vec<String> = ["model", "sim", "tests"].iter().flat_map(|folder| files(folder, ".rs")).collect();
    let is_program = |path: &&String| path.ends_with("src/main.rs") || path.contains("src/bin/");
    assert_eq!(all.iter().filter(is_program).collect::<Vec<_>>(), ["sim/src/main.rs"]);
}

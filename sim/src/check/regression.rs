//! Failures that are kept, to be repeated before anything else.
//!
//! **Invariant: a file is whole or absent**: it is written under another name first.
//!
//! ```text
//!   pool-1f0a5c3b.ron:   // what happened, for a reader
//!                        (v: 1, failure: "...", replay: "1/0/131/weak 2@12:3")
//! ```
//!
//! A file stays after the failure is mended: it says that the failure stays away.

use super::failure::{Failure, signature};
use super::token::Token;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The content of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    v: u32,
    failure: String,
    replay: String,
}

/// Writes `failure` down.
pub(super) fn keep(directory: &Path, name: &str, failure: &Failure) -> io::Result<()> {
    if failure.diverged.is_some() {
        return Ok(()); // it can't be repeated
    }
    fs::create_dir_all(directory)?;
    let token = failure.token.to_string();
    let kept = Kept { v: 1, failure: signature(&failure.verdict), replay: token.clone() };
    let ron = ron::ser::to_string_pretty(&kept, ron::ser::PrettyConfig::default()).map_err(io::Error::other)?;
    let comments: String =
        failure.to_string().lines().map(|line| format!("// {line}").trim_end().to_string() + "\n").collect();
    let path = directory.join(format!("{name}-{:08x}.ron", xxh3_64(token.as_bytes()) as u32));
    let unfinished = path.with_extension("ron.tmp");
    fs::write(&unfinished, format!("{comments}{ron}\n"))?;
    fs::rename(unfinished, path)
}

/// The files in `directory` whose names begin with `name`, in the order of their names. No directory: none.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn read(directory: &Path, name: &str) -> Result<Vec<(PathBuf, Token)>, String> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(Vec::new()) };
    let mine = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let hash = stem.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        path.extension().is_some_and(|e| e == "ron") && hash.is_some_and(|h| h.len() == 8 && !h.contains('-'))
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(mine).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| one(&path).map(|token| (path.clone(), token)).map_err(|e| format!("{}: {e}", path.display())))
        .collect()
}

fn one(path: &Path) -> Result<Token, String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    let kept: Kept = ron::from_str(&text).map_err(|e| e.to_string())?;
    if kept.v != 1 {
        return Err(format!("version {} is not one that this Millpond reads", kept.v));
    }
    kept.replay.parse().map_err(|e: super::token::NotAToken| e.to_string())
}

//! From a path to a checked scenario.
//!
//! **Invariant: a scenario file is untrusted input.** What is loaded keeps every limit in [`limits`]; whatever else a path
//! may lead to is refused promptly, with a reason.
//!
//! ```text
//!   path ──read──> bytes ──decode──> text ──tokens──> brackets match ──ron──> Scenario ──check──> cells
//!          regular file     UTF-8             64 levels deep                    every value in its range
//!          1 MiB
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::diagnose::{LoadError, Problem, is_treacherous, printable, tamed};
use super::tokens::{Broken, Token, tokens};
use super::{Cell, Scenario, cells, check, explain, limits, locate};
use crate::list::scenario_files;
use crate::suggest::{grouped, nearest};

/// A scenario that keeps every limit, and its text.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub scenario: Scenario,
    /// The file's content.
    pub text: String,
    /// Where it came from, as it was given.
    pub path: PathBuf,
    /// The configurations of its sweep: at least one.
    pub cells: Vec<Cell>,
}

/// Loads a scenario file.
///
/// # Errors
/// If the path does not lead to a readable scenario within the limits: every problem that was seen, at most ten.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let bytes = read(path).map_err(|problem| LoadError::new(path, "", vec![problem]))?;
    let text = decode(path, bytes)?;
    parse(path, text)
}

/// Loads a scenario from its text; `path` only names it.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: String) -> Result<Loaded, LoadError> {
    let failed = |problems| LoadError::new(path, &tamed(&text), problems);
    let tokens = sound(&text).map_err(|problem| failed(vec![problem]))?;
    let scenario = ron(&text).map_err(|error| failed(vec![explain::explain(&text, &tokens, &error)]))?;
    let problems: Vec<Problem> = check(&scenario)
        .into_iter()
        .map(|flaw| Problem {
            span: Some(locate::locate(&text, &tokens, &flaw.path)),
            message: flaw.message,
            label: flaw.label,
            help: flaw.help,
        })
        .collect();
    if !problems.is_empty() {
        return Err(failed(problems));
    }
    let cells = cells(&scenario);
    assert!(!cells.is_empty(), "a checked sweep has a cell");
    Ok(Loaded { scenario, text, path: path.to_path_buf(), cells })
}

/// RON as scenario files use it: `4` for `Some(4)`, and `Phase(name: ...)` for `Phase((name: ...))`.
pub(super) fn ron(text: &str) -> Result<Scenario, ron::error::SpannedError> {
    dialect().from_str(text)
}

/// The RON dialect of scenario files.
pub fn dialect() -> ron::Options {
    use ron::extensions::Extensions;
    ron::Options::default()
        .with_default_extension(Extensions::IMPLICIT_SOME | Extensions::UNWRAP_VARIANT_NEWTYPES)
        .with_recursion_limit(2 * limits::NESTING)
}

/// The bytes of a regular file within the limit.
fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let failed = |error: io::Error| unreadable(path, &error);
    // Looked at before it is opened: opening a device may have effects of its own.
    regular(path, &fs::metadata(path).map_err(failed)?)?;
    // And afterwards, without waiting: it may be a pipe by now.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    regular(path, &file.metadata().map_err(failed)?)?;
    let bytes = at_most(file, limits::FILE_BYTES).map_err(failed)?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        return Err(too_large(path, "more than 1 MiB"));
    }
    Ok(bytes)
}

/// The file's bytes, one more than the limit if there are more than that.
fn at_most(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn regular(path: &Path, metadata: &fs::Metadata) -> Result<(), Problem> {
    let name = printable(path);
    if metadata.is_dir() {
        let problem = Problem::new(format!("{name} is a directory; a scenario is a file"));
        return Err(match scenario_files(path).first() {
            Some(file) => problem.help(format!("it has scenarios in it, such as {}", printable(file))),
            None => problem,
        });
    }
    if !metadata.is_file() {
        return Err(Problem::new(format!("{name} is not a regular file; pipes and devices are not read")));
    }
    if metadata.len() > limits::FILE_BYTES {
        let size = format!("{}.{} MiB", metadata.len() >> 20, (metadata.len() >> 10) % 1024 * 10 / 1024);
        return Err(too_large(path, &size));
    }
    Ok(())
}

fn too_large(path: &Path, size: &str) -> Problem {
    let name = printable(path);
    Problem::new(format!("{name} is too large: {size}, and the limit for a scenario file is 1 MiB"))
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let name = printable(path);
    if error.kind() != io::ErrorKind::NotFound {
        // `os error 13` says nothing that the words before it don't.
        let words = error.to_string();
        let words = words.split(" (os error").next().unwrap_or("").to_lowercase();
        return Problem::new(format!("{name} cannot be read: {words}"));
    }
    let problem = Problem::new(format!("there is no file {name}"));
    match similar(path) {
        Some(other) => problem.help(format!("did you mean {other}?")),
        None => problem.help("`millpond list scenarios` shows those in ./scenarios"),
    }
}

/// A scenario file whose name is near: beside `path`, or in `./scenarios`.
fn similar(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for folder in [folder, Path::new("scenarios")] {
        let files = scenario_files(folder);
        let stems: Vec<String> = files.iter().filter_map(|f| Some(f.file_stem()?.to_string_lossy().into())).collect();
        if let Some(best) = nearest(&stem, stems.iter().map(String::as_str)) {
            let index = stems.iter().position(|s| s == best)?;
            let file = files[index].strip_prefix(".").unwrap_or(&files[index]);
            return Some(printable(file));
        }
    }
    None
}

/// The text of a file in UTF-8.
fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, LoadError> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let line = 1 + bytes[..at].iter().filter(|&&b| b == b'\n').count();
        let message = format!("not UTF-8: byte {} (0x{:02X}), in line {line}", grouped(at as u128), bytes[at]);
        let problem = Problem::new(message).at(at..at + 1, "this byte").help("scenario files are UTF-8 text");
        LoadError::new(path, &tamed(&one_byte_each(&bytes)), vec![problem])
    })
}

/// The text with a question mark for each byte that is not part of a character, so that places stay.
fn one_byte_each(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    out
}

/// The tokens of a text that is worth parsing.
fn sound(text: &str) -> Result<Vec<Token>, Problem> {
    if text.starts_with('\u{feff}') {
        return Err(Problem::new("the file begins with a byte order mark").at(0..3, "U+FEFF").help("save it without"));
    }
    let stray = |&(at, c): &(usize, char)| is_treacherous(c) && !(c == '\r' && text[at + 1..].starts_with('\n'));
    if let Some((at, c)) = text.char_indices().find(stray) {
        let code = c as u32;
        let what = if c == '\0' { "a NUL byte".to_string() } else { format!("the invisible character U+{code:04X}") };
        let problem = Problem::new(format!("{what} in a scenario file")).at(at..at + c.len_utf8(), "here");
        return Err(problem.help("scenario files are plain text: printable characters, spaces, tabs and line ends"));
    }
    let tokens = tokens(text).map_err(|broken| brackets(text, &broken))?;
    if tokens.is_empty() {
        let what = if text.is_empty() { "the file is empty" } else { "the file has no scenario in it" };
        return Err(Problem::new(what).help("the smallest scenario is  ( name: \"first run\" )"));
    }
    Ok(tokens)
}

fn brackets(text: &str, broken: &Broken) -> Problem {
    let bracket = |at: usize| &text[at..at + 1];
    match *broken {
        Broken::OpenString(at) => {
            let line = locate::first_line(text, at..text.len());
            Problem::new("a string is never closed").at(line, "it begins here")
        }
        Broken::OpenComment(at) => Problem::new("a comment is never closed").at(at..at + 2, "it begins here"),
        Broken::OpenBracket(at) => {
            Problem::new(format!("`{}` is never closed", bracket(at))).at(at..at + 1, "it is opened here")
        }
        Broken::NeverOpened(at) => {
            Problem::new(format!("`{}` closes nothing", bracket(at))).at(at..at + 1, "no bracket is open here")
        }
        Broken::Mismatch { open, close } => {
            let line = 1 + text[..open].matches('\n').count();
            let message = format!("`{}` cannot close the `{}` of line {line}", bracket(close), bracket(open));
            Problem::new(message).at(close..close + 1, "another bracket is open here")
        }
        Broken::TooDeep(at) => {
            let message = format!("brackets are nested more than {} levels deep", limits::NESTING);
            Problem::new(message).at(at..at + 1, format!("level {}", limits::NESTING + 1))
        }
    }
}

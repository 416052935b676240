//! A new scenario file to start from.
//!
//! **Invariant: no file is ever overwritten, and none is left half written.**

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::scenario::printable;

/// Characters of a file's name.
const NAME: usize = 80;

/// Why no scenario was written.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name is not one for a file.
    #[error("a name has small letters, digits, `-` and `_`, begins with a letter or a digit and has at most {NAME} of them{}",
        repaired.as_ref().map_or(String::new(), |name| format!("; how about {name}?")))]
    Name {
        /// The name that was probably meant.
        repaired: Option<String>,
    },
    /// There is such a file.
    #[error("{} exists already; nothing was written", printable(.0))]
    Exists(PathBuf),
    /// The file system refused.
    #[error("{} cannot be written: {}", printable(.0), .1)]
    Io(PathBuf, io::Error),
}

/// Writes `folder/name.ron` and returns its path.
///
/// # Errors
/// If the name is not one for a file, if there is such a file, or if the file system refuses.
pub fn scaffold(name: &str, folder: &Path) -> Result<PathBuf, NewError> {
    write(name, folder, &text(name.strip_suffix(".ron").unwrap_or(name)))
}

/// Writes `text` as `folder/name.ron` and returns the path.
///
/// # Errors
/// As [`scaffold`].
pub fn write(name: &str, folder: &Path, text: &str) -> Result<PathBuf, NewError> {
    // Who types the ending means the name.
    let name = name.strip_suffix(".ron").unwrap_or(name);
    if !is_name(name) {
        return Err(NewError::Name { repaired: repaired(name) });
    }
    let path = folder.join(format!("{name}.ron"));
    match write_new(&path, text) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(NewError::Exists(path)),
        Err(error) => Err(NewError::Io(path, error)),
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=NAME).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['-', '_'])
}

/// The name with everything else turned into `-`.
fn repaired(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let joined = words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join("-");
    let name = joined.trim_matches('_').to_string();
    is_name(&name).then_some(name)
}

/// Writes a file that must not exist: first under another name, then linked to its own, which fails if that is taken.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("ron.{}.tmp", std::process::id()));
    let written = File::create_new(&draft).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    // The draft is of no use, whether it was linked or not.
    let removed = fs::remove_file(&draft);
    linked.and(removed)
}

/// The scaffold: a small scenario that runs, with what could be changed first.
fn text(name: &str) -> String {
    let sentence = name.replace(['-', '_'], " ");
    TEMPLATE.replace("{sentence}", sentence.trim())
}

const TEMPLATE: &str = r#"#![type = "millpond::scenario::Scenario"]
// What this scenario shows, and why it is worth a file.
//
// Only `name` is required: delete whatever you don't care about. `millpond list` shows all names there are.
(
    name: "{sentence}",

    // MustHold: no oracle finds anything. MustFind(Leak): with at least one seed, a leak is found.
    expect: MustHold,

    // Each loop and each business thread is a simulated thread; channel c belongs to loop c mod event_loops.
    topology: (event_loops: 2, business_threads: 4),

    // Whose pool: Millpond, or a Netty release such as Netty4_1_8.
    pool: (preset: Millpond),

    // The codecs and handlers of every channel, from the transport to the application, for `Requests` of peers.
    // pipeline: [Decoder(LengthField(max_frame: KiB(4))), Handler(name: "offload", owns: Transfers(Business))],

    // What happens, in order. Oracles refer to steps by their names.
    workload: [
        Phase(
            name: "steady",
            writes: 100, // of each thread
            clients: Closed(in_flight: 2, think: Ms(1)), // or Open(per_s: 1_000), or Flood
            message: Pojo(encoded: B(512)), // or Buffer(Uniform(B(64), KiB(4)))
        ),
        // Requests(requests: 20, size: Uniform(B(1), KiB(1))),
        Drain(), // until queues and outbound buffers are empty
        Close(),
        Shutdown(),
    ],

    // Faults must be survived; planted defects must be found.
    // faults: [PeerReset(Rate(0.02))],
    // plant: [ForgottenRelease(Rate(0.5))],

    // Portfolio, half of its executions on weak memory; or Random, RoundRobin, RunOn, Pct(depth: 3), Pos, Surw, Dfs(preemptions: 1)
    // for every schedule, or Dpor for every partial order.
    schedule: Portfolio,
    // memory: Weak, // of all executions: Interleaving, Races (races are findings), or Weak (C++20)
    seeds: 0..16,

    oracles: [
        Safety,
        Drains(metric: QueuedTasks, to: 0, after: "drain"),
        // Sometimes(RecycledByOtherThread),
    ],

    // One table that compares several configurations.
    // sweep: Matrix(preset: [Netty4_1_8, Netty4_1_71, Millpond]),
    // table: [Retained(after: "drain"), StoppedBy(during: "steady")],
)
"#;

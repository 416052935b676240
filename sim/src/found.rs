//! Finding files: a failing execution as a file that stands alone.
//!
//! **Invariant: a finding file is complete.** It holds the scenario's text, the cell, the seed, the schedule and the prefix
//! digests, so that it can be replayed without the scenario file and a divergence can be placed. It is written the moment
//! the finding is made, under another name first, so that there is never half a file.

use crate::cli::parse_strategy;
use crate::deviations::Deviations;
use crate::engine::{CHECKPOINT_EVERY, MemoryModel, Switch};
use crate::outcome::Outcome;
use crate::replay::{Original, ReplayOptions};
use crate::run::{Command, How};
use crate::scenario::{self, Loaded, Schedule};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where findings go, from the working directory.
pub const DIRECTORY: &str = "target/millpond";

/// Switches that a file keeps at most; a longer schedule is replayed by its seed.
const SWITCHES_MAX: usize = 200_000;

/// Bytes of a finding file that is read at most.
const FILE_BYTES: u64 = 16 << 20;

/// A finding file that was opened, with the scenario that it holds.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The file's content.
    pub found: Found,
    /// The scenario in it.
    pub loaded: Loaded,
    /// What its execution left behind.
    pub original: Original,
    schedule: Option<Schedule>,
    deviations: Option<Deviations>,
}

impl Finding {
    /// The execution it holds.
    pub fn how(&self) -> How {
        let memory = self.found.memory;
        How { schedule: self.schedule, memory, deviations: self.deviations.clone(), ..How::default() }
    }

    /// What to replay: the file's seed and schedule in place of those in `given`.
    pub fn options(&self, given: ReplayOptions) -> ReplayOptions {
        let deviations = self.deviations.clone();
        ReplayOptions { seed: self.found.seed, strategy: self.schedule, memory: self.found.memory, deviations, ..given }
    }
}

/// Opens a finding file; `None` if the file is not one (it may be a scenario, or nothing that can be read).
///
/// # Errors
/// A sentence about what is wrong with a file that says it is one.
pub fn open(path: &Path) -> Option<Result<Finding, String>> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    Found::is(&text).then(|| read(&text))
}

fn read(text: &str) -> Result<Finding, String> {
    let found = Found::parse(text)?;
    let original = Original::of(&found)?;
    found.switches()?;
    let schedule = found.strategy.as_deref().map(parse_strategy).transpose()?;
    let deviations = found.deviations.clone();
    let loaded = scenario::parse(Path::new(&found.scenario), found.source.clone())
        .map_err(|e| format!("the scenario in it does not load:\n{e}"))?;
    Ok(Finding { found, loaded, original, schedule, deviations })
}

/// A digest as finding files spell it: 16 hexadecimal digits. One that was cut is none.
pub fn digest(text: &str) -> Option<u64> {
    let is_whole = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_whole.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The content of a finding file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Version of the format: 1.
    pub v: u32,
    /// What was found.
    pub finding: String,
    /// The sentence about it.
    pub text: String,
    /// The scenario's path as it was given.
    pub scenario: String,
    /// The cell's label; empty when there is only one.
    pub cell: String,
    /// The seed.
    pub seed: u64,
    /// `--strategy`, if it was given.
    pub strategy: Option<String>,
    /// `--memory`, if it was given; otherwise the execution's, if it isn't the default one.
    #[serde(default)]
    pub memory: Option<MemoryModel>,
    /// The digest of the whole execution.
    pub digest: String,
    /// Its steps.
    pub steps: u64,
    /// What it was built from.
    pub built: String,
    /// Events between two prefix digests.
    pub checkpoint_every: u64,
    /// The prefix digests, in hexadecimal, separated by spaces.
    pub checkpoints: String,
    /// If a seed has many executions, or this one was reduced: where its schedule is not the default one.
    #[serde(default)]
    pub deviations: Option<Deviations>,
    /// The schedule, `step:thread` separated by spaces; empty when it is too long to keep.
    pub switches: String,
    /// The scenario's text.
    pub source: String,
}

impl Found {
    /// The file of `outcome`'s deciding finding.
    ///
    /// # Panics
    /// If it has none.
    pub fn new(outcome: &Outcome, command: &Command, source: &str) -> Self {
        let finding = outcome.finding().expect("a finding file is written for a finding");
        let hex: Vec<String> = outcome.checkpoints.iter().map(|c| format!("{c:016x}")).collect();
        let switches: Vec<String> = if outcome.switches.len() > SWITCHES_MAX {
            Vec::new()
        } else {
            outcome.switches.iter().map(|s| format!("{}:{}", s.step, s.to)).collect()
        };
        Self {
            v: 1,
            finding: finding.kind.to_string(),
            text: finding.text.clone(),
            scenario: command.file.clone(),
            cell: command.cell.clone(),
            seed: outcome.seed,
            strategy: command.strategy.clone(),
            memory: command.memory.or(outcome.told_memory()),
            digest: format!("{:016x}", outcome.digest),
            steps: outcome.steps,
            built: crate::built().to_string(),
            checkpoint_every: CHECKPOINT_EVERY,
            deviations: outcome.deviations.clone(),
            checkpoints: hex.join(" "),
            switches: switches.join(" "),
            source: source.to_string(),
        }
    }

    /// Where the file goes.
    pub fn path(&self) -> PathBuf {
        let stem = Path::new(&self.scenario).file_stem().map_or("scenario".into(), |s| s.to_string_lossy());
        let cell: String =
            self.cell.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let cell = if cell.is_empty() { cell } else { format!("-{cell}") };
        let name = format!("{stem}{cell}-{}-{}.ron", self.finding.to_lowercase(), self.seed);
        Path::new(DIRECTORY).join(name)
    }

    /// Writes the file into [`DIRECTORY`] and gives its path.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self) -> io::Result<PathBuf> {
        let path = self.path();
        let text = ron::ser::to_string_pretty(self, ron::ser::PrettyConfig::default().struct_names(true))
            .map_err(io::Error::other)?;
        fs::create_dir_all(DIRECTORY)?;
        let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
        fs::write(&unfinished, text)?;
        fs::rename(&unfinished, &path)?;
        Ok(path)
    }

    /// Whether `text` is a finding file rather than a scenario.
    pub fn is(text: &str) -> bool {
        text.trim_start().starts_with("Found(")
    }

    /// Reads a finding file's text.
    ///
    /// # Errors
    /// A sentence with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found: Self = ron::from_str(text).map_err(|e| format!("not a finding file: {e}"))?;
        if found.v != 1 {
            return Err(format!("finding file of version {}: this program reads version 1", found.v));
        }
        if found.checkpoint_every != CHECKPOINT_EVERY {
            let theirs = found.checkpoint_every;
            return Err(format!("its prefix digests are {theirs} events apart, this program's {CHECKPOINT_EVERY}"));
        }
        Ok(found)
    }

    /// The prefix digests.
    ///
    /// # Errors
    /// A sentence.
    pub fn checkpoints(&self) -> Result<Vec<u64>, String> {
        let parse = |c: &str| digest(c).ok_or_else(|| format!("`{c}` in `checkpoints` is not a digest"));
        self.checkpoints.split_whitespace().map(parse).collect()
    }

    /// The schedule; empty when the file doesn't keep it.
    ///
    /// # Errors
    /// A sentence.
    pub fn switches(&self) -> Result<Vec<Switch>, String> {
        let parse = |s: &str| {
            let (step, to) = s.split_once(':')?;
            Some(Switch { step: step.parse().ok()?, to: to.parse().ok()? })
        };
        self.switches
            .split_whitespace()
            .map(|s| parse(s).ok_or_else(|| format!("`{s}` in `switches` is not a step and a thread")))
            .collect()
    }
}

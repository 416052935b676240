//! What there is to choose from.
//!
//! **Invariant: the names are those that a scenario file takes**: they are asked from the types that read it, so that no list
//! can forget one.

mod about;

use serde::de::{Deserializer, Error, Visitor};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::ledger::FindingKind;
use crate::scenario::{
    self, Backend, Column, Does, Entry, Fault, Form, In, Metric, Oracle, Owns, Schedule, Step, printable,
};
use millpond_model::leak::Level;
use millpond_model::observe::{Defect, Kind, Reach};
use millpond_model::preset::Preset;
use millpond_model::refcnt::Scheme;

/// Folders below the one that is looked through.
const DEPTH: usize = 8;
/// Entries that are looked at: a folder of another purpose is not searched to its end.
const ENTRIES: usize = 10_000;

/// What can be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Topic {
    /// The scenario files below ./scenarios
    Scenarios,
    /// Whose behaviour the pool has: `pool: (preset: ...)`
    Presets,
    /// How the next thread is chosen: `schedule: ...`
    Strategies,
    /// What happens, in order: `workload: [...]`
    Steps,
    /// What a pipeline is made of: `pipeline: [...]`
    Entries,
    /// What a handler does with its messages: `Handler(owns: ...)`
    Owns,
    /// What a handler does besides: `Handler(does: [...])`
    Does,
    /// In which callback it does that: `Closes(Read(3))`
    Callbacks,
    /// What buffers are when they are given away: `Exchange(form: ...)`
    Forms,
    /// Where the memory of buffers comes from: `allocator: (backend: ...)`
    Backends,
    /// How counts are kept: `allocator: (scheme: ...)`
    Schemes,
    /// How closely leaks are looked for: `allocator: (leak_detection: ...)`
    Levels,
    /// What must be true: `oracles: [...]`
    Oracles,
    /// Numbers that oracles and columns read
    Metrics,
    /// What the environment does: `faults: [...]`
    Faults,
    /// What is broken on purpose: `plant: [...]`
    Defects,
    /// Rare places: `Sometimes(...)`
    Reach,
    /// What a sweep's table shows: `table: [...]`
    Columns,
    /// What objects are: `pool: (unpooled: [...])`
    Kinds,
    /// What can be found: `expect: MustFind(...)`
    Findings,
}

impl Topic {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 20] = [
        Self::Scenarios,
        Self::Presets,
        Self::Strategies,
        Self::Steps,
        Self::Entries,
        Self::Owns,
        Self::Does,
        Self::Callbacks,
        Self::Forms,
        Self::Backends,
        Self::Schemes,
        Self::Levels,
        Self::Oracles,
        Self::Metrics,
        Self::Faults,
        Self::Defects,
        Self::Reach,
        Self::Columns,
        Self::Kinds,
        Self::Findings,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scenarios => "scenarios",
            Self::Presets => "presets",
            Self::Strategies => "strategies",
            Self::Steps => "steps",
            Self::Entries => "entries",
            Self::Owns => "owns",
            Self::Does => "does",
            Self::Callbacks => "callbacks",
            Self::Forms => "forms",
            Self::Backends => "backends",
            Self::Schemes => "schemes",
            Self::Levels => "levels",
            Self::Oracles => "oracles",
            Self::Metrics => "metrics",
            Self::Faults => "faults",
            Self::Defects => "defects",
            Self::Reach => "reach",
            Self::Columns => "columns",
            Self::Kinds => "kinds",
            Self::Findings => "findings",
        }
    }

    /// The names in it, each with a line about it.
    pub fn entries(self) -> Vec<(String, String)> {
        let names = match self {
            Self::Scenarios => return scenarios(Path::new("scenarios")),
            Self::Presets => variants::<Preset>(),
            Self::Strategies => variants::<Schedule>(),
            Self::Steps => variants::<Step>(),
            Self::Entries => variants::<Entry>(),
            Self::Owns => variants::<Owns>(),
            Self::Does => variants::<Does>(),
            Self::Callbacks => variants::<In>(),
            Self::Forms => variants::<Form>(),
            Self::Backends => variants::<Backend>(),
            Self::Schemes => variants::<Scheme>(),
            Self::Levels => variants::<Level>(),
            Self::Oracles => variants::<Oracle>(),
            Self::Metrics => variants::<Metric>(),
            Self::Faults => variants::<Fault>(),
            Self::Defects => variants::<Defect>(),
            Self::Reach => variants::<Reach>(),
            Self::Columns => variants::<Column>(),
            Self::Kinds => variants::<Kind>(),
            Self::Findings => variants::<FindingKind>(),
        };
        names.iter().map(|name| (name.to_string(), about::about(self, name).to_string())).collect()
    }
}

/// Lists one topic, or all of them.
///
/// # Errors
/// If `out` fails.
pub fn list(topic: Option<Topic>, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let topics = topic.map_or(Topic::ALL.to_vec(), |one| vec![one]);
    let mut count = 0;
    for (i, &topic) in topics.iter().enumerate() {
        let entries = topic.entries();
        count += entries.len();
        if json {
            for (name, about) in &entries {
                let line = serde_json::json!({ "v": 1, "kind": topic.name(), "name": name, "about": about });
                writeln!(out, "{line}")?;
            }
        } else {
            if topics.len() > 1 {
                let gap = if i > 0 { "\n" } else { "" };
                writeln!(out, "{gap}{}", topic.name())?;
            }
            aligned(&entries, if topics.len() > 1 { "  " } else { "" }, out)?;
        }
    }
    if json {
        writeln!(out, "{}", serde_json::json!({ "v": 1, "kind": "summary", "count": count }))?;
    }
    Ok(())
}

fn aligned(entries: &[(String, String)], indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let width = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, about) in entries {
        writeln!(out, "{}", format!("{indent}{name:width$}  {about}").trim_end())?;
    }
    if entries.is_empty() {
        writeln!(out, "{indent}none here; `millpond new NAME` writes one")?;
    }
    Ok(())
}

/// The scenario files below `folder`, each with its name or what is wrong with it.
fn scenarios(folder: &Path) -> Vec<(String, String)> {
    let about = |file: &Path| match scenario::load(file) {
        Ok(loaded) => loaded.scenario.name,
        Err(error) => format!("does not load: {}", error.problems()[0].message),
    };
    scenario_files(folder).iter().map(|file| (printable(file), about(file))).collect()
}

/// The scenario files below a folder, in the order of their names. Links to folders are not followed.
pub fn scenario_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > ENTRIES {
                break;
            }
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() && depth < DEPTH && !entry.file_name().to_string_lossy().starts_with('.') {
                folders.push((path, depth + 1));
            } else if !kind.is_dir() && path.extension().is_some_and(|e| e == "ron") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The names of an enum's variants, asked from the code that reads it.
pub fn variants<T: for<'de> serde::Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    let refused = T::deserialize(Ask(&mut names)).is_err();
    assert!(refused && !names.is_empty(), "an enum asks for one of its variants");
    names
}

/// A deserializer that only listens which variants are asked for.
struct Ask<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = variants;
        Err(Self::Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("not an enum"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

//! The command line.
//!
//! **Invariant: what a verb's arguments say is checked here**, before any file is opened; usage errors exit with 2.

use clap::{Args, Parser, Subcommand};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::campaign::{Format, RunOptions};
use crate::conform::command::ConformOptions;
use crate::deviations::Deviations;
use crate::engine::MemoryModel;
use crate::exit::Exit;
use crate::list::Topic;
use crate::replay::ReplayOptions;
use crate::scenario::{Scenario, Schedule, limits};
use crate::stress::Pace;
use crate::suggest::{grouped, nearest};
use crate::threads::{On, PATIENCE};

/// Deterministic simulation of pooled buffers: a scenario and a seed decide everything
#[derive(Parser, Debug)]
#[command(name = "millpond", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes: 0 verdict as expected, 1 not as expected, 2 bad input, 3 nondeterminism detected, 4 inconclusive,
101 the harness itself panicked.

Start with:  millpond new my-scenario";

/// A verb and its arguments.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run a scenario with all its seeds
    Run(RunArgs),
    /// Run one seed again, and say whether it is the same execution
    Replay(ReplayArgs),
    /// Reduce a finding to as few preemptions as still find it, and say which order decides
    Shrink(ReplayArgs),
    /// Reduce a finding and write it down as a scenario that the test suite runs from here on
    Keep(KeepArgs),
    /// Say what is wrong with scenario files, without running them
    Check(CheckArgs),
    /// Write a new scenario file to start from
    New(NewArgs),
    /// Show what there is to choose from
    List(ListArgs),
    /// Replay traces recorded from real Netty, and say where the model differs first
    Conform(ConformArgs),
}

impl Verb {
    /// How the command ends when nobody reads its output to the end: without a verdict, if there was one to tell.
    pub fn when_nobody_reads(&self) -> Exit {
        match self {
            Self::Run(_) | Self::Replay(_) | Self::Shrink(_) | Self::Check(_) | Self::Conform(_) => Exit::Inconclusive,
            Self::New(_) | Self::Keep(_) | Self::List(_) => Exit::Expected,
        }
    }
}

/// `millpond run`
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The scenario file
    pub file: PathBuf,
    /// Run this seed only
    #[arg(long, value_name = "N", conflicts_with = "seeds", value_parser = clap::value_parser!(u64).range(..u64::MAX))]
    seed: Option<u64>,
    /// Run these seeds instead of the file's: A..B (without B), A..=B, or one
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// Executions at the same time [default: the number of cores]; results do not depend on it
    #[arg(long, short, value_name = "J", value_parser = parse_jobs)]
    jobs: Option<NonZeroUsize>,
    /// Choose threads in another way than the file says: Random, RoundRobin, RunOn, Pos, Urw, Surw, Portfolio, Dpor, pct:DEPTH,
    /// delay:DELAYS, dfs:PREEMPTIONS
    #[arg(long, value_name = "S", value_parser = parse_strategy)]
    strategy: Option<Schedule>,
    /// What loads may return: interleaving, races (the same, and races are findings), weak (C++20) [default: what the file says; if
    /// nothing, half of a portfolio's executions are weak]
    #[arg(long, value_name = "M")]
    memory: Option<MemoryModel>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Write the events of the first execution to this file
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Leave out the table that compares the cells of a sweep
    #[arg(long)]
    no_table: bool,
    /// Whose threads: real ones make a stress run, which can't be replayed
    #[arg(long, value_enum, default_value_t = On::Sim)]
    pub platform: On,
    /// Real threads: virtual seconds that pass in a second of work [default: 0, as in the simulation]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    rate: Option<u32>,
    /// Real threads: give up when they work and nothing happens for so many seconds [default: 60]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: Option<u64>,
}

impl RunArgs {
    /// What they mean.
    pub fn options(&self) -> RunOptions {
        let one = |seed: u64| seed..seed + 1;
        RunOptions {
            seeds: self.seeds.clone().or(self.seed.map(one)),
            jobs: match self.platform {
                On::Sim => jobs(self.jobs),
                // An execution has threads of its own.
                On::Std => self.jobs.unwrap_or(NonZeroUsize::MIN),
            },
            strategy: self.strategy,
            memory: self.memory,
            format: format(self.json, self.no_table),
            progress: std::io::stderr().is_terminal(),
            files: self.platform == On::Sim,
            on: self.platform,
            pace: Pace {
                rate: self.rate.unwrap_or_default(),
                patience: self.patience.map_or(PATIENCE, Duration::from_secs),
            },
        }
    }

    /// What was asked for and doesn't go together.
    ///
    /// # Errors
    /// A sentence with the way out.
    pub fn check(&self) -> Result<(), String> {
        let given = |what: &[(&'static str, bool)]| what.iter().find(|(_, given)| *given).map(|(name, _)| *name);
        let (wrong, other) = match self.platform {
            On::Std => (
                given(&[
                    ("strategy", self.strategy.is_some()),
                    ("memory", self.memory.is_some()),
                    ("trace", self.trace.is_some()),
                ]),
                "std",
            ),
            On::Sim => (given(&[("rate", self.rate.is_some()), ("patience", self.patience.is_some())]), "sim"),
        };
        match (wrong, other) {
            (None, _) => Ok(()),
            (Some(name), "std") => Err(format!(
                "error: --{name} is for simulations: the operating system chooses real threads, and leaves no trace; \
                 leave out --{name}, or --platform std"
            )),
            (Some(name), _) => Err(format!("error: --{name} is for real threads: add --platform std, or leave it out")),
        }
    }
}

fn jobs(wanted: Option<NonZeroUsize>) -> NonZeroUsize {
    wanted.unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

fn format(json: bool, brief: bool) -> Format {
    match (json, brief) {
        (true, _) => Format::Json,
        (false, true) => Format::Brief,
        (false, false) => Format::Text,
    }
}

/// `millpond replay`
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The scenario file
    pub file: PathBuf,
    /// The seed [default: the file's first; of `shrink`, the first that finds anything]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The cell of a sweep, by its label
    #[arg(long, value_name = "LABEL")]
    pub cell: Option<String>,
    /// Choose threads in another way than the file says, as the run did
    #[arg(long, value_name = "S", value_parser = parse_strategy)]
    strategy: Option<Schedule>,
    /// What loads may return, as the run was told
    #[arg(long, value_name = "M")]
    memory: Option<MemoryModel>,
    /// One schedule: the default one but for these, as 2@12:3 (thread 2 at its step 12 gives way to thread 3)
    #[arg(long, value_name = "DEVIATIONS")]
    deviate: Option<Deviations>,
    /// The digest that the execution should have, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    digest: Option<u64>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl ReplayArgs {
    /// Whether they say which seed it is, or which schedule.
    pub fn names_seed(&self) -> bool {
        self.seed.is_some() || self.deviate.is_some()
    }

    /// What they mean for a scenario.
    pub fn options(&self, scenario: &Scenario) -> ReplayOptions {
        ReplayOptions {
            seed: self.seed.unwrap_or(scenario.seeds.start),
            strategy: self.strategy,
            memory: self.memory,
            deviations: self.deviate.clone(),
            digest: self.digest,
            format: format(self.json, false),
        }
    }
}

/// `millpond keep`
#[derive(Args, Debug)]
pub struct KeepArgs {
    /// The finding file
    pub file: PathBuf,
    /// The new file's name without its ending: small letters, digits, `-` and `_`
    pub name: String,
    /// The folder to write it to
    #[arg(long, default_value = crate::keep::DIRECTORY)]
    pub dir: PathBuf,
}

/// `millpond check`
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The scenario files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `millpond new`
#[derive(Args, Debug)]
pub struct NewArgs {
    /// The file's name without its ending: small letters, digits, `-` and `_`
    pub name: String,
    /// The folder to write it to
    #[arg(long, default_value = "scenarios")]
    pub dir: PathBuf,
}

/// `millpond list`
#[derive(Args, Debug)]
pub struct ListArgs {
    /// What to show [default: everything]
    #[arg(value_name = "TOPIC")]
    pub topic: Option<Topic>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `millpond conform`
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 every trace is reproduced, 1 one differs, 2 one is not usable.")]
pub struct ConformArgs {
    /// Traces of format netty-lockstep/1: JSON lines, plain or gzip
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Traces at the same time [default: the number of cores]
    #[arg(long, short, value_name = "J", value_parser = parse_jobs)]
    jobs: Option<NonZeroUsize>,
    /// Whose threads replay them
    #[arg(long, value_enum, default_value_t = On::Std)]
    platform: On,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl ConformArgs {
    /// What they mean.
    pub fn options(&self) -> ConformOptions {
        ConformOptions { files: self.files.clone(), jobs: jobs(self.jobs), on: self.platform, json: self.json }
    }
}

/// Seeds as `A..B`, `A..=B` or a single number.
///
/// # Errors
/// If they are none of these, none at all, or more than the limit.
pub fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| {
        let digits = part.trim().replace('_', "");
        digits.parse::<u64>().map_err(|_| match digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() {
            true => format!("{part} is too large for a seed: seeds have 64 bits"),
            false => "write 0..100, 0..=99, or a single seed".to_string(),
        })
    };
    let after =
        |last: u64| last.checked_add(1).ok_or("the last seed is too large: a range ends before 2^64".to_string());
    let range = match text.split_once("..") {
        None => number(text).and_then(|seed| Ok(seed..after(seed)?))?,
        Some((first, last)) => match last.strip_prefix('=') {
            Some(last) => number(first)?..after(number(last)?)?,
            None => number(first)?..number(last)?,
        },
    };
    if range.is_empty() {
        return Err("there is no seed in this range: A..B ends before B".to_string());
    }
    let count = range.end - range.start;
    if count > limits::EXECUTIONS {
        return Err(format!("{} seeds; at most {}", grouped(count.into()), grouped(limits::EXECUTIONS.into())));
    }
    Ok(range)
}

fn parse_jobs(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<usize>() {
        Ok(jobs @ 1..=1024) => Ok(NonZeroUsize::MIN.saturating_add(jobs - 1)),
        _ => Err("write a number between 1 and 1024".to_string()),
    }
}

/// A strategy as the command line spells it: a name of the scenario language in any case, `pct:3` for `Pct(depth: 3)`, `dfs:1` for
/// `Dfs(preemptions: 1)`.
///
/// # Errors
/// If there is no such strategy, or its number is out of range.
pub fn parse_strategy(text: &str) -> Result<Schedule, String> {
    let plain: String = text.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    match plain.as_str() {
        "random" => return Ok(Schedule::Random),
        "roundrobin" => return Ok(Schedule::RoundRobin),
        "runon" => return Ok(Schedule::RunOn),
        "pos" => return Ok(Schedule::Pos),
        "urw" => return Ok(Schedule::Urw),
        "surw" => return Ok(Schedule::Surw),
        "portfolio" => return Ok(Schedule::Portfolio),
        "dpor" => return Ok(Schedule::Dpor),
        "pct" => return Err("say how deep: pct:3".to_string()),
        "delay" | "delays" => return Err("say how many delays: delay:2".to_string()),
        "dfs" => return Err("say with how many preemptions at most: dfs:1".to_string()),
        _ => {}
    }
    let number = |words: [&str; 2]| words.iter().find_map(|word| plain.strip_prefix(word)?.parse::<u32>().ok());
    if let Some(depth) = number(["pctdepth", "pct"]) {
        let fits = (1..=limits::PCT_DEPTH).contains(&u64::from(depth));
        let refusal = || format!("a depth is between 1 and {}", limits::PCT_DEPTH);
        return fits.then_some(Schedule::Pct { depth }).ok_or_else(refusal);
    }
    if let Some(delays) = number(["delaysdelays", "delays"]).or(number(["delaydelays", "delay"])) {
        let fits = u64::from(delays) <= limits::DELAYS;
        let refusal = || format!("a schedule is delayed at most {} times", limits::DELAYS);
        return fits.then_some(Schedule::Delays { delays }).ok_or_else(refusal);
    }
    if let Some(preemptions) = number(["dfspreemptions", "dfs"]) {
        let fits = u64::from(preemptions) <= limits::PREEMPTIONS;
        let refusal = || format!("a schedule is preempted at most {} times", limits::PREEMPTIONS);
        return fits.then_some(Schedule::Dfs { preemptions }).ok_or_else(refusal);
    }
    match nearest(text, ["Random", "RoundRobin", "RunOn", "Pos", "Urw", "Surw", "Portfolio", "Dpor"]) {
        Some(name) => Err(format!("did you mean {name}?")),
        None => {
            Err("there are Random, RoundRobin, RunOn, Pos, Urw, Surw, Portfolio, Dpor, pct:DEPTH, delay:DELAYS and \
                     dfs:PREEMPTIONS"
                .to_string())
        }
    }
}

/// A strategy as a replay line spells it: [`parse_strategy`] reads it, and no shell minds it.
pub fn strategy_argument(schedule: Schedule) -> String {
    match schedule {
        Schedule::Random => "Random".to_string(),
        Schedule::RoundRobin => "RoundRobin".to_string(),
        Schedule::RunOn => "RunOn".to_string(),
        Schedule::Pct { depth } => format!("pct:{depth}"),
        Schedule::Pos => "Pos".to_string(),
        Schedule::Urw => "Urw".to_string(),
        Schedule::Surw => "Surw".to_string(),
        Schedule::Delays { delays } => format!("delay:{delays}"),
        Schedule::Portfolio => "Portfolio".to_string(),
        Schedule::Dfs { preemptions } => format!("dfs:{preemptions}"),
        Schedule::Dpor => "Dpor".to_string(),
    }
}

fn parse_digest(text: &str) -> Result<u64, String> {
    let is_hex = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    number.ok_or_else(|| "a digest has at most 16 hexadecimal digits".to_string())
}

//! What a scenario must keep beyond its grammar.
//!
//! **Invariant: what passes can be run**: every number is within its limit, every name refers to something, and no step
//! waits for what cannot happen. All flaws of a file are reported at once, up to ten.

mod oracles;
mod pipeline;
mod pool;
mod workload;

use std::ops::RangeInclusive;

use super::diagnose::is_treacherous;
use super::{Fault, Scenario, Size, Span, Sweep, When, limits};
use crate::suggest::grouped;

/// Something in a scenario that isn't as it must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// The path of the value: `workload[2].Phase.writes`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to say beside the value.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// The flaws of a scenario, at most ten.
pub fn check(scenario: &Scenario) -> Vec<Flaw> {
    let mut flaws = Flaws(Vec::new());
    let shape = Shape::of(scenario);
    flaws.name("name", "the scenario's name", &scenario.name);
    topology(&mut flaws, scenario);
    pool::check(&mut flaws, scenario);
    pipeline::check(&mut flaws, scenario, &shape);
    workload::check(&mut flaws, scenario, &shape);
    for (i, fault) in scenario.faults.iter().enumerate() {
        let (name, place) = match fault {
            Fault::PeerReset(_) => ("PeerReset", 0),
            Fault::AllocationFails(_) => ("AllocationFails", 0),
            Fault::TaskRejected(_) => ("TaskRejected", 0),
            Fault::ThreadStartFails(_) => ("ThreadStartFails", 0),
            Fault::HandlerThrows(..) => ("HandlerThrows", 1),
            Fault::HandlerPanics(..) => ("HandlerPanics", 1),
            Fault::ThreadDies(..) => ("ThreadDies", 1),
            Fault::MemoryLimit(size) => {
                flaws.size(&format!("faults[{i}].MemoryLimit[0]"), *size);
                continue;
            }
        };
        if let Some(when) = fault.when() {
            let path = format!("faults[{i}].{name}[{place}]");
            flaws.when(&path, when);
            if fault.inside().is_some() && is_constant(when) {
                flaws.add(path, "nothing ever runs with so many of these faults", "too often").help =
                    Some(format!("at most `{name}(Rate({CONSTANT}))`, or `{name}(Nth(3))`"));
            }
        }
    }
    for (i, plant) in scenario.plant.iter().enumerate() {
        let (defect, when) = plant.parts();
        flaws.when(&format!("plant[{i}].{defect:?}[0]"), when);
    }
    flaws.count("faults", "faults", scenario.faults.len(), limits::FAULTS);
    flaws.count("plant", "planted defects", scenario.plant.len(), limits::FAULTS);
    if let super::Schedule::Pct { depth } = scenario.schedule {
        flaws.within("schedule.Pct.depth", "`depth`", depth.into(), 1..=limits::PCT_DEPTH);
    }
    if let super::Schedule::Delays { delays } = scenario.schedule {
        flaws.within("schedule.Delays.delays", "`delays`", delays.into(), 0..=limits::DELAYS);
    }
    if let super::Schedule::Dfs { preemptions } = scenario.schedule {
        flaws.within("schedule.Dfs.preemptions", "`preemptions`", preemptions.into(), 0..=limits::PREEMPTIONS);
    }
    flaws.within("budget.schedules", "`schedules`", scenario.budget.schedules, 1..=u64::MAX);
    flaws.within("budget.steps", "`steps`", scenario.budget.steps, 1..=u64::MAX);
    if let Some(wall) = scenario.budget.wall {
        flaws.span("budget.wall", wall);
    }
    oracles::check(&mut flaws, scenario);
    executions(&mut flaws, scenario, &shape);
    flaws.0
}

/// The greatest probability at which a world still comes into being.
const CONSTANT: f64 = 0.9;

/// Whether it strikes so often that nothing else can happen.
fn is_constant(when: When) -> bool {
    match when {
        When::Rate(p) => p > CONSTANT && p <= 1.0, // beyond it isn't a probability at all
        When::Always => true,
        When::Nth(_) | When::At(_) => false,
    }
}

/// The sizes that a sweep gives a scenario.
struct Shape {
    cells: u64,
    loops: Vec<u32>,
    threads: Vec<u32>,
}

impl Shape {
    fn of(scenario: &Scenario) -> Self {
        let or = |listed: &[u32], own: u32| if listed.is_empty() { vec![own] } else { listed.to_vec() };
        let (presets, loops, threads) = match &scenario.sweep {
            Sweep::Single => (1, &[][..], &[][..]),
            Sweep::Matrix { preset, event_loops, business_threads } => {
                (preset.len().max(1), event_loops.as_slice(), business_threads.as_slice())
            }
        };
        let loops = or(loops, scenario.topology.event_loops);
        let threads = or(threads, scenario.topology.business_threads);
        // A file of 1 MiB cannot list enough values to make this overflow.
        Self { cells: (presets * loops.len() * threads.len()) as u64, loops, threads }
    }

    fn fewest_threads(&self) -> u32 {
        self.threads.iter().copied().min().unwrap_or(0)
    }

    /// Cells for each number of business threads.
    fn cells_per_threads(&self) -> u64 {
        self.cells / self.threads.len() as u64
    }
}

fn topology(flaws: &mut Flaws, scenario: &Scenario) {
    let t = &scenario.topology;
    flaws.within("topology.event_loops", "`event_loops`", t.event_loops.into(), loops_limit());
    flaws.within("topology.business_threads", "`business_threads`", t.business_threads.into(), threads_limit());
    flaws.within("topology.channels", "`channels`", t.channels.into(), 0..=limits::CHANNELS.into());
    let Sweep::Matrix { preset, event_loops, business_threads } = &scenario.sweep else { return };
    if preset.is_empty() && event_loops.is_empty() && business_threads.is_empty() {
        flaws.add("sweep", "the sweep lists nothing", "no values").help =
            Some("list values, such as `Matrix(event_loops: [1, 2, 4])`, or leave `sweep` out".to_string());
    }
    for (i, &n) in event_loops.iter().enumerate().take(2 * limits::CELLS as usize) {
        flaws.within(&format!("sweep.Matrix.event_loops[{i}]"), "`event_loops`", n.into(), loops_limit());
    }
    for (i, &n) in business_threads.iter().enumerate().take(2 * limits::CELLS as usize) {
        flaws.within(&format!("sweep.Matrix.business_threads[{i}]"), "`business_threads`", n.into(), threads_limit());
    }
    flaws.distinct("sweep.Matrix.preset", preset);
    flaws.distinct("sweep.Matrix.event_loops", event_loops);
    flaws.distinct("sweep.Matrix.business_threads", business_threads);
}

fn loops_limit() -> RangeInclusive<u64> {
    1..=limits::EVENT_LOOPS.into()
}

fn threads_limit() -> RangeInclusive<u64> {
    0..=limits::BUSINESS_THREADS.into()
}

/// Cells, seeds and what they multiply to.
fn executions(flaws: &mut Flaws, scenario: &Scenario, shape: &Shape) {
    let (cells, seeds) = (shape.cells, scenario.seeds.end.saturating_sub(scenario.seeds.start));
    if seeds == 0 {
        flaws.add("seeds", "there is no seed in this range", "empty").help =
            Some("a range ends before its second number: `0..1` is one seed".to_string());
    }
    if cells > limits::CELLS {
        let message = format!("{} cells; a sweep has at most {}", grouped(cells.into()), grouped(limits::CELLS.into()));
        flaws.add("sweep", message, "too many");
    } else if u128::from(cells) * u128::from(seeds) > limits::EXECUTIONS.into() {
        let executions = u128::from(cells) * u128::from(seeds);
        let product = format!("{} x {} = {}", plural(cells, "cell"), plural(seeds, "seed"), grouped(executions));
        flaws.add("seeds", format!("{product} executions; at most {}", grouped(limits::EXECUTIONS.into())), "too many");
    } else if flaws.0.is_empty() {
        // Only then does the product mean anything.
        workload::total_writes(flaws, scenario, shape, seeds);
    }
}

/// `1 cell`, `2 cells`.
fn plural(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n.into()), if n == 1 { "" } else { "s" })
}

/// The flaws found so far.
struct Flaws(Vec<Flaw>);

impl Flaws {
    fn is_full(&self) -> bool {
        self.0.len() >= limits::ERRORS
    }

    /// Adds one, of which the help may be set; beyond the tenth the last is replaced: it is not needed any more.
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, label: impl Into<String>) -> &mut Flaw {
        self.0.truncate(limits::ERRORS - 1);
        self.0.push(Flaw { path: path.into(), message: message.into(), label: label.into(), help: None });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn within(&mut self, path: &str, what: &str, value: u64, limit: RangeInclusive<u64>) {
        if !limit.contains(&value) && !self.is_full() {
            let (low, high) = (grouped((*limit.start()).into()), grouped((*limit.end()).into()));
            let value = grouped(value.into());
            let message = match *limit.end() {
                u64::MAX => format!("{what} is at least {low}, not {value}"),
                _ => format!("{what} is between {low} and {high}, not {value}"),
            };
            self.add(path, message, "out of range");
        }
    }

    fn count(&mut self, path: &str, what: &str, count: usize, limit: usize) {
        if count > limit {
            self.add(
                path,
                format!("{} {what}; at most {}", grouped(count as u128), grouped(limit as u128)),
                "too many",
            );
        }
    }

    fn probability(&mut self, path: &str, p: f64) {
        if !(0.0..=1.0).contains(&p) {
            self.add(path, format!("a probability is between 0 and 1, not {p}"), "not a probability");
        }
    }

    fn when(&mut self, path: &str, when: When) {
        match when {
            When::Rate(p) => self.probability(&format!("{path}.Rate[0]"), p),
            When::Nth(n) => self.within(&format!("{path}.Nth[0]"), "`Nth` counts from 1: it", n, 1..=u64::MAX),
            When::At(t) => self.span(&format!("{path}.At[0]"), t),
            When::Always => {}
        }
    }

    fn size(&mut self, path: &str, size: Size) {
        if size.checked_bytes().is_none_or(|bytes| !(1..=limits::SIZE_BYTES).contains(&bytes)) {
            self.add(path, "a size is between 1 byte and 1 GiB", "out of range");
        }
    }

    fn span(&mut self, path: &str, span: Span) {
        if span.duration() > limits::SPAN {
            self.add(path, "a span of time is at most one year", "too long");
        }
    }

    fn distinct<T: PartialEq>(&mut self, path: &str, values: &[T]) {
        // Longer lists have duplicates or exceed the number of cells, which is reported in any case.
        let values = &values[..values.len().min(limits::CELLS as usize)];
        if let Some(i) = (1..values.len()).find(|&i| values[..i].contains(&values[i])) {
            self.add(format!("{path}[{i}]"), "this value is listed twice", "again");
        }
    }

    fn name(&mut self, path: &str, what: &str, name: &str) {
        let message = if name.trim().is_empty() {
            "is empty".to_string()
        } else if name.contains(|c: char| c == '\n' || c == '\t' || is_treacherous(c)) {
            "has a line end or another control character in it".to_string()
        } else if name.chars().count() > limits::NAME_CHARS {
            format!("has {} characters; at most {}", grouped(name.chars().count() as u128), limits::NAME_CHARS)
        } else {
            return;
        };
        self.add(path, format!("{what} {message}"), "a short sentence in one line");
    }
}

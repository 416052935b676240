//! Millpond's engine beside shuttle's and loom's: the same programs, in the same process, in turns; Markdown.
//!
//! ```text
//! cargo bench -p millpond-specimens --features peers --bench scheduler
//! ```
//!
//! One thread's work is measured by the processor's time, so that what else the machine does is not in it; two workers against one
//! by the wall's, for which the machine must be idle.
//!
//! `--turns N` (15), `--millis N` of a slice (40), `--only TEXT` of a section's name (`steps`, `executions`, `workers`, `loom`),
//! `--program TEXT` and `--strategy TEXT` of the name of a program and of our strategy, for a look at one row.

mod ours;
mod peers;

use millpond_specimens::options::Options;
use millpond_specimens::testers::silence;
use millpond_specimens::timing::{Clock, Pair, Run, executions_for, pair, slice};
use millpond_specimens::{Load, under_loom, under_millpond, under_shuttle};
use std::thread;
use std::time::Duration;

/// How long, and how often.
struct Plan {
    turns: usize,
    time: Duration,
    program: String,
    strategy: String,
}

impl Plan {
    fn wants(&self, program: &str, strategy: &str) -> bool {
        program.contains(&self.program) && strategy.contains(&self.strategy)
    }
}

/// What has to hold of a row.
struct Bar {
    /// At least so many times as fast as the peer.
    ratio: Option<f64>,
    /// At most so many nanoseconds: what it took where the bar was set, which is not this machine.
    nanos: Option<f64>,
}

const NO_BAR: Bar = Bar { ratio: None, nanos: None };

const fn at_least(ratio: f64) -> Bar {
    Bar { ratio: Some(ratio), nanos: None }
}

impl Bar {
    /// What is asked, and whether it is so.
    fn cells(&self, pair: &Pair) -> String {
        let asked = [self.ratio.map(|r| format!("≥ {r}x")), self.nanos.map(|n| format!("≤ {n} ns"))];
        let asked: Vec<String> = asked.into_iter().flatten().collect();
        if asked.is_empty() {
            return "| |".to_string();
        }
        let met = self.ratio.is_none_or(|r| pair.ratio[1] >= r) && self.nanos.is_none_or(|n| pair.first <= n);
        format!("{} | {} |", asked.join(", "), if met { "met" } else { "**not met**" })
    }
}

fn main() {
    let options = Options::of_bench(&["turns", "millis", "only", "program", "strategy"]);
    silence();
    let turns = usize::try_from(options.number("turns", 15)).expect("few turns");
    let time = Duration::from_millis(options.number("millis", 40));
    let [program, strategy] = ["program", "strategy"].map(|name| options.text(name).to_string());
    let plan = Plan { turns, time, program, strategy };
    let section = |name: &str, table: fn(&Plan)| {
        if name.contains(options.text("only")) {
            table(&plan);
        }
    };
    section("steps", steps);
    section("executions", executions);
    section("workers", workers);
    section("loom", loom);
}

fn spread(pair: &Pair) -> String {
    format!("{:.1} ({:.1}–{:.1})", pair.ratio[1], pair.ratio[0], pair.ratio[2])
}

/// Both sides of one load: nanoseconds of a point, or of an execution.
fn measure(plan: &Plan, name: &str, ours: &Run, theirs: &Run, is_by_point: bool) -> Pair {
    let (a, b) = (Load::named(under_millpond::loads::ALL, name), Load::named(under_shuttle::loads::ALL, name));
    let (a_times, b_times) = (executions_for(a, plan.time, ours), executions_for(b, plan.time, theirs));
    let nanos = |load, times, run| {
        let slice = slice(load, times, Clock::Processor, run);
        if is_by_point { slice.nanos_per_point() } else { slice.nanos_per_execution() }
    };
    pair(plan.turns, || nanos(a, a_times, ours), || nanos(b, b_times, theirs))
}

/// Nanoseconds of one operation.
fn steps(plan: &Plan) {
    println!("## Nanoseconds of one operation\n");
    println!("| program | ours | peer | ours, ns | peer, ns | times as fast | asked | |");
    println!("|---|---|---|---|---|---|---|---|");
    let w2_and_w3 = |name: &str, w2: f64, w3: f64| match name {
        "W2" => at_least(w2),
        "W3" => at_least(w3),
        _ => NO_BAR,
    };
    let row = |name: &str, ours: &ours::Row, theirs: &peers::Row, bar: Bar| {
        if !plan.wants(name, ours.name) {
            return;
        }
        let pair = measure(plan, name, &*ours.run, &*theirs.run, true);
        let (a, b) = (ours.name, theirs.name);
        let cells = bar.cells(&pair);
        println!("| {name} | {a} | {b} | {:.1} | {:.1} | {} | {cells}", pair.first, pair.second, spread(&pair));
    };
    let (random, pct, urw) = (peers::random(), peers::pct(), peers::urw());
    for name in ["W1", "W2", "W2b", "W3", "W5"] {
        row(name, &ours::random(), &random, w2_and_w3(name, 5.0, 4.0));
        row(name, &ours::pct(), &pct, w2_and_w3(name, 20.0, 10.0));
        row(name, &ours::urw(), &urw, NO_BAR);
        let surw = if name == "W2" { Bar { ratio: Some(2.0), nanos: Some(50.0) } } else { NO_BAR };
        row(name, &ours::surw(), &urw, surw);
        row(name, &ours::pos(), &random, NO_BAR);
        let weak = if name == "W2" { Bar { ratio: None, nanos: Some(40.0) } } else { NO_BAR };
        row(name, &ours::random_weak(), &random, weak);
    }
    println!();
}

/// Executions of short programs.
fn executions(plan: &Plan) {
    println!("## Short programs, executions a second\n");
    println!("| program | ours | peer | ours, M/s | peer, M/s | times as fast | asked | |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, ratio) in [("empty", 20.0), ("2 x 1", 6.0), ("3 x 10", 5.0)] {
        let sides = [
            (ours::random(), peers::random(), at_least(ratio)),
            (ours::pct(), peers::pct(), NO_BAR),
            (ours::random_weak(), peers::random(), NO_BAR),
        ];
        for (ours, theirs, bar) in sides {
            // Its PCT refuses a program without threads.
            let is_refused = name == "empty" && theirs.name == "PCT 3";
            if is_refused || !plan.wants(name, ours.name) {
                continue;
            }
            let pair = measure(plan, name, &*ours.run, &*theirs.run, false);
            let (a, b, cells) = (ours.name, theirs.name, bar.cells(&pair));
            let [first, second] = [pair.first, pair.second].map(|nanos| 1000.0 / nanos);
            println!("| {name} | {a} | {b} | {first:.3} | {second:.3} | {} | {cells}", spread(&pair));
        }
    }
    println!();
}

/// Two workers against one, each with its own engine, in executions of both together.
fn workers(plan: &Plan) {
    println!("## Two workers against one\n");
    println!(
        "By the wall: the best of the turns of both, as what else the machine does only takes from two workers what they have, and the"
    );
    println!(
        "median of the ratios. By the time that their threads had of the processors: the same on an idle machine if they don't sleep for"
    );
    println!("each other.\n");
    println!(
        "| program | ours, best | asked | | ours | ours, processor | shuttle, best | shuttle | shuttle, processor |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for name in ["W1", "W2", "W3", "W5", "empty", "2 x 1", "3 x 10"] {
        if !plan.wants(name, "random") {
            continue;
        }
        let ours = |clock| scaling(plan, Load::named(under_millpond::loads::ALL, name), clock, || ours::random().run);
        let theirs = |clock| scaling(plan, Load::named(under_shuttle::loads::ALL, name), clock, || peers::random().run);
        let (wall, their_wall) = (ours(Clock::Wall), theirs(Clock::Wall));
        let met = if wall.peak >= 1.9 { "met" } else { "**not met**" };
        let others = [&wall, &ours(Clock::Thread), &their_wall, &theirs(Clock::Thread)];
        let [a, b, c, d] = others.map(spread);
        let [ours, theirs] = [wall.peak, their_wall.peak];
        println!("| {name} | {ours:.2} | ≥ 1.9x | {met} | {a} | {b} | {theirs:.2} | {c} | {d} |");
    }
    println!();
}

/// One worker's rate, that of two, and the ratio.
fn scaling(plan: &Plan, load: Load, clock: Clock, run: impl Fn() -> Box<Run> + Sync) -> Pair {
    let times = executions_for(load, plan.time, &*run());
    let rate = || times as f64 / slice(load, times, clock, &*run()).time.as_secs_f64();
    let both = || {
        thread::scope(|scope| {
            let workers = [scope.spawn(rate), scope.spawn(rate)];
            workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
        })
    };
    pair(plan.turns, rate, both)
}

/// Where loom comes to an end: its executions a second, and ours of the same program.
fn loom(plan: &Plan) {
    println!("## loom\n");
    println!(
        "| program | loom's executions, bound 2 | all | a second | ours a second, random + weak | times as fast |"
    );
    println!("|---|---|---|---|---|---|");
    for name in ["refcount 2", "refcount 3", "stack 2 x 2", "stack 3 x 1", "queue 2 x 2"] {
        let theirs = Load::named(under_loom::loads::ALL, name);
        let bounded = peers::loom(theirs, Some(2), Duration::from_secs(5));
        let all = peers::loom(theirs, None, Duration::from_secs(5));
        let ours = Load::named(under_millpond::loads::ALL, name);
        let run = ours::random_weak().run;
        let times = executions_for(ours, plan.time, &*run);
        let nanos = slice(ours, times, Clock::Processor, &*run).nanos_per_execution();
        let (rate, our_rate) = (all.executions as f64 / all.time.as_secs_f64(), 1e9 / nanos);
        let end = |outcome: &peers::Loom| if outcome.is_complete { "" } else { ", not done in 5 s" };
        println!(
            "| {name} | {}{} | {}{} | {rate:.0} | {our_rate:.0} | {:.0} |",
            bounded.executions,
            end(&bounded),
            all.executions,
            end(&all),
            our_rate / rate,
        );
    }
    println!();
}

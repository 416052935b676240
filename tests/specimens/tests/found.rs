//! What the specimens are for: the portfolio finds each of them, for every seed and soon; and says nothing of their twins.
//!
//! **Invariant: no seed is left out.** A specimen that is found for most seeds is a specimen that is missed.

use millpond_specimens::options::on_all;
use millpond_specimens::testers::{Hunt, Tester, chosen, silence};
use millpond_specimens::{NOISE, Needs};
use std::time::Duration;

/// Seeds of each hunt.
const SEEDS: u64 = 31;
/// Executions of the median hunt at most.
const MEDIAN: u64 = 3_000;
/// Executions after which a specimen is missed.
const LIMIT: u64 = 100_000;
/// Executions of each twin; the script makes more.
const TWIN: u64 = 20_000;
/// Never reached: a limit of time would make the verdict that of the machine.
const LONG: Duration = Duration::from_secs(3600);

fn portfolio() -> Tester {
    silence();
    chosen("millpond portfolio").remove(0)
}

/// What is wrong with the hunts for one specimen.
fn missed(tester: &Tester, program: usize, noise: usize) -> Option<String> {
    let hunt = |seed| Hunt { program, twin: false, noise, seed, executions: LIMIT, time: LONG };
    let outcomes: Vec<_> = (0..SEEDS).map(|seed| (seed, tester.hunt(hunt(seed)))).collect();
    let name = tester.programs[program].about.name;
    let lost: Vec<u64> = outcomes.iter().filter(|(_, o)| o.failure.is_none()).map(|(seed, _)| *seed).collect();
    if !lost.is_empty() {
        return Some(format!("{name} with noise {noise} is missed by the seeds {lost:?}"));
    }
    let mut executions: Vec<u64> = outcomes.iter().map(|(_, outcome)| outcome.executions).collect();
    executions.sort_unstable();
    let median = executions[executions.len() / 2];
    (median > MEDIAN).then(|| format!("{name} with noise {noise} takes {median} executions"))
}

fn all_are_found(noise: usize) {
    let tester = portfolio();
    let programs = tester.programs_named("");
    assert!(programs.len() >= 25, "{} specimens", programs.len());
    let flaws: Vec<String> = on_all(0, &programs, |&p| missed(&tester, p, noise)).into_iter().flatten().collect();
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

#[test]
fn every_specimen_is_found_for_every_seed() {
    all_are_found(0);
}

#[test]
fn every_specimen_is_found_among_unrelated_operations() {
    all_are_found(NOISE);
}

#[test]
fn no_twin_is_accused() {
    let tester = portfolio();
    let work: Vec<_> = tester.programs_named("").into_iter().flat_map(|p| [(p, 0), (p, NOISE)]).collect();
    let alarms = on_all(0, &work, |&(program, noise)| {
        let hunt = Hunt { program, twin: true, noise, seed: 0, executions: TWIN, time: LONG };
        let outcome = tester.hunt(hunt);
        assert!(outcome.failure.is_some() || outcome.executions == TWIN, "all are executed");
        let name = tester.programs[program].about.name;
        outcome.failure.map(|words| format!("the twin of {name}, noise {noise}: {words}"))
    });
    let alarms: Vec<String> = alarms.into_iter().flatten().collect();
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
}

#[test]
fn what_a_specimen_needs_is_what_it_takes() {
    // Without stale loads a tester finds all but those that need them, and those it doesn't find.
    silence();
    let tester = chosen("millpond random").remove(0);
    let programs = tester.programs_named("");
    let wrong = on_all(0, &programs, |&program| {
        let about = tester.programs[program].about;
        let hunt = Hunt { program, twin: false, noise: 0, seed: 0, executions: 20_000, time: LONG };
        let is_found = tester.hunt(hunt).failure.is_some();
        (is_found == (about.needs == Needs::Weak)).then_some(about.name)
    });
    assert_eq!(wrong.into_iter().flatten().collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn the_twins_run_on_threads_of_the_system() {
    for program in millpond_specimens::under_std::programs::ALL {
        for _ in 0..20 {
            (program.run)(true, NOISE);
        }
    }
}

#[test]
fn names_are_those_of_the_modules_and_none_is_there_twice() {
    let mut names: Vec<&str> = millpond_specimens::under_std::programs::ALL.iter().map(|p| p.about.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for name in names {
        let path = format!("{}/src/programs/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&path).exists(), "{path}");
    }
}

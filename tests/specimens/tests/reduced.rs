//! What is told of a specimen that was found: a schedule with few preemptions that fails again, whoever looks for it.
//!
//! **Invariant: the report is that of the smallest failing number**, on one worker as on three.

use millpond::{Checker, Report};
use millpond_specimens::options::on_all;
use millpond_specimens::testers::silence;
use millpond_specimens::under_millpond::programs::ALL;
use millpond_specimens::{NOISE, Program};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Preemptions of a reduced schedule at most.
const PREEMPTIONS: u64 = 3;
/// Executions after which a specimen is missed.
const LIMIT: u64 = 100_000;

fn report(program: &Program, noise: usize, jobs: usize, explain: bool) -> Report {
    let jobs = NonZeroUsize::new(jobs).expect("some jobs");
    let checker = Checker::new().executions(LIMIT).jobs(jobs).explain(explain);
    checker.run(|| (program.run)(false, noise))
}

#[test]
fn every_finding_is_reduced_to_few_preemptions_and_fails_again() {
    silence();
    let work: Vec<_> = ALL.iter().flat_map(|program| [(program, 0), (program, NOISE)]).collect();
    let flaws = on_all(0, &work, |&(program, noise)| {
        let name = program.about.name;
        let Some(failure) = report(program, noise, 1, true).failure else {
            return Some(format!("{name} with noise {noise} is not found"));
        };
        if failure.preemptions > PREEMPTIONS {
            return Some(format!("{name} with noise {noise}: {} preemptions", failure.preemptions));
        }
        let again = || millpond::replay(&failure.token.to_string(), || (program.run)(false, noise));
        let fails = catch_unwind(AssertUnwindSafe(again)).is_err();
        (!fails).then(|| format!("{name} with noise {noise}: {} fails no longer", failure.token))
    });
    let flaws: Vec<String> = flaws.into_iter().flatten().collect();
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

#[test]
fn three_workers_report_what_one_does() {
    silence();
    for program in ALL {
        let [one, three] = [1, 3].map(|jobs| report(program, 0, jobs, false));
        assert_eq!(one.executions, three.executions, "{}", program.about.name);
        let [one, three] = [one, three].map(|report| report.failure.expect("it is found").token.to_string());
        assert_eq!(one, three, "{}", program.about.name);
    }
}

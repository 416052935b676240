//! What the other testers see, so that the tables don't compare with something that was held wrongly.
//!
//! **Invariant: a peer finds what it models.** Where one doesn't, it is listed here by name, with what it said.

use millpond_specimens::options::on_all;
use millpond_specimens::testers::{Hunt, Tester, chosen, silence};
use millpond_specimens::{NOISE, Needs};
use std::time::Duration;

/// Twins of which loom says that they fail: it takes SeqCst for AcqRel (the two with flags), lets an exchange read an older value
/// than the one that it replaces (the queues), and counts a spin as branches without end.
const LOOM_ACCUSES: [&str; 4] = ["sleep_flag", "recycle_without_cas", "peterson_acq_rel", "spinlock_relaxed_unlock"];

/// Specimens that loom calls complete without a finding: its unpark doesn't keep one token, its weak exchange never fails.
const LOOM_MISSES: [&str; 2] = ["park_token_lost", "weak_exchange_once"];

/// A limit that is never reached: executions decide what is found, not how busy the host is.
const ENOUGH: Duration = Duration::from_secs(24 * 60 * 60);

fn tester(name: &str) -> Tester {
    silence();
    chosen(name).into_iter().find(|tester| tester.name == name).expect("a tester is called so")
}

/// The specimens, or their twins, of which the tester says something.
fn accused(tester: &Tester, twin: bool, noise: usize, executions: u64) -> Vec<&'static str> {
    let programs = tester.programs_named("");
    let names = on_all(0, &programs, |&program| {
        let hunt = Hunt { program, twin, noise, seed: 1, executions, time: ENOUGH };
        tester.hunt(hunt).failure.map(|_| tester.programs[program].about.name)
    });
    names.into_iter().flatten().collect()
}

fn needing(tester: &Tester, is_seen: impl Fn(Needs) -> bool) -> Vec<&'static str> {
    tester.programs.iter().map(|p| p.about).filter(|about| is_seen(about.needs)).map(|about| about.name).collect()
}

#[test]
fn shuttle_finds_what_interleaving_shows_and_nothing_else() {
    let shuttle = tester("shuttle random");
    assert_eq!(accused(&shuttle, false, 0, 20_000), needing(&shuttle, |needs| needs == Needs::Interleaving));
}

#[test]
fn shuttle_accuses_no_twin() {
    let shuttle = tester("shuttle random");
    assert_eq!(accused(&shuttle, true, 0, 5_000), Vec::<&str>::new());
    assert_eq!(accused(&shuttle, true, NOISE, 1_000), Vec::<&str>::new());
}

#[test]
fn loom_finds_all_but_two() {
    let loom = tester("loom");
    let mut seen = needing(&loom, |_| true);
    seen.retain(|name| !LOOM_MISSES.contains(name));
    assert_eq!(accused(&loom, false, 0, 200_000), seen);
}

#[test]
fn loom_accuses_four_twins() {
    assert_eq!(accused(&tester("loom"), true, 0, 5_000), LOOM_ACCUSES);
}

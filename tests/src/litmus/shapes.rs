//! The litmus shapes, by their names in the literature, each with the verdict of the books on its telling outcome.
//!
//! **Invariant: a verdict is from a paper or from the standard's rules, never from the oracle or the engine.**
//!
//! Names: Maranget, Sarkar, Sewell, *A tutorial introduction to the ARM and POWER relaxed memory models*, 2012; Alglave, Maranget,
//! Tautschnig, *Herding cats*, TOPLAS 2014; those with SC accesses and fences from Lahav et al., *Repairing sequential consistency
//! in C/C++11*, PLDI 2017; C++20's release sequences from WG21 P0982R1.

use super::program::{Op, PLAIN, Place, Program};
use std::sync::atomic::Ordering;

use Ordering::{AcqRel as AR, Acquire as ACQ, Relaxed as RLX, Release as REL, SeqCst as SC};

/// What the books say of an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Some execution shows it.
    Allowed,
    /// No execution shows it.
    Forbidden,
    /// The standard allows it, but by a cycle of program order and reads-from, which this model has not.
    LoadBuffering,
    /// Some execution has a data race: whatever comes of it.
    Race,
    /// No execution has one.
    NoRace,
}

/// A shape.
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// The program.
    pub program: Program,
    /// The telling outcome; empty where the verdict is about races.
    pub outcome: Vec<Vec<u64>>,
    /// What the books say of it.
    pub verdict: Verdict,
    /// RC11 and C++20 disagree on the outcome.
    pub is_disputed: bool,
}

const X: Place = 0;
const Y: Place = 1;
const Z: Place = 2;
const P: Place = PLAIN;

fn w(place: Place, value: u64, order: Ordering) -> Op {
    Op::Store(place, value, order)
}
fn r(place: Place, order: Ordering) -> Op {
    Op::Load(place, order)
}
fn f(order: Ordering) -> Op {
    Op::Fence(order)
}
fn add(place: Place, n: u64, order: Ordering) -> Op {
    Op::Add(place, n, order)
}
fn swap(place: Place, new: u64, order: Ordering) -> Op {
    Op::Swap(place, new, order)
}
fn cas(place: Place, expected: u64, new: u64, success: Ordering, failure: Ordering) -> Op {
    Op::Cas(place, expected, new, success, failure, false)
}
fn weak_cas(place: Place, expected: u64, new: u64, success: Ordering, failure: Ordering) -> Op {
    Op::Cas(place, expected, new, success, failure, true)
}
const fn until(value: u64) -> Op {
    Op::Until(value)
}
const READ: Op = Op::Read(P);
fn write(value: u64) -> Op {
    Op::Write(P, value)
}

#[derive(Default)]
struct Shapes(Vec<Shape>);

impl Shapes {
    fn put(&mut self, name: &'static str, threads: &[&[Op]], outcome: &[&[u64]], verdict: Verdict) {
        let program = Program {
            threads: threads.iter().map(|ops| ops.to_vec()).collect(),
            finals: outcome.len() > threads.len(),
        };
        let outcome = outcome.iter().map(|reads| reads.to_vec()).collect();
        self.0.push(Shape { name, program, outcome, verdict, is_disputed: false });
    }
    fn yes(&mut self, name: &'static str, threads: &[&[Op]], outcome: &[&[u64]]) {
        self.put(name, threads, outcome, Verdict::Allowed);
    }
    /// RC11 and C++20 disagree on the last one.
    fn dispute(&mut self) {
        if let Some(shape) = self.0.last_mut() {
            shape.is_disputed = true;
        }
    }
    fn no(&mut self, name: &'static str, threads: &[&[Op]], outcome: &[&[u64]]) {
        self.put(name, threads, outcome, Verdict::Forbidden);
    }
}

/// All shapes.
pub fn all() -> Vec<Shape> {
    let mut shapes = Shapes::default();
    two_threads(&mut shapes);
    final_values(&mut shapes);
    three_threads(&mut shapes);
    coherence(&mut shapes);
    updates(&mut shapes);
    mixtures(&mut shapes);
    races(&mut shapes);
    shapes.0
}

/// SB, MP and LB.
fn two_threads(s: &mut Shapes) {
    let both: &[&[u64]] = &[&[0], &[0]];
    s.yes("SB", &[&[w(X, 1, RLX), r(Y, RLX)], &[w(Y, 1, RLX), r(X, RLX)]], both);
    s.yes("SB+rel+acq", &[&[w(X, 1, REL), r(Y, ACQ)], &[w(Y, 1, REL), r(X, ACQ)]], both);
    s.no("SB+sc", &[&[w(X, 1, SC), r(Y, SC)], &[w(Y, 1, SC), r(X, SC)]], both);
    s.yes("SB+sc stores only", &[&[w(X, 1, SC), r(Y, ACQ)], &[w(Y, 1, SC), r(X, ACQ)]], both);
    s.yes("SB+sc loads only", &[&[w(X, 1, REL), r(Y, SC)], &[w(Y, 1, REL), r(X, SC)]], both);
    s.no("SB+mfences", &[&[w(X, 1, RLX), f(SC), r(Y, RLX)], &[w(Y, 1, RLX), f(SC), r(X, RLX)]], both);
    s.yes("SB+mfence+po", &[&[w(X, 1, RLX), f(SC), r(Y, RLX)], &[w(Y, 1, RLX), r(X, RLX)]], both);
    s.yes("SB+acqrel fences", &[&[w(X, 1, RLX), f(AR), r(Y, RLX)], &[w(Y, 1, RLX), f(AR), r(X, RLX)]], both);
    s.no("SB+mfence+sc", &[&[w(X, 1, RLX), f(SC), r(Y, RLX)], &[w(Y, 1, SC), r(X, SC)]], both);
    s.yes("SB+mfence+sc store", &[&[w(X, 1, RLX), f(SC), r(Y, RLX)], &[w(Y, 1, SC), r(X, ACQ)]], both);
    s.yes("SB+swaps", &[&[swap(X, 1, AR), r(Y, ACQ)], &[swap(Y, 1, AR), r(X, ACQ)]], &[&[0, 0], &[0, 0]]);
    s.no("SB+sc swaps", &[&[swap(X, 1, SC), r(Y, SC)], &[swap(Y, 1, SC), r(X, SC)]], &[&[0, 0], &[0, 0]]);
    s.yes("SB+updates for loads", &[&[w(X, 1, RLX), add(Y, 0, AR)], &[w(Y, 1, RLX), add(X, 0, AR)]], both);

    let stale: &[&[u64]] = &[&[], &[1, 0]];
    let late: &[Op] = &[r(Y, ACQ), r(X, RLX)];
    s.yes("MP", &[&[w(X, 1, RLX), w(Y, 1, RLX)], &[r(Y, RLX), r(X, RLX)]], stale);
    s.no("MP+rel+acq", &[&[w(X, 1, RLX), w(Y, 1, REL)], late], stale);
    s.yes("MP+rel+rlx", &[&[w(X, 1, RLX), w(Y, 1, REL)], &[r(Y, RLX), r(X, RLX)]], stale);
    s.yes("MP+rlx+acq", &[&[w(X, 1, RLX), w(Y, 1, RLX)], late], stale);
    s.no("MP+sc", &[&[w(X, 1, SC), w(Y, 1, SC)], &[r(Y, SC), r(X, SC)]], stale);
    let (release, acquire) = ([w(X, 1, RLX), f(REL), w(Y, 1, RLX)], [r(Y, RLX), f(ACQ), r(X, RLX)]);
    s.no("MP+fences", &[&release, &acquire], stale);
    s.no("MP+rel fence+acq", &[&release, late], stale);
    s.no("MP+rel+acq fence", &[&[w(X, 1, RLX), w(Y, 1, REL)], &acquire], stale);
    s.yes("MP+rel fence+po", &[&release, &[r(Y, RLX), r(X, RLX)]], stale);
    s.yes("MP+po+acq fence", &[&[w(X, 1, RLX), w(Y, 1, RLX)], &acquire], stale);
    s.yes("MP+late rel fence", &[&[w(X, 1, RLX), w(Y, 1, RLX), f(REL)], &acquire], stale);
    s.yes("MP+early acq fence", &[&release, &[f(ACQ), r(Y, RLX), r(X, RLX)]], stale);
    s.no("MP+mfences", &[&[w(X, 1, RLX), f(SC), w(Y, 1, RLX)], &[r(Y, RLX), f(SC), r(X, RLX)]], stale);
    s.no("MP+rel+acq update", &[&[w(X, 1, RLX), w(Y, 1, REL)], &[add(Y, 0, ACQ), r(X, RLX)]], stale);
    s.yes("MP+rel+rlx update", &[&[w(X, 1, RLX), w(Y, 1, REL)], &[add(Y, 0, RLX), r(X, RLX)]], stale);
    // A dependency orders nothing in C++20.
    s.yes(
        "MP+rel+data",
        &[&[w(X, 1, RLX), w(Y, 1, REL)], &[r(Y, RLX), Op::StoreLast(Z, RLX), r(Z, RLX), r(X, RLX)]],
        &[&[], &[1, 1, 0]],
    );
    s.yes("PPOCA+rlx", &[&release, &[r(Y, RLX), w(Z, 1, RLX), r(Z, RLX), r(X, RLX)]], &[&[], &[1, 1, 0]]);
    s.no("PPOCA+acq", &[&release, &[r(Y, ACQ), w(Z, 1, RLX), r(Z, RLX), r(X, RLX)]], &[&[], &[1, 1, 0]]);

    let ones: &[&[u64]] = &[&[1], &[1]];
    let cycle = Verdict::LoadBuffering;
    s.put("LB", &[&[r(X, RLX), w(Y, 1, RLX)], &[r(Y, RLX), w(X, 1, RLX)]], ones, cycle);
    s.no("LB+acq+rel", &[&[r(X, ACQ), w(Y, 1, REL)], &[r(Y, ACQ), w(X, 1, REL)]], ones);
    s.no("LB+mfences", &[&[r(X, RLX), f(SC), w(Y, 1, RLX)], &[r(Y, RLX), f(SC), w(X, 1, RLX)]], ones);
    s.put("LB+data+po", &[&[r(X, RLX), Op::StoreLast(Y, RLX)], &[r(Y, RLX), w(X, 1, RLX)]], ones, cycle);
    // Out of thin air: the 1 of the third thread only makes it a value.
    let copies = [r(X, RLX), Op::StoreLast(Y, RLX)];
    s.no("LB+datas", &[&copies, &[r(Y, RLX), Op::StoreLast(X, RLX)], &[w(Z, 1, RLX)]], &[&[1], &[1], &[]]);
}

/// 2+2W, R and S: what is observed is modification order.
fn final_values(s: &mut Shapes) {
    let firsts: &[&[u64]] = &[&[], &[], &[1, 1]];
    s.yes("2+2W", &[&[w(X, 1, RLX), w(Y, 2, RLX)], &[w(Y, 1, RLX), w(X, 2, RLX)]], firsts);
    s.yes("2+2W+rel", &[&[w(X, 1, REL), w(Y, 2, REL)], &[w(Y, 1, REL), w(X, 2, REL)]], firsts);
    s.no("2+2W+sc", &[&[w(X, 1, SC), w(Y, 2, SC)], &[w(Y, 1, SC), w(X, 2, SC)]], firsts);
    s.no("2+2W+mfences", &[&[w(X, 1, RLX), f(SC), w(Y, 2, RLX)], &[w(Y, 1, RLX), f(SC), w(X, 2, RLX)]], firsts);
    s.yes("2+2W+mfence+po", &[&[w(X, 1, RLX), f(SC), w(Y, 2, RLX)], &[w(Y, 1, RLX), w(X, 2, RLX)]], firsts);
    s.no("2+2W+mfence+sc", &[&[w(X, 1, RLX), f(SC), w(Y, 2, RLX)], &[w(Y, 1, SC), w(X, 2, SC)]], firsts);

    let r_seen: &[&[u64]] = &[&[], &[0], &[1, 2]];
    s.yes("R", &[&[w(X, 1, RLX), w(Y, 1, RLX)], &[w(Y, 2, RLX), r(X, RLX)]], r_seen);
    s.yes("R+rel+acq", &[&[w(X, 1, REL), w(Y, 1, REL)], &[w(Y, 2, REL), r(X, ACQ)]], r_seen);
    s.no("R+mfences", &[&[w(X, 1, RLX), f(SC), w(Y, 1, RLX)], &[w(Y, 2, RLX), f(SC), r(X, RLX)]], r_seen);
    s.no("R+sc", &[&[w(X, 1, SC), w(Y, 1, SC)], &[w(Y, 2, SC), r(X, SC)]], r_seen);
    s.no("R+sc+mfence", &[&[w(X, 1, SC), w(Y, 1, SC)], &[w(Y, 2, RLX), f(SC), r(X, RLX)]], r_seen);
    s.yes("R+rel+mfence", &[&[w(X, 1, RLX), w(Y, 1, REL)], &[w(Y, 2, RLX), f(SC), r(X, RLX)]], r_seen);

    let s_seen: &[&[u64]] = &[&[], &[1], &[2, 1]];
    s.yes("S", &[&[w(X, 2, RLX), w(Y, 1, RLX)], &[r(Y, RLX), w(X, 1, RLX)]], s_seen);
    s.no("S+rel+acq", &[&[w(X, 2, RLX), w(Y, 1, REL)], &[r(Y, ACQ), w(X, 1, RLX)]], s_seen);
    s.no("S+fences", &[&[w(X, 2, RLX), f(REL), w(Y, 1, RLX)], &[r(Y, RLX), f(ACQ), w(X, 1, RLX)]], s_seen);
    s.yes("S+rel+data", &[&[w(X, 2, RLX), w(Y, 1, REL)], &[r(Y, RLX), Op::StoreLast(X, RLX)]], s_seen);
}

/// IRIW, WRC, RWC, WWC, ISA2, Z6 and their like.
fn three_threads(s: &mut Shapes) {
    let split: &[&[u64]] = &[&[], &[], &[1, 0], &[1, 0]];
    let writers = |order| ([w(X, 1, order)], [w(Y, 1, order)]);
    let reader = |a, b, order| [r(a, order), r(b, order)];
    let fenced = |a, b, order| [r(a, RLX), f(order), r(b, RLX)];
    let (x, y) = writers(RLX);
    s.yes("IRIW", &[&x, &y, &reader(X, Y, RLX), &reader(Y, X, RLX)], split);
    s.no("IRIW+mfences", &[&x, &y, &fenced(X, Y, SC), &fenced(Y, X, SC)], split);
    s.yes("IRIW+acq fences", &[&x, &y, &fenced(X, Y, ACQ), &fenced(Y, X, ACQ)], split);
    let (x, y) = writers(REL);
    s.yes("IRIW+rel+acq", &[&x, &y, &reader(X, Y, ACQ), &reader(Y, X, ACQ)], split);
    let (x, y) = writers(SC);
    s.no("IRIW+sc", &[&x, &y, &reader(X, Y, SC), &reader(Y, X, SC)], split);
    s.yes("IRIW+sc+acq", &[&x, &y, &reader(X, Y, ACQ), &reader(Y, X, ACQ)], split);
    // "IRIW-acq-sc" of PLDI 2017, section 1: C++11 forbade it, and POWER shows it.
    s.yes("IRIW-acq-sc", &[&x, &y, &[r(X, ACQ), r(Y, SC)], &[r(Y, ACQ), r(X, SC)]], split);

    let wrc: &[&[u64]] = &[&[], &[1], &[1, 0]];
    s.yes("WRC", &[&[w(X, 1, RLX)], &[r(X, RLX), w(Y, 1, RLX)], &reader(Y, X, RLX)], wrc);
    s.no("WRC+rel+acq", &[&[w(X, 1, REL)], &[r(X, ACQ), w(Y, 1, REL)], &reader(Y, X, ACQ)], wrc);
    s.no("WRC+rlx+rel+acq", &[&[w(X, 1, RLX)], &[r(X, RLX), w(Y, 1, REL)], &reader(Y, X, ACQ)], wrc);
    s.no("WRC+fences", &[&[w(X, 1, RLX)], &[r(X, RLX), f(AR), w(Y, 1, RLX)], &fenced(Y, X, ACQ)], wrc);

    let rwc: &[&[u64]] = &[&[], &[1, 0], &[0]];
    s.yes("RWC", &[&[w(X, 1, RLX)], &reader(X, Y, RLX), &[w(Y, 1, RLX), r(X, RLX)]], rwc);
    s.yes("RWC+rel+acq", &[&[w(X, 1, REL)], &reader(X, Y, ACQ), &[w(Y, 1, REL), r(X, ACQ)]], rwc);
    // "RWC+syncs" of PLDI 2017, section 2: C++11 allowed it.
    s.no("RWC+mfences", &[&[w(X, 1, RLX)], &fenced(X, Y, SC), &[w(Y, 1, RLX), f(SC), r(X, RLX)]], rwc);
    s.no("RWC+sc", &[&[w(X, 1, SC)], &reader(X, Y, SC), &[w(Y, 1, SC), r(X, SC)]], rwc);

    let w_rwc: &[&[u64]] = &[&[], &[1, 0], &[0]];
    let store_load = [w(Z, 1, RLX), f(SC), r(X, RLX)];
    s.no("W+RWC", &[&[w(X, 1, RLX), w(Y, 1, REL)], &[r(Y, ACQ), f(SC), r(Z, RLX)], &store_load], w_rwc);
    s.yes("W+RWC+rlx", &[&[w(X, 1, RLX), w(Y, 1, RLX)], &[r(Y, ACQ), f(SC), r(Z, RLX)], &store_load], w_rwc);

    let wwc: &[&[u64]] = &[&[], &[2], &[1], &[2, 1]];
    s.yes("WWC", &[&[w(X, 2, RLX)], &[r(X, RLX), w(Y, 1, RLX)], &[r(Y, RLX), w(X, 1, RLX)]], wwc);
    s.no("WWC+rel+acq", &[&[w(X, 2, REL)], &[r(X, ACQ), w(Y, 1, REL)], &[r(Y, ACQ), w(X, 1, REL)]], wwc);
    s.no("WWC+mfences", &[&[w(X, 2, RLX)], &[r(X, RLX), f(SC), w(Y, 1, RLX)], &[r(Y, RLX), f(SC), w(X, 1, RLX)]], wwc);

    let isa2: &[&[u64]] = &[&[], &[1], &[1, 0]];
    let hop = |read, write| [r(Y, read), w(Z, 1, write)];
    s.yes("ISA2", &[&[w(X, 1, RLX), w(Y, 1, RLX)], &hop(RLX, RLX), &reader(Z, X, RLX)], isa2);
    s.no("ISA2+rel+acq", &[&[w(X, 1, RLX), w(Y, 1, REL)], &hop(ACQ, REL), &reader(Z, X, ACQ)], isa2);
    s.yes("ISA2+rel+rlx+acq", &[&[w(X, 1, RLX), w(Y, 1, REL)], &hop(RLX, REL), &reader(Z, X, ACQ)], isa2);

    let sb3: &[&[u64]] = &[&[0], &[0], &[0]];
    let apart = |a, b, order| [w(a, 1, RLX), f(order), r(b, RLX)];
    s.yes("3.SB", &[&apart(X, Y, AR), &apart(Y, Z, AR), &apart(Z, X, AR)], sb3);
    s.no("3.SB+mfences", &[&apart(X, Y, SC), &apart(Y, Z, SC), &apart(Z, X, SC)], sb3);
    let two = |a, b, order| [w(a, 2, RLX), f(order), w(b, 1, RLX)];
    let all_first: &[&[u64]] = &[&[], &[], &[], &[2, 2, 2]];
    s.yes("3.2W", &[&two(X, Y, AR), &two(Y, Z, AR), &two(Z, X, AR)], all_first);
    s.no("3.2W+mfences", &[&two(X, Y, SC), &two(Y, Z, SC), &two(Z, X, SC)], all_first);

    let z60: &[&[u64]] = &[&[], &[], &[1, 0], &[1, 2, 1]];
    s.yes(
        "Z6.0+rel+acq",
        &[&[w(X, 1, REL), w(Y, 1, REL)], &[w(Y, 2, REL), w(Z, 1, REL)], &[r(Z, ACQ), r(X, ACQ)]],
        z60,
    );
    let (first, second) = ([w(X, 1, RLX), f(SC), w(Y, 1, RLX)], [w(Y, 2, RLX), f(SC), w(Z, 1, RLX)]);
    s.no("Z6.0+mfences", &[&first, &second, &fenced(Z, X, SC)], z60);
    let z61: &[&[u64]] = &[&[], &[], &[1], &[2, 2, 1]];
    s.yes(
        "Z6.1+rel+acq",
        &[&[w(X, 2, REL), w(Y, 1, REL)], &[w(Y, 2, REL), w(Z, 1, REL)], &[r(Z, ACQ), w(X, 1, REL)]],
        z61,
    );
    let first = [w(X, 2, RLX), f(SC), w(Y, 1, RLX)];
    s.no("Z6.1+mfences", &[&first, &second, &[r(Z, RLX), f(SC), w(X, 1, RLX)]], z61);
}

/// One location.
fn coherence(s: &mut Shapes) {
    s.no("CoRR", &[&[w(X, 1, RLX)], &[r(X, RLX), r(X, RLX)]], &[&[], &[1, 0]]);
    let disagree: &[&[u64]] = &[&[], &[], &[1, 2], &[2, 1]];
    let reader = [r(X, RLX), r(X, RLX)];
    s.no("CoRR2", &[&[w(X, 1, RLX)], &[w(X, 2, RLX)], &reader, &reader], disagree);
    s.no("CoMP", &[&[w(X, 1, RLX), w(X, 2, RLX)], &reader], &[&[], &[2, 1]]);
    s.no("CoWW", &[&[w(X, 1, RLX), w(X, 2, RLX)]], &[&[], &[1]]);
    s.no("CoRW1", &[&[r(X, RLX), w(X, 1, RLX)]], &[&[1]]);
    s.no("CoRW2", &[&[r(X, RLX), w(X, 1, RLX)], &[w(X, 2, RLX)]], &[&[2], &[], &[2]]);
    s.no("CoWR", &[&[w(X, 1, RLX), r(X, RLX)], &[w(X, 2, RLX)]], &[&[2], &[], &[1]]);
    s.yes("CoWR overwritten", &[&[w(X, 1, RLX), r(X, RLX)], &[w(X, 2, RLX)]], &[&[2], &[], &[2]]);
    // A read that happens before bounds what comes after it: CoRR over another thread.
    s.no(
        "CoRR+rel+acq",
        &[&[w(X, 1, RLX)], &[r(X, RLX), w(Y, 1, REL)], &[r(Y, ACQ), r(X, RLX)]],
        &[&[], &[1], &[1, 0]],
    );
    s.no(
        "CoRW+rel+acq",
        &[&[w(X, 2, RLX)], &[r(X, RLX), w(Y, 1, REL)], &[r(Y, ACQ), w(X, 1, RLX)]],
        &[&[], &[2], &[1], &[2, 1]],
    );
}

/// Read-modify-writes and release sequences.
fn updates(s: &mut Shapes) {
    s.no("RMW twice", &[&[add(X, 1, RLX)], &[add(X, 1, RLX)]], &[&[0], &[0]]);
    s.no("RMW and a store between", &[&[add(X, 1, RLX)], &[w(X, 5, RLX)]], &[&[0], &[], &[1]]);
    s.no("CAS twice", &[&[cas(X, 0, 1, RLX, RLX)], &[cas(X, 0, 2, RLX, RLX)]], &[&[0, 1], &[0, 1]]);
    s.no("strong CAS fails only on another value", &[&[cas(X, 0, 1, RLX, RLX)]], &[&[0, 0]]);
    s.yes("weak CAS fails on any value", &[&[weak_cas(X, 0, 1, RLX, RLX)]], &[&[0, 0]]);
    s.yes(
        "a failed CAS is a load",
        &[&[w(X, 1, RLX), cas(Y, 5, 6, AR, ACQ)], &[w(Y, 1, RLX), cas(X, 5, 6, AR, ACQ)]],
        &[&[0, 0], &[0, 0]],
    );
    s.no(
        "a failed SC CAS is an SC load",
        &[&[w(X, 1, SC), cas(Y, 5, 6, SC, SC)], &[w(Y, 1, SC), cas(X, 5, 6, SC, SC)]],
        &[&[0, 0], &[0, 0]],
    );
    s.yes(
        "an SC CAS that fails with acquire is no SC load",
        &[&[w(X, 1, SC), cas(Y, 5, 6, SC, ACQ)], &[w(Y, 1, SC), cas(X, 5, 6, SC, ACQ)]],
        &[&[0, 0], &[0, 0]],
    );
    let publish = [w(X, 1, RLX), w(Y, 1, REL)];
    s.yes("MP+rel+failed CAS, relaxed", &[&publish, &[cas(Y, 5, 6, SC, RLX), r(X, RLX)]], &[&[], &[1, 0, 0]]);
    s.no("MP+rel+failed CAS, acquire", &[&publish, &[cas(Y, 5, 6, RLX, ACQ), r(X, RLX)]], &[&[], &[1, 0, 0]]);
    s.no("MP+rel+CAS, acquire", &[&publish, &[cas(Y, 1, 6, ACQ, RLX), r(X, RLX)]], &[&[], &[1, 1, 0]]);
    s.yes("MP+rel+weak CAS fails, relaxed", &[&publish, &[weak_cas(Y, 1, 6, ACQ, RLX), r(X, RLX)]], &[&[], &[1, 0, 0]]);

    let late = [r(Y, ACQ), r(X, RLX)];
    s.no("RS+update", &[&publish, &[add(Y, 1, RLX)], &late], &[&[], &[1], &[2, 0]]);
    s.no("RS+swap", &[&publish, &[swap(Y, 5, RLX)], &late], &[&[], &[1], &[5, 0]]);
    s.no("RS+CAS", &[&publish, &[cas(Y, 1, 2, RLX, RLX)], &late], &[&[], &[1, 1], &[2, 0]]);
    s.no("RS+two updates", &[&publish, &[add(Y, 1, RLX)], &[add(Y, 1, RLX)], &late], &[&[], &[1], &[2], &[3, 0]]);
    // C++20 (P0982): a plain store of the same thread continues nothing. C++11 forbade this.
    s.yes("RS+own store", &[&[w(X, 1, RLX), w(Y, 1, REL), w(Y, 2, RLX)], &late], &[&[], &[2, 0]]);
    s.yes("RS+another's store", &[&publish, &[r(Y, RLX), w(Y, 2, RLX)], &late], &[&[], &[1], &[2, 0]]);
    s.no("RS+fence", &[&[w(X, 1, RLX), f(REL), w(Y, 1, RLX)], &[add(Y, 1, RLX)], &late], &[&[], &[1], &[2, 0]]);
    s.yes("RS+relaxed head", &[&[w(X, 1, RLX), w(Y, 1, RLX)], &[add(Y, 1, RLX)], &late], &[&[], &[1], &[2, 0]]);
    s.no("RS+acq fence", &[&publish, &[add(Y, 1, RLX)], &[r(Y, RLX), f(ACQ), r(X, RLX)]], &[&[], &[1], &[2, 0]]);
}

/// Sequentially consistent operations among others.
fn mixtures(s: &mut Shapes) {
    // PLDI 2017, section 1: C++11 forbade it. The first thread's accesses are in S the other way round.
    s.yes(
        "Z6.U",
        &[&[w(X, 1, SC), w(Y, 1, REL)], &[add(Y, 1, SC), r(Y, RLX)], &[w(Y, 3, SC), r(X, SC)]],
        &[&[], &[1, 3], &[0]],
    );
    s.no(
        "Z6.U+sc",
        &[&[w(X, 1, SC), w(Y, 1, SC)], &[add(Y, 1, SC), r(Y, SC)], &[w(Y, 3, SC), r(X, SC)]],
        &[&[], &[1, 3], &[0]],
    );
    let mp: &[&[u64]] = &[&[], &[1, 0]];
    s.no("MP+sc+acq", &[&[w(X, 1, RLX), w(Y, 1, SC)], &[r(Y, ACQ), r(X, RLX)]], mp);
    s.no("MP+rel+sc", &[&[w(X, 1, RLX), w(Y, 1, REL)], &[r(Y, SC), r(X, RLX)]], mp);
    s.yes("MP+sc+rlx", &[&[w(X, 1, SC), w(Y, 1, SC)], &[r(Y, RLX), r(X, SC)]], mp);
    // A chain of relaxed reads between two SC fences orders nothing, so that the fence that comes first may read an old value.
    s.yes(
        "mfences over a relaxed chain",
        &[&[w(X, 1, RLX), f(SC), w(Y, 1, RLX)], &[r(Y, RLX), w(Z, 1, RLX)], &[r(Z, RLX), f(SC), r(X, RLX)]],
        &[&[], &[1], &[1, 0]],
    );
    s.no(
        "mfences over a synchronised chain",
        &[&[w(X, 1, RLX), f(SC), w(Y, 1, RLX)], &[r(Y, ACQ), w(Z, 1, REL)], &[r(Z, RLX), f(SC), r(X, RLX)]],
        &[&[], &[1], &[1, 0]],
    );
    s.no(
        "fence, acquire, SC load",
        &[&[w(Z, 1, RLX), f(SC), w(X, 1, RLX)], &[r(X, ACQ), r(Y, SC)], &[w(Y, 1, SC), r(Z, SC)]],
        &[&[], &[1, 0], &[0]],
    );
    // The store does not happen before the fence *strongly*; but what reads an older value still comes before both.
    s.no(
        "SC store, release, SC fence",
        &[&[w(X, 1, SC), w(Y, 1, REL)], &[r(Y, RLX), f(SC), r(Z, RLX)], &[w(Z, 1, SC), r(X, SC)]],
        &[&[], &[1, 0], &[0]],
    );
    // The two standards differ: the SC store is followed by a release store to the same location. C++20 orders it strongly before
    // the SC load of the second thread, RC11 only if the release store were to another location.
    s.no(
        "SC store, release of the same location",
        &[&[w(X, 1, SC), w(X, 2, REL)], &[r(X, ACQ), r(Y, SC)], &[w(Y, 1, SC), r(X, SC)]],
        &[&[], &[2, 0], &[0]],
    );
    s.dispute();
    s.no(
        "IRIW+mfence+sc",
        &[&[w(X, 1, SC)], &[w(Y, 1, SC)], &[r(X, RLX), f(SC), r(Y, RLX)], &[r(Y, SC), r(X, SC)]],
        &[&[], &[], &[1, 0], &[1, 0]],
    );
    s.yes(
        "3.SB+mfence+sc+po",
        &[&[w(X, 1, RLX), f(SC), r(Y, RLX)], &[w(Y, 1, SC), r(Z, SC)], &[w(Z, 1, REL), r(X, ACQ)]],
        &[&[0], &[0], &[0]],
    );
    s.no(
        "Dekker with updates",
        &[&[swap(X, 1, SC), add(Y, 0, SC)], &[swap(Y, 1, SC), add(X, 0, SC)]],
        &[&[0, 0], &[0, 0]],
    );
}

/// Plain accesses.
fn races(s: &mut Shapes) {
    let mut of = |name, threads: &[&[Op]], verdict| s.put(name, threads, &[], verdict);
    let (race, none) = (Verdict::Race, Verdict::NoRace);
    of("two writes", &[&[write(1)], &[write(2)]], race);
    of("a read and a write", &[&[READ], &[write(2)]], race);
    of("two reads", &[&[READ], &[READ]], none);
    let taken = |order| [r(Y, order), until(1), READ];
    of("MP+na+rel+acq", &[&[write(1), w(Y, 1, REL)], &taken(ACQ)], none);
    of("MP+na+rlx+acq", &[&[write(1), w(Y, 1, RLX)], &taken(ACQ)], race);
    of("MP+na+rel+rlx", &[&[write(1), w(Y, 1, REL)], &taken(RLX)], race);
    of("MP+na+fences", &[&[write(1), f(REL), w(Y, 1, RLX)], &[r(Y, RLX), until(1), f(ACQ), READ]], none);
    of("MP+na+RS", &[&[write(1), w(Y, 1, REL)], &[add(Y, 1, RLX)], &[r(Y, ACQ), until(2), READ]], none);
    of("MP+na+unguarded", &[&[write(1), w(Y, 1, REL)], &[r(Y, ACQ), READ]], race);
    of("MP+na+written after", &[&[w(Y, 1, REL), write(1)], &taken(ACQ)], race);
    // The last one frees: a reference count.
    let drop_one = |order| [READ, add(X, 1, order), until(1), f(ACQ), write(9)];
    of("refcount", &[&drop_one(REL), &drop_one(REL)], none);
    of("refcount+rlx", &[&drop_one(RLX), &drop_one(RLX)], race);
    let no_fence = [READ, add(X, 1, REL), until(1), write(9)];
    of("refcount without the fence", &[&no_fence, &no_fence], race);
    // Mutual exclusion by coherence alone needs no happens-before; that the fences are in S is none.
    let enter = |mine, other, value| [w(mine, 1, RLX), f(SC), r(other, RLX), until(0), write(value)];
    of("Dekker+mfences", &[&enter(X, Y, 1), &enter(Y, X, 2)], none);
    let badly = |mine, other, value| [w(mine, 1, RLX), f(AR), r(other, RLX), until(0), write(value)];
    of("Dekker+acqrel fences", &[&badly(X, Y, 1), &badly(Y, X, 2)], race);
    // Where x is written second, its fence comes second in S: and yet nothing happens before anything.
    of(
        "an order in S is no synchronisation",
        &[&[write(1), f(SC), swap(X, 1, RLX)], &[f(SC), w(Y, 1, RLX), READ]],
        race,
    );
    // The same where the fences are ordered in S, by modification order and by an old value that was read.
    of(
        "fences in S by mo are no synchronisation",
        &[&[write(1), f(SC), w(Y, 1, RLX)], &[w(Y, 2, RLX), f(SC), READ]],
        race,
    );
    of(
        "fences in S by fr are no synchronisation",
        &[&[write(1), f(SC), r(Y, RLX)], &[w(Y, 1, RLX), f(SC), READ]],
        race,
    );
    of(
        "a spin lock",
        &[
            &[cas(X, 0, 1, ACQ, RLX), until(1), write(1), w(X, 0, REL)],
            &[cas(X, 0, 1, ACQ, RLX), until(1), write(2), w(X, 0, REL)],
        ],
        none,
    );
    of(
        "a spin lock, opened relaxed",
        &[
            &[cas(X, 0, 1, ACQ, RLX), until(1), write(1), w(X, 0, RLX)],
            &[cas(X, 0, 1, ACQ, RLX), until(1), write(2), w(X, 0, RLX)],
        ],
        race,
    );
}

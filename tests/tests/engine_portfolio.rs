//! The portfolio is a function of the index, and what it is said to be.

use millpond::engine::{DELAY_SCHEDULES, Facts, Member, MemoryModel, Options, Plan, Sim, Strategy, execute, plan};
use millpond_model::Platform;
use millpond_model::platform::{AtomicOps, JoinOps};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

type Atomic = <Sim as Platform>::Atomic<u64>;

/// Facts of a program with `choices` choices, as far as the plan looks at it.
fn with(choices: u64) -> Facts {
    let pilot = execute(&Facts::pilot(&Options::default()), || {});
    Facts { choices, ..Facts::of(&pilot) }
}

fn plans(facts: &Facts, range: std::ops::Range<u64>) -> Vec<Plan> {
    range.map(|index| plan(index, facts, [MemoryModel::Races, MemoryModel::Weak])).collect()
}

fn lists(plans: &[Plan]) -> Vec<Vec<u64>> {
    let list = |plan: &Plan| match &plan.strategy {
        Strategy::Delays(list) => Some(list.to_vec()),
        _ => None,
    };
    plans.iter().map_while(list).collect()
}

#[test]
fn all_schedules_with_two_delays_come_first() {
    // 1 with none, 30 with one, and two of 30 in order, maybe the same twice: 30 * 31 / 2.
    let all = lists(&plans(&with(30), 0..2000));
    assert_eq!(all.len(), 1 + 30 + 465);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(all.iter().all(|list| list.len() <= 2 && list.is_sorted() && list.iter().all(|at| (1..=30).contains(at))));
    assert!(all.is_sorted_by_key(Vec::len));
}

#[test]
fn where_there_are_too_many_they_are_spread() {
    for choices in [50, 500, 5_000, 5_000_000, u64::MAX] {
        let all = lists(&plans(&with(choices), 0..2000));
        assert_eq!(all.len() as u64, DELAY_SCHEDULES, "{choices}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{choices}");
        let ones = all.iter().filter(|list| list.len() == 1).count();
        assert_eq!(ones as u64, choices.min(DELAY_SCHEDULES / 2), "{choices}");
        let last = all.iter().flatten().max().copied().unwrap_or(0);
        let most = choices.min(1 << 31); // nobody executes so many
        assert!(last <= most && last > most / 10 * 9, "{choices}: {last}");
    }
}

#[test]
fn each_member_has_its_turns_with_either_memory() {
    let facts = with(1);
    let prefix = lists(&plans(&facts, 0..100)).len() as u64;
    assert_eq!(prefix, 3);
    let rotation = plans(&facts, prefix..prefix + 160);
    let mut turns = BTreeMap::<_, [u32; 2]>::new();
    for plan in &rotation {
        turns.entry((plan.member, plan.strategy.to_string())).or_default()
            [usize::from(plan.memory == MemoryModel::Weak)] += 1;
    }
    let of = |member: Member, name: &str| turns[&(member, name.to_string())];
    assert_eq!(of(Member::Surw, "Surw"), [10, 10]);
    assert_eq!(of(Member::Pos, "Pos"), [15, 15]);
    assert_eq!(of(Member::Random, "Random"), [20, 20]);
    for depth in 2..=6 {
        assert_eq!(of(Member::Pct, &format!("pct:{depth}")), [7, 7], "depth {depth}");
    }
    assert_eq!(turns.len(), 8);
    // Nothing has to be waited for.
    assert_eq!(rotation[..4].iter().map(|p| p.member).collect::<BTreeSet<_>>().len(), 4);
    assert!(rotation.iter().all(|p| [MemoryModel::Races, MemoryModel::Weak].contains(&p.memory)));
}

/// Two threads with different numbers of objects of their own before the one that they share.
fn program() {
    let shared = Arc::new(Atomic::new(0));
    let spawn = |own: usize| {
        let shared = Arc::clone(&shared);
        Sim::spawn(format!("{own}"), move || {
            let words: Vec<Atomic> = (0..own).map(|_| Atomic::new(0)).collect();
            words.iter().for_each(|word| word.store(1, SeqCst));
            shared.fetch_add(1, SeqCst);
        })
        .expect("room")
    };
    for thread in [spawn(3), spawn(5)] {
        thread.join().expect("no panic");
    }
}

#[test]
fn a_profile_is_the_same_whatever_the_schedule() {
    let profile = |index| {
        let options = Options { index, ..Facts::pilot(&Options::default()) };
        Facts::of(&execute(&options, program)).profile
    };
    let first = profile(0);
    assert_eq!((first.threads(), first.shared()), (3, 1));
    // The shared word, and what each thread has: to begin, and its operations. Joins are events of main's, as many as the schedule makes.
    assert_eq!((first.events(1), first.events(2)), (5, 7));
    for index in 1..200 {
        let other = profile(index);
        assert_eq!((other.shared(), other.events(1), other.events(2)), (1, 5, 7), "{index}");
    }
}

#[test]
fn an_execution_is_a_function_of_its_index() {
    let facts = Facts::of(&execute(&Facts::pilot(&Options::default()), program));
    let digest = |index| {
        let options =
            plan(index, &facts, [MemoryModel::Interleaving; 2]).apply(&facts, &Options { index, ..Options::default() });
        execute(&options, program).digest
    };
    let up: Vec<u64> = (0..300).map(digest).collect();
    let down: Vec<u64> = (0..300).rev().map(digest).collect();
    assert!(up.iter().eq(down.iter().rev()));
    assert!(up.iter().collect::<BTreeSet<_>>().len() > 100, "and they differ");
}

//! Which accesses a tracked object remembers, and how they are told: every policy, worked out by hand from its rule, and the
//! back-off's draws against their probabilities.

use millpond::engine::{Options, Sim};
use millpond_model::Platform;
use millpond_model::leak::{Access, Change, Record, RecordPolicy, Records};
use millpond_tests::sim::{in_turn, soundly};
use std::panic::Location;
use std::sync::{Arc, Mutex};

const ADDED: Change = Change { recorded: true, merged: false, dropped: false };
const DROPPED: Change = Change { recorded: true, merged: false, dropped: true };
const MERGED: Change = Change { recorded: true, merged: true, dropped: false };

/// An access that is told from others by its hint alone: all have this one place.
fn access(n: u64) -> Record {
    Record::new(Access::Used, Some(n.to_string().into()), Location::caller())
}

fn created() -> Record {
    Record::new(Access::Created, None, Location::caller())
}

/// The accesses remembered, oldest first.
fn kept(records: &Records) -> Vec<u64> {
    records.accesses().map(|record| record.hint().expect("a number").parse().expect("a number")).collect()
}

fn no_draw() -> u64 {
    panic!("nothing is left to chance here")
}

/// What is told, without the lines that say where.
fn told(records: &Records) -> Vec<String> {
    let text = records.text();
    assert_eq!(text.lines().next(), Some(""), "it follows a sentence");
    text.lines().skip(1).filter(|line| !line.contains(".rs:")).map(|line| line.trim().to_string()).collect()
}

#[test]
fn four_most_recent_and_one_more_to_4_1_13() {
    let mut records = Records::new(RecordPolicy::NETTY_4_1_2, Some(created()));
    for n in 1..=5 {
        assert_eq!(records.record(access(n), no_draw), ADDED);
    }
    assert_eq!(kept(&records), [1, 2, 3, 4, 5], "trimmed by the length before: one too many");
    assert_eq!(records.record(access(6), no_draw), DROPPED);
    assert_eq!(kept(&records), [2, 3, 4, 5, 6]);
    assert_eq!(records.record(access(6), no_draw), Change { recorded: true, merged: true, dropped: true });
    assert_eq!(kept(&records), [3, 4, 5, 6], "a merged one costs an old one");
    assert_eq!(records.record(access(6), no_draw), MERGED);
    assert_eq!(kept(&records), [3, 4, 5, 6]);
    assert_eq!(records.dropped(), 2);
}

#[test]
fn four_most_recent_4_1_14() {
    let mut records = Records::new(RecordPolicy::NETTY_4_1_14, Some(created()));
    for n in [1, 1, 2, 3, 3, 3, 2] {
        records.record(access(n), no_draw);
    }
    assert_eq!(kept(&records), [1, 2, 3, 2], "only neighbours are merged");
    assert_eq!(records.dropped(), 0);
    assert_eq!(records.record(access(2), no_draw), MERGED);
    assert_eq!(records.record(access(5), no_draw), DROPPED);
    assert_eq!(records.record(access(6), no_draw), DROPPED);
    assert_eq!(kept(&records), [3, 2, 5, 6]);
    assert_eq!(
        told(&records),
        [
            "WARNING: 2 records were discarded because the record count is limited to 4",
            "Recent access records: 4",
            "#4:",
            "Hint: 6",
            "#3:",
            "Hint: 5",
            "#2:",
            "Hint: 2",
            "#1:",
            "Hint: 3",
            "Created at:",
        ]
    );
}

#[test]
fn forty_samples_and_the_oldest_four_shown_4_1_16() {
    let mut records = Records::new(RecordPolicy::NETTY_4_1_16, Some(created()));
    for n in 1..=40 {
        assert_eq!(records.record(access(n), no_draw), ADDED);
    }
    assert_eq!(records.record(access(41), no_draw), DROPPED);
    assert_eq!(records.record(access(41), no_draw), DROPPED, "equal ones are merged in the report only");
    assert_eq!(kept(&records)[..2], [3, 4]);
    assert_eq!(kept(&records).len(), 40);
    // 3 to 41 are 39 different ones: 35 are not shown, of which the newest is one (Netty's defect).
    assert_eq!(
        told(&records),
        [
            "WARNING: 35 records were discarded because the record count is limited to 4",
            "2 records were not sampled: at most 40 are",
            "Recent access records: 4",
            "#4:",
            "Hint: 6",
            "#3:",
            "Hint: 5",
            "#2:",
            "Hint: 4",
            "#1:",
            "Hint: 3",
            "Created at:",
        ]
    );
}

/// A draw whose highest `bits` bits are `top`, and whose other bits are all ones.
fn top(bits: u32, top: u64) -> impl FnOnce() -> u64 {
    move || top << (64 - bits) | u64::MAX >> bits
}

#[test]
fn backing_off_replaces_the_newest() {
    let mut records = Records::new(RecordPolicy::NETTY_4_1_17, Some(created()));
    // n is 1 to 3 with the creation: below the target. At 4 the probability is 1 / 2^0.
    for n in 1..=4 {
        assert_eq!(records.record(access(n), no_draw), ADDED);
    }
    // n = 5: one in two.
    assert_eq!(records.record(access(5), top(1, 1)), DROPPED);
    assert_eq!(kept(&records), [1, 2, 3, 5]);
    assert_eq!(records.record(access(6), top(1, 0)), ADDED);
    assert_eq!(kept(&records), [1, 2, 3, 5, 6]);
    // n = 6: one in four.
    for other in 1..4 {
        assert_eq!(records.record(access(6 + other), top(2, other)), DROPPED);
    }
    assert_eq!(kept(&records), [1, 2, 3, 5, 9]);
    assert_eq!(records.record(access(10), top(2, 0)), ADDED);
    // n = 7: one in eight.
    assert_eq!(records.record(access(11), top(3, 1)), DROPPED);
    assert_eq!(records.record(access(12), top(3, 0)), ADDED);
    assert_eq!(kept(&records), [1, 2, 3, 5, 9, 11, 12]);
    assert_eq!(records.dropped(), 5);
}

#[test]
fn backing_off_ends_at_one_in_2_to_the_30() {
    let mut records = Records::new(RecordPolicy::BackOff { target: 1 }, Some(created()));
    for n in 0..40 {
        // n + 1 records: 1 / 2^min(n, 30).
        let bits = u32::try_from(n.min(30)).expect("small");
        if bits > 0 {
            assert_eq!(records.record(access(n), top(bits, 1)), DROPPED, "{n}");
        }
        assert_eq!(records.record(access(n), move || u64::MAX.checked_shr(bits).expect("at most 30")), ADDED, "{n}");
    }
    assert_eq!(kept(&records).len(), 40);
}

#[test]
fn the_creation_is_never_given_up() {
    for policy in [
        RecordPolicy::BackOff { target: 1 },
        RecordPolicy::Recent { max: 1, late_trim: false },
        RecordPolicy::Sampled { max: 1 },
    ] {
        let mut records = Records::new(policy, Some(created()));
        for n in 0..50 {
            records.record(access(n), || u64::MAX);
            assert_eq!(kept(&records).last(), Some(&n), "{policy:?}: the newest is there");
            assert_eq!(records.created(), Some(&created()), "{policy:?}");
        }
        assert!(told(&records).contains(&"Created at:".to_string()), "{policy:?}");
    }
}

#[test]
fn nothing_is_kept_where_nothing_is_wanted() {
    for policy in [
        RecordPolicy::Recent { max: 0, late_trim: true },
        RecordPolicy::Recent { max: 0, late_trim: false },
        RecordPolicy::Sampled { max: 0 },
        RecordPolicy::BackOff { target: 0 },
    ] {
        let mut records = Records::new(policy, None);
        assert_eq!(records.record(access(1), no_draw), Change::default(), "{policy:?}");
        assert!(kept(&records).is_empty(), "{policy:?}");
        assert_eq!(records.text(), "", "{policy:?}");
    }
}

#[test]
fn newest_first_with_duplicates_counted() {
    let mut records = Records::new(RecordPolicy::BackOff { target: 8 }, Some(created()));
    for n in [1, 2, 1, 3, 2] {
        records.record(access(n), no_draw);
    }
    let places: Vec<String> = records.text().lines().filter(|line| line.contains(".rs:")).map(str::to_string).collect();
    assert_eq!(places.len(), 4);
    assert!(places[0].starts_with("\tused at ") && places[0].contains("leak_records.rs:"), "{places:?}");
    assert!(places[3].starts_with("\tcreated at "));
    assert_eq!(
        told(&records),
        [
            "Recent access records:",
            "#1:",
            "Hint: 2",
            "#2:",
            "Hint: 3",
            "#3:",
            "Hint: 1",
            "Created at:",
            ": 2 records were discarded because they were duplicates",
        ]
    );
}

#[test]
fn an_access_is_told_from_another_by_what_where_and_hint() {
    let here = Location::caller();
    let there = created().site();
    let record = Record::new(Access::Used, None, here);
    assert_eq!(record, Record::new(Access::Used, None, here));
    assert_ne!(record, Record::new(Access::Touched, None, here));
    assert_ne!(record, Record::new(Access::Used, Some("a".into()), here));
    assert_ne!(record, Record::new(Access::Used, None, there));
    assert_ne!(record.clone().with_stack(), record);
    let twice = record.clone().with_stack();
    assert_eq!(twice, twice.clone());
    assert!(twice.to_string().lines().count() > 1, "it has a stack: {twice}");
}

/// How many of `accesses` are kept, and how often the newest replaced the one before, summed over `trials` objects.
fn backed_off(seed: u64, trials: u32, accesses: u64) -> (u64, u64) {
    let sums = Arc::new(Mutex::new((0, 0)));
    let theirs = Arc::clone(&sums);
    let options = Options { seed, ..in_turn() };
    soundly(&options, move || {
        for _ in 0..trials {
            let mut records = Records::new(RecordPolicy::NETTY_4_1_17, Some(created()));
            for n in 0..accesses {
                records.record(access(n), Sim::random);
            }
            assert_eq!(kept(&records).last(), Some(&(accesses - 1)), "the newest is there");
            assert_eq!(kept(&records)[..3], [0, 1, 2], "those below the target are never given up");
            let mut sums = theirs.lock().expect("no panic");
            sums.0 += kept(&records).len() as u64;
            sums.1 += records.dropped();
        }
    });
    let sums = sums.lock().expect("no panic");
    *sums
}

/// The mean number of records after `accesses`, by the rule alone: the distribution of n, step by step.
fn expected(accesses: u64) -> f64 {
    let mut chances = vec![1.0]; // chances[k]: that k accesses are kept
    for _ in 0..accesses {
        let mut next = vec![0.0; chances.len() + 1];
        for (kept, chance) in chances.iter().enumerate() {
            let grows = 0.5_f64.powi(i32::try_from((kept + 1).saturating_sub(4).min(30)).expect("small"));
            next[kept + 1] += chance * grows;
            next[kept] += chance * (1.0 - grows);
        }
        chances = next;
    }
    chances.iter().enumerate().map(|(kept, chance)| kept as f64 * chance).sum()
}

#[test]
fn the_draws_of_the_back_off_have_their_probabilities() {
    assert_eq!(expected(4), 4.0, "1 to 4 are certain");
    assert_eq!(expected(5), 4.5, "the fifth finds n = 5: one in two");
    for (accesses, trials) in [(5, 4000), (6, 4000), (20, 2000), (500, 400)] {
        let (kept, dropped) = backed_off(accesses, trials, accesses);
        assert_eq!(kept + dropped, accesses * u64::from(trials), "each is kept, or cost one");
        let (mean, expected) = (kept as f64 / f64::from(trials), expected(accesses));
        // The spread of one is below 1.5; ten standard errors of the mean are wide.
        let margin = 10.0 * 1.5 / f64::from(trials).sqrt();
        assert!((mean - expected).abs() < margin, "{accesses} accesses: {mean} kept on average, expected {expected}");
    }
}

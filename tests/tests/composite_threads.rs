//! Composites and several threads; and the planted defects.

mod composite_support;
mod write_path_support;

use composite_support::{composite, counts, of, pool, text};
use millpond::engine::{Options, Plant, Sim, Strategy, When, with_ledger};
use millpond::ledger::FindingKind;
use millpond_model::Platform;
use millpond_model::buffer::{BufferError, Composite, Owned};
use millpond_model::observe::Defect;
use millpond_model::platform::JoinOps;
use millpond_model::refcnt::IllegalCount;
use millpond_tests::sim::{in_turn, scheduled, to_the_end};

on_both!(
    owners_release_in_any_order,
    the_last_reader_ends_it,
    components_change_while_others_read,
    writers_exclude_each_other,
    the_same_component_in_two_composites,
    racing_for_a_cycle;
    misusing:
    a_component_is_released_while_others_read,
);

/// Runs both to their ends.
fn together<P: Platform>(first: impl FnOnce() + Send + 'static, second: impl FnOnce() + Send + 'static) {
    let threads = [
        P::spawn("first".to_string(), first).expect("threads are to be had"),
        P::spawn("second".to_string(), second).expect("threads are to be had"),
    ];
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

/// Somebody was inside: the count is not that of the dead.
fn in_use<T>(result: Result<T, BufferError>) -> bool {
    match result {
        Ok(_) => false,
        Err(BufferError::Count(IllegalCount { count, .. })) => {
            assert!(count > 0);
            true
        }
        Err(other) => panic!("{other}"),
    }
}

fn owners_release_in_any_order<P: Platform>() {
    let pool = pool::<P>();
    let root = of(&pool, "pond");
    let part = root.retained_slice(0, 4).expect("it has these bytes");
    let (mut composite, witnesses) = composite(&pool, &["mill", "s"]);
    composite.add_component_at(true, 1, part).expect("it can be read");
    let first = composite.retained_slice(0, 6).expect("it has these bytes");
    let second = composite.retained_slice(3, 6).expect("it has these bytes");
    assert_eq!(composite.release(), Ok(false));
    together::<P>(
        move || {
            assert_eq!(text(&first), "millpo");
            drop(Owned::from(first));
        },
        move || {
            assert_eq!(text(&second), "lponds");
            drop(Owned::from(second));
        },
    );
    assert_eq!((composite.count(), counts(&witnesses), root.count()), (0, vec![0, 0], 1));
    assert_eq!(root.release(), Ok(true));
}

fn the_last_reader_ends_it<P: Platform>() {
    let (composite, witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    let reader = composite.duplicate().expect("it is alive");
    let read = reader.chunks().expect("it can be read");
    let owner = composite.into_buffer();
    let owner = P::spawn("owner".to_string(), move || drop(Owned::from(owner))).expect("threads are to be had");
    assert_eq!(read.iter().flatten().copied().collect::<Vec<_>>(), b"millpond", "it may be dead, but is still there");
    drop(read);
    owner.join().expect("no panic");
    assert_eq!(counts(&witnesses), [0, 0]);
}

fn components_change_while_others_read<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, mut witnesses) = composite(&pool, &["mill", "pond"]);
    let reader = composite.retained_duplicate().expect("it is alive");
    let late = of(&pool, "s");
    witnesses.push(late.duplicate().expect("it is alive"));
    together::<P>(
        move || {
            let _in_use = in_use(composite.add_component(false, late));
            let _in_use = in_use(composite.consolidate_components(0, 2));
            let _in_use = in_use(composite.remove_component(0));
            drop(Owned::from(composite.into_buffer()));
        },
        move || {
            let read = reader.chunks().map(|c| c.iter().flatten().copied().collect::<Vec<u8>>());
            match read {
                Ok(bytes) => assert!([&b"millpond"[..], b"ponds", b"s"].contains(&&bytes[..]), "{bytes:?}"),
                Err(BufferError::Range { at: 0, length: 8, capacity: 0 | 1 | 4 | 5 }) => {}
                refused => assert!(in_use(refused)),
            }
            drop(Owned::from(reader));
        },
    );
    assert_eq!(counts(&witnesses), [0; 3]);
}

fn writers_exclude_each_other<P: Platform>() {
    let pool = pool::<P>();
    let mut composite = pool.composite();
    composite.add_components(false, [of(&pool, "mi"), of(&pool, "ll")]).expect("they can be read");
    let write = |text: &'static [u8]| {
        let mut handle = composite.duplicate().expect("it is alive");
        move || {
            let _in_use = in_use(handle.put(text));
        }
    };
    together::<P>(write(b"AAAA"), write(b"BBBB"));
    let now = text(&composite.slice(0, 4).expect("it has these bytes"));
    assert!(["AAAA", "BBBB"].contains(&&*now), "{now}: one after the other, or one refused");
    assert_eq!(composite.release(), Ok(true));
}

fn the_same_component_in_two_composites<P: Platform>() {
    let pool = pool::<P>();
    let buffer = of(&pool, "mill");
    let witness = buffer.duplicate().expect("it is alive");
    let bodies = [buffer.retain().expect("it is alive"), buffer].map(|component| {
        let mut composite = pool.composite();
        move || {
            composite.add_component(true, component).expect("reading is for all");
            assert_eq!(text(&composite), "mill");
            drop(Owned::from(composite.into_buffer()));
        }
    });
    let [first, second] = bodies;
    together::<P>(first, second);
    assert_eq!(witness.count(), 0);
}

fn racing_for_a_cycle<P: Platform>() {
    let pool = pool::<P>();
    let composites = [0, 1, 2].map(|_| pool.composite());
    let [a, b, c] = [0, 1, 2].map(|i: usize| composites[i].retain().expect("it is alive"));
    let witnesses = composites.iter().map(|c| c.duplicate().expect("it is alive")).collect::<Vec<_>>();
    let added = composites.into_iter().zip([b, c, a]).map(|(mut composite, other)| {
        let body = move || match composite.add_component(true, other) {
            Ok(()) | Err(BufferError::Cycle) => drop(Owned::from(composite.into_buffer())),
            refused => {
                assert!(in_use(refused));
                drop(Owned::from(composite.into_buffer()));
            }
        };
        P::spawn("adds".to_string(), body).expect("threads are to be had")
    });
    added.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(counts(&witnesses), [0; 3], "a cycle would keep itself");
}

fn a_component_is_released_while_others_read<P: Platform>() {
    let (composite, witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    let stranger = witnesses[1].duplicate().expect("it is alive");
    let reader = composite.retained_slice(0, 8).expect("it has these bytes");
    together::<P>(
        move || assert_eq!(stranger.release(), Ok(true), "which it doesn't own"),
        move || {
            match reader.chunks() {
                Ok(chunks) => assert_eq!(chunks.iter().flatten().copied().collect::<Vec<_>>(), b"millpond"),
                Err(refused) => assert_eq!(refused, IllegalCount { count: 0, change: 0 }.into()),
            }
            drop(Owned::from(reader));
        },
    );
    assert_eq!(composite.release(), Ok(true));
    assert_eq!(counts(&witnesses), [0, 0]);
}

/// A composite of a retained slice and of a buffer that a smaller capacity drops.
fn sound() {
    let pool = pool::<Sim>();
    let root = of(&pool, "millpond");
    let part = root.retained_slice(0, 4).expect("it has these bytes");
    let mut composite: Composite<Sim> = pool.composite();
    composite.add_components(true, [part, of(&pool, "s")]).expect("they can be read");
    composite.set_capacity(4).expect("a smaller one is always possible");
    drop(Owned::from(composite.into_buffer()));
    let _once_too_often = root.release();
}

#[test]
fn planted_defects_are_found() {
    let found = |plants: Vec<Plant>| {
        let execution = to_the_end(&Options { plants, ..in_turn() }, || {
            with_ledger(|ledger| ledger.only_count());
            sound();
        });
        let struck = execution.plants_struck.clone();
        (execution.ledger.findings().iter().map(|f| f.kind).collect::<Vec<_>>(), struck)
    };
    let planted = |defect| found(vec![Plant { defect, when: When::Always }]);
    use FindingKind::Leak;
    assert_eq!(found(Vec::new()), (vec![], vec![]));
    // The slice is never released. So the root keeps the count that the slice has, and loses that of its owner.
    assert_eq!(planted(Defect::CompositeReleasesRoot), (vec![Leak], vec![1]));
    assert_eq!(planted(Defect::CompositeForgetsDropped), (vec![Leak], vec![1]));
}

#[test]
fn many_schedules() {
    for options in scheduled(&[Strategy::Random, Strategy::Pct { depth: 3 }, Strategy::Pct { depth: 5 }], 300) {
        for body in
            [racing_for_a_cycle::<Sim>, owners_release_in_any_order::<Sim>, components_change_while_others_read::<Sim>]
        {
            let execution = millpond_tests::sim::soundly(&options, body);
            assert_eq!(execution.leaked_bytes, 0);
        }
    }
}

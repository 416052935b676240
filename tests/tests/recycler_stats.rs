//! The statistics: what they add up to, and how they are shown.

use millpond_model::observe::Kind;
use millpond_model::recycler::{Domain, Recycler, RecyclerConfig, StatsError};
use millpond_model::{Platform, Preset, Std};
use millpond_tests::crew::Crew;

/// A business thread gets `n` write tasks, a loop recycles them.
fn burst<P: Platform>(config: RecyclerConfig, n: usize) -> (Crew<P>, Recycler<u8, P>, Domain<P>) {
    let domain = Domain::new();
    let recycler = Recycler::new_in(&domain, Kind::WriteAndFlushTask, config, || 0);
    let crew = Crew::new(2);
    let inside = recycler.clone();
    let items = crew.run(0, move || (0..n).map(|_| inside.get()).collect::<Vec<_>>());
    crew.run(1, move || drop(items));
    (crew, recycler, domain)
}

/// The plateau of one business thread after a burst, in Java's bytes for a task of 32 bytes.
fn plateau<P: Platform>() {
    let bytes = |preset: Preset, n| {
        let (_crew, recycler, _domain) = burst::<P>(preset.into(), n);
        recycler.stats().total().java_bytes(32)
    };
    assert_eq!(bytes(Preset::Netty4_1_8, 100_000), 1_163_264);
    assert_eq!(bytes(Preset::Netty4_1_22, 100_000), 145_408);
    assert_eq!(bytes(Preset::Netty4_1_71, 100_000), 245_760);
}

/// The table, as it is printed.
fn table<P: Platform>() {
    let (crew, recycler, _domain) = burst::<P>(Preset::Netty4_1_8.into(), 20_000);
    let mut stats = recycler.stats();
    let owner = crew.thread(0).0;
    assert_eq!(stats.pools[0].owner, owner);
    stats.pools[0].owner = 7; // numbers of real threads differ from run to run
    let expected = "\
WriteAndFlushTask
  owner  created  reused  in use  retained  own  queued  dropped  queues  links  shared free  double
  7        20000       0       0     16384    0   16384     3616       1   1024            0       0
  total    20000       0       0     16384    0   16384     3616       1   1024            0       0
  dropped: ratio 0, pool full 0, no shared capacity 3616, delayed limit 0, owner dead 0, not poolable 0, lost 0
";
    assert_eq!(stats.to_string(), expected);
}

/// The drift of 4.1.3 to 4.1.37: 16 units a message of 16, and none later.
fn drift<P: Platform>() {
    for (preset, lost) in [(Preset::Netty4_1_8, 9984), (Preset::Netty4_1_38, 0)] {
        let (crew, recycler, _domain) = burst::<P>(preset.into(), 1);
        for _ in 1..10_000 {
            let inside = recycler.clone();
            let item = crew.run(0, move || inside.get());
            crew.run(1, move || drop(item));
        }
        let stats = recycler.stats();
        assert_eq!(stats.pools[0].drift(), lost, "{preset}");
        let shared = StatsError::SharedCapacity { owner: crew.thread(0).0, drift: lost };
        assert_eq!(stats.check_shared(), if lost == 0 { Ok(()) } else { Err(shared) }, "{preset}");
        stats.check().expect("conservation");
    }
}

/// What is in use, forgotten, made without a pool, and left behind by a thread that ended.
fn every_fate<P: Platform>() {
    let domain = Domain::<P>::new();
    let recycler = Recycler::new_in(&domain, Kind::Object, Preset::Millpond.into(), || 0_u8);
    let mut crew = Crew::<P>::new(1);
    let inside = recycler.clone();
    let kept = crew.run(0, move || {
        let mut items: Vec<_> = (0..20).map(|_| inside.get()).collect();
        items.remove(0).forget();
        items.remove(0)
    });
    let total = recycler.stats().total();
    assert_eq!((total.created, total.in_use, total.forgotten, total.retained), (20, 1, 1, 18));
    assert_eq!(total.dropped.total(), 0);
    crew.dismiss(0);
    let stats = recycler.stats();
    stats.check().expect("conservation");
    let total = stats.total();
    assert_eq!((stats.pools.len(), total.retained, total.dropped.owner_dead), (1, 0, 18), "only the pool is left");
    assert_eq!(total.in_use, 1);
    drop(kept);
    let stats = recycler.stats();
    stats.check().expect("conservation");
    let total = stats.total();
    assert_eq!((stats.pools.len(), total.in_use, total.dropped.owner_dead), (0, 0, 19), "now it is gone, too");

    let off = Recycler::new_in(&domain, Kind::Object, RecyclerConfig::off(), || 0_u8);
    drop((off.get(), off.get()));
    let stats = off.stats();
    assert_eq!((stats.pools.len(), stats.rest.created, stats.rest.dropped.not_poolable), (0, 2, 2));
    stats.check().expect("conservation");
}

mod on_std {
    use super::*;

    #[test]
    fn plateau() {
        super::plateau::<Std>();
    }

    #[test]
    fn table() {
        super::table::<Std>();
    }

    #[test]
    fn drift() {
        super::drift::<Std>();
    }

    #[test]
    fn every_fate() {
        super::every_fate::<Std>();
    }
}

//! The platform refuses memory, at each place where it is asked: nothing is lost, and what is refused has changed nothing.

mod composite_support;

use composite_support::{allocator, text};
use millpond::engine::{Op, Options, Record, Sim, When};
use millpond_model::allocator::Allocator;
use millpond_model::buffer::{Buffer, BufferError, Composite, Owned};
use millpond_model::memory::{Area, OutOfMemory};
use millpond_model::{Preset, Std};
use millpond_tests::sim::{in_turn, soundly};

/// What a composite looks like.
fn look(composite: &Composite<Sim>) -> (String, usize, usize, usize, usize) {
    let (reader, writer) = (composite.reader_index(), composite.writer_index());
    (text(composite), reader, writer, composite.capacity(), composite.component_count())
}

/// A buffer of `text`, if there is memory.
fn of(pool: &Allocator<Sim>, text: &str) -> Option<Buffer<Sim>> {
    let mut buffer = pool.allocate(text.len()).ok()?;
    buffer.put(text.as_bytes()).expect("there is room");
    Some(buffer)
}

/// Whether it was done. If not, it was for want of memory, and the composite is as it was.
fn tried<T>(
    composite: &mut Composite<Sim>,
    operation: impl FnOnce(&mut Composite<Sim>) -> Result<T, BufferError>,
) -> Option<T> {
    let before = look(composite);
    match operation(composite) {
        Ok(done) => Some(done),
        Err(refused) => {
            assert!(matches!(refused, BufferError::Memory(_)), "{refused:?}");
            assert_eq!(look(composite), before);
            None
        }
    }
}

/// Every operation that needs memory. `nested`: what is added are composites, and retained slices.
fn operations(pool: &Allocator<Sim>, nested: bool) {
    let mut composite = pool.composite_in(Area::Direct, 2);
    for text in ["mill", "po", "nd"] {
        let Some(mut buffer) = of(pool, text) else { continue };
        if nested {
            let mut inner = pool.composite();
            inner.add_component(true, buffer).expect("this needs none");
            buffer = inner.into_buffer();
        } else if let Ok(part) = buffer.retained_slice(0, text.len()) {
            assert_eq!(Owned::from(buffer).release(), Ok(false));
            buffer = part;
        }
        let witness = buffer.duplicate().expect("it is alive");
        let is_added = tried(&mut composite, |c| c.add_component(true, buffer)).is_some();
        assert!(is_added || witness.count() == 0, "taken over even when it is refused");
    }
    tried(&mut composite, |c| c.put(b"grows, and has too many components then"));
    tried(&mut composite, |c| c.put_repeated(b'.', 70));
    tried(&mut composite, |c| c.set_capacity(200));
    tried(&mut composite, |c| c.set_capacity(3));
    tried(&mut composite, |c| c.ensure_writable(100));
    tried(&mut composite, |c| c.consolidate());
    let length = composite.capacity();
    drop(tried(&mut composite, |c| c.copy(0, length)).map(Owned::from));
    let flattened: Vec<_> = ["a", "b", "c"].iter().filter_map(|text| of(pool, text)).collect();
    let mut inner = pool.composite();
    inner.add_components(true, flattened).expect("there are fewer than sixteen");
    let witness = inner.duplicate().expect("it is alive");
    tried(&mut composite, |c| c.add_flattened_components(true, inner.into_buffer()));
    assert_eq!(witness.count(), 0, "taken over even when it is refused");
    drop(Owned::from(composite.into_buffer()));

    let buffers: Vec<_> = ["a", "", "b"].iter().filter_map(|text| of(pool, text)).collect();
    let mut wrapped = Owned::from(Composite::wrapped(buffers).expect("this needs none"));
    if let Err(refused) = wrapped.put(b"grows into memory of no allocator") {
        assert!(matches!(refused, BufferError::Memory(_) | BufferError::Full { .. }), "{refused:?}");
    }
}

#[test]
fn no_memory_at_any_place() {
    for preset in [Preset::Netty4_0_43, Preset::Netty4_1_8, Preset::Millpond] {
        for nested in [false, true] {
            let mut places = 0;
            for nth in 1.. {
                let options = Options { alloc_fails: Some(When::Nth(nth)), record: Record::Rich, ..in_turn() };
                let execution = soundly(&options, || operations(&allocator(preset), nested));
                assert_eq!(execution.leaked_bytes, 0, "place {nth}");
                if execution.log.iter().all(|entry| entry.op != Op::AllocFailed) {
                    break;
                }
                places += 1;
            }
            assert!(places >= 12, "{places} places");
        }
    }
}

#[test]
fn no_memory_from_any_place_on() {
    for nested in [false, true] {
        for percent in [20, 50, 80, 100] {
            for seed in 0..50 {
                let rate = When::rate(f64::from(percent) / 100.0);
                let options = Options { seed, alloc_fails: Some(rate), ..in_turn() };
                let execution = soundly(&options, || operations(&allocator(Preset::Netty4_1_8), nested));
                assert_eq!(execution.leaked_bytes, 0, "{percent} %, seed {seed}");
            }
        }
    }
}

#[test]
fn more_than_there_can_be() {
    let mut composite = Composite::<Std>::new(Area::Heap, 4);
    let needed = millpond_model::buffer::MAX_CAPACITY + 1;
    let refused = BufferError::Full { needed, room: needed - 1 };
    assert_eq!(composite.set_capacity(needed), Err(refused));
    assert_eq!(composite.capacity(), 0);
    assert_eq!(composite.release(), Ok(true));
    let none = Allocator::<Std>::new_in(&millpond_model::recycler::Domain::new(), Preset::Millpond.into());
    assert_eq!(none.allocate(needed).map(drop), Err(OutOfMemory { capacity: needed }));
}

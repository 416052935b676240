//! Who owns a component: one test for each operation that takes one, gives one or lets go of one.

mod composite_support;
mod write_path_support;

use composite_support::{allocator, composite, counts, of, pieces, pool, text};
use millpond_model::buffer::{Buffer, BufferError, Composite, MAX_CAPACITY, MAX_COMPONENTS, Owned, ShellClass};
use millpond_model::memory::Area;
use millpond_model::refcnt::IllegalCount;
use millpond_model::{Platform, Preset};

on_both!(
    adding_takes_the_buffer_over,
    adding_at_an_index,
    adding_is_all_or_nothing,
    adding_beyond_the_largest_capacity,
    adding_shows_what_is_readable,
    the_end_releases_each_component_once,
    removing_releases,
    removing_what_is_not_there,
    discarding_releases_what_is_consumed,
    discarding_bytes_cuts_the_first,
    a_smaller_capacity_releases_what_it_drops,
    a_larger_capacity_adds_a_component,
    consolidating_releases_the_parts,
    too_many_components_become_one,
    components_are_lent,
    decomposing_lends_the_components_not_the_roots,
    decomposing_may_retain,
    flattening_takes_the_components,
    wrapping_releases_what_is_unreadable,
    wrapping_one_or_none,
    a_retained_component_is_released_itself,
    unreleasable_ones_are_not_released,
    handles_of_a_composite,
    composites_in_composites,
    a_composite_in_itself,
    deep_nesting_takes_no_stack,
    what_is_no_composite,
    every_preset_has_composites;
    misusing:
    a_dead_component,
    a_component_given_twice,
    a_component_released_by_somebody_else,
    a_dead_composite,
);

const DEAD: IllegalCount = IllegalCount { count: 0, change: 0 };

fn end<P: Platform>(buffer: impl Into<Buffer<P>>) {
    assert_eq!(Owned::from(buffer.into()).release(), Ok(true), "the last one");
}

fn adding_takes_the_buffer_over<P: Platform>() {
    let pool = pool::<P>();
    let mut composite = pool.composite();
    assert_eq!((composite.component_count(), composite.max_components(), composite.capacity()), (0, MAX_COMPONENTS, 0));
    let (mill, pond) = (of(&pool, "mill"), of(&pool, "pond"));
    let witnesses = [mill.duplicate().expect("it is alive"), pond.duplicate().expect("it is alive")];
    composite.add_component(false, mill).expect("it can be read");
    assert_eq!((composite.capacity(), composite.readable()), (4, 0), "the writer index stays");
    composite.add_component(true, pond).expect("it can be read");
    assert_eq!((composite.capacity(), composite.readable(), composite.component_count()), (8, 4, 2));
    assert_eq!(text(&composite), "mill", "the index moves by what was added, wherever that is");
    assert_eq!(counts(&witnesses), [1, 1], "the counts went over as they were");
    end(composite);
    assert_eq!(counts(&witnesses), [0, 0]);
}

fn adding_at_an_index<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, _) = composite(&pool, &["a", "d"]);
    composite.add_components_at(true, 1, [of(&pool, "b"), of(&pool, "c")]).expect("there is such an index");
    composite.add_component_at(true, 4, of(&pool, "e")).expect("the end is one");
    assert_eq!(text(&composite), "abcde");
    let late = of(&pool, "x");
    let witness = late.duplicate().expect("it is alive");
    let refused = BufferError::NoComponent { at: 6, count: 0, components: 5 };
    assert_eq!(composite.add_component_at(true, 6, late), Err(refused));
    assert_eq!(witness.count(), 0, "released all the same");
    for far in [usize::MAX - 1, usize::MAX] {
        let late = of(&pool, "x");
        let witness = late.duplicate().expect("it is alive");
        composite.add_component_at(true, far, late).expect_err("there is no such index");
        assert_eq!(witness.count(), 0);
    }
    assert_eq!(text(&composite), "abcde");
    end(composite);
}

fn adding_is_all_or_nothing<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, _) = composite(&pool, &["mill"]);
    let twin = composite.duplicate().expect("it is alive");
    twin.retain_many(1).expect("it is alive");
    let good = of(&pool, "good");
    let witness = good.duplicate().expect("it is alive");
    assert_eq!(composite.add_components(true, [good, twin]), Err(BufferError::Cycle));
    assert_eq!((witness.count(), composite.count()), (0, 1), "both released");
    assert_eq!((text(&composite), composite.component_count()), ("mill".to_string(), 1));
    end(composite);
}

fn adding_beyond_the_largest_capacity<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, _) = composite(&pool, &["mill"]);
    // Many handles of one buffer are enough: nobody needs so much memory.
    let mut large = pool.allocate(1 << 20).expect("there is memory");
    large.put_repeated(0, 1 << 20).expect("there is room");
    let many = 2048;
    large.retain_many(many).expect("it is alive");
    let buffers: Vec<_> = (0..many).map(|_| large.duplicate().expect("it is alive")).collect();
    let refused = BufferError::Full { needed: 1 << 31, room: MAX_CAPACITY - 4 };
    assert_eq!(composite.add_components(true, buffers), Err(refused));
    assert_eq!(large.count(), 1, "every one released");
    assert_eq!(text(&composite), "mill");
    end(large);
    end(composite);
}

fn adding_shows_what_is_readable<P: Platform>() {
    let pool = pool::<P>();
    let mut buffer = pool.allocate(16).expect("there is memory");
    buffer.put(b"xxmillxx").expect("there is room");
    buffer.advance(2);
    let mut part = buffer.read_retained_slice(4).expect("there are four");
    part.advance(1);
    let mut composite = pool.composite();
    composite.add_components(true, [buffer, part, Buffer::empty()]).expect("they can be read");
    assert_eq!(pieces(&composite), ["xx", "ill"]);
    assert_eq!((composite.capacity(), composite.component_count()), (5, 3));
    end(composite);
}

fn the_end_releases_each_component_once<P: Platform>() {
    let pool = pool::<P>();
    let (composite, witnesses) = composite(&pool, &["a", "bc", "", "def"]);
    witnesses[1].retain_many(1).expect("it is alive");
    assert_eq!(composite.retain_many(1), Ok(()));
    assert_eq!(composite.release(), Ok(false));
    assert_eq!(counts(&witnesses), [1, 2, 1, 1]);
    assert_eq!(composite.release(), Ok(true));
    assert_eq!(counts(&witnesses), [0, 1, 0, 0]);
    assert_eq!(witnesses[1].release(), Ok(true), "the test's own");
}

fn removing_releases<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["a", "bc", "def", "g"]);
    composite.remove_component(1).expect("it is there");
    assert_eq!(counts(&witnesses), [1, 0, 1, 1]);
    assert_eq!((text(&composite), composite.writer_index()), ("adefg".to_string(), 5));
    composite.remove_components(0, 2).expect("they are there");
    assert_eq!(counts(&witnesses), [0, 0, 0, 1]);
    composite.remove_components(1, 0).expect("nothing is always there");
    assert_eq!(text(&composite), "g");
    end(composite);
    assert_eq!(counts(&witnesses), [0; 4]);
}

fn removing_what_is_not_there<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["a", "b"]);
    let none = |at, count| Err(BufferError::NoComponent { at, count, components: 2 });
    assert_eq!(composite.remove_component(2), none(2, 1));
    assert_eq!(composite.remove_components(1, 2), none(1, 2));
    assert_eq!(composite.remove_components(1, usize::MAX), none(1, usize::MAX));
    assert_eq!(composite.component(2).map(drop), none(2, 1));
    assert_eq!(composite.consolidate_components(3, 0), none(3, 0));
    assert_eq!((counts(&witnesses), text(&composite)), (vec![1, 1], "ab".to_string()));
    end(composite);
}

fn discarding_releases_what_is_consumed<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["ab", "cd", "ef"]);
    composite.discard_read_components().expect("there is nothing to do");
    composite.advance(3);
    composite.discard_read_components().expect("one can go");
    assert_eq!(counts(&witnesses), [0, 1, 1], "of the second there is a byte to read");
    assert_eq!((composite.reader_index(), composite.writer_index(), composite.capacity()), (1, 4, 4));
    assert_eq!(text(&composite), "def");
    composite.advance(3);
    composite.discard_read_components().expect("all can go");
    assert_eq!(counts(&witnesses), [0; 3]);
    assert_eq!((composite.reader_index(), composite.writer_index(), composite.capacity()), (0, 0, 0));
    end(composite);
}

fn discarding_bytes_cuts_the_first<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["ab", "cd", "ef"]);
    composite.advance(3);
    composite.discard_read_bytes().expect("it is alive");
    assert_eq!((counts(&witnesses), pieces(&composite)), (vec![0, 1, 1], vec!["d".to_string(), "ef".to_string()]));
    assert_eq!((composite.reader_index(), composite.writer_index(), composite.capacity()), (0, 3, 3));
    end(composite);
}

fn a_smaller_capacity_releases_what_it_drops<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["ab", "cd", "", "ef"]);
    composite.advance(1);
    composite.set_capacity(3).expect("a smaller one is always possible");
    assert_eq!(counts(&witnesses), [1, 1, 0, 0], "Netty #8438");
    assert_eq!((text(&composite), composite.capacity(), composite.component_count()), ("bc".to_string(), 3, 2));
    composite.set_capacity(2).expect("a smaller one is always possible");
    assert_eq!(counts(&witnesses), [1, 0, 0, 0]);
    composite.set_capacity(0).expect("a smaller one is always possible");
    assert_eq!(counts(&witnesses), [0; 4]);
    assert_eq!((composite.reader_index(), composite.writer_index()), (0, 0));
    end(composite);
}

fn a_larger_capacity_adds_a_component<P: Platform>() {
    let pool = pool::<P>();
    let mut composite = pool.composite();
    composite.put(b"mill").expect("it grows");
    assert_eq!((composite.capacity(), composite.component_count()), (64, 1), "the first step of Netty's growth");
    composite.put_repeated(b'.', 60).expect("there is room");
    composite.put(b"pond").expect("it grows");
    assert_eq!((composite.capacity(), composite.component_count()), (128, 2));
    assert_eq!(text(&composite), format!("mill{}pond", ".".repeat(60)));
    composite.set_capacity(65).expect("a smaller one is always possible");
    assert_eq!((composite.readable(), composite.component_count()), (65, 2));
    let component = composite.component(1).expect("it is there");
    assert_eq!((component.count(), text(&component)), (1, "p".to_string()));
    end(composite);
    assert_eq!(component.count(), 0);
}

fn consolidating_releases_the_parts<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["a", "bc", "def", "g"]);
    composite.advance(2);
    composite.consolidate_components(1, 2).expect("there is memory");
    assert_eq!((counts(&witnesses), composite.component_count()), (vec![1, 0, 0, 1], 3));
    assert_eq!(pieces(&composite), ["cdef", "g"], "the indices stay");
    composite.consolidate_components(2, 1).expect("one is one");
    assert_eq!(counts(&witnesses), [1, 0, 0, 1]);
    composite.consolidate().expect("there is memory");
    assert_eq!((counts(&witnesses), composite.component_count()), (vec![0; 4], 1));
    assert_eq!(&*composite.bytes().expect("they are in one piece"), b"cdefg");
    end(composite);
}

fn too_many_components_become_one<P: Platform>() {
    let pool = pool::<P>();
    let mut composite = pool.composite_in(Area::Heap, 3);
    let buffers: Vec<_> = ["a", "b", "c", "d"].iter().map(|text| of(&pool, text)).collect();
    let witnesses: Vec<_> = buffers.iter().map(|b| b.duplicate().expect("it is alive")).collect();
    for (n, buffer) in (1..).zip(buffers) {
        composite.add_component(true, buffer).expect("there is memory");
        assert_eq!(composite.component_count(), if n == 4 { 1 } else { n });
    }
    assert_eq!((counts(&witnesses), text(&composite)), (vec![0; 4], "abcd".to_string()));
    assert_eq!(composite.component(0).map(|c| c.shell_class()), Ok(Some(ShellClass::Heap)), "in the composite's area");
    composite.set_capacity(5).expect("there is memory");
    composite.set_capacity(6).expect("there is memory");
    composite.set_capacity(7).expect("there is memory");
    assert_eq!((composite.component_count(), text(&composite)), (1, "abcd".to_string()));
    end(composite);
}

fn components_are_lent<P: Platform>() {
    let pool = pool::<P>();
    let mut buffer = of(&pool, "millpond");
    buffer.advance(4);
    let mut composite = pool.composite();
    composite.add_component(true, buffer).expect("it can be read");
    let component = composite.component(0).expect("it is there");
    let slice = composite.component_slice(0).expect("it is there");
    assert_eq!((component.capacity(), component.reader_index(), text(&component).as_str()), (8, 4, "pond"));
    assert_eq!((slice.capacity(), slice.reader_index(), text(&slice).as_str()), (4, 0, "pond"));
    assert_eq!((component.count(), slice.count(), composite.count()), (1, 1, 1), "no count changed");
    end(composite);
    assert_eq!((component.count(), slice.count()), (0, 0));
}

fn decomposing_lends_the_components_not_the_roots<P: Platform>() {
    let pool = pool::<P>();
    let root = of(&pool, "millpond");
    let parts = [root.retained_slice(0, 4), root.retained_slice(4, 4)].map(|part| part.expect("it has these bytes"));
    let witnesses = [0, 1].map(|i| parts[i].duplicate().expect("it is alive"));
    let mut composite = pool.composite();
    composite.add_components(true, parts).expect("they can be read");
    let pieces = composite.decompose(2, 5).expect("it has these bytes");
    assert_eq!(pieces.iter().map(text).collect::<Vec<_>>(), ["ll", "pon"]);
    assert_eq!((counts(&pieces), root.count()), (vec![1, 1], 3));
    // What the caller does to them happens to the components (Netty #11696).
    pieces[0].retain_many(4).expect("it is alive");
    assert_eq!((counts(&witnesses), root.count()), (vec![5, 1], 3));
    assert_eq!(pieces[0].release_many(4), Ok(false));
    assert_eq!(composite.decompose(4, 0).map(|none| none.len()), Ok(0));
    let refused = BufferError::Range { at: 4, length: 5, capacity: 8 };
    assert_eq!(composite.decompose(4, 5).map(drop), Err(refused));
    end(composite);
    assert_eq!((counts(&pieces), root.count()), (vec![0, 0], 1));
    end(root);
}

fn decomposing_may_retain<P: Platform>() {
    let pool = pool::<P>();
    let root = of(&pool, "mill");
    let mut composite = pool.composite();
    let part = root.retained_slice(0, 4).expect("it has these bytes");
    composite.add_components(true, [part, of(&pool, "pond")]).expect("they can be read");
    let pieces = composite.retained_decompose(1, 6).expect("it has these bytes");
    assert_eq!((counts(&pieces), root.count()), (vec![2, 2], 2), "one more of each component, none of the root");
    end(composite);
    assert_eq!(pieces.iter().map(text).collect::<Vec<_>>(), ["ill", "pon"]);
    pieces.into_iter().for_each(end);
    assert_eq!(root.count(), 1);
    end(root);
}

fn flattening_takes_the_components<P: Platform>() {
    let pool = pool::<P>();
    let (mut inner, witnesses) = composite(&pool, &["ab", "", "cd", "ef"]);
    inner.advance(3);
    let shared = inner.retain().expect("it is alive");
    let mut outer = pool.composite();
    outer.add_flattened_components(true, inner.into_buffer()).expect("it can be read");
    assert_eq!((pieces(&outer), outer.component_count()), (vec!["d".to_string(), "ef".to_string()], 2));
    assert_eq!((shared.count(), counts(&witnesses)), (1, vec![1, 1, 2, 2]));
    end(shared);
    assert_eq!(counts(&witnesses), [0, 0, 1, 1]);
    outer.add_flattened_components(true, of(&pool, "gh")).expect("it can be read");
    let unreadable = pool.allocate(4).expect("there is memory");
    let witness = unreadable.duplicate().expect("it is alive");
    outer.add_flattened_components(true, unreadable).expect("it is alive");
    assert_eq!((witness.count(), text(&outer).as_str(), outer.component_count()), (0, "defgh", 3));
    end(outer);
    assert_eq!(counts(&witnesses), [0; 4]);
}

fn wrapping_releases_what_is_unreadable<P: Platform>() {
    let pool = pool::<P>();
    let buffers: Vec<_> = ["", "a", "", "b", ""].iter().map(|text| of(&pool, text)).collect();
    let witnesses: Vec<_> = buffers.iter().map(|b| b.duplicate().expect("it is alive")).collect();
    // With a second count, a second release would be seen here rather than refused (Netty #5597).
    witnesses.iter().for_each(|w| w.retain_many(1).expect("it is alive"));
    let wrapped = Composite::wrapped(buffers).expect("they can be read");
    assert_eq!(counts(&witnesses), [1, 2, 1, 2, 1]);
    assert_eq!((text(&wrapped).as_str(), wrapped.shell_class()), ("ab", Some(ShellClass::Composite)));
    end(wrapped);
    assert_eq!(counts(&witnesses), [1; 5]);
    witnesses.into_iter().for_each(end);
}

fn wrapping_one_or_none<P: Platform>() {
    let pool = pool::<P>();
    let none = Composite::wrapped([pool.allocate(4).expect("there is memory")]).expect("it is alive");
    assert!(none.is_empty_buffer());
    let mut one = of(&pool, "millpond");
    one.advance(4);
    let witness = one.duplicate().expect("it is alive");
    let wrapped = Composite::wrapped([one, Buffer::empty()]).expect("it can be read");
    assert_eq!((text(&wrapped).as_str(), wrapped.capacity(), wrapped.count()), ("pond", 4, 1));
    end(wrapped);
    assert_eq!(witness.count(), 0);
    let many = (0..40).map(|_| of(&pool, "x"));
    let wrapped = Composite::wrapped(many).expect("they can be read");
    let wrapped = Composite::try_from(wrapped).unwrap_or_else(|_| panic!("a composite"));
    assert_eq!((wrapped.component_count(), wrapped.max_components()), (40, 40), "not consolidated");
    end(wrapped);
}

fn a_retained_component_is_released_itself<P: Platform>() {
    let pool = pool::<P>();
    let root = of(&pool, "millpond");
    let part = root.retained_slice(0, 4).expect("it has these bytes");
    let part_of_part = part.retained_slice(1, 2).expect("it has these bytes");
    let witnesses = [root.duplicate(), part.duplicate(), part_of_part.duplicate()].map(|d| d.expect("it is alive"));
    let mut composite = pool.composite();
    composite.add_component(true, part_of_part).expect("it can be read");
    assert_eq!(counts(&witnesses), [2, 2, 1]);
    end(composite);
    assert_eq!(counts(&witnesses), [2, 1, 0], "Netty #8495: neither the root nor what is in between");
    end(part);
    end(root);
}

fn unreleasable_ones_are_not_released<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, _) = composite(&pool, &["mill"]);
    composite.add_component(true, Buffer::empty()).expect("it is always alive");
    assert_eq!((composite.component_count(), composite.component(1).map(|c| c.count())), (2, Ok(1)));
    end(composite);
}

fn handles_of_a_composite<P: Platform>() {
    let pool = pool::<P>();
    let (composite, witnesses) = composite(&pool, &["mill", "pond"]);
    let slice = composite.slice(2, 4).expect("it has these bytes");
    let retained = composite.retained_slice(3, 2).expect("it has these bytes");
    let twin = composite.retained_duplicate().expect("it is alive");
    assert_eq!((composite.count(), slice.count(), retained.count()), (3, 3, 3), "as in Netty, where it isn't pooled");
    assert_eq!((text(&slice), text(&retained), text(&twin)), ("llpo".into(), "lp".into(), "millpond".into()));
    assert_eq!(slice.slice(1, 2).map(|s| text(&s)), Ok("lp".into()));
    let copy = slice.copy(1, 3).expect("there is memory");
    assert_eq!((&*copy.bytes().expect("a copy is in one piece"), copy.count()), (&b"lpo"[..], 1));
    assert!(Composite::try_from(slice).is_err(), "a part of a composite");
    assert_eq!((composite.release(), twin.release(), retained.release()), (Ok(false), Ok(false), Ok(true)));
    assert_eq!(counts(&witnesses), [0, 0]);
    end(copy);
}

fn composites_in_composites<P: Platform>() {
    let pool = pool::<P>();
    let (inner, witnesses) = composite(&pool, &["b", "c"]);
    let twin = inner.retain().expect("it is alive");
    let mut outer = pool.composite();
    let buffers = [of(&pool, "a"), inner.into_buffer(), of(&pool, "d"), twin.slice(1, 1).expect("it has a byte")];
    outer.add_components(true, buffers).expect("they can be read");
    assert_eq!(pieces(&outer), ["a", "b", "c", "d", "c"]);
    assert_eq!((twin.count(), counts(&witnesses)), (2, vec![1, 1]));
    let consolidated = outer.copy(0, 5).expect("there is memory");
    assert_eq!(text(&consolidated), "abcdc");
    end(consolidated);
    end(outer);
    assert_eq!((twin.count(), counts(&witnesses)), (0, vec![0, 0]));
}

fn a_composite_in_itself<P: Platform>() {
    let pool = pool::<P>();
    let (mut outer, _) = composite(&pool, &["mill"]);
    let itself = outer.retain().expect("it is alive");
    assert_eq!(outer.add_component(true, itself), Err(BufferError::Cycle));
    let part = outer.retained_slice(0, 2).expect("it has these bytes");
    assert_eq!(outer.add_component(true, part), Err(BufferError::Cycle));
    assert_eq!(outer.count(), 1, "released");
    // Through others, and twice.
    let mut middle = pool.composite();
    middle.add_component(true, outer.retain().expect("it is alive")).expect("no cycle yet");
    middle.add_component(true, outer.retain().expect("it is alive")).expect("no cycle yet");
    let mut inner = pool.composite();
    inner.add_component(true, middle.retain().expect("it is alive")).expect("no cycle yet");
    assert_eq!((outer.count(), middle.count()), (3, 2));
    assert_eq!(outer.add_component(true, inner.retain().expect("it is alive")), Err(BufferError::Cycle));
    assert_eq!(middle.add_component(true, inner.retain().expect("it is alive")), Err(BufferError::Cycle));
    assert_eq!(outer.add_flattened_components(true, middle.retain().expect("it is alive")), Err(BufferError::Cycle));
    assert_eq!((outer.count(), middle.count(), inner.count()), (3, 2, 1));
    assert_eq!(text(&inner), "millmill");
    end(inner);
    end(middle);
    end(outer);
}

fn deep_nesting_takes_no_stack<P: Platform>() {
    const DEPTH: u32 = 10_000;
    let pool = pool::<P>();
    let (bottom, witnesses) = composite(&pool, &["mill", "pond"]);
    let mut now = bottom.into_buffer();
    for _ in 0..DEPTH {
        let mut outer = Composite::new(Area::Direct, 1);
        outer.add_component(true, now).expect("no cycle");
        now = outer.into_buffer();
    }
    assert_eq!(text(&now), "millpond");
    let copy = now.copy(3, 2).expect("there is memory");
    assert_eq!(text(&copy), "lp");
    end(copy);
    now.set_capacity(7).expect("the outermost is cut");
    assert_eq!(text(&now), "millpon");
    end(now);
    assert_eq!(counts(&witnesses), [0, 0]);
}

fn what_is_no_composite<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, _) = composite(&pool, &["mill"]);
    let mut plain = of(&pool, "pond");
    core::mem::swap(&mut *composite, &mut plain);
    assert_eq!(composite.add_component(true, of(&pool, "x")), Err(BufferError::NotComposite));
    assert_eq!(composite.remove_component(0), Err(BufferError::NotComposite));
    assert_eq!(composite.component(0).map(drop), Err(BufferError::NotComposite));
    assert_eq!(composite.consolidate(), Err(BufferError::NotComposite));
    assert_eq!(composite.decompose(0, 1).map(drop), Err(BufferError::NotComposite));
    assert_eq!((composite.component_count(), composite.max_components()), (0, 0));
    composite.advance(1);
    assert_eq!(composite.discard_read_components(), Err(BufferError::NotComposite));
    assert_eq!(text(&composite), "ond");
    end(composite);
    let plain = Composite::try_from(plain).unwrap_or_else(|_| panic!("this is the composite"));
    assert_eq!(plain.component_count(), 1);
    end(plain);
}

fn every_preset_has_composites<P: Platform>() {
    for preset in Preset::ALL {
        let pool = allocator::<P>(preset);
        let root = of(&pool, "mill");
        let part = root.retained_slice(0, 4).expect("it has these bytes");
        let mut composite = pool.composite();
        composite.add_components(true, [part, of(&pool, "pond")]).expect("they can be read");
        composite.consolidate().expect("there is memory");
        assert_eq!((text(&composite).as_str(), root.count()), ("millpond", 1), "{preset:?}");
        end(root);
        end(composite);
    }
}

fn a_dead_component<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, _) = composite(&pool, &["mill"]);
    let (dead, good) = (of(&pool, "dead"), of(&pool, "good"));
    let witness = good.duplicate().expect("it is alive");
    assert_eq!(dead.release(), Ok(true));
    assert_eq!(composite.add_components(true, [good, dead]), Err(DEAD.into()));
    assert_eq!((witness.count(), text(&composite).as_str()), (0, "mill"));
    let dead = of(&pool, "");
    assert_eq!(dead.release(), Ok(true));
    let good = of(&pool, "good");
    let witness = good.duplicate().expect("it is alive");
    let refused = IllegalCount { count: 0, change: -1 };
    assert_eq!(Composite::wrapped([good, dead]).map(drop), Err(refused.into()));
    assert_eq!(witness.count(), 0, "released when it fails");
    end(composite);
}

fn a_component_given_twice<P: Platform>() {
    let pool = pool::<P>();
    let mut composite = pool.composite();
    let buffer = of(&pool, "mill");
    let twin = buffer.duplicate().expect("it is alive");
    composite.add_components(true, [buffer, twin]).expect("nobody can see that one count was given twice");
    assert_eq!(text(&composite), "millmill");
    composite.remove_component(0).expect("it is there");
    assert_eq!(composite.bytes().map(drop), Err(DEAD.into()), "the other one went with it");
    assert_eq!(composite.copy(0, 1).map(drop), Err(DEAD.into()));
    assert_eq!(composite.consolidate(), Ok(()), "one is one");
    end(composite); // whose second release is refused
}

fn a_component_released_by_somebody_else<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    assert_eq!(witnesses[1].release(), Ok(true), "which it doesn't own");
    assert_eq!(composite.chunks().map(drop), Err(DEAD.into()));
    assert_eq!(composite.put(b"x"), Ok(()), "this isn't about that component");
    assert_eq!(composite.slice(0, 4).map(|s| text(&s)), Ok("mill".into()), "nor is this");
    assert_eq!(composite.read_into(&mut [0; 5]), Err(DEAD.into()));
    assert_eq!(composite.decompose(0, 8).map(drop), Err(DEAD.into()));
    assert_eq!(composite.retained_decompose(0, 8).map(drop), Err(DEAD.into()));
    assert_eq!(composite.consolidate(), Err(DEAD.into()));
    assert_eq!((counts(&witnesses), composite.component_count()), (vec![1, 0], 3), "nothing happened");
    end(composite);
    assert_eq!(counts(&witnesses), [0, 0]);
}

fn a_dead_composite<P: Platform>() {
    let pool = pool::<P>();
    let (mut composite, witnesses) = composite(&pool, &["mill", "pond"]);
    assert_eq!(composite.release(), Ok(true));
    assert_eq!(composite.release(), Err(IllegalCount { count: 0, change: -1 }));
    assert_eq!(counts(&witnesses), [0, 0], "once");
    let late = of(&pool, "late");
    let witness = late.duplicate().expect("it is alive");
    assert_eq!(composite.add_component(true, late), Err(DEAD.into()));
    assert_eq!(witness.count(), 0, "released all the same");
    assert_eq!(composite.remove_component(0), Err(DEAD.into()));
    assert_eq!(composite.component(0).map(drop), Err(DEAD.into()));
    assert_eq!(composite.set_capacity(2), Err(DEAD.into()));
    assert_eq!(composite.discard_read_components(), Err(DEAD.into()));
    assert_eq!(composite.consolidate(), Err(DEAD.into()));
    assert_eq!(composite.decompose(0, 1).map(drop), Err(DEAD.into()));
    assert_eq!(composite.chunks().map(drop), Err(DEAD.into()));
    assert_eq!((composite.component_count(), composite.count()), (0, 0));
}

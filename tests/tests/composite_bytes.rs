//! The bytes of composites: across the borders of components, in pieces, and who may write them.

mod composite_support;
mod write_path_support;

use bytes::Buf;
use composite_support::{composite, counts, of, pieces, pool, text};
use millpond::engine::Sim;
use millpond_model::Platform;
use millpond_model::buffer::{Buffer, BufferError, Owned};
use millpond_model::refcnt::{IllegalCount, MAX_PINS};
use millpond_tests::sim::{in_turn, soundly};
use std::io::IoSlice;

on_both!(
    one_piece_or_a_way_out,
    copying_across_borders,
    writing_across_borders,
    writing_needs_each_component_for_itself,
    a_refused_write_has_changed_nothing,
    pieces_are_consumed_in_order,
    pieces_in_vectors,
    no_more_pieces_than_asked_for,
    pieces_keep_writers_out,
    pieces_outlive_the_composite,
    more_components_of_one_buffer_than_pins,
    a_component_that_became_smaller,
    a_component_that_moved,
    other_handles_see_what_is_there_now;
    misusing:
    pieces_outlive_a_component_released_by_misuse,
);

const IN_USE: IllegalCount = IllegalCount { count: 1, change: 0 };
const SHARED: IllegalCount = IllegalCount { count: 2, change: 0 };

fn end<P: Platform>(buffer: impl Into<Buffer<P>>) {
    assert_eq!(Owned::from(buffer.into()).release(), Ok(true), "the last one");
}

fn one_piece_or_a_way_out<P: Platform>() {
    let (mut composite, _) = composite(&pool::<P>(), &["mill", "", "pond"]);
    let split = BufferError::Split { at: 0, length: 8, contiguous: 4 };
    assert_eq!(composite.bytes().map(drop), Err(split));
    let message = "bytes 0 to 8 are in several components, the first 4 in one: use chunks, or copy them";
    assert_eq!(split.to_string(), message);
    composite.advance(3);
    let split = BufferError::Split { at: 3, length: 5, contiguous: 1 };
    assert_eq!(composite.bytes().map(drop), Err(split));
    for (at, length, expected) in [(0, 4, "mill"), (1, 2, "il"), (4, 4, "pond"), (7, 1, "d"), (4, 0, ""), (8, 0, "")] {
        let part = composite.slice(at, length).expect("it has these bytes");
        assert_eq!(&*part.bytes().expect("they are in one piece"), expected.as_bytes());
    }
    let none = BufferError::Range { at: 8, length: 1, capacity: 8 };
    assert_eq!(composite.slice(8, 1).map(drop), Err(none));
    end(composite);
}

fn copying_across_borders<P: Platform>() {
    let (mut composite, _) = composite(&pool::<P>(), &["a", "bc", "", "def"]);
    for at in 0..6 {
        for end in at..6 {
            let copy = Owned::from(composite.copy(at, end - at).expect("there is memory"));
            assert_eq!(&*copy.bytes().expect("a copy is in one piece"), &b"abcdef"[at..end]);
        }
    }
    assert_eq!(composite.copy(5, 2).map(drop), Err(BufferError::Range { at: 5, length: 2, capacity: 6 }));
    let mut to = [0; 4];
    composite.read_into(&mut to).expect("there are so many");
    assert_eq!((&to, composite.readable()), (b"abcd", 2));
    assert_eq!(composite.read_into(&mut to), Err(BufferError::Short { needed: 4, readable: 2 }));
    let rest = Owned::from(composite.read_bytes(2).expect("there are two"));
    assert_eq!((&*rest.bytes().expect("a copy is in one piece"), composite.readable()), (&b"ef"[..], 0));
    end(composite);
}

fn writing_across_borders<P: Platform>() {
    let pool = pool::<P>();
    let (inner, witnesses) = composite(&pool, &["c", "de"]);
    let mut composite = pool.composite();
    let buffers = [of(&pool, "ab"), inner.into_buffer(), of(&pool, "fg")];
    composite.add_components(false, buffers).expect("they can be read");
    composite.put(b"A").expect("they are all its own");
    composite.put(b"BCDEF").expect("they are all its own");
    assert_eq!(pieces(&composite), ["AB", "C", "DE", "F"]);
    assert_eq!(witnesses.iter().map(text).collect::<Vec<_>>(), ["C", "DE"], "no copies");
    composite.put_repeated(b'x', 3).expect("it grows");
    assert_eq!((composite.capacity(), text(&composite)), (64, "ABCDEFxxx".to_string()));
    end(composite);
}

fn writing_needs_each_component_for_itself<P: Platform>() {
    let pool = pool::<P>();
    let root = of(&pool, "cd");
    let part = root.retained_slice(0, 2).expect("it has these bytes");
    let mut composite = pool.composite();
    composite.add_components(false, [of(&pool, "ab"), part]).expect("they can be read");
    composite.put(b"AB").expect("this one is its own");
    assert_eq!(composite.put(b"C"), Err(SHARED.into()), "the root has another owner");
    end_not(root);
    composite.put(b"C").expect("it has none any more");
    assert_eq!(text(&composite), "ABC");
    let twin = composite.retain().expect("it is alive");
    assert_eq!(composite.put(b"D"), Err(SHARED.into()), "the composite has another owner");
    assert_eq!(twin.release(), Ok(false));
    composite.put(b"D").expect("it has none any more");
    end(composite);
}

fn end_not<P: Platform>(buffer: Buffer<P>) {
    assert_eq!(Owned::from(buffer).release(), Ok(false), "not the last one");
}

fn a_refused_write_has_changed_nothing<P: Platform>() {
    let (mut composite, witnesses) = composite(&pool::<P>(), &["ab", "cd", "ef"]);
    composite.remove_component(2).expect("it is there");
    composite.discard_read_bytes().expect("there is nothing to do");
    let all = composite.duplicate().expect("it is alive");
    composite.set_capacity(0).expect("a smaller one is always possible");
    drop((all, witnesses));
    // Empty now. Two components, of which the second is shared.
    let pool = pool::<P>();
    let shared = of(&pool, "cd");
    shared.retain_many(1).expect("it is alive");
    let witness = shared.duplicate().expect("it is alive");
    composite.add_components(false, [of(&pool, "ab"), shared]).expect("they can be read");
    assert_eq!(composite.put(b"ABCD"), Err(SHARED.into()));
    assert_eq!(composite.put(b"ABCDEFGH"), Err(SHARED.into()), "nor has it grown");
    assert_eq!((composite.capacity(), composite.writer_index(), composite.component_count()), (4, 0, 2));
    assert_eq!(composite.slice(0, 4).map(|s| text(&s)), Ok("abcd".to_string()));
    assert_eq!(witness.release(), Ok(false));
    composite.put(b"ABCDEFGH").expect("they are all its own");
    assert_eq!(text(&composite), "ABCDEFGH");
    end(composite);
}

fn pieces_are_consumed_in_order<P: Platform>() {
    let (mut composite, _) = composite(&pool::<P>(), &["mill", "", "po", "nd"]);
    composite.advance(1);
    let mut chunks = composite.chunks().expect("it can be read");
    assert_eq!((chunks.remaining(), chunks.chunk()), (7, &b"ill"[..]));
    chunks.advance(0);
    chunks.advance(2);
    assert_eq!((chunks.remaining(), chunks.chunk()), (5, &b"l"[..]));
    assert_eq!(format!("{chunks:?}"), "[[108], [112, 111], [110, 100]]");
    chunks.advance(2);
    assert_eq!((chunks.remaining(), chunks.chunk()), (3, &b"o"[..]), "over a border");
    chunks.advance(1);
    assert_eq!(chunks.chunk(), b"nd");
    chunks.advance(2);
    assert_eq!((chunks.remaining(), chunks.chunk(), chunks.iter().count()), (0, &b""[..], 0));
    drop(chunks);
    assert_eq!(composite.readable(), 7, "the buffer's index has not moved");
    end(composite);
}

fn pieces_in_vectors<P: Platform>() {
    let pool = pool::<P>();
    let (composite, _) = composite(&pool, &["mill", "po", "nd"]);
    let mut chunks = composite.chunks().expect("it can be read");
    chunks.advance(1);
    let mut two = [IoSlice::new(&[]); 2];
    assert_eq!(chunks.chunks_vectored(&mut two), 2);
    assert_eq!(two.map(|slice| slice.to_vec()), [b"ill".to_vec(), b"po".to_vec()]);
    let mut many = [IoSlice::new(&[]); 5];
    assert_eq!(chunks.chunks_vectored(&mut many), 3);
    assert_eq!(many.map(|slice| slice.len()), [3, 2, 2, 0, 0]);
    drop(chunks);
    end(composite);
    let plain = of(&pool, "plain");
    assert_eq!(plain.chunks().map(|chunks| chunks.chunk().to_vec()), Ok(b"plain".to_vec()), "any buffer has pieces");
    end(plain);
    assert_eq!(Buffer::<P>::empty().chunks().map(|chunks| chunks.remaining()), Ok(0));
}

fn no_more_pieces_than_asked_for<P: Platform>() {
    let pool = pool::<P>();
    let (inner, _) = composite(&pool, &["b", "cd"]);
    let mut composite = pool.composite();
    let buffers = [of(&pool, "a"), inner.into_buffer(), of(&pool, "efg")];
    composite.add_components(true, buffers).expect("they can be read");
    let up_to = |count, bytes| composite.chunks_up_to(count, bytes).map(|c| (c.iter().count(), c.remaining()));
    assert_eq!(up_to(0, 9), Ok((0, 0)));
    assert_eq!(up_to(1, 9), Ok((1, 1)));
    assert_eq!(up_to(2, 9), Ok((2, 2)));
    assert_eq!(up_to(3, 9), Ok((3, 4)));
    assert_eq!(up_to(9, 5), Ok((4, 5)));
    assert_eq!(up_to(9, 9), Ok((4, 7)));
    end(composite);
}

fn pieces_keep_writers_out<P: Platform>() {
    let pool = pool::<P>();
    let (composite, mut witnesses) = composite(&pool, &["mill", "pond"]);
    let mut twin = composite.duplicate().expect("it is alive");
    let first = composite.slice(0, 4).expect("it has these bytes");
    let chunks = first.chunks().expect("it can be read");
    assert_eq!(twin.put(b"x"), Err(IN_USE.into()), "the composite is being read");
    assert_eq!(twin.set_capacity(2), Err(IN_USE.into()));
    assert_eq!(witnesses[0].put(b"x"), Err(IN_USE.into()), "so is the component");
    witnesses[1].put(b"x").expect("this one isn't");
    drop(chunks);
    witnesses[0].put(b"x").expect("nor is any now");
    end(composite);
}

fn pieces_outlive_the_composite<P: Platform>() {
    let pool = pool::<P>();
    let root = of(&pool, "millpond");
    let part = root.retained_slice(0, 4).expect("it has these bytes");
    let mut composite = pool.composite();
    composite.add_components(true, [part, of(&pool, "pond")]).expect("they can be read");
    let witnesses = [0, 1].map(|i| composite.component(i).expect("it is there"));
    let mut chunks = composite.chunks().expect("it can be read");
    assert_eq!(composite.release(), Ok(true));
    assert_eq!((composite.count(), counts(&witnesses)), (0, vec![1, 1]), "its end waits for the guard");
    assert_eq!(chunks.iter().flatten().copied().collect::<Vec<_>>(), b"millpond");
    chunks.advance(5);
    assert_eq!(chunks.chunk(), b"ond");
    drop(chunks);
    assert_eq!((counts(&witnesses), root.count()), (vec![0, 0], 1));
    end(root);
}

fn more_components_of_one_buffer_than_pins<P: Platform>() {
    let pool = pool::<P>();
    let n = MAX_PINS + 2;
    let byte = of(&pool, "x");
    let witness = byte.duplicate().expect("it is alive");
    byte.retain_many(n - 1).expect("it is alive");
    let buffers: Vec<_> = (0..n).map(|_| byte.duplicate().expect("it is alive")).collect();
    let mut composite = pool.composite_in(millpond_model::memory::Area::Direct, usize::MAX);
    composite.add_components(true, buffers).expect("they can be read");
    let chunks = composite.chunks().expect("each buffer needs one pin, however often it is there");
    assert_eq!((chunks.iter().count(), chunks.remaining()), (n as usize, n as usize));
    drop(chunks);
    composite.consolidate().expect("there is memory");
    assert_eq!((witness.count(), &*composite.bytes().expect("one piece")), (0, &vec![b'x'; n as usize][..]));
    end(composite);
}

fn a_component_that_became_smaller<P: Platform>() {
    let (mut composite, mut witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    witnesses[1].set_capacity(2).expect("any handle may");
    let refused = BufferError::Range { at: 0, length: 4, capacity: 2 };
    assert_eq!(composite.chunks().map(drop), Err(refused));
    assert_eq!(composite.consolidate(), Err(refused));
    assert_eq!(composite.slice(0, 6).map(|s| text(&s)), Ok("millpo".to_string()), "what is there can be read");
    composite.remove_component(1).expect("and what isn't removed");
    assert_eq!(text(&composite), "mill");
    end(composite);
}

fn a_component_that_moved<P: Platform>() {
    let (composite, mut witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    witnesses[0].set_capacity(4096).expect("there is memory");
    assert_eq!(pieces(&composite), ["mill", "pond"], "what was given, wherever it is now");
    end(composite);
}

fn other_handles_see_what_is_there_now<P: Platform>() {
    let (mut composite, _) = composite(&pool::<P>(), &["mill", "pond", "s"]);
    let slice = composite.slice(2, 4).expect("it has these bytes");
    composite.remove_component(0).expect("it is there");
    assert_eq!(slice.bytes().map(drop), Err(BufferError::Range { at: 2, length: 4, capacity: 5 }));
    composite.set_capacity(8).expect("there is memory");
    assert_eq!(text(&slice), "nds\0");
    end(composite);
}

fn pieces_outlive_a_component_released_by_misuse<P: Platform>() {
    let (composite, witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    let chunks = composite.chunks().expect("it can be read");
    assert_eq!(witnesses[0].release(), Ok(true), "which it doesn't own");
    assert_eq!(chunks.iter().flatten().copied().collect::<Vec<_>>(), b"millpond");
    drop(chunks);
    let dead = IllegalCount { count: 0, change: 0 };
    assert_eq!(composite.chunks().map(drop), Err(dead.into()));
    end(composite);
}

/// Steps to write `n` small components out, a few at a time, to a peer that takes one byte a time.
fn steps_to_drain(n: usize) -> u64 {
    let execution = soundly(&in_turn(), || {
        let pool = pool::<Sim>();
        let mut composite = pool.composite_in(millpond_model::memory::Area::Direct, usize::MAX);
        composite.add_components(true, (0..n).map(|_| of(&pool, "x"))).expect("they can be read");
        while composite.readable() > 0 {
            let taken = composite.chunks_up_to(8, 1024).expect("it can be read").chunk().len();
            composite.advance(taken);
            composite.discard_read_components().expect("it is alive");
        }
        end(composite);
    });
    assert_eq!(execution.leaked_bytes, 0);
    execution.events
}

#[test]
fn a_backlog_is_drained_in_linear_time() {
    let (some, twice) = (steps_to_drain(300), steps_to_drain(600));
    assert!(twice < some * 5 / 2, "{some} steps for 300 components, {twice} for 600 (grpc-java #1674)");
}

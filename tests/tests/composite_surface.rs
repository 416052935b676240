//! A composite's handle is a buffer like any other: numbers, files, views, wrapped memory, `bytes`.

mod composite_support;
mod write_path_support;

use bytes::{Buf, BufMut, Bytes};
use composite_support::{composite, counts, of, pieces, pool, text};
use millpond_model::Platform;
use millpond_model::buffer::{Buffer, BufferError, Composite, Owned};
use std::io::{Read, Write};

on_both!(
    numbers_across_borders,
    as_a_file,
    from_buffer_to_buffer,
    pieces_are_a_buf,
    what_was_read_makes_room,
    read_only_components,
    read_only_composites,
    unreleasable_components,
    unreleasable_composites,
    foreign_memory_is_not_copied,
    frozen_in_one_piece,
    room_in_one_piece,
);

fn end<P: Platform>(buffer: impl Into<Buffer<P>>) {
    assert_eq!(Owned::from(buffer.into()).release(), Ok(true), "the last one");
}

/// Bytes 0, 1, 2, ... in components of these lengths.
fn numbered<P: Platform>(lengths: &[u8]) -> Composite<P> {
    let pool = pool::<P>();
    let mut composite = pool.composite();
    let mut next = 0;
    for length in lengths {
        let bytes: Vec<u8> = (next..next + length).collect();
        let mut buffer = pool.allocate(bytes.len()).expect("there is memory");
        buffer.put(&bytes).expect("there is room");
        composite.add_component(true, buffer).expect("it can be read");
        next += length;
    }
    composite
}

fn numbers_across_borders<P: Platform>() {
    let mut composite = numbered::<P>(&[1, 0, 2, 3, 2, 8]);
    assert_eq!(
        (composite.get_u16(0), composite.get_u24(0), composite.get_u32(1)),
        (Ok(0x0001), Ok(0x0000_0102), Ok(0x0102_0304))
    );
    assert_eq!((composite.get_u64(0), composite.get_u32_le(4)), (Ok(0x0001_0203_0405_0607), Ok(0x0706_0504)));
    assert_eq!(composite.get_u32(13), Err(BufferError::Range { at: 13, length: 4, capacity: 16 }));
    assert_eq!(
        (composite.read_u8(), composite.read_u64(), composite.reader_index()),
        (Ok(0), Ok(0x0102_0304_0506_0708), 9)
    );
    assert_eq!(composite.read_u64(), Err(BufferError::Short { needed: 8, readable: 7 }));
    composite.set_u32(1, 0xaabb_ccdd).expect("it is its own");
    assert_eq!((composite.get_u64(0), composite.get_u8(4)), (Ok(0x00aa_bbcc_dd05_0607), Ok(0xdd)));
    composite.put_u32(0x1020_3040).expect("it grows");
    composite.skip(7).expect("there are so many");
    assert_eq!((composite.capacity(), composite.read_u32()), (64, Ok(0x1020_3040)));
    end(composite);
}

fn as_a_file<P: Platform>() {
    let (mut composite, _) = composite(&pool::<P>(), &["mill", "", "pond"]);
    composite.write_all(b"s and rivers").expect("it grows");
    let mut all = String::new();
    composite.read_to_string(&mut all).expect("it can be read");
    assert_eq!((all.as_str(), composite.readable()), ("millponds and rivers", 0));
    end(composite);
}

fn from_buffer_to_buffer<P: Platform>() {
    let pool = pool::<P>();
    let (mut from, _) = composite(&pool, &["mi", "ll", "pond"]);
    let mut to = pool.composite();
    to.put_buffer(&mut from, 3).expect("there are so many");
    to.put_buffer(&mut from, 5).expect("there are so many");
    assert_eq!((text(&to).as_str(), from.readable()), ("millpond", 0));
    let mut small = pool.allocate_max(2, 2).expect("there is memory");
    assert_eq!(small.put_buffer(&mut to, 3), Err(BufferError::Full { needed: 3, room: 2 }));
    assert_eq!((small.readable(), to.readable()), (0, 8));
    end(from);
    end(to);
    end(small);
}

fn pieces_are_a_buf<P: Platform>() {
    let composite = numbered::<P>(&[3, 3, 3]);
    let mut chunks = composite.chunks().expect("it can be read");
    assert_eq!((chunks.get_u16(), chunks.get_u32(), chunks.remaining()), (0x0001, 0x0203_0405, 3));
    assert_eq!(chunks.copy_to_bytes(3), Bytes::from_static(&[6, 7, 8]));
    assert!(!chunks.has_remaining());
    drop(chunks);
    end(composite);
}

fn what_was_read_makes_room<P: Platform>() {
    // Through the plain handle as through the composite: components go.
    let (composite, witnesses) = composite(&pool::<P>(), &["ab", "cd", "ef"]);
    let mut buffer = composite.into_buffer();
    buffer.advance(3);
    buffer.discard_read_bytes().expect("it is alive");
    assert_eq!((counts(&witnesses), text(&buffer).as_str(), buffer.capacity()), (vec![0, 1, 1], "def", 3));
    // Of a part, bytes move.
    let mut part = buffer.slice(0, 3).expect("it has these bytes");
    part.advance(1);
    part.discard_read_bytes().expect("they are all its own");
    assert_eq!((text(&part).as_str(), text(&buffer).as_str()), ("ef", "eff"));
    end(buffer);
}

fn read_only_components<P: Platform>() {
    let pool = pool::<P>();
    let own = of(&pool, "cd");
    let view = own.as_read_only().expect("it is alive");
    drop(own);
    let mut composite = pool.composite();
    let fixed = Buffer::wrap_static(b"ab").expect("it is small");
    composite.add_components(false, [of(&pool, "__"), fixed, view]).expect("they can be read");
    composite.put(b"xx").expect("this one is its own");
    assert_eq!(composite.put(b"y"), Err(BufferError::ReadOnly));
    composite.set_writer_index(4).expect("there are so many");
    assert_eq!(composite.put(b"y"), Err(BufferError::ReadOnly));
    assert_eq!(composite.set_u32(0, 0), Err(BufferError::ReadOnly), "not even what could be written");
    let mut outer = pool.composite();
    outer.add_component(false, composite.into_buffer()).expect("it can be read");
    outer.put(b"zz").expect("this one is its own");
    assert_eq!(outer.put(b"z"), Err(BufferError::ReadOnly), "however deep");
    outer.set_writer_index(4).expect("there are so many");
    assert_eq!(pieces(&outer), ["zz", "ab"]);
    outer.add_component(false, of(&pool, "!")).expect("it can be read");
    outer.consolidate().expect("there is memory");
    outer.clear();
    outer.put(b"copy").expect("a copy can be written");
    end(outer);
}

fn read_only_composites<P: Platform>() {
    let pool = pool::<P>();
    let (composite, witnesses) = composite(&pool, &["mill", "pond"]);
    let view = composite.as_read_only().expect("it is alive");
    let mut view = Composite::try_from(view).unwrap_or_else(|_| panic!("a whole one"));
    let late = of(&pool, "s");
    let witness = late.duplicate().expect("it is alive");
    assert_eq!(view.add_component(true, late), Err(BufferError::ReadOnly));
    assert_eq!(witness.count(), 0, "released all the same");
    assert_eq!(view.remove_component(0), Err(BufferError::ReadOnly));
    assert_eq!(view.set_capacity(0), Err(BufferError::ReadOnly));
    assert_eq!(view.consolidate(), Err(BufferError::ReadOnly));
    assert_eq!(view.put(b"x"), Err(BufferError::ReadOnly));
    view.advance(4);
    assert_eq!(view.discard_read_components(), Err(BufferError::ReadOnly));
    assert_eq!((text(&view).as_str(), counts(&witnesses)), ("pond", vec![1, 1]));
    end(composite);
}

fn unreleasable_components<P: Platform>() {
    let pool = pool::<P>();
    let buffer = of(&pool, "millpond");
    let lent = buffer.as_unreleasable().expect("it is alive");
    let part = lent.retained_slice(4, 4).expect("it has these bytes");
    assert_eq!(buffer.count(), 1, "what can't be released isn't retained (Netty 4.1.10)");
    let mut composite = pool.composite();
    composite.add_components(true, [lent, part]).expect("they can be read");
    let pieces = composite.retained_decompose(6, 4).expect("it has these bytes");
    assert_eq!((buffer.count(), counts(&pieces)), (1, vec![1, 1]));
    pieces.into_iter().for_each(|piece| assert_eq!(Owned::from(piece).release(), Ok(false)));
    composite.remove_component(1).expect("it is there");
    assert_eq!((text(&composite).as_str(), buffer.count()), ("millpond", 1));
    end(composite);
    assert_eq!(buffer.count(), 1, "it was lent");
    end(buffer);
}

fn unreleasable_composites<P: Platform>() {
    let (composite, witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    let lent = composite.as_unreleasable().expect("it is alive");
    let part = lent.retained_slice(2, 4).expect("it has these bytes");
    assert_eq!((lent.retain().map(|b| b.count()), lent.release(), part.release()), (Ok(1), Ok(false), Ok(false)));
    assert_eq!((text(&part).as_str(), composite.count(), counts(&witnesses)), ("llpo", 1, vec![1, 1]));
    end(composite);
}

fn foreign_memory_is_not_copied<P: Platform>() {
    let pool = pool::<P>();
    let bytes = Bytes::from(b"pond".to_vec());
    let foreign = Buffer::wrap_bytes(bytes.clone()).expect("it is small");
    let mut composite = pool.composite();
    composite.add_components(true, [of(&pool, "mill"), foreign]).expect("they can be read");
    let chunks = composite.chunks().expect("it can be read");
    assert_eq!(chunks.iter().nth(1).map(<[u8]>::as_ptr), Some(bytes.as_ptr()));
    drop(chunks);
    assert!(!bytes.is_unique());
    end(composite);
    assert!(bytes.is_unique(), "given back");
}

fn frozen_in_one_piece<P: Platform>() {
    let (composite, witnesses) = composite(&pool::<P>(), &["mill", "pond"]);
    let part = Owned::from(composite.retained_slice(4, 4).expect("it has these bytes"));
    let frozen = part.freeze().expect("it is in one piece");
    let bytes = Bytes::from(frozen.slice(1, 2).expect("it has these bytes"));
    end_not(composite.retain().expect("it is alive"));
    let several = Owned::from(composite.into_buffer());
    let split = BufferError::Split { at: 0, length: 8, contiguous: 4 };
    assert_eq!(several.freeze().map(drop), Err(split));
    assert_eq!((&*frozen, &*bytes, counts(&witnesses)), (&b"pond"[..], &b"on"[..], vec![1, 1]));
    drop(frozen);
    assert_eq!(&*bytes, b"on");
    drop(bytes);
    assert_eq!(counts(&witnesses), [0, 0]);
}

fn end_not<P: Platform>(buffer: Buffer<P>) {
    assert_eq!(Owned::from(buffer).release(), Ok(false), "not the last one");
}

fn room_in_one_piece<P: Platform>() {
    let pool = pool::<P>();
    let mut composite = pool.composite();
    composite.write_guard(6).expect("it grows").put_slice(b"millpo");
    assert_eq!((text(&composite).as_str(), composite.capacity()), ("millpo", 64));
    composite.put_repeated(b'.', 57).expect("there is room");
    match composite.write_guard(2) {
        Err(BufferError::Split { at: 63, .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("one byte of room is here, the rest elsewhere"),
    }
    composite.put(b"nd").expect("which `put` can do");
    assert_eq!(composite.readable(), 65);
    end(composite);
}

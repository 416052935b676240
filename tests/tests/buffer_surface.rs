//! What a buffer offers: indices, numbers, growth, guards, views, wrapped memory, and the way to and from other crates' types.

mod write_path_support;

use bytes::{Buf, BufMut, Bytes};
use millpond_model::allocator::{Allocator, AllocatorConfig, Backend};
use millpond_model::buffer::{Buffer, BufferError, Composite, Owned, new_capacity};
use millpond_model::platform::JoinOps;
use millpond_model::recycler::Domain;
use millpond_model::refcnt::{IllegalCount, MAX_PINS};
use millpond_model::{Platform, Preset, Std};
use proptest::prelude::*;

on_both!(
    indices_stay_in_order,
    discarding_makes_room,
    growing_up_to_the_maximum,
    guards_read_and_write,
    frozen_bytes_are_kept,
    frozen_on_other_threads,
    bytes_without_copying,
    views_may_less,
    wrapped_memory,
    several_pieces,
    like_a_file,
    from_buffer_to_buffer;
    misusing:
    frozen_outlives_a_release_too_many,
    guards_of_the_dead,
);

/// Blocks are as long as they are asked for, so that every growth is seen: what a longer block has anyway is used first.
fn allocator<P: Platform>() -> Allocator<P> {
    let config = AllocatorConfig { backend: Backend::Unpooled, ..Preset::Millpond.into() };
    Allocator::new_in(&Domain::new(), config)
}

fn of<P: Platform>(text: &str) -> Owned<P> {
    let mut buffer = Owned::from(allocator().allocate(text.len()).expect("there is memory"));
    buffer.put(text.as_bytes()).expect("there is room");
    buffer
}

fn count<T>(count: i32) -> Result<T, BufferError> {
    Err(BufferError::Count(IllegalCount { count, change: 0 }))
}

fn indices_stay_in_order<P: Platform>() {
    let mut buffer = of::<P>("millpond");
    assert_eq!((buffer.reader_index(), buffer.writer_index(), buffer.writable()), (0, 8, 0));
    let range = |at, length| Err(BufferError::Range { at, length, capacity: 8 });
    assert_eq!(buffer.set_writer_index(9), range(0, 9));
    assert_eq!(buffer.set_indices(5, 4), range(5, 0));
    assert_eq!(buffer.set_reader_index(9), range(9, 0));
    assert_eq!(buffer.skip(9), Err(BufferError::Short { needed: 9, readable: 8 }));
    assert_eq!((buffer.skip(4), buffer.set_writer_index(6)), (Ok(()), Ok(())));
    assert_eq!((&*buffer.bytes().expect("it is alive"), buffer.writable()), (&b"po"[..], 2));
    buffer.clear();
    assert_eq!((buffer.readable(), buffer.set_writer_index(8)), (0, Ok(())));
    assert_eq!(&*buffer.bytes().expect("it is alive"), b"millpond", "clearing leaves the bytes");
}

fn discarding_makes_room<P: Platform>() {
    let mut buffer = of::<P>("millpond");
    buffer.skip(3).expect("they are readable");
    buffer.discard_some_read_bytes().expect("not yet worth it");
    assert_eq!(buffer.reader_index(), 3);
    buffer.skip(1).expect("it is readable");
    let twin = buffer.retain().expect("it is alive");
    assert_eq!(buffer.discard_some_read_bytes(), count(2));
    assert_eq!(twin.release(), Ok(false));
    buffer.discard_some_read_bytes().expect("half has been read");
    assert_eq!((buffer.reader_index(), &*buffer.bytes().expect("it is alive")), (0, &b"pond"[..]));
    assert_eq!((buffer.writable(), buffer.capacity()), (4, 8));
    let shared = buffer.retain().expect("it is alive");
    buffer.skip(4).expect("they are readable");
    buffer.discard_read_bytes().expect("nothing is to be moved");
    assert_eq!((buffer.writer_index(), shared.release()), (0, Ok(false)));
}

fn growing_up_to_the_maximum<P: Platform>() {
    let mut buffer = Owned::from(allocator::<P>().allocate_max(3, 100).expect("there is memory"));
    buffer.put(b"abc").expect("there is room");
    buffer.ensure_writable(1).expect("it may grow");
    assert_eq!(buffer.capacity(), 64, "the first step");
    buffer.put_repeated(b'x', 62).expect("it may grow");
    assert_eq!((buffer.capacity(), buffer.max_writable()), (100, 35), "128 is too much");
    assert_eq!(buffer.ensure_writable(36), Err(BufferError::Full { needed: 36, room: 35 }));
    assert_eq!(buffer.put(&[0; 36]), Err(BufferError::Full { needed: 36, room: 35 }));
    assert_eq!(&buffer.bytes().expect("it is alive")[..4], b"abcx");
    let slice = Owned::from(buffer.retained_slice(0, 3).expect("it has these bytes"));
    assert_eq!(
        slice.duplicate().expect("it is alive").ensure_writable(1).err(),
        Some(BufferError::Full { needed: 1, room: 0 })
    );
}

/// Netty's: a power of two from 64 up to 4 MiB, then steps of 4 MiB.
#[test]
fn new_capacities() {
    const MIB: usize = 1 << 20;
    let max = i32::MAX as usize;
    for (needed, expected) in [
        (0, 64),
        (1, 64),
        (64, 64),
        (65, 128),
        (1000, 1024),
        (4 * MIB - 1, 4 * MIB),
        (4 * MIB, 4 * MIB),
        (4 * MIB + 1, 8 * MIB),
        (8 * MIB, 12 * MIB),
        (max, max),
    ] {
        assert_eq!(new_capacity(needed, max), expected, "{needed}");
    }
    assert_eq!((new_capacity(65, 100), new_capacity(9 * MIB, 10 * MIB)), (100, 10 * MIB));
}

fn guards_read_and_write<P: Platform>() {
    let mut buffer = Owned::from(allocator::<P>().allocate(4).expect("there is memory"));
    {
        let mut room = buffer.write_guard(6).expect("it may grow");
        assert_eq!(room.remaining_mut(), 64);
        room.put_u16(0x6d69);
        room.put_slice(b"ll");
        room.room()[0] = b'!';
    }
    assert_eq!(&*buffer.bytes().expect("it is alive"), b"mill", "what was not counted is not there");
    let mut bytes = buffer.bytes().expect("it is alive");
    assert_eq!((bytes.get_u8(), bytes.remaining(), bytes.chunk()), (b'm', 3, &b"ill"[..]));
    let other = buffer.duplicate().expect("it is alive");
    assert_eq!(&*other.bytes().expect("many may read"), b"mill");
    drop(bytes);
    assert_eq!(buffer.readable(), 4, "the guard's place is its own");
    let twin = buffer.retain().expect("it is alive");
    assert_eq!(buffer.write_guard(1).err(), count::<()>(2).err());
    assert_eq!(twin.release(), Ok(false));
    assert_eq!(buffer.write_guard(usize::MAX).err().map(|e| matches!(e, BufferError::Full { .. })), Some(true));
}

fn frozen_bytes_are_kept<P: Platform>() {
    let allocator = allocator::<P>();
    let mut buffer = Owned::from(allocator.allocate(8).expect("there is memory"));
    buffer.put(b"millpond").expect("there is room");
    let frozen = buffer.frozen().expect("it is alive");
    assert_eq!(buffer.put(b"!"), count(2));
    assert_eq!(buffer.set_capacity(100), count(2), "nor may it move");
    drop(buffer);
    let mut twin = frozen.clone();
    let part = frozen.slice(4, 4).expect("it has these bytes");
    assert_eq!(frozen.slice(5, 4).err(), Some(BufferError::Range { at: 5, length: 4, capacity: 8 }));
    assert_eq!((twin.get_u32(), twin.remaining(), &*part), (0x6d69_6c6c, 4, &b"pond"[..]));
    drop((twin, part));
    let mut back = frozen.into_owned();
    back.put(b"!").expect("it has one owner again");
    drop(back);
    assert_eq!(allocator.stats().direct.total().in_use, 0);
}

fn frozen_on_other_threads<P: Platform>() {
    let frozen = of::<P>("millpond").freeze().expect("it is alive");
    let threads: Vec<_> = (0..3)
        .map(|i| {
            let mine = frozen.clone();
            let body = move || {
                let part = mine.slice(i, 4).expect("it has these bytes");
                drop(mine);
                assert_eq!(*part, b"millpond"[i..i + 4]);
            };
            P::spawn(format!("reader {i}"), body).expect("threads are to be had")
        })
        .collect();
    drop(frozen);
    threads.into_iter().for_each(|t| t.join().expect("no panic"));
}

fn bytes_without_copying<P: Platform>() {
    let allocator = allocator::<P>();
    let mut buffer = Owned::from(allocator.allocate(8).expect("there is memory"));
    buffer.put(b"millpond").expect("there is room");
    let place = buffer.bytes().expect("it is alive").as_ptr();
    let mut frozen = buffer.freeze().expect("it is alive");
    let first = frozen.copy_to_bytes(4);
    let rest = Bytes::from(frozen);
    assert_eq!((&*first, &*rest), (&b"mill"[..], &b"pond"[..]));
    assert_eq!((first.as_ptr(), rest.as_ptr()), (place, place.wrapping_add(4)), "nothing was copied");
    let back = Owned::from(Buffer::<P>::wrap_bytes(rest.clone()).expect("it is small"));
    assert_eq!(back.bytes().expect("it is alive").as_ptr(), rest.as_ptr());
    drop((first, rest));
    assert_eq!(allocator.stats().direct.total().in_use, 1, "the wrapped one keeps it");
    assert_eq!(&*back.bytes().expect("it is alive"), b"pond");
    drop(back);
    assert_eq!(allocator.stats().direct.total().in_use, 0, "the last of them released the buffer");
}

fn views_may_less<P: Platform>() {
    let mut buffer = of::<P>("pond");
    let mut read_only = buffer.as_read_only().expect("it is alive");
    for refused in [
        read_only.put(b"!"),
        read_only.set(0, b"!"),
        read_only.set_capacity(9),
        read_only.slice(0, 2).expect("it has these bytes").set(0, b"!"),
        Owned::from(read_only.retained_duplicate().expect("it is alive")).set(0, b"!"),
        read_only.write_guard(0).map(drop),
    ] {
        assert_eq!(refused, Err(BufferError::ReadOnly));
    }
    assert_eq!((read_only.count(), &*read_only.bytes().expect("it is alive")), (1, &b"pond"[..]));
    let kept = buffer.as_unreleasable().expect("it is alive");
    assert_eq!((kept.release(), kept.release_many(9), kept.retain_many(9)), (Ok(false), Ok(false), Ok(())));
    let more = [kept.retain(), Ok(kept.duplicate().expect("it is alive"))];
    more.into_iter().for_each(|handle| assert_eq!(handle.expect("it is alive").release(), Ok(false)));
    drop(Owned::from(kept.retained_slice(0, 1).expect("it has this byte")));
    assert_eq!(buffer.count(), 1);
    buffer.put(b"!").expect("the others are handles, not owners");
}

fn wrapped_memory<P: Platform>() {
    let mut vec = Owned::from(Buffer::<P>::wrap_vec(b"mill".to_vec()).expect("it is small"));
    vec.set(0, b"b").expect("it has one owner");
    assert_eq!((&*vec.bytes().expect("it is alive"), vec.capacity(), vec.max_capacity()), (&b"bill"[..], 4, 4));
    assert_eq!(vec.put(b"!"), Err(BufferError::Full { needed: 1, room: 0 }));
    vec.set_capacity(2).expect("it may shrink");
    assert_eq!(&*vec.bytes().expect("it is alive"), b"bi");
    let slice = Owned::from(vec.retained_slice(1, 1).expect("it has this byte"));
    assert_eq!((vec.count(), slice.count()), (2, 2), "it has no allocator, and so no shells for derived ones");
    drop(vec);
    assert_eq!(&*slice.bytes().expect("it is alive"), b"i");
    let mut literal = Owned::from(Buffer::<P>::wrap_static(b"pond").expect("it is small"));
    assert_eq!((literal.set(0, b"f"), literal.is_read_only()), (Err(BufferError::ReadOnly), true));
    let mut copy = Owned::from(literal.copy(0, 4).expect("it has these bytes"));
    copy.set(0, b"f").expect("a copy is its own");
    assert_eq!(
        (&*copy.bytes().expect("it is alive"), &*literal.bytes().expect("it is alive")),
        (&b"fond"[..], &b"pond"[..])
    );
    assert!(Buffer::<P>::wrap_vec(Vec::new()).expect("it is small").is_empty_buffer());
}

fn several_pieces<P: Platform>() {
    let parts = [Buffer::wrap_vec(b"mill".to_vec()), Buffer::wrap_static(b"pond")];
    let mut whole =
        Owned::from(Composite::<P>::wrapped(parts.map(|p| p.expect("it is small"))).expect("both are alive"));
    assert_eq!((whole.get_u32(2), whole.readable()), (Ok(u32::from_be_bytes(*b"llpo")), 8), "numbers may lie across");
    assert_eq!(whole.set_u16(0, 0x6269), Ok(()));
    assert_eq!(whole.set_u16(3, 0), Err(BufferError::ReadOnly), "a part of it is in shared memory");
    assert_eq!(whole.get_u8(3), Ok(b'l'), "and nothing is written then");
    assert_eq!(whole.frozen().err(), Some(BufferError::Split { at: 0, length: 8, contiguous: 4 }));
    let mut copy = of::<P>("");
    copy.put_buffer(&mut whole, 6).expect("from all its pieces");
    assert_eq!((&*copy.bytes().expect("it is alive"), whole.readable()), (&b"billpo"[..], 2));
    assert_eq!(&*whole.frozen().expect("the rest is in one piece"), b"nd");
    let parts = ["abc", "defg"].map(|text| of::<P>(text).into_buffer());
    let mut whole = Owned::from(Composite::<P>::wrapped(parts).expect("both are alive"));
    whole.skip(2).expect("they are readable");
    whole.discard_read_bytes().expect("each part has one owner");
    let mut text = [0; 5];
    whole.read_into(&mut text).expect("they are readable");
    assert_eq!(&text, b"cdefg");
}

fn like_a_file<P: Platform>() {
    use std::io::{Read, Write};
    let mut buffer = Owned::from(allocator::<P>().allocate_max(4, 6).expect("there is memory"));
    assert_eq!(buffer.write(b"millpond").expect("it is alive"), 6);
    assert_eq!(buffer.write_all(b"x").map_err(|e| e.kind()), Err(std::io::ErrorKind::WriteZero));
    let mut text = String::new();
    buffer.read_to_string(&mut text).expect("it is alive");
    assert_eq!((text.as_str(), buffer.read(&mut [0; 4]).expect("it is alive")), ("millpo", 0));
    let twin = buffer.retain().expect("it is alive");
    buffer.clear();
    assert_eq!(buffer.write(b"m").map_err(|e| e.kind()), Err(std::io::ErrorKind::Other), "it has two owners");
    assert_eq!(buffer.flush().map_err(|e| e.kind()), Ok(()));
    assert_eq!(twin.release(), Ok(false));
}

fn from_buffer_to_buffer<P: Platform>() {
    let (mut from, mut to) = (of::<P>("millpond"), of::<P>("a "));
    to.put_buffer(&mut from, 4).expect("both are alive");
    assert_eq!((&*to.bytes().expect("it is alive"), from.readable()), (&b"a mill"[..], 4));
    assert_eq!(to.put_buffer(&mut from, 5), Err(BufferError::Short { needed: 5, readable: 4 }));
    let mut twin = to.duplicate().expect("it is alive");
    assert_eq!(to.put_buffer(&mut twin, 1), count(1), "they are one buffer");
    assert_eq!((twin.readable(), to.readable()), (6, 6));
}

fn frozen_outlives_a_release_too_many<P: Platform>() {
    let buffer = of::<P>("pond").into_buffer();
    let frozen = buffer.frozen().expect("it is alive");
    assert_eq!(buffer.release_many(2), Ok(true), "one of them was not its own");
    assert_eq!(
        (&*frozen, frozen.try_clone().err()),
        (&b"pond"[..], Some(BufferError::Count(IllegalCount { count: 0, change: 1 })))
    );
    drop(frozen);
    assert!(buffer.bytes().is_err());
}

fn guards_of_the_dead<P: Platform>() {
    let mut buffer = of::<P>("pond").into_buffer();
    buffer.release().expect("it is alive");
    assert_eq!(buffer.write_guard(0).map(drop), count(0));
    assert_eq!(buffer.bytes().map(drop), count(0));
    assert_eq!((buffer.get_u8(0), buffer.read_u8(), buffer.set_u8(0, 1)), (count(0), count(0), count(0)));
    assert!(buffer.frozen().is_err() && std::io::Read::read(&mut buffer, &mut []).is_err());
    assert_eq!(buffer.ensure_writable(0), count(0));
}

#[test]
fn frozen_bytes_have_a_limit() {
    let frozen = of::<Std>("pond").freeze().expect("it is alive");
    let all: Vec<_> = (1..MAX_PINS).map(|_| frozen.clone()).collect();
    let refused = frozen.try_clone().err();
    assert!(matches!(refused, Some(BufferError::Count(_))), "{refused:?}");
    drop(all);
    assert_eq!(&*frozen.clone(), b"pond");
}

/// The same numbers through another crate.
macro_rules! as_bytes_does {
    ($name:ident: $value:ty, $($mask:expr)?; $put:ident $read:ident $get:ident $set:ident; $other_put:expr) => {
        proptest! {
            #[test]
            fn $name(values in prop::collection::vec(any::<$value>(), 1..9)) {
                let mut expected = Vec::new();
                let mut buffer = Owned::from(allocator::<Std>().allocate(0).expect("there is memory"));
                for value in &values {
                    let other: fn(&mut Vec<u8>, $value) = $other_put;
                    other(&mut expected, *value);
                    buffer.$put(*value).expect("it may grow");
                }
                prop_assert_eq!(&*buffer.bytes().expect("it is alive"), expected.as_slice());
                let size = expected.len() / values.len();
                for (i, value) in values.iter().enumerate() {
                    let seen = *value $(& $mask)?;
                    prop_assert_eq!(buffer.$get(i * size).map(<$value>::to_be_bytes), Ok(seen.to_be_bytes()));
                    prop_assert_eq!(buffer.$read().map(<$value>::to_be_bytes), Ok(seen.to_be_bytes()));
                }
                prop_assert_eq!(buffer.$read().is_err(), true);
                buffer.$set(0, values[values.len() - 1]).expect("it has one owner");
                let last = buffer.part(expected.len() - size, size);
                prop_assert_eq!(buffer.part(0, size), last);
            }
        }
    };
}

trait Part {
    fn part(&self, at: usize, length: usize) -> Vec<u8>;
}

impl Part for Owned<Std> {
    fn part(&self, at: usize, length: usize) -> Vec<u8> {
        let mut part = vec![0; length];
        self.get(at, &mut part).expect("it has these bytes");
        part
    }
}

as_bytes_does!(numbers_u8: u8,; put_u8 read_u8 get_u8 set_u8; |v, n| v.put_u8(n));
as_bytes_does!(numbers_i8: i8,; put_i8 read_i8 get_i8 set_i8; |v, n| v.put_i8(n));
as_bytes_does!(numbers_u16: u16,; put_u16 read_u16 get_u16 set_u16; |v, n| v.put_u16(n));
as_bytes_does!(numbers_u16_le: u16,; put_u16_le read_u16_le get_u16_le set_u16_le; |v, n| v.put_u16_le(n));
as_bytes_does!(numbers_i16: i16,; put_i16 read_i16 get_i16 set_i16; |v, n| v.put_i16(n));
as_bytes_does!(numbers_i16_le: i16,; put_i16_le read_i16_le get_i16_le set_i16_le; |v, n| v.put_i16_le(n));
as_bytes_does!(numbers_u24: u32, 0xff_ffff; put_u24 read_u24 get_u24 set_u24;
    |v, n| v.put_uint(u64::from(n) & 0xff_ffff, 3));
as_bytes_does!(numbers_u24_le: u32, 0xff_ffff; put_u24_le read_u24_le get_u24_le set_u24_le;
    |v, n| v.put_uint_le(u64::from(n) & 0xff_ffff, 3));
as_bytes_does!(numbers_u32: u32,; put_u32 read_u32 get_u32 set_u32; |v, n| v.put_u32(n));
as_bytes_does!(numbers_u32_le: u32,; put_u32_le read_u32_le get_u32_le set_u32_le; |v, n| v.put_u32_le(n));
as_bytes_does!(numbers_i32: i32,; put_i32 read_i32 get_i32 set_i32; |v, n| v.put_i32(n));
as_bytes_does!(numbers_i32_le: i32,; put_i32_le read_i32_le get_i32_le set_i32_le; |v, n| v.put_i32_le(n));
as_bytes_does!(numbers_u64: u64,; put_u64 read_u64 get_u64 set_u64; |v, n| v.put_u64(n));
as_bytes_does!(numbers_u64_le: u64,; put_u64_le read_u64_le get_u64_le set_u64_le; |v, n| v.put_u64_le(n));
as_bytes_does!(numbers_i64: i64,; put_i64 read_i64 get_i64 set_i64; |v, n| v.put_i64(n));
as_bytes_does!(numbers_i64_le: i64,; put_i64_le read_i64_le get_i64_le set_i64_le; |v, n| v.put_i64_le(n));
as_bytes_does!(numbers_f32: f32,; put_f32 read_f32 get_f32 set_f32; |v, n| v.put_f32(n));
as_bytes_does!(numbers_f32_le: f32,; put_f32_le read_f32_le get_f32_le set_f32_le; |v, n| v.put_f32_le(n));
as_bytes_does!(numbers_f64: f64,; put_f64 read_f64 get_f64 set_f64; |v, n| v.put_f64(n));
as_bytes_does!(numbers_f64_le: f64,; put_f64_le read_f64_le get_f64_le set_f64_le; |v, n| v.put_f64_le(n));

#[test]
fn three_bytes_keep_the_sign() {
    let mut buffer = of::<Std>("......");
    for value in [-1, 0, 1, -8_388_608, 8_388_607, -2] {
        buffer.set_i24(0, value).expect("it has one owner");
        buffer.set_i24_le(3, value).expect("it has one owner");
        assert_eq!((buffer.get_i24(0), buffer.get_i24_le(3)), (Ok(value), Ok(value)));
        let bytes = buffer.part(0, 6);
        assert_eq!(bytes[..3], value.to_be_bytes()[1..]);
        assert_eq!(bytes[3..], value.to_le_bytes()[..3]);
    }
}

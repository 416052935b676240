//! Reference counts and buffers: the contract of Netty 4.1.32 and later, and that misuse is an error.

mod write_path_support;

use millpond_model::allocator::Allocator;
use millpond_model::buffer::{BufferError, Owned};
use millpond_model::platform::{AtomicOps, JoinOps};
use millpond_model::recycler::Domain;
use millpond_model::refcnt::{IllegalCount, MAX_COUNT, RefCount, Release};
use millpond_model::{Platform, Preset};
use std::sync::Arc;
use std::sync::atomic::Ordering;

on_both!(
    count_contract,
    count_overflow,
    count_last_release_is_unique,
    count_pins_outlive_the_last_release,
    buffer_contract,
    buffer_put_needs_the_sole_owner,
    buffer_owned,
    buffer_out_of_memory,
    buffer_released_by_racing_threads;
    misusing:
    buffer_double_release,
    buffer_use_after_release,
    buffer_released_while_read,
    buffer_stale_handles
);

fn pool<P: Platform>() -> Allocator<P> {
    Allocator::new_in(&Domain::new(), Preset::Millpond.into())
}

/// A count in its first life, of one.
fn alive<P: Platform>() -> RefCount<P> {
    let count = RefCount::new();
    count.revive();
    count
}

fn illegal<T>(count: i32, change: i64) -> Result<T, IllegalCount> {
    Err(IllegalCount { count, change })
}

fn count_contract<P: Platform>() {
    let count = alive::<P>();
    assert_eq!(count.count(), 1);
    assert_eq!(count.retain(1), Ok(2));
    assert_eq!(count.retain(3), Ok(5));
    assert_eq!(count.release(4), Ok(Release { left: 1, deallocate: false, again: false }));
    // Over-release of one leaves the count: (1, 3) in Netty's own test.
    assert_eq!(count.release(3), illegal(1, -3));
    assert_eq!(count.retain(0), illegal(1, 0));
    assert_eq!(count.release(0), illegal(1, 0));
    assert_eq!(count.release(1), Ok(Release { left: 0, deallocate: true, again: false }));
    assert_eq!(count.count(), 0);
    assert_eq!(count.retain(1), illegal(0, 1));
    assert_eq!(count.release(1), illegal(0, -1));
    assert_eq!(count.pin(), illegal(0, 0));
}

fn count_overflow<P: Platform>() {
    let count = alive::<P>();
    assert_eq!(count.retain(MAX_COUNT), illegal(1, i64::from(MAX_COUNT)));
    assert_eq!(count.retain(u32::MAX), illegal(1, i64::from(u32::MAX)));
    assert_eq!(count.retain(MAX_COUNT - 1), Ok(MAX_COUNT));
    assert_eq!(count.retain(1), illegal(MAX_COUNT as i32, 1));
    assert_eq!(count.release(MAX_COUNT), Ok(Release { left: 0, deallocate: true, again: false }));
}

fn count_last_release_is_unique<P: Platform>() {
    for _ in 0..200 {
        let count = Arc::new(alive::<P>());
        count.retain(1).expect("it is alive");
        let lasts = Arc::new(P::Atomic::new(0_u32));
        let threads: Vec<_> = (0..3)
            .map(|i| {
                let (count, lasts) = (Arc::clone(&count), Arc::clone(&lasts));
                let body = move || {
                    if count.release(1).is_ok_and(|r| r.left == 0) {
                        lasts.fetch_add(1, Ordering::SeqCst);
                    }
                };
                P::spawn(format!("releaser {i}"), body).expect("threads are to be had")
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert_eq!(lasts.load(Ordering::SeqCst), 1);
    }
}

fn count_pins_outlive_the_last_release<P: Platform>() {
    let count = alive::<P>();
    count.pin().expect("it is alive");
    assert_eq!(count.pin_to_write(), illegal(1, 0));
    assert_eq!(count.release(1), Ok(Release { left: 0, deallocate: false, again: false }));
    assert!(count.unpin(), "the last one out deallocates");
}

fn buffer_contract<P: Platform>() {
    let pool = pool::<P>();
    let mut buffer = pool.allocate_max(8, 8).expect("there is memory");
    buffer.put(b"mill").expect("there is room");
    buffer.put_repeated(b'x', 3).expect("there is room");
    assert_eq!(buffer.put(b"ab"), Err(BufferError::Full { needed: 2, room: 1 }));
    assert_eq!(&*buffer.bytes().expect("it is alive"), b"millxxx");
    buffer.advance(4);
    let second = buffer.retain().expect("it is alive");
    assert_eq!((buffer.count(), second.readable()), (2, 3));
    assert_eq!(buffer.release(), Ok(false));
    assert_eq!(&*second.bytes().expect("one owner is left"), b"xxx");
    assert_eq!(second.release(), Ok(true));
}

fn buffer_double_release<P: Platform>() {
    let buffer = pool::<P>().allocate(8).expect("there is memory");
    assert_eq!(buffer.release(), Ok(true));
    assert_eq!(buffer.release(), illegal(0, -1));
    assert_eq!(buffer.release_many(2), illegal(0, -2));
}

fn buffer_use_after_release<P: Platform>() {
    let mut buffer = pool::<P>().allocate(8).expect("there is memory");
    buffer.put(b"x").expect("there is room");
    buffer.release().expect("it is alive");
    assert!(buffer.bytes().is_err());
    assert!(buffer.retain().is_err());
    assert_eq!(buffer.put(b"y"), Err(BufferError::Count(IllegalCount { count: 0, change: 0 })));
    assert_eq!(buffer.count(), 0);
}

/// One release too many while somebody reads: the memory stays until the reader is out.
fn buffer_released_while_read<P: Platform>() {
    let pool = pool::<P>();
    let mut buffer = pool.allocate(4).expect("there is memory");
    buffer.put(b"pond").expect("there is room");
    let bytes = buffer.bytes().expect("it is alive");
    assert_eq!(buffer.release(), Ok(true));
    assert!(buffer.release().is_err());
    let other = pool.allocate(4).expect("there is memory");
    assert_eq!(&*bytes, b"pond");
    drop(bytes);
    assert!(buffer.bytes().is_err());
    other.release().expect("it is another one");
}

fn buffer_put_needs_the_sole_owner<P: Platform>() {
    let mut buffer = pool::<P>().allocate(8).expect("there is memory");
    let other = buffer.retain().expect("it is alive");
    assert_eq!(buffer.put(b"x"), Err(BufferError::Count(IllegalCount { count: 2, change: 0 })));
    other.release().expect("it is alive");
    buffer.put(b"x").expect("the other owner is gone");
    buffer.release().expect("it is alive");
}

/// A handle kept after the release keeps its shell from being reused, so that it never speaks for another life.
fn buffer_stale_handles<P: Platform>() {
    let pool = pool::<P>();
    let mut stale = Vec::new();
    for _ in 0..64 {
        let buffer = pool.allocate(1).expect("there is memory");
        buffer.release().expect("it is alive");
        stale.push(buffer);
    }
    assert_eq!(pool.stats().direct.total().created, 64);
    let mut live = pool.allocate(4).expect("there is memory");
    live.put(b"live").expect("there is room");
    for old in &stale {
        assert_eq!(old.release(), illegal(0, -1));
        assert!(old.retain().is_err() && old.bytes().is_err());
    }
    assert_eq!(&*live.bytes().expect("no stale handle harmed it"), b"live");
    assert_eq!(live.release(), Ok(true));
    drop((live, stale));
    assert_eq!(pool.stats().direct.total().in_use, 0, "all shells are back");
}

fn buffer_owned<P: Platform>() {
    let pool = pool::<P>();
    let buffer = pool.allocate(1).expect("there is memory");
    let witness = buffer.retain().expect("it is alive");
    drop(Owned::from(buffer));
    assert_eq!(witness.count(), 1);
    let kept = Owned::from(witness).into_buffer();
    assert_eq!(kept.release(), Ok(true));
}

fn buffer_out_of_memory<P: Platform>() {
    let pool = pool::<P>();
    for capacity in [usize::MAX, u32::MAX as usize + 1] {
        assert_eq!(pool.allocate(capacity).err().map(|e| e.capacity), Some(capacity));
    }
    pool.allocate(0).expect("an empty buffer needs no memory").release().expect("it is alive");
}

fn buffer_released_by_racing_threads<P: Platform>() {
    let pool = pool::<P>();
    for _ in 0..200 {
        let mut buffer = pool.allocate(64).expect("there is memory");
        buffer.put_repeated(9, 64).expect("there is room");
        let handles: Vec<_> = (0..2).map(|_| buffer.retain().expect("it is alive")).collect();
        let threads: Vec<_> = handles
            .into_iter()
            .map(|handle| {
                let body = move || {
                    assert!(handle.bytes().expect("this owner has a count").iter().all(|b| *b == 9));
                    handle.release().expect("this owner has a count");
                };
                P::spawn("reader".to_string(), body).expect("threads are to be had")
            })
            .collect();
        buffer.release().expect("this owner has a count");
        threads.into_iter().for_each(|t| t.join().expect("no panic"));
        assert_eq!(buffer.count(), 0);
    }
}

//! How fast the pools are, beside what the hardware takes and beside other people's, all in one run; and what they keep.
//!
//! ```text
//! cargo bench -p millpond-tests --bench pools                              ours, the floors and the system's allocator
//! cargo bench -p millpond-tests --features peers --bench pools             everything
//! cargo bench -p millpond-tests --features peers --bench pools -- "get + recycle"   only the rows of these groups
//! ```
//!
//! Nanoseconds an operation are medians of rounds, each of which runs every row. Only ratios mean something, and only those of
//! one run: the last table has them, each the median of the rounds' own ratios, with the target that it is to meet. The rows
//! across threads are to be read beside the transfer time of a cache line.

mod alloc;
mod burst;
mod floors;
mod measure;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod table;

use alloc::Boxes;
use floors::{FreeList, Lines, PointedList};
use measure::{Source, cross, repeat, same, transfer};
use millpond_model::Preset;
use ours::{Buffers, Objects};
use std::alloc::System;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use table::{FLOOR, OURS, Table};

const ROUNDS: usize = 11;

static SYSTEM: System = System;

/// A pool for as long as the process lives.
fn kept<S>(source: S) -> &'static S {
    Box::leak(Box::new(source))
}

const D1: &str = "get + recycle, d1";
const D16: &str = "get + recycle, d16";
const D256: &str = "get + recycle, d256";
const ONE: &str = "get + recycle, 1 to 1";
const THREE: &str = "get + recycle, 3 to 1";
const RETAIN: &str = "retain + release";

/// A pool of 64-byte objects in all groups.
fn objects<S: Source>(table: &mut Table, name: &'static str, source: &'static S) {
    table.row(D1, name, move || same::<S, 1>(source));
    table.row(D16, name, move || same::<S, 16>(source));
    table.row(D256, name, move || same::<S, 256>(source));
    table.row(ONE, name, move || cross(source, 1));
    table.row(THREE, name, move || cross(source, 3));
}

/// The groups of one size of buffer: at depths 1, 16 and 256, and across threads.
type Groups = [&'static str; 4];
const B64: Groups = ["buffer 64 B, d1", "buffer 64 B, d16", "buffer 64 B, d256", "buffer 64 B, 1 to 1"];
const B256: Groups = ["buffer 256 B, d1", "buffer 256 B, d16", "buffer 256 B, d256", "buffer 256 B, 1 to 1"];
const B4K: Groups = ["buffer 4 KiB, d1", "buffer 4 KiB, d16", "buffer 4 KiB, d256", "buffer 4 KiB, 1 to 1"];
const B64K: Groups = ["buffer 64 KiB, d1", "buffer 64 KiB, d16", "buffer 64 KiB, d256", "buffer 64 KiB, 1 to 1"];

fn buffers<S: Source>(table: &mut Table, groups: Groups, name: &'static str, source: &'static S) {
    table.row(groups[0], name, move || same::<S, 1>(source));
    table.row(groups[1], name, move || same::<S, 16>(source));
    table.row(groups[2], name, move || same::<S, 256>(source));
    table.row(groups[3], name, move || cross(source, 1));
}

macro_rules! allocator {
    ($table:expr, $name:literal, $allocator:expr) => {
        objects($table, $name, kept(Boxes::<_, 64, true>($allocator)));
        buffers($table, B64, $name, kept(Boxes::<_, 64, false>($allocator)));
        buffers($table, B256, $name, kept(Boxes::<_, 256, false>($allocator)));
        buffers($table, B4K, $name, kept(Boxes::<_, 4096, false>($allocator)));
        buffers($table, B64K, $name, kept(Boxes::<_, 65536, false>($allocator)));
    };
}

fn rows(table: &mut Table) {
    let lines = kept(Lines::new());
    let word = kept(AtomicU32::new(0));
    table.row(FLOOR, "cache line transfer", transfer);
    table.row(FLOOR, "two RMWs", move || {
        repeat(|| {
            black_box(word).fetch_add(2, Ordering::Relaxed); // Relaxed: only the instruction counts
            black_box(word).fetch_sub(2, Ordering::Release);
        })
    });
    for (group, depth) in [(D1, 1), (D16, 16), (D256, 256)] {
        table.row(group, "free list", move || match depth {
            1 => same::<_, 1>(&FreeList),
            16 => same::<_, 16>(&FreeList),
            _ => same::<_, 256>(&FreeList),
        });
    }
    table.row(D1, "free list by pointer", || same::<_, 1>(&PointedList));
    table.row(D16, "free list by pointer", || same::<_, 16>(&PointedList));
    table.row(D256, "free list by pointer", || same::<_, 256>(&PointedList));
    table.row(ONE, "payload ring", move || cross(lines, 1));
    table.row(THREE, "payload ring", move || cross(lines, 3));

    objects(table, OURS, kept(Objects::new(Preset::Millpond)));
    objects(table, "Netty 4.1.88, imitated", kept(Objects::new(Preset::Netty4_1_88)));
    let buffer = kept(Buffers::<256>::new());
    buffers(table, B64, OURS, kept(Buffers::<64>::new()));
    buffers(table, B256, OURS, buffer);
    buffers(table, B4K, OURS, kept(Buffers::<4096>::new()));
    buffers(table, B64K, OURS, kept(Buffers::<65536>::new()));
    let held = kept(buffer.get());
    table.row(RETAIN, OURS, move || {
        repeat(|| {
            black_box(&**held).retain_many(1).expect("it lives");
            black_box(&**held).release().expect("it lives");
        })
    });
    allocator!(table, "system", &SYSTEM);
    #[cfg(feature = "peers")]
    peer_rows(table);
}

#[cfg(feature = "peers")]
fn peer_rows(table: &mut Table) {
    use peers::*;
    allocator!(table, "mimalloc", &MIMALLOC);
    allocator!(table, "snmalloc", &SNMALLOC);
    allocator!(table, "jemalloc", &JEMALLOC);
    objects(table, "opool", kept(Opool(opool::Pool::new(4096, Make))));
    objects(table, "object-pool", kept(ObjectPool(object_pool::Pool::new(0, Box::default))));
    objects(table, "ArrayQueue", kept(Guarded(crossbeam_queue::ArrayQueue::new(4096))));
    objects(table, "SegQueue", kept(Guarded(crossbeam_queue::SegQueue::new())));
    objects(table, "Mutex<Vec>", kept(Guarded(std::sync::Mutex::new(Vec::new()))));
    objects(table, "thread_local", kept(Guarded(thread_local::ThreadLocal::new())));
    objects(table, "sharded-slab", kept(Slab(sharded_slab::Pool::new())));
    let make = floors::Object::default;
    objects(table, "lockfree, linear", kept(Linear(lockfree_object_pool::LinearObjectPool::new(make, |_| ()))));
    objects(table, "lockfree, spin lock", kept(Spin(lockfree_object_pool::SpinLockObjectPool::new(make, |_| ()))));
    buffers(table, B64, "BytesMut", kept(BytesMuts::<64>));
    buffers(table, B256, "BytesMut", kept(BytesMuts::<256>));
    buffers(table, B4K, "BytesMut", kept(BytesMuts::<4096>));
    buffers(table, B64K, "BytesMut", kept(BytesMuts::<65536>));
}

const POOLS: [&str; 9] = [
    "opool",
    "object-pool",
    "ArrayQueue",
    "SegQueue",
    "Mutex<Vec>",
    "thread_local",
    "sharded-slab",
    "lockfree, linear",
    "lockfree, spin lock",
];
const ALLOCATORS: [&str; 4] = ["system", "mimalloc", "snmalloc", "jemalloc"];

fn targets(table: &mut Table) {
    for group in [D1, D16, D256] {
        table.target(group, "free list", 1.3);
        table.target(group, "free list by pointer", 1.3);
        POOLS.iter().for_each(|pool| table.target(group, pool, 0.5));
        ALLOCATORS.iter().for_each(|allocator| table.target(group, allocator, 1.0));
    }
    for group in [ONE, THREE] {
        table.target(group, "payload ring", 1.0);
        table.target(group, "mimalloc", 1.0 / 1.5);
        table.target(group, "opool", 0.25);
    }
    for group in &B256[..3] {
        table.target(group, "snmalloc", 1.5);
        table.target(group, "BytesMut", 1.0);
    }
    for (large, same_depth) in [(B4K, B256), (B64K, B256)] {
        for (group, small) in large.iter().zip(same_depth) {
            table.compare(group, (small, OURS), 1.2);
        }
        ALLOCATORS.iter().for_each(|allocator| table.target(large[2], allocator, 1.0));
    }
    table.compare(B256[3], (ONE, OURS), 1.2);
    table.compare(RETAIN, (FLOOR, "two RMWs"), 1.1);
}

/// Which pools the burst is tried on.
fn burst(name: &str) -> Option<[i64; 3]> {
    Some(match name {
        OURS => {
            let objects = kept(Objects::new(Preset::Millpond));
            let resident = burst::run(objects);
            let retained = objects.0.stats().total().retained;
            println!("{retained} objects retained");
            resident
        }
        "system" => burst::run(kept(Boxes::<_, 64, true>(&SYSTEM))),
        #[cfg(feature = "peers")]
        "mimalloc" => burst::run(kept(Boxes::<_, 64, true>(&peers::MIMALLOC))),
        #[cfg(feature = "peers")]
        "snmalloc" => burst::run(kept(Boxes::<_, 64, true>(&peers::SNMALLOC))),
        #[cfg(feature = "peers")]
        "jemalloc" => burst::run(kept(Boxes::<_, 64, true>(&peers::JEMALLOC))),
        #[cfg(feature = "peers")]
        "opool" => burst::run(kept(peers::Opool(opool::Pool::new(4096, peers::Make)))),
        #[cfg(feature = "peers")]
        "object-pool" => burst::run(kept(peers::ObjectPool(object_pool::Pool::new(0, Box::default)))),
        #[cfg(feature = "peers")]
        "SegQueue" => burst::run(kept(peers::Guarded(crossbeam_queue::SegQueue::new()))),
        #[cfg(feature = "peers")]
        "thread_local" => burst::run(kept(peers::Guarded(thread_local::ThreadLocal::new()))),
        #[cfg(feature = "peers")]
        "sharded-slab" => burst::run(kept(peers::Slab(sharded_slab::Pool::new()))),
        _ => return None,
    })
}

/// Runs each pool's burst in a process of its own.
fn bursts() {
    println!();
    println!("After a burst of 200,000 objects of 64 bytes: KiB resident beyond the start");
    println!("{:<26} {:>9} {:>9} {:>16}", "pool", "burst", "after", "after light use");
    for name in [
        OURS,
        "system",
        "mimalloc",
        "snmalloc",
        "jemalloc",
        "opool",
        "object-pool",
        "SegQueue",
        "thread_local",
        "sharded-slab",
    ] {
        let own = std::env::current_exe().expect("the benchmark has a path");
        let output = std::process::Command::new(own).args(["--burst", name]).output().expect("it can be run again");
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let first = arguments.next().unwrap_or_default();
    if first == "--burst" {
        let name = arguments.next().unwrap_or_default();
        if let Some([height, after, light]) = burst(&name) {
            println!("{name:<26} {height:>9} {after:>9} {light:>16}");
        }
        return;
    }
    let mut table = Table::default();
    rows(&mut table);
    targets(&mut table);
    table.run(ROUNDS, &first);
    table.print();
    if first.is_empty() || first == "burst" {
        bursts();
    }
}

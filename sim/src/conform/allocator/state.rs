//! The private state of an allocator, as the traces write it.
//!
//! **Invariant: field for field the format `netty-lockstep/1`.**

use super::super::header::Dialect;
use millpond_model::allocator::pooled::{AllocatorMetrics, ArenaMetrics, CacheInspection, Counts, SizeKind};
use millpond_model::memory::Area;
use serde_json::{Map, Value, json};

/// The name of an arena: `d0`.
pub fn arena(area: Area, index: u32) -> String {
    let letter = match area {
        Area::Direct => 'd',
        Area::Heap => 'h',
    };
    format!("{letter}{index}")
}

fn counts(counts: &Counts) -> Value {
    json!([counts.tiny, counts.small, counts.normal, counts.huge])
}

fn of_arena(metrics: &ArenaMetrics, long: bool) -> Value {
    let mut entry = json!({
        "a": arena(metrics.area, metrics.index),
        "tc": metrics.thread_caches,
        "al": counts(&metrics.allocations),
        "de": counts(&metrics.deallocations),
        "by": metrics.active_bytes,
        "cl": metrics.lists.each_ref().map(Vec::len),
        "fr": metrics.free_bytes,
    });
    if long {
        let chunks = metrics.lists.iter().enumerate().flat_map(|(list, chunks)| {
            chunks.iter().map(move |chunk| json!([list, chunk.number, chunk.usage, chunk.free]))
        });
        entry["chunks"] = chunks.collect();
    }
    entry
}

/// Every arena.
pub fn arenas(metrics: &AllocatorMetrics, long: bool) -> Value {
    metrics.arenas().map(|arena| of_arena(arena, long)).collect()
}

/// The caches of one area and kind, with their names in a trace.
fn kinds(dialect: Dialect) -> impl Iterator<Item = (&'static str, Area, SizeKind)> {
    let names = [["td", "sd", "nd"], ["th", "sh", "nh"]];
    let areas = [Area::Direct, Area::Heap].into_iter().zip(names);
    let all =
        areas.flat_map(|(area, names)| names.into_iter().zip(SizeKind::ALL).map(move |(n, kind)| (n, area, kind)));
    let has_tiny = matches!(dialect, Dialect::A1 | Dialect::A2);
    all.filter(move |(_, _, kind)| has_tiny || *kind != SizeKind::Tiny)
}

/// A thread's cache in short.
pub fn cache(dialect: Dialect, thread: u64, cache: &CacheInspection) -> Value {
    let mut entry = Map::new();
    entry.insert("t".into(), thread.into());
    entry.insert("n".into(), cache.lookups.into());
    let [direct, heap] = cache.arenas;
    let name = |area, index: Option<u32>| index.map_or(Value::Null, |index| arena(area, index).into());
    entry.insert("da".into(), name(Area::Direct, direct));
    entry.insert("ha".into(), name(Area::Heap, heap));
    for (name, area, kind) in kinds(dialect) {
        if let Some(blocks) = cache.blocks(area, kind) {
            entry.insert(name.into(), blocks.into());
        }
    }
    Value::Object(entry)
}

/// A thread's cache at length.
pub fn cache_in_full(dialect: Dialect, thread: u64, cache: &CacheInspection) -> Value {
    let mut entry = Map::new();
    entry.insert("t".into(), thread.into());
    for (name, area, kind) in kinds(dialect) {
        if let Some(classes) = cache.classes(area, kind) {
            let classes = classes.iter().map(|c| json!([c.index, c.blocks, c.served]));
            entry.insert(name.into(), classes.collect());
        }
    }
    Value::Object(entry)
}

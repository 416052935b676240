//! The private state of a pool, as the traces write it.
//!
//! **Invariant: field for field the format `netty-lockstep/1`.**

use super::super::header::Dialect;
use millpond_model::platform::ThreadId;
use millpond_model::recycler::{LocalPoolInspection, PoolInspection, StackInspection, StoreInspection};
use serde_json::{Map, Value, json};

/// FNV-1a over object numbers, four little-endian bytes each.
fn hash(objects: &[i64]) -> u32 {
    let bytes = objects.iter().flat_map(|o| {
        let low = i32::try_from(*o).unwrap_or_else(|_| unreachable!("a trace has no 2^31 objects"));
        low.to_le_bytes()
    });
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Objects in the own store and in hand-over queues, holes included.
pub fn held(pool: &PoolInspection) -> (usize, usize) {
    match &pool.store {
        StoreInspection::A(stack) => (stack.elements.len(), stack.queues.iter().map(|q| q.items.len()).sum()),
        StoreInspection::B(local) => (local.batch.len(), local.queue.as_ref().map_or(0, Vec::len)),
        StoreInspection::HandOver(_) => unreachable!("no Netty has it"),
    }
}

/// One pool's entry.
pub fn of_pool(dialect: Dialect, recycler: usize, pool: &PoolInspection, number: &impl Fn(ThreadId) -> u64) -> Value {
    let mut entry = Map::new();
    entry.insert("t".into(), number(pool.owner).into());
    entry.insert("r".into(), recycler.into());
    if pool.dead {
        entry.insert("dead".into(), 1.into());
    }
    match &pool.store {
        StoreInspection::A(stack) => of_stack(dialect, stack, &mut entry, number),
        StoreInspection::B(local) => of_local_pool(dialect, local, &mut entry),
        StoreInspection::HandOver(_) => unreachable!("no Netty has it"),
    }
    Value::Object(entry)
}

fn of_stack(
    dialect: Dialect,
    stack: &StackInspection,
    entry: &mut Map<String, Value>,
    number: &impl Fn(ThreadId) -> u64,
) {
    let place = |place: Option<usize>| place.map_or(json!(-1), |p| json!(p));
    entry.insert("sz".into(), stack.elements.len().into());
    entry.insert("cap".into(), stack.array_len.into());
    entry.insert("eh".into(), hash(&stack.elements).into());
    entry.insert("rc".into(), stack.gate.into());
    entry.insert("asc".into(), stack.shared_available.into());
    entry.insert("cur".into(), place(stack.cursor));
    entry.insert("prev".into(), place(stack.prev));
    let queues = stack.queues.iter().map(|queue| {
        let mut entry = Map::new();
        entry.insert("q".into(), queue.number.into());
        entry.insert("w".into(), number(queue.writer).into());
        if queue.gone {
            entry.insert("gone".into(), 1.into());
        }
        entry.insert("n".into(), queue.items.len().into());
        entry.insert("l".into(), queue.links.into());
        entry.insert("qh".into(), hash(&queue.items).into());
        if dialect != Dialect::A1 {
            entry.insert("rc".into(), queue.gate.into());
        }
        Value::Object(entry)
    });
    entry.insert("q".into(), queues.collect());
}

fn of_local_pool(dialect: Dialect, local: &LocalPoolInspection, entry: &mut Map<String, Value>) {
    let closed = local.queue.is_none();
    entry.insert("mq".into(), local.queue.as_ref().map_or(json!(-1), |queue| json!(queue.len())));
    entry.insert("mqcap".into(), if closed { json!(-1) } else { json!(local.queue_capacity) });
    entry.insert("rc".into(), local.gate.into());
    if dialect != Dialect::B1 {
        entry.insert("ba".into(), local.batch.len().into());
        entry.insert("own".into(), u8::from(local.owner_known).into());
        entry.insert("bh".into(), hash(&local.batch).into());
    }
}

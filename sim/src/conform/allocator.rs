//! Traces of the pooled allocator.
//!
//! **Invariant: a statistic is read while every thread is parked.**

mod config;
mod shells;
mod state;

use super::Replay;
use super::header::{Dialect, Header};
use super::operation::Operation;
use super::recycler::of_pool;
use super::threads::Threads;
use millpond_model::Platform;
use millpond_model::memory::Area;
use millpond_model::recycler::{Collect, Domain};
use serde_json::{Map, Value, json};
use shells::{Buffer, Shells};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The allocator of a trace.
pub struct Allocator<P: Platform> {
    dialect: Dialect,
    domain: Domain<P>,
    shells: Arc<Shells<P>>,
    threads: Threads<P>,
    slots: BTreeMap<u64, Buffer<P>>,
    /// Numbers of queues in the order in which they were first seen.
    queues: BTreeMap<u64, usize>,
    seen: BTreeMap<u64, (Value, Value)>,
    at: Option<u64>,
}

impl<P: Platform> Allocator<P> {
    pub fn new(header: &Header) -> Result<Self, String> {
        let config = config::read(header)?;
        let domain = Domain::new_with(Collect::Withheld);
        let shells = Arc::new(Shells::new(&domain, config, header.dialect != Dialect::A1));
        let threads = Threads::new(header.threads)?;
        Ok(Self {
            dialect: header.dialect,
            domain,
            shells,
            threads,
            slots: BTreeMap::new(),
            queues: BTreeMap::new(),
            seen: BTreeMap::new(),
            at: None,
        })
    }

    fn slot(&self, operation: &Operation<'_>) -> Result<Buffer<P>, String> {
        let b = operation.number("b")?;
        self.slots.get(&b).cloned().ok_or_else(|| format!("no buffer in slot {b}"))
    }

    fn made(&self) -> i64 {
        self.shells.made.load(Ordering::Relaxed)
    }

    /// Allocations and deallocations that reached an arena.
    fn reached(&self) -> (u64, u64) {
        let metrics = self.shells.backend.metrics();
        metrics.arenas().fold((0, 0), |sum, a| (sum.0 + a.allocations.total(), sum.1 + a.deallocations.total()))
    }

    fn fields(&self, buffer: &Buffer<P>, made: i64) -> Map<String, Value> {
        let mut result = Map::new();
        result.insert("bid".into(), buffer.bid.into());
        result.insert("new".into(), u8::from(buffer.bid >= made).into());
        result.insert("cls".into(), buffer.class.into());
        result.insert("rc".into(), buffer.count().into());
        result
    }

    fn placed(&self, buffer: &Buffer<P>, made: i64) -> Map<String, Value> {
        let mut result = self.fields(buffer, made);
        let (place, len, max) = buffer.place();
        result.insert("ar".into(), place.arena.map_or(Value::Null, |i| state::arena(place.area, i).into()));
        result.insert("ch".into(), place.chunk.map_or(json!(-1), |c| json!(c)));
        result.insert("off".into(), place.offset.into());
        result.insert("len".into(), len.into());
        result.insert("max".into(), max.into());
        result
    }
}

impl<P: Platform> Replay for Allocator<P> {
    fn operate(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        self.at = operation.number("t").ok().filter(|_| operation.name != "ret");
        let made = self.made();
        let before = self.reached();
        match operation.name {
            "alloc" => {
                let size = operation.number("size")? as usize;
                let area = if operation.text().contains("\"k\":\"d\"") { Area::Direct } else { Area::Heap };
                let shells = Arc::clone(&self.shells);
                let buffer = self.threads.run(self.threads.worker(operation)?, move || shells.allocate(area, size));
                let mut result = self.placed(&buffer, made);
                result.insert("hit".into(), u8::from(self.reached().0 == before.0).into());
                self.slots.insert(operation.number("b")?, buffer);
                Ok(Value::Object(result))
            }
            "ret" => {
                let buffer = self.slot(operation)?;
                buffer.retain();
                Ok(json!({ "rc": buffer.count() }))
            }
            "rel" => {
                let buffer = self.slot(operation)?;
                let inner = buffer.clone();
                let freed = self.threads.run(self.threads.worker(operation)?, move || inner.release());
                let mut result = Map::new();
                result.insert("freed".into(), u8::from(freed).into());
                result.insert("rc".into(), buffer.count().into());
                if freed {
                    result.insert("arena".into(), u8::from(self.reached().1 > before.1).into());
                }
                if operation.has("last") {
                    self.slots.remove(&operation.number("b")?);
                }
                Ok(Value::Object(result))
            }
            "rslice" | "rdup" => {
                let buffer = self.slot(operation)?;
                let (shells, of) = (Arc::clone(&self.shells), buffer.clone());
                let slice = operation.name == "rslice";
                let new = self.threads.run(self.threads.worker(operation)?, move || shells.derive(&of, slice));
                let mut result = self.fields(&new, made);
                result.insert("prc".into(), buffer.count().into());
                self.slots.insert(operation.number("d")?, new);
                Ok(Value::Object(result))
            }
            "cap" => {
                let buffer = self.slot(operation)?;
                let n = operation.number("n")? as usize;
                let (shells, of) = (Arc::clone(&self.shells), buffer.clone());
                self.threads.run(self.threads.worker(operation)?, move || shells.set_capacity(&of, n));
                Ok(Value::Object(self.placed(&buffer, made)))
            }
            "trim" => {
                let shells = Arc::clone(&self.shells);
                let ok = self.threads.run(self.threads.worker(operation)?, move || shells.backend.trim());
                Ok(json!({ "ok": u8::from(ok) }))
            }
            "die" | "spawn" => self.threads.operate(operation).map(|()| json!({})),
            "gc" => {
                let collected = self.domain.collect();
                let dead = collected.uncollected.iter();
                let mut uncollected: Vec<_> = dead.map(|t| self.threads.number(*t)).collect();
                uncollected.sort_unstable();
                Ok(json!({ "uncollected": uncollected }))
            }
            _ => Err(operation.unknown()),
        }
    }

    fn statistics(&mut self, trace: &Value) -> Value {
        let long = trace.get("tcf").is_some();
        if let Err(broken) = self.shells.backend.check() {
            panic!("{broken}");
        }
        let mut result = Map::new();
        result.insert("ar".into(), state::arenas(&self.shells.backend.metrics(), long));
        // SAFETY: every worker is parked, and `Crew::run` has waited for its last job.
        let caches = unsafe { self.shells.backend.inspect_caches() };
        let mut caches: Vec<_> = caches.iter().map(|c| (self.threads.number(c.thread), c)).collect();
        caches.sort_by_key(|(thread, _)| *thread);
        for (thread, cache) in &caches {
            let new = (state::cache(self.dialect, *thread, cache), state::cache_in_full(self.dialect, *thread, cache));
            if self.at == Some(*thread) {
                self.seen.insert(*thread, new);
            } else {
                self.seen.entry(*thread).or_insert(new);
            }
        }
        self.seen.retain(|thread, _| caches.iter().any(|(t, _)| t == thread));
        result.insert("tc".into(), self.seen.values().map(|(short, _)| short.clone()).collect());
        if long {
            result.insert("tcf".into(), self.seen.values().map(|(_, full)| full.clone()).collect());
            let n = self.shells.recyclers.len();
            let mut pools: Vec<_> =
                (0..n).flat_map(|r| self.shells.inspect(r).into_iter().map(move |p| (r, p))).collect();
            pools.sort_by_key(|(_, pool)| pool.pool);
            let number = |thread| self.threads.number(thread);
            let mut pools: Vec<Value> =
                pools.iter().map(|(r, pool)| of_pool(self.dialect, *r, pool, &number)).collect();
            for pool in pools.iter_mut().filter_map(Value::as_object_mut) {
                pool.remove("eh");
                pool.remove("bh");
                for queue in pool.get_mut("q").and_then(Value::as_array_mut).into_iter().flatten() {
                    let Some(queue) = queue.as_object_mut() else { continue };
                    queue.remove("qh");
                    let number = queue.get("q").and_then(Value::as_u64).unwrap_or(0);
                    let next = self.queues.len();
                    let seen = *self.queues.entry(number).or_insert(next);
                    queue.insert("q".into(), seen.into());
                }
            }
            result.insert("p".into(), pools.into());
            // SAFETY: as above.
            let delayed = unsafe { self.domain.delayed() };
            let mut delayed: Vec<_> = delayed.into_iter().map(|(t, n, d)| (number(t), n, d)).collect();
            delayed.sort_unstable();
            result.insert("dq".into(), if self.dialect.has_delayed() { json!(delayed) } else { json!([]) });
        }
        Value::Object(result)
    }
}

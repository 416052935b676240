//! Traces of recyclers.
//!
//! **Invariant: a statistic is read while every thread is parked.**

mod config;
mod state;

pub(super) use state::of_pool;

use super::Replay;
use super::header::{Dialect, Header, MAX_COUNT};
use super::operation::Operation;
use super::threads::Threads;
use millpond_model::Platform;
use millpond_model::observe::Kind;
use millpond_model::recycler::{Domain, Handle, PoolInspection, RecyclerError, SharedRecycler};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// An object: its number, per recycler in order of creation.
type Object = i64;

struct Slot<P: Platform> {
    recycler: usize,
    handle: Handle<Object, P>,
}

/// The recyclers of a trace.
pub struct Recyclers<P: Platform> {
    dialect: Dialect,
    domain: Domain<P>,
    recyclers: Vec<SharedRecycler<Object, P>>,
    made: Vec<Arc<AtomicI64>>,
    threads: Threads<P>,
    slots: BTreeMap<u64, Slot<P>>,
}

impl<P: Platform> Recyclers<P> {
    /// As the header says.
    pub fn new(header: &Header) -> Result<Self, String> {
        let config = config::read(header)?;
        let domain = Domain::new_with(header.collect());
        let made = (0..header.cfg.at_most("nrec", MAX_COUNT)?).map(|_| Arc::new(AtomicI64::new(0)));
        let made: Vec<_> = made.collect();
        let recyclers = made.iter().map(|made| {
            let made = Arc::clone(made);
            // Relaxed: a number, given by the one thread at work. Pairs with nothing.
            SharedRecycler::new_in(&domain, Kind::Object, config, move || made.fetch_add(1, Ordering::Relaxed))
        });
        let recyclers = recyclers.collect();
        let threads = Threads::new(header.threads)?;
        Ok(Self { dialect: header.dialect, domain, recyclers, made, threads, slots: BTreeMap::new() })
    }

    fn get(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        let number = operation.number("r")?;
        let recycler = usize::try_from(number).ok().filter(|r| *r < self.recyclers.len());
        let recycler = recycler.ok_or_else(|| format!("there is no recycler {number}"))?;
        let slot = operation.number("h")?;
        let pool = self.recyclers[recycler].clone();
        let before = self.made[recycler].load(Ordering::Relaxed);
        match self.threads.run(self.threads.worker(operation)?, move || pool.get()) {
            Err(error) => Ok(Value::Object(refusal(error))),
            Ok(handle) => {
                let (new, pooled) = (u8::from(*handle >= before), u8::from(handle.is_poolable()));
                let result = json!({ "o": *handle, "new": new, "pooled": pooled });
                self.slots.insert(slot, Slot { recycler, handle });
                Ok(result)
            }
        }
    }

    fn recycle(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        let h = operation.number("h")?;
        let worker = self.threads.worker(operation)?;
        let Some(Slot { recycler, handle }) = self.slots.remove(&h) else { return Ok(json!({ "skip": 1 })) };
        if operation.has("keep") {
            self.slots.insert(h, Slot { recycler, handle: handle.clone() });
        }
        let before = self.held(recycler);
        let object = *handle;
        let outcome = self.threads.run(worker, move || handle.recycle());
        let after = self.held(recycler);
        let mut result = outcome.err().map(refusal).unwrap_or_default();
        result.insert("o".into(), object.into());
        let fate = match (after.0 > before.0, after.1 > before.1) {
            (true, _) => "own",
            (false, true) => "far",
            (false, false) => "drop",
        };
        result.insert("fate".into(), fate.into());
        Ok(Value::Object(result))
    }

    fn inspect(&self, recycler: usize) -> Vec<PoolInspection> {
        // SAFETY: every worker is parked, and `Crew::run` has waited for its last job.
        unsafe { self.recyclers[recycler].inspect(|object| *object) }
    }

    /// Objects in own stores and in hand-over queues.
    fn held(&self, recycler: usize) -> (usize, usize) {
        self.inspect(recycler).iter().map(state::held).fold((0, 0), |sum, pool| (sum.0 + pool.0, sum.1 + pool.1))
    }
}

impl<P: Platform> Replay for Recyclers<P> {
    fn operate(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        match operation.name {
            "get" => self.get(operation),
            "rec" => self.recycle(operation),
            "drop" => {
                let slot = self.slots.remove(&operation.number("h")?);
                Ok(json!({ "o": slot.map_or(-1, |slot| *slot.handle) }))
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

    /// The private state of every pool, and every thread's map.
    fn statistics(&mut self, _: &Value) -> Value {
        let mut pools: Vec<_> =
            (0..self.recyclers.len()).flat_map(|r| self.inspect(r).into_iter().map(move |pool| (r, pool))).collect();
        pools.sort_by_key(|(_, pool)| pool.pool);
        let number = |thread| self.threads.number(thread);
        let pools: Value = pools.iter().map(|(r, pool)| state::of_pool(self.dialect, *r, pool, &number)).collect();
        // SAFETY: as in `inspect`.
        let mut delayed: Vec<_> =
            unsafe { self.domain.delayed() }.into_iter().map(|(t, n, d)| (number(t), n, d)).collect();
        delayed.sort_unstable();
        let delayed = if self.dialect.has_delayed() { json!(delayed) } else { json!([]) };
        json!({ "p": pools, "dq": delayed })
    }
}

/// How the trace writes an exception.
fn refusal(error: RecyclerError) -> Map<String, Value> {
    let mut result = Map::new();
    result.insert("ex".into(), error.java_class().into());
    if let Some(message) = error.message() {
        result.insert("msg".into(), message.into());
    }
    result
}

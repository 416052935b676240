//! Traces of the pooled allocator.
//!
//! **Invariant: a statistic is read while every thread is parked.**

mod config;
mod state;

use super::Replay;
use super::header::{Dialect, Header};
use super::operation::Operation;
use super::recycler::of_pool;
use super::threads::Threads;
use millpond_model::Platform;
use millpond_model::allocator;
use millpond_model::allocator::pooled::{CacheInspection, PooledBackend};
use millpond_model::buffer::{Buffer, MAX_CAPACITY, Owned, ShellClass};
use millpond_model::memory::Area;
use millpond_model::platform::ThreadId;
use millpond_model::recycler::Domain;
use millpond_model::refcnt::IllegalCount;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A buffer that the program of the trace has.
struct Slot<P: Platform> {
    buffer: Buffer<P>,
    /// Netty's class of the object.
    class: &'static str,
}

/// The allocator of a trace.
pub struct Allocator<P: Platform> {
    dialect: Dialect,
    domain: Domain<P>,
    allocator: allocator::Allocator<P>,
    threads: Threads<P>,
    slots: BTreeMap<u64, Slot<P>>,
    /// Slots whose buffer was given up dead, and the number of its shell. There is no handle, which would keep the shell.
    dead: BTreeMap<u64, Option<u32>>,
    /// Numbers of buffer objects by those of shells, in order of first sight.
    shells: BTreeMap<u32, u64>,
    /// Buffer objects seen.
    objects: u64,
    /// Numbers of hand-over queues, in order of first sight.
    queues: BTreeMap<u64, usize>,
    /// The cache of each living thread that has one, in short and at length, as that thread saw it last.
    caches: BTreeMap<u64, (Value, Value)>,
    /// The thread that has looked at its cache after the operation.
    looked: Option<u64>,
}

/// Allocations and deallocations that reached an arena.
#[derive(Clone, Copy)]
struct Reached {
    allocations: u64,
    deallocations: u64,
}

fn size(operation: &Operation<'_>, name: &str) -> Result<usize, String> {
    let n = operation.number(name)?;
    let n = usize::try_from(n).ok().filter(|n| *n <= MAX_CAPACITY);
    n.ok_or_else(|| format!("`{name}` is too large for a buffer"))
}

impl<P: Platform> Allocator<P> {
    /// As the header says.
    pub fn new(header: &Header) -> Result<Self, String> {
        let config = config::read(header)?;
        let domain = Domain::new_with(header.collect());
        Ok(Self {
            dialect: header.dialect,
            allocator: allocator::Allocator::new_in(&domain, config),
            domain,
            threads: Threads::new(header.threads)?,
            slots: BTreeMap::new(),
            dead: BTreeMap::new(),
            shells: BTreeMap::new(),
            objects: 0,
            queues: BTreeMap::new(),
            caches: BTreeMap::new(),
            looked: None,
        })
    }

    fn backend(&self) -> &PooledBackend<P> {
        self.allocator.pooled().unwrap_or_else(|| unreachable!("it was configured so"))
    }

    fn reached(&self) -> Reached {
        let metrics = self.backend().metrics();
        let none = Reached { allocations: 0, deallocations: 0 };
        metrics.arenas().fold(none, |sum, arena| Reached {
            allocations: sum.allocations + arena.allocations.total(),
            deallocations: sum.deallocations + arena.deallocations.total(),
        })
    }

    fn has_own_counts(&self) -> bool {
        self.dialect != Dialect::A1
    }

    /// Takes the buffer of the operation out of its slot.
    fn take(&mut self, operation: &Operation<'_>) -> Result<(u64, Slot<P>), String> {
        let b = operation.number("b")?;
        let slot = self.slots.remove(&b).ok_or_else(|| format!("there is no buffer {b}"))?;
        Ok((b, slot))
    }

    /// Puts a new buffer into its slot.
    fn fill(&mut self, b: u64, slot: Slot<P>) {
        self.dead.remove(&b);
        self.slots.insert(b, slot);
    }

    /// What a retain or release of a buffer that was given up dead says. None: it wasn't.
    fn refuse_dead(&self, operation: &Operation<'_>, change: i64) -> Result<Option<Value>, String> {
        let b = operation.number("b")?;
        let Some(shell) = self.dead.get(&b) else { return Ok(None) };
        self.threads.worker(operation)?;
        if shell.is_some() && self.slots.values().any(|slot| slot.buffer.shell_serial() == *shell) {
            return Err(format!("buffer {b} is dead, and its object is another buffer by now"));
        }
        Ok(Some(refusal(operation, IllegalCount { count: 0, change })))
    }

    /// The object's number, and whether it was never seen before.
    fn identity(&mut self, slot: &Slot<P>) -> (u64, bool) {
        let next = self.objects;
        let derived = slot.class.starts_with("Sliced") || slot.class.starts_with("Duplicated");
        let number = match slot.buffer.shell_serial() {
            Some(serial) if !derived => *self.shells.entry(serial).or_insert(next),
            _ => next, // an object of its own, which is never used again
        };
        let new = number == next;
        self.objects += u64::from(new);
        (number, new)
    }

    /// What a trace says of any buffer.
    fn fields(&mut self, slot: &Slot<P>) -> Map<String, Value> {
        let (number, new) = self.identity(slot);
        let mut result = Map::new();
        result.insert("bid".into(), number.into());
        result.insert("new".into(), u8::from(new).into());
        result.insert("cls".into(), slot.class.into());
        result.insert("rc".into(), slot.buffer.count().into());
        result
    }

    /// What a trace says of a buffer with memory of its own.
    fn placed(&mut self, slot: &Slot<P>) -> Result<Map<String, Value>, String> {
        let mut result = self.fields(slot);
        let (max, place) = slot.buffer.block().map_err(|error| error.to_string())?;
        let place = place.ok_or("a buffer that is not pooled")?;
        result.insert("ar".into(), place.arena.map_or(Value::Null, |i| state::arena(place.area, i).into()));
        result.insert("ch".into(), place.chunk.map_or(json!(-1), |chunk| json!(chunk)));
        result.insert("off".into(), place.offset.into());
        result.insert("len".into(), slot.buffer.capacity().into());
        result.insert("max".into(), max.into());
        Ok(result)
    }

    fn allocate(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        let size = size(operation, "size")?;
        let (area, class) = match operation.word("k")? {
            "d" => (Area::Direct, "PooledUnsafeDirectByteBuf"),
            "h" => (Area::Heap, "PooledUnsafeHeapByteBuf"),
            other => return Err(format!("unknown kind of memory `{other}`")),
        };
        let before = self.reached();
        let allocator = self.allocator.clone();
        let worker = self.threads.worker(operation)?;
        let buffer = self.threads.run(worker, move || allocator.allocate_in(area, size, MAX_CAPACITY));
        let slot = Slot { buffer: buffer.map_err(|error| error.to_string())?, class };
        let mut result = self.placed(&slot)?;
        result.insert("hit".into(), u8::from(self.reached().allocations == before.allocations).into());
        self.fill(operation.number("b")?, slot);
        Ok(Value::Object(result))
    }

    fn retain(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        if let Some(refusal) = self.refuse_dead(operation, 1)? {
            return Ok(refusal);
        }
        let (b, slot) = self.take(operation)?;
        let retained = slot.buffer.retain_many(1);
        let count = slot.buffer.count();
        self.slots.insert(b, slot);
        Ok(match retained {
            Ok(()) => json!({ "rc": count }),
            Err(refused) => refusal(operation, refused),
        })
    }

    fn release(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        if let Some(refusal) = self.refuse_dead(operation, -1)? {
            return Ok(refusal);
        }
        let before = self.reached();
        let worker = self.threads.worker(operation)?;
        let (b, Slot { buffer, class }) = self.take(operation)?;
        let shell = buffer.shell_serial();
        let last = operation.has("last");
        let job = move || {
            if last && buffer.count() == 1 {
                // The shell follows the memory at once: nobody has another handle.
                return (Owned::from(buffer).release(), 0, None);
            }
            let freed = buffer.release();
            let count = buffer.count();
            (freed, count, if last { None } else { Some(buffer) })
        };
        let (freed, count, kept) = self.threads.run(worker, job);
        if let Some(buffer) = kept {
            self.slots.insert(b, Slot { buffer, class });
        } else if count == 0 {
            self.dead.insert(b, shell);
        }
        let freed = match freed {
            Ok(freed) => freed,
            Err(refused) => return Ok(refusal(operation, refused)),
        };
        let mut result = Map::new();
        result.insert("freed".into(), u8::from(freed).into());
        result.insert("rc".into(), count.into());
        if freed {
            let arena = self.reached().deallocations > before.deallocations;
            result.insert("arena".into(), u8::from(arena).into());
        }
        Ok(Value::Object(result))
    }

    fn derive(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        let part = match operation.name {
            "rslice" => Some((size(operation, "off")?, size(operation, "len")?)),
            _ => None,
        };
        let worker = self.threads.worker(operation)?;
        let (b, Slot { buffer, class }) = self.take(operation)?;
        let (buffer, derived) = self.threads.run(worker, move || {
            let derived = match part {
                Some((at, length)) => buffer.retained_slice(at, length),
                None => buffer.retained_duplicate(),
            };
            (buffer, derived)
        });
        let count = buffer.count();
        self.slots.insert(b, Slot { buffer, class });
        let buffer = derived.map_err(|error| error.to_string())?;
        let class = match (self.has_own_counts(), part) {
            (false, Some(_)) => "SlicedAbstractByteBuf",
            (false, None) => "DuplicatedAbstractByteBuf",
            (true, _) if buffer.shell_class() == Some(ShellClass::Slice) => "PooledSlicedByteBuf",
            (true, _) => "PooledDuplicatedByteBuf",
        };
        let slot = Slot { buffer, class };
        let mut result = self.fields(&slot);
        result.insert("prc".into(), count.into());
        self.fill(operation.number("d")?, slot);
        Ok(Value::Object(result))
    }

    fn set_capacity(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        let n = size(operation, "n")?;
        let worker = self.threads.worker(operation)?;
        let (b, Slot { mut buffer, class }) = self.take(operation)?;
        let (buffer, done) = self.threads.run(worker, move || {
            let done = buffer.set_capacity(n);
            (buffer, done)
        });
        let slot = Slot { buffer, class };
        let result = self.placed(&slot);
        self.slots.insert(b, slot);
        done.map_err(|error| error.to_string())?;
        Ok(Value::Object(result?))
    }

    /// The number of a thread of the trace.
    fn number(&self, thread: ThreadId) -> Option<u64> {
        self.threads.known(thread)
    }

    /// The recorder's threads look at their caches themselves, each after its own operations but `ret`; what others release into
    /// a cache meanwhile it doesn't see.
    fn look(&mut self) {
        // SAFETY: every worker is parked, and `Crew::run` has waited for its last job.
        let caches: Vec<CacheInspection> = unsafe { self.backend().inspect_caches() };
        let living: BTreeMap<_, _> = caches.iter().filter_map(|c| Some((self.number(c.thread)?, c))).collect();
        self.caches.retain(|thread, _| living.contains_key(thread));
        if let Some((thread, cache)) = self.looked.and_then(|thread| living.get_key_value(&thread)) {
            let seen = (state::cache(self.dialect, *thread, cache), state::cache_in_full(self.dialect, *thread, cache));
            self.caches.insert(*thread, seen);
        }
    }

    /// The recyclers of the shells: without the numbers of the objects in them, which a trace of an allocator doesn't have.
    fn pools(&mut self) -> Value {
        // SAFETY: as in `look`.
        let pools = unsafe { self.allocator.inspect_shells() };
        let number = |thread| self.threads.number(thread);
        let entries = pools.iter().map(|(class, pool)| of_pool(self.dialect, *class as usize, pool, &number));
        let mut entries: Vec<Value> = entries.collect();
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("eh");
            entry.remove("bh");
            let queues = entry.get_mut("q").and_then(Value::as_array_mut).into_iter().flatten();
            for queue in queues.filter_map(Value::as_object_mut) {
                queue.remove("qh");
                let next = self.queues.len();
                let seen = queue.get("q").and_then(Value::as_u64).map(|q| *self.queues.entry(q).or_insert(next));
                queue.insert("q".into(), seen.into());
            }
        }
        entries.into()
    }

    fn delayed(&self) -> Value {
        if !self.dialect.has_delayed() {
            return json!([]);
        }
        // SAFETY: as in `look`.
        let rows = unsafe {
            self.domain.expunge(); // the recorder asked each map for its size, and that is what removes stale entries
            self.domain.delayed()
        };
        let mut rows: Vec<_> = rows.into_iter().filter_map(|(t, n, d)| Some((self.number(t)?, n, d))).collect();
        rows.sort_unstable();
        json!(rows)
    }
}

impl<P: Platform> Replay for Allocator<P> {
    fn operate(&mut self, operation: &Operation<'_>) -> Result<Value, String> {
        let result = match operation.name {
            "alloc" => self.allocate(operation),
            "ret" => self.retain(operation),
            "rel" => self.release(operation),
            "rslice" | "rdup" => self.derive(operation),
            "cap" => self.set_capacity(operation),
            "trim" => {
                let allocator = self.allocator.clone();
                let worker = self.threads.worker(operation)?;
                let ok = self.threads.run(worker, move || allocator.pooled().is_some_and(PooledBackend::trim));
                Ok(json!({ "ok": u8::from(ok) }))
            }
            "die" | "spawn" => self.threads.operate(operation).map(|()| json!({})),
            "gc" => {
                let dead = self.domain.collect().uncollected;
                let mut uncollected: Vec<_> = dead.into_iter().filter_map(|thread| self.number(thread)).collect();
                uncollected.sort_unstable();
                Ok(json!({ "uncollected": uncollected }))
            }
            _ => Err(operation.unknown()),
        };
        let looks = operation.name != "ret" && operation.has("t");
        self.looked = if looks { Some(operation.number("t")?) } else { None };
        self.look();
        if let Err(broken) = self.backend().check() {
            panic!("{broken}");
        }
        result
    }

    /// The arenas and caches; on the long lines of a trace also the recyclers of the shells.
    fn statistics(&mut self, trace: &Value) -> Value {
        let full = trace.get("tcf").is_some();
        let mut result = Map::new();
        result.insert("ar".into(), state::arenas(&self.backend().metrics(), full));
        result.insert("tc".into(), self.caches.values().map(|(short, _)| short.clone()).collect());
        if full {
            result.insert("tcf".into(), self.caches.values().map(|(_, full)| full.clone()).collect());
        }
        if trace.get("p").is_some() {
            result.insert("p".into(), self.pools());
            result.insert("dq".into(), self.delayed());
        }
        Value::Object(result)
    }
}

/// How the trace writes Netty's exception; the text only where the trace has it.
fn refusal(operation: &Operation<'_>, refused: IllegalCount) -> Value {
    let mut result = Map::new();
    result.insert("ex".into(), "IllegalReferenceCountException".into());
    if operation.expected.get("msg").is_some() {
        let (name, change) =
            if refused.change > 0 { ("increment", refused.change) } else { ("decrement", -refused.change) };
        result.insert("msg".into(), format!("refCnt: {}, {name}: {change}", refused.count).into());
    }
    Value::Object(result)
}
